//! Cuts what a client or a server sends into whole operations, as far as the proxy and the stand-in server need it.

use bytes::{Bytes, BytesMut};

/// One operation, with its exact bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) bytes: Bytes,
    pub(crate) kind: Kind,
    /// Where the body begins: behind the line and the headers.
    body: usize,
}

impl Operation {
    /// The body of a message, without its headers; empty for everything else.
    pub(crate) fn body(&self) -> Bytes {
        let end = self.bytes.len().saturating_sub(2);
        self.bytes.slice(self.body.min(end)..end)
    }
}

/// The operations that are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `PUB` or `HPUB`, of a client.
    Publish { subject: String, reply: Option<String> },
    /// `MSG` or `HMSG`, of a server.
    Message { subject: String, reply: Option<String> },
    /// `SUB`.
    Subscribe { subject: String, id: String },
    /// `PING`.
    Ping,
    /// Anything else.
    Other,
}

/// Bytes of one direction that do not make a whole operation yet.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    buffer: BytesMut,
}

impl Operations {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole operation.
    pub(crate) fn next(&mut self) -> Option<Operation> {
        let end = self.buffer.windows(2).position(|two| two == b"\r\n")? + 2;
        let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let verb = words.first().map(|verb| verb.to_ascii_uppercase()).unwrap_or_default();
        // The last number counts the whole payload, headers included; CRLF follows it. The one before counts the headers.
        let (kind, headers, length) = match (verb.as_str(), words.as_slice()) {
            ("PUB", [_, subject, rest @ .., size]) => (publish(subject, rest), None, Some(size)),
            ("HPUB", [_, subject, rest @ .., headers, size]) => (publish(subject, rest), Some(headers), Some(size)),
            ("MSG", [_, subject, _, rest @ .., size]) => (message(subject, rest), None, Some(size)),
            ("HMSG", [_, subject, _, rest @ .., headers, size]) => (message(subject, rest), Some(headers), Some(size)),
            ("SUB", [_, subject, .., id]) => (
                Kind::Subscribe {
                    subject: (*subject).to_owned(),
                    id: (*id).to_owned(),
                },
                None,
                None,
            ),
            ("PING", _) => (Kind::Ping, None, None),
            _ => (Kind::Other, None, None),
        };
        // A size that is no number ends the operation at its line; whoever reads it will complain.
        let number = |text: Option<&&str>| text.and_then(|text| text.parse::<usize>().ok());
        let whole = end + number(length).map_or(0, |size| size + 2);
        if self.buffer.len() < whole {
            return None;
        }
        let body = end + number(headers).unwrap_or(0);
        Some(Operation {
            bytes: self.buffer.split_to(whole).freeze(),
            kind,
            body,
        })
    }
}

fn publish(subject: &str, rest: &[&str]) -> Kind {
    let (subject, reply) = addressed(subject, rest);
    Kind::Publish { subject, reply }
}

fn message(subject: &str, rest: &[&str]) -> Kind {
    let (subject, reply) = addressed(subject, rest);
    Kind::Message { subject, reply }
}

fn addressed(subject: &str, rest: &[&str]) -> (String, Option<String>) {
    let reply = rest.first().map(|reply| (*reply).to_owned());
    (subject.to_owned(), reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_survive_any_fragmentation() {
        let sent =
            b"CONNECT {}\r\nPUB a 5\r\nhe\r\no\r\nHPUB b r.1 12 14\r\nNATS/1.0\r\n\r\nhi\r\nSUB c.* 7\r\nPING\r\n";
        for size in 1..sent.len() {
            let mut operations = Operations::default();
            let mut seen = Vec::new();
            for part in sent.chunks(size) {
                operations.feed(part);
                seen.extend(std::iter::from_fn(|| operations.next()));
            }
            let bytes: Vec<u8> = seen.iter().flat_map(|operation| operation.bytes.to_vec()).collect();
            assert_eq!(bytes, sent);
            let kinds: Vec<Kind> = seen.into_iter().map(|operation| operation.kind).collect();
            let expected = [
                Kind::Other,
                Kind::Publish {
                    subject: "a".to_owned(),
                    reply: None,
                },
                Kind::Publish {
                    subject: "b".to_owned(),
                    reply: Some("r.1".to_owned()),
                },
                Kind::Subscribe {
                    subject: "c.*".to_owned(),
                    id: "7".to_owned(),
                },
                Kind::Ping,
            ];
            assert_eq!(kinds, expected);
        }
    }
}
