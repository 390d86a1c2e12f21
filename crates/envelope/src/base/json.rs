//! JSON values in their original spelling.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// A JSON value in its original spelling.
///
/// Payloads and unknown fields pass through agents that do not understand them, so Baton never spells them differently:
/// a 30-digit number or an unusual key order survives any chain (invariant I11). Two values are equal when their texts
/// are.
#[derive(Clone)]
pub struct Json(Box<RawValue>);

impl Json {
    /// The JSON `null`.
    pub fn null() -> Self {
        Self(RawValue::NULL.to_owned())
    }

    /// Parses one JSON value.
    ///
    /// # Errors
    /// When `text` is not valid JSON; the error says where.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<Box<RawValue>>(text).map(Self)
    }

    /// Serializes any value.
    ///
    /// # Errors
    /// When the value has no JSON form, such as a map whose keys are not strings.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self)
    }

    /// A JSON string.
    pub fn string(text: &str) -> Self {
        Self::of(text).unwrap_or_else(|_| Self::null())
    }

    /// The original text.
    pub fn get(&self) -> &str {
        self.0.get()
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        self.get() == "null"
    }

    /// Deserializes the value.
    ///
    /// # Errors
    /// When the value does not have that type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.get())
    }

    /// Whether two values mean the same, regardless of white space and key order.
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
