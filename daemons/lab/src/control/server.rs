//! The lab's side of the control socket.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::{Request, Response, status};
use crate::error::Error;
use crate::lab::Lab;

/// Longest request in octets.
const REQUEST_LIMIT: u64 = 4096;

/// Answers requests until the lab ends.
pub(crate) fn start(lab: &Arc<Lab>, down: &Arc<Notify>) -> Result<JoinHandle<()>, Error> {
    let path = lab.dir.socket();
    let doing = || format!("listening on {}", path.display());
    let listener = UnixListener::bind(&path).map_err(Error::io(doing()))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(Error::io(doing()))?;
    let (lab, down) = (Arc::clone(lab), Arc::clone(down));
    Ok(tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(talk(stream, Arc::clone(&lab), Arc::clone(&down)))),
                Err(error) => {
                    tracing::warn!(%error, "control socket");
                    tokio::time::sleep(crate::wait::LOOK).await;
                }
            }
        }
    }))
}

async fn talk(stream: UnixStream, lab: Arc<Lab>, down: Arc<Notify>) {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    // A client that goes away is not waited for and not told.
    if BufReader::new(read.take(REQUEST_LIMIT)).read_line(&mut line).await.is_err() {
        return;
    }
    let request = serde_json::from_str::<Request>(&line);
    let ends = matches!(request, Ok(Request::Down));
    let response = match request {
        Ok(Request::Down) => Response::Done,
        Ok(request) => {
            answer(&lab, &request).await.unwrap_or_else(|error| Response::Refused { reason: error.report() })
        }
        Err(error) => Response::Refused { reason: format!("not a request: {error}") },
    };
    if let Ok(mut text) = serde_json::to_vec(&response) {
        text.push(b'\n');
        // Whoever asked may have gone.
        let _ = write.write_all(&text).await;
    }
    if ends {
        down.notify_one();
    }
}

async fn answer(lab: &Lab, request: &Request) -> Result<Response, Error> {
    match request {
        Request::Status => return status::of(lab).await.map(|status| Response::Status(Box::new(status))),
        Request::Kill { node } => lab.kill(lab.node(node)?).await?,
        Request::Cut { node } => lab.cut(lab.node(node)?).await?,
        Request::Heal { node } => lab.heal(lab.node(node)?).await?,
        Request::Down => {}
    }
    Ok(Response::Done)
}
