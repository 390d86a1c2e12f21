//! Every message that passed a proxy: what its clients published, and what the server sent them.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::protocol::{Kind, Operation, Operations};

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A client published it.
    Sent,
    /// The server delivered it to a client.
    Received,
}

/// One message.
#[derive(Debug, Clone)]
pub struct Passed {
    /// Which way it went.
    pub way: Way,
    /// Its subject. A message of a stream has the subject on which it was published, and not the one that was subscribed.
    pub subject: String,
    /// Where the answer goes, if one is wanted.
    pub reply: Option<String>,
    /// The body, without headers.
    pub body: Bytes,
}

/// A record of all messages that passed one or more proxies, in order. A request stands before its answer.
#[derive(Debug, Clone, Default)]
pub struct Traffic {
    passed: Arc<Mutex<Vec<Passed>>>,
}

impl Traffic {
    /// All messages since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<Passed> {
        std::mem::take(&mut *self.passed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Records an operation of a client, unless it is no message.
    pub(crate) fn sent(&self, operation: &Operation) {
        if let Kind::Publish { subject, reply } = &operation.kind {
            self.add(Way::Sent, subject, reply.as_ref(), operation);
        }
    }

    fn add(&self, way: Way, subject: &str, reply: Option<&String>, operation: &Operation) {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        passed.push(Passed {
            way,
            subject: subject.to_owned(),
            reply: reply.cloned(),
            body: operation.body(),
        });
    }
}

/// Cuts what the server sends on one connection into messages.
#[derive(Debug)]
pub(crate) struct Recorder {
    traffic: Traffic,
    operations: Operations,
}

impl Recorder {
    pub(crate) fn new(traffic: Traffic) -> Self {
        let operations = Operations::default();
        Self { traffic, operations }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.operations.feed(bytes);
        while let Some(operation) = self.operations.next() {
            if let Kind::Message { subject, reply } = &operation.kind {
                self.traffic.add(Way::Received, subject, reply.as_ref(), &operation);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_server_are_read_however_they_are_cut() {
        let wire = b"INFO {}\r\nMSG a.b 1 2\r\nhi\r\nPING\r\nMSG c 2 $JS.ACK.x 0\r\n\r\n\
            HMSG d 3 r.1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n+OK\r\n";
        for size in 1..wire.len() {
            let traffic = Traffic::default();
            let mut recorder = Recorder::new(traffic.clone());
            for part in wire.chunks(size) {
                recorder.feed(part);
            }
            let seen: Vec<(String, Option<String>, Bytes)> = traffic
                .take()
                .into_iter()
                .map(|message| (message.subject, message.reply, message.body))
                .collect();
            let expected = [
                ("a.b", None, "hi"),
                ("c", Some("$JS.ACK.x"), ""),
                ("d", Some("r.1"), "hi"),
            ];
            let expected = expected.map(|(subject, reply, body)| {
                (
                    subject.to_owned(),
                    reply.map(ToOwned::to_owned),
                    Bytes::from_static(body.as_bytes()),
                )
            });
            assert_eq!(seen, expected, "cut every {size} bytes");
        }
    }
}
