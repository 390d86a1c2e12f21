//! An error, as records and snapshots keep it.

use crate::base::wire::{Extra, wire_object};

wire_object! {
    /// An error, as records and snapshots keep it.
    pub struct ErrorInfo {
        /// What programs branch on, such as `HOP_LIMIT`.
        req code: String,
        /// What people read.
        req message: String,
    }
}

impl ErrorInfo {
    /// Makes an error from a code and a text.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            extra: Extra::new(),
        }
    }
}
