//! What is asked of a record and of a call.

use super::{Called, Envelope, Record, inner, millis};
use crate::evidence::Message;

impl Called {
    /// The agent of each child.
    #[must_use]
    pub fn agents(&self) -> Vec<Option<String>> {
        let children = self.children.iter();
        children
            .map(|child| inner(child.get(), "to").or_else(|| self.to.clone()))
            .collect()
    }
}

impl Record {
    /// The key of what each receiver of a broadcast gets.
    #[must_use]
    pub fn broadcast_key(&self) -> Option<String> {
        inner(self.broadcast.as_ref()?.payload.as_ref()?.get(), "key")
    }

    /// Reads the record of a message.
    ///
    /// # Errors
    /// When the body is not a record.
    pub fn read(message: &Message, place: usize) -> Result<Self, serde_json::Error> {
        let mut record: Self = serde_json::from_slice(&message.bytes())?;
        record.seq = message.seq;
        record.time_ms = message.time_ms;
        record.message = place;
        Ok(record)
    }

    /// When it was written, by the writer's clock, in milliseconds since 1970.
    #[must_use]
    pub fn at_ms(&self) -> Option<i64> {
        millis(&self.at)
    }

    /// For the dead letter of a signal: the intent that it was for, and the id of its message (empty without one).
    #[must_use]
    pub fn letter(&self) -> Option<(&str, &str)> {
        let raw = self.raw.as_ref()?;
        let mut tokens = raw.subject.split('.').skip_while(|token| *token != "signal");
        let (_, intent) = (tokens.next()?, tokens.next()?);
        let id = raw.headers.iter().find(|(name, _)| name == "Nats-Msg-Id");
        Some((intent, id.map_or("", |(_, id)| id)))
    }

    /// The key of a rejected raw intent.
    #[must_use]
    pub fn rejected_key(&self) -> Option<String> {
        use base64::Engine as _;
        let body = base64::engine::general_purpose::STANDARD
            .decode(&self.raw.as_ref()?.body_base64)
            .ok()?;
        let text = String::from_utf8(body).ok()?;
        inner(&text, "key").or_else(|| serde_json::from_str::<Envelope>(&text).ok()?.key())
    }
}
