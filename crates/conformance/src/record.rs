//! A message as it is stored: its bytes, its headers, and its fields with their spelling.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// A message of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) subject: String,
    pub(crate) seq: u64,
    /// When the server stored it, RFC 3339.
    pub(crate) time: String,
    /// The head, as it is.
    pub(crate) head: Vec<u8>,
    /// The first value of each header.
    pub(crate) headers: BTreeMap<String, String>,
    /// The body, as it is.
    pub(crate) bytes: Vec<u8>,
    /// The body as text.
    pub(crate) body: String,
    /// The body as values; `Null` when it is no JSON.
    value: Value,
}

/// The answer to `STREAM.MSG.GET`.
#[derive(Deserialize)]
struct Answer {
    message: Option<Message>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    subject: String,
    seq: u64,
    #[serde(default)]
    time: String,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
}

impl Stored {
    /// Reads an answer of the server; `None` when it has no such message.
    pub(crate) fn read(answer: &[u8]) -> Option<Self> {
        let message = serde_json::from_slice::<Answer>(answer).ok()?.message?;
        let decoded = |data: &str| STANDARD.decode(data).unwrap_or_default();
        let bytes = decoded(&message.data);
        let body = String::from_utf8_lossy(&bytes).into_owned();
        let head = decoded(&message.hdrs);
        let mut headers = BTreeMap::new();
        for line in String::from_utf8_lossy(&head).lines().skip(1) {
            if let Some((name, value)) = line.split_once(':') {
                headers
                    .entry(name.to_owned())
                    .or_insert_with(|| value.trim().to_owned());
            }
        }
        Some(Self {
            subject: message.subject,
            seq: message.seq,
            time: message.time,
            head,
            headers,
            bytes,
            value: serde_json::from_str(&body).unwrap_or_default(),
            body,
        })
    }

    /// A header; empty when it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// A field by its JSON pointer; `Null` when it is not there.
    pub(crate) fn at(&self, pointer: &str) -> &Value {
        self.value.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// A field that is text; empty when it is not there.
    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.at(pointer).as_str().unwrap_or_default()
    }

    /// A field that is a number; 0 when it is not there.
    pub(crate) fn number(&self, pointer: &str) -> u64 {
        self.at(pointer).as_u64().unwrap_or_default()
    }

    /// The bytes of a field, as they were written.
    pub(crate) fn raw(&self, path: &[&str]) -> Option<String> {
        raw_of(&self.body, path)
    }

    pub(crate) fn event(&self) -> &str {
        self.text("/event/type")
    }

    pub(crate) fn status(&self) -> &str {
        self.text("/snapshot/status/state")
    }

    /// Whether a ticket belongs to its status (section 9).
    pub(crate) fn has_ticket(&self) -> bool {
        ["pending", "accepted", "in_progress"].contains(&self.status())
    }

    /// Whether nothing more is to be expected of the hop.
    pub(crate) fn is_over(&self) -> bool {
        !self.has_ticket()
    }

    /// Whether a worker of this agent wrote it; the judge's own workers have other names.
    pub(crate) fn is_by(&self, agent: &str) -> bool {
        self.text("/by/role") == "worker"
            && self.text("/by/agent") == agent
            && !self.text("/by/instance").starts_with("conformance")
    }

    /// In a few words.
    pub(crate) fn in_words(&self) -> String {
        let code = match self.text("/snapshot/status/code") {
            "" => String::new(),
            code => format!(" ({code})"),
        };
        format!(
            "`{}` by {} {}, status `{}`{code}, attempt {}, epoch {}",
            self.event(),
            self.text("/by/role"),
            self.text("/by/instance"),
            self.status(),
            self.number("/snapshot/attempt"),
            self.number("/snapshot/epoch"),
        )
    }
}

/// The bytes of a field of a document.
pub(crate) fn raw_of(text: &str, path: &[&str]) -> Option<String> {
    let Some((name, rest)) = path.split_first() else {
        return Some(text.to_owned());
    };
    let members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).ok()?;
    raw_of(members.get(*name)?.get(), rest)
}

/// A history in words, for a verdict.
pub(crate) fn story(history: &[Stored]) -> String {
    let shown: Vec<String> = history.iter().map(Stored::in_words).collect();
    match shown.len() {
        0 => "no record".to_owned(),
        count if count > 8 => format!("… {}", shown.get(count - 8..).unwrap_or_default().join("; ")),
        _ => shown.join("; "),
    }
}
