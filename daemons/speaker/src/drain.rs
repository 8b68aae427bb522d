//! The end: what the machine asks for until the sessions may be closed, and then closing them.

use std::time::Duration;

use kube::{Api, Client};
use metallb_bgp::io::tokio::Shutdown;
use metallb_core::speaker::{Close, DEPARTURE_LIMIT, Departure};
use metallb_k8s::facts::{is_leaving, objects};

use crate::speaker::{Speaker, sleep_until};

impl Speaker {
    /// Leaves without a gap: others are told first and take over while we still answer.
    pub(crate) async fn drain(mut self) {
        self.announcer.stop(&self.sources.inputs);
        let mut departure = std::pin::pin!(departure(self.client.clone(), self.node.clone()));
        let mut asking = self.announcer.asks_departure();
        let mut answering = true;
        let close = loop {
            if let Some(close) = self.announcer.close() {
                break close;
            }
            let timeout = self.announcer.next_timeout();
            tokio::select! {
                () = sleep_until(timeout) => self.announcer.handle_timeout(&self.sources.inputs),
                found = &mut departure, if asking => {
                    asking = false;
                    self.announcer.set_departure(&self.sources.inputs, found);
                }
                // Who takes over claims our addresses there.
                event = self.sources.drivers.layer2.recv(), if answering => match event {
                    Some(event) => self.layer2(event),
                    None => answering = false,
                },
            }
        };
        self.close(close).await;
    }

    async fn close(mut self, close: Close) {
        let goodbye = self.announcer.take_goodbye();
        let drivers = self.announcer.drivers();
        let text = format!("speaker on {} stops", self.node);
        let how = match close {
            // Of the peers that do graceful restart; the others lose the routes either way.
            Close::KeepRoutes => Shutdown::Graceful { text },
            Close::Withdraw => Shutdown::Cease { text },
        };
        let sessions = tokio::time::timeout(CLOSE_LIMIT, drivers.bgp.shutdown(how));
        let flush = tokio::time::timeout(FLUSH_LIMIT, drivers.writer.idle());
        let said = tokio::time::timeout(CLOSE_LIMIT, async {
            if let Some(Err(error)) = async { Some(goodbye?.await) }.await {
                tracing::debug!(%error, "the goodbye to other speakers was not said");
            }
        });
        let (closed, flushed, said) = tokio::join!(sessions, flush, said);
        if closed.is_err() {
            tracing::warn!(
                protocol = "bgp",
                error = "peers did not take the last message in time",
                "stopping"
            );
        }
        if flushed.is_err() {
            tracing::warn!(
                waiting = drivers.writer.busy(),
                error = "the API server is too slow",
                "not everything was written before the stop"
            );
        }
        if said.is_err() {
            tracing::debug!("the goodbye to other speakers takes too long");
        }
    }
}

/// What becomes of the node.
async fn departure(client: Client, node: String) -> Departure {
    let nodes: Api<objects::Node> = Api::all(client);
    match tokio::time::timeout(DEPARTURE_LIMIT, nodes.get(&node)).await {
        Ok(Ok(found)) if is_leaving(&found) => Departure::NodeLeaves,
        Ok(Ok(_)) => Departure::NodeStays,
        Ok(Err(_)) | Err(_) => {
            tracing::warn!(
                node,
                error = "the API server does not answer",
                "cannot see whether the node stays: keeping the routes"
            );
            Departure::Unknown
        }
    }
}

/// How long peers may take to read the last message.
const CLOSE_LIMIT: Duration = Duration::from_millis(1500);

/// How long writes under way may take.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);
