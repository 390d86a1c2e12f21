//! What a server acknowledged, overheard on its way to the clients.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;

/// How an acknowledgement begins.
const BEGIN: &[u8] = br#"{"stream":""#;
/// No acknowledgement is longer.
const LONGEST: usize = 512;

/// The acknowledgements that passed one or more proxies: of each stream the sequences, those of a batch one by one.
#[derive(Debug, Clone, Default)]
pub struct Acks {
    heard: Arc<Mutex<Heard>>,
}

/// What was heard.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    /// The acknowledged sequences of each stream.
    pub sequences: BTreeMap<String, BTreeSet<u64>>,
    /// Atomic batches of more than one message.
    pub batches: usize,
    /// The messages in these.
    pub batched: u64,
}

impl Acks {
    /// What was heard since the last call.
    #[must_use]
    pub fn take(&self) -> Heard {
        std::mem::take(&mut *self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, ack: &Ack) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        // A batch is answered once, with the sequence of its last message.
        let count = ack.count.unwrap_or(1).clamp(1, ack.seq);
        if count > 1 {
            heard.batches += 1;
            heard.batched += count;
        }
        let sequences = heard.sequences.entry(ack.stream.clone()).or_default();
        sequences.extend(ack.seq + 1 - count..=ack.seq);
    }
}

/// Section "PubAck" of the server's documentation; `error` is left out, and so no refusal is read as one.
#[derive(Debug, Deserialize)]
struct Ack {
    stream: String,
    seq: u64,
    #[serde(default)]
    count: Option<u64>,
}

/// Finds the acknowledgements in one direction of one connection.
#[derive(Debug)]
pub(crate) struct Listener {
    acks: Acks,
    /// The end of what came, where an acknowledgement may have begun.
    rest: Vec<u8>,
}

impl Listener {
    pub(crate) fn new(acks: Acks) -> Self {
        let rest = Vec::new();
        Self { acks, rest }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let mut from = 0;
        while let Some(begin) = find(&self.rest[from..], BEGIN) {
            let start = from + begin;
            let rest = &self.rest[start..];
            match rest.iter().take(LONGEST).position(|byte| *byte == b'}') {
                Some(end) => {
                    if let Ok(ack) = serde_json::from_slice::<Ack>(&rest[..=end])
                        && ack.seq > 0
                    {
                        self.acks.add(&ack);
                    }
                    from = start + end + 1;
                }
                None if rest.len() < LONGEST => {
                    self.rest.drain(..start);
                    return;
                }
                None => from = start + 1,
            }
        }
        let keep = (self.rest.len() - from).min(BEGIN.len() - 1);
        self.rest.drain(..self.rest.len() - keep);
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    let mut from = 0;
    // One byte first, since all traffic of a run passes here.
    while let Some(at) = text.get(from..)?.iter().position(|byte| part.first() == Some(byte)) {
        if text[from + at..].starts_with(part) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_are_heard_however_they_are_cut() {
        let wire = b"MSG _INBOX.a 1 27\r\n{\"stream\":\"S\", \"seq\":7}\r\nMSG _INBOX.b 1 9\r\n\
            {\"error\":{\"code\":400},\"stream\":\"S\",\"seq\":0}\r\n\
            MSG _INBOX.c 1 9\r\n{\"stream\":\"T\",\"seq\":12,\"batch\":\"x\",\"count\":3}\r\n";
        for cut in 1..wire.len() {
            let acks = Acks::default();
            let mut listener = Listener::new(acks.clone());
            for part in wire.chunks(cut) {
                listener.feed(part);
            }
            let heard = acks.take();
            assert_eq!(heard.sequences["S"], BTreeSet::from([7]), "{cut}");
            assert_eq!(heard.sequences["T"], BTreeSet::from([10, 11, 12]), "{cut}");
            assert_eq!((heard.batches, heard.batched), (1, 3));
        }
    }
}
