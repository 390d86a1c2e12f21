//! A JSON value kept exactly as it was written.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// A JSON value in its original spelling.
///
/// Payloads and unknown fields pass through agents that do not understand them, so they are never re-spelled: a
/// 30-digit number or an unusual key order survives any chain (invariant I11). Equality is equality of the text.
#[derive(Clone)]
pub struct Json(Box<RawValue>);

impl Json {
    /// The JSON `null`.
    pub fn null() -> Self {
        Self(RawValue::NULL.to_owned())
    }

    /// Takes text that must be one JSON value.
    ///
    /// # Errors
    /// When `text` is not valid JSON; the error says where.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<Box<RawValue>>(text).map(Self)
    }

    /// Writes any value as JSON.
    ///
    /// # Errors
    /// When the value cannot be written as JSON (a map with keys that are not strings, for one).
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self)
    }

    /// A JSON string.
    pub fn string(text: &str) -> Self {
        Self::of(text).unwrap_or_else(|_| Self::null())
    }

    /// The text, as it was written.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        self.get() == "null"
    }

    /// Reads the value into a type.
    ///
    /// # Errors
    /// When the value is not of that type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.get())
    }

    /// Whether two values mean the same, whatever their white space and key order.
    pub fn same_meaning(&self, other: &Self) -> bool {
        if self == other {
            return true;
        }
        match (self.read::<serde_json::Value>(), other.read::<serde_json::Value>()) {
            (Ok(a), Ok(b)) => a == b,
            (Ok(_) | Err(_), _) => false,
        }
    }
}

impl Default for Json {
    fn default() -> Self {
        Self::null()
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for Json {}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self)
    }
}
