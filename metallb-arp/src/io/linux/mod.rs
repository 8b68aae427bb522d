//! x
mod handle;
pub use handle::{Event, EventReceiver, Handle, Snapshot};
/// x
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The driver has ended.
    #[error("the driver has ended")]
    Stopped,
}
