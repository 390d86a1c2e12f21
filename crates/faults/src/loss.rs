//! What a power cut took: compares two readings of one store, message by message.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use baton_checker::Message;
use serde::Serialize;

/// The acknowledged sequences of each stream.
pub type Sequences = BTreeMap<String, BTreeSet<u64>>;

/// The difference that a cut made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Loss {
    /// Messages that had been written and are gone, by stream.
    pub lost: BTreeMap<String, usize>,
    /// Those among them that the server had acknowledged.
    pub lost_acknowledged: BTreeMap<String, usize>,
    /// Messages that had been removed and are back, by stream.
    pub back: BTreeMap<String, usize>,
    /// How long before the end the oldest of the lost acknowledged messages was stored, in milliseconds.
    pub lost_ms: i64,
    /// Intents, and keys of work, of which something was lost or came back.
    #[serde(skip)]
    pub touched: HashSet<String>,
    /// Keys of work with nothing left.
    #[serde(skip)]
    pub gone: HashSet<String>,
}

/// Compares the store as written with what a cut at `end_ms` left. Removes what was lost from `acknowledged`: the
/// server assigns these sequences again.
#[must_use]
pub fn compare(before: &[Message], after: &[Message], acknowledged: &mut Sequences, end_ms: i64) -> Loss {
    let mut loss = Loss::default();
    let place = |message: &Message| (message.stream.clone(), message.seq);
    let left: HashMap<_, &Message> = after.iter().map(|message| (place(message), message)).collect();
    let was: HashMap<_, &Message> = before.iter().map(|message| (place(message), message)).collect();
    let is_same = |one: &Message, other: &Message| one.subject == other.subject && one.bytes() == other.bytes();
    for message in before {
        if left.get(&place(message)).is_some_and(|kept| is_same(kept, message)) {
            continue;
        }
        *loss.lost.entry(message.stream.clone()).or_default() += 1;
        loss.touched.extend(names(message));
        let acknowledged = acknowledged.get_mut(&message.stream);
        if acknowledged.is_some_and(|sequences| sequences.remove(&message.seq)) {
            *loss.lost_acknowledged.entry(message.stream.clone()).or_default() += 1;
            loss.lost_ms = loss.lost_ms.max(end_ms - message.time_ms);
        }
    }
    for message in after {
        if !was.get(&place(message)).is_some_and(|kept| is_same(kept, message)) {
            *loss.back.entry(message.stream.clone()).or_default() += 1;
            loss.touched.extend(names(message));
        }
    }
    let keys = |messages: &[Message]| messages.iter().filter_map(key).collect::<HashSet<_>>();
    let still = keys(after);
    loss.gone = keys(before).into_iter().filter(|key| !still.contains(key)).collect();
    loss
}

/// The intent of a message, and the key of its work, if they can be told.
fn names(message: &Message) -> impl Iterator<Item = String> {
    let subject = message.subject.rsplit('.').next().unwrap_or_default().to_owned();
    let intent = message
        .header("Baton-Intent")
        .or_else(|| message.header("Nats-Msg-Id"))
        .map_or(subject, str::to_owned);
    [Some(intent), key(message), told(message)].into_iter().flatten()
}

/// The intent that a signal, or the dead letter of one, is for.
fn told(message: &Message) -> Option<String> {
    let of = |text: &str| Some(text.split_once(".signal.")?.1.split('.').next()?.to_owned());
    of(&message.subject).or_else(|| of(message.body.as_deref()?))
}

/// The key of the work in a payload of the load, which is written without spaces.
fn key(message: &Message) -> Option<String> {
    let (_, rest) = message.body.as_deref()?.split_once(r#""key":""#)?;
    Some(rest.split_once('"')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(stream: &str, seq: u64, intent: &str) -> Message {
        Message {
            stream: stream.to_owned(),
            seq,
            subject: format!("mesh.ledger.0.{intent}"),
            time_ms: 1_000 + i64::try_from(seq).unwrap_or_default(),
            body: Some(format!(r#"{{"payload":{{"key":"k-{intent}"}}}}"#)),
            ..Message::default()
        }
    }

    #[test]
    fn what_is_gone_and_what_is_back_are_told_apart() {
        let before = [
            message("L", 1, "a"),
            message("L", 2, "b"),
            message("L", 3, "c"),
            message("L", 5, "a"),
        ];
        let after = [message("L", 1, "a"), message("L", 4, "d")];
        let mut acknowledged = Sequences::from([("L".to_owned(), BTreeSet::from([1, 2, 5, 9]))]);
        let loss = compare(&before, &after, &mut acknowledged, 1_100);
        assert_eq!(loss.lost["L"], 3);
        assert_eq!(loss.lost_acknowledged["L"], 2);
        assert_eq!(loss.back["L"], 1);
        assert_eq!(loss.lost_ms, 98);
        assert_eq!(acknowledged["L"], BTreeSet::from([1, 9]));
        let gone: BTreeSet<&str> = loss.gone.iter().map(String::as_str).collect();
        assert_eq!(gone, BTreeSet::from(["k-b", "k-c"]));
        for name in ["a", "b", "c", "d", "k-d"] {
            assert!(loss.touched.contains(name), "{name}");
        }
        let mut none = Sequences::new();
        assert_eq!(compare(&before, &before, &mut none, 0), Loss::default());
    }
}
