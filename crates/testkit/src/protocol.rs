//! Cuts what a client sends into whole operations, as far as the proxy and the stand-in server need it.

use bytes::{Bytes, BytesMut};

/// One operation of a client, with its exact bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) bytes: Bytes,
    pub(crate) kind: Kind,
}

/// The operations that are told apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `PUB` or `HPUB`.
    Publish { subject: String, reply: Option<String> },
    /// `SUB`.
    Subscribe { subject: String, id: String },
    /// `PING`.
    Ping,
    /// Anything else.
    Other,
}

/// Bytes of a client that do not make a whole operation yet.
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
        let (kind, length) = match (verb.as_str(), words.as_slice()) {
            // The last number counts the whole payload, headers included; CRLF follows it.
            ("PUB", [_, subject, rest @ .., size]) => (publish(subject, rest), Some(size)),
            ("HPUB", [_, subject, rest @ .., _, size]) => (publish(subject, rest), Some(size)),
            ("SUB", [_, subject, .., id]) => (
                Kind::Subscribe {
                    subject: (*subject).to_owned(),
                    id: (*id).to_owned(),
                },
                None,
            ),
            ("PING", _) => (Kind::Ping, None),
            _ => (Kind::Other, None),
        };
        let payload = length.map_or(Ok(0), |size| size.parse::<usize>().map(|size| size + 2));
        // A size that is no number ends the operation at its line; the server will complain about it.
        let whole = end + payload.unwrap_or(0);
        if self.buffer.len() < whole {
            return None;
        }
        Some(Operation {
            bytes: self.buffer.split_to(whole).freeze(),
            kind,
        })
    }
}

fn publish(subject: &str, rest: &[&str]) -> Kind {
    Kind::Publish {
        subject: subject.to_owned(),
        reply: rest.first().map(|reply| (*reply).to_owned()),
    }
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
