//! The client of a connection together with what the server denies it: every request that matters goes out here, so that a
//! no of the server is heard as a no.

use async_nats::{Client, Message, Request, RequestError, RequestErrorKind, Subject};

use super::denials::Denials;
use crate::error::Error;

/// A client and the denials on its connection.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    client: Client,
    denials: Denials,
}

/// Why a request has no reply.
#[derive(Debug)]
pub(crate) enum NoReply {
    /// This user may not.
    Denied(Error),
    /// What the client says.
    Failed(RequestError),
}

impl NoReply {
    /// Whether nobody listens there, as far as this account can tell.
    pub(crate) fn is_unheard(&self) -> bool {
        matches!(self, Self::Failed(error) if error.kind() == RequestErrorKind::NoResponders)
    }

    /// As an error of the mesh; what failed for another reason than a denial was not answered.
    pub(crate) fn into_error(self, what: &str) -> Error {
        match self {
            Self::Denied(error) => error,
            Self::Failed(error) => Error::no_answer(what, error),
        }
    }
}

impl Link {
    pub(super) fn new(client: Client, denials: Denials) -> Self {
        Self { client, denials }
    }

    /// A client whose denials nobody tells.
    #[cfg(test)]
    pub(super) fn alone(client: Client) -> Self {
        Self::new(client, Denials::default())
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Denials of what begins like this are reported by whoever asks.
    pub(crate) fn expect_denials(&self, begin: String) {
        self.denials.expect(begin);
    }

    /// Sends a request and waits for its reply, for the server's no, or for the request's timeout.
    pub(crate) async fn request(&self, subject: Subject, request: Request) -> Result<Message, NoReply> {
        // On the heap while it waits: else it would be part of the state of every hop that runs.
        Box::pin(self.send(subject, request)).await
    }

    async fn send(&self, subject: Subject, request: Request) -> Result<Message, NoReply> {
        let denials_before = self.denials.count();
        tokio::select! {
            biased;
            reply = self.client.send_request(subject.clone(), request) => reply.map_err(NoReply::Failed),
            denied = self.denied(&subject, denials_before) => Err(NoReply::Denied(denied)),
        }
    }

    /// Waits until the server denies this subject, or the answers of this client.
    async fn denied(&self, subject: &Subject, denials_before: u64) -> Error {
        loop {
            let next = self.denials.next();
            // Where nothing was ever denied, which is nearly everywhere, a request looks no further.
            if self.denials.count() > 0 {
                let inbox = self.client.new_inbox();
                if self.denials.of_inbox(&inbox).is_some() {
                    let prefix = inbox.rsplit_once('.').map_or(inbox.as_str(), |(prefix, _)| prefix);
                    return Error::InboxDenied {
                        prefix: prefix.to_owned(),
                    };
                }
                if self.denials.is_denied_since(denials_before, subject) {
                    let what = format!("publish to {subject}");
                    return Error::Denied { what };
                }
            }
            next.await;
        }
    }
}
