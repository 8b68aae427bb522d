//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

use crate::error::Error;

/// Pause between two looks at a condition.
pub(crate) const LOOK: Duration = Duration::from_millis(5);

/// Looks until there is something, returns it.
///
/// # Errors
/// [`Error::Timeout`] with `what` and `hint`, or the error of a look.
pub(crate) async fn until<T, F: Future<Output = Result<Option<T>, Error>>>(
    limit: Duration,
    what: &str,
    hint: &str,
    mut look: impl FnMut() -> F,
) -> Result<T, Error> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() >= end {
            return Err(Error::Timeout {
                what: what.to_owned(),
                seconds: limit.as_secs(),
                hint: hint.to_owned(),
            });
        }
        tokio::time::sleep(LOOK).await;
    }
}
