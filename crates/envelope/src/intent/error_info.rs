//! An error, as records and snapshots keep it.

use crate::amounts::Amounts;
use crate::base::codes;
use crate::base::wire::{Extra, wire_object};
use crate::version::cap::CapRefused;

wire_object! {
    /// An error, as records and snapshots keep it.
    pub struct ErrorInfo {
        /// What programs branch on, such as `HOP_LIMIT`.
        req code: String,
        /// What people read.
        req message: String,
        /// How much of each meter was missing, of work that waits for room under the cap of its agent.
        opt need: Box<Amounts>,
    }
}

impl ErrorInfo {
    /// Makes an error from a code and a text.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            need: None,
            extra: Extra::new(),
        }
    }
}

impl From<&CapRefused> for ErrorInfo {
    /// The error of a hop that ends because a call was not granted.
    fn from(refused: &CapRefused) -> Self {
        Self {
            need: Some(Box::new(refused.need.clone())),
            ..Self::new(codes::CAP_REACHED, refused.to_string())
        }
    }
}
