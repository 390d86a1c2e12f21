//! A share of the new work.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A share in whole percent, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Percent(u8);

impl Percent {
    /// All of it.
    pub const ALL: Self = Self(100);

    /// Takes a number from 0 to 100.
    ///
    /// # Errors
    /// When it is outside; the error names it.
    pub fn new(value: u64) -> Result<Self, String> {
        match u8::try_from(value) {
            Ok(percent @ 0..=100) => Ok(Self(percent)),
            Ok(_) | Err(_) => Err(format!("{value} is not a share in percent: expected 0 to 100")),
        }
    }

    /// The share in percent.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0)
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.0)
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
