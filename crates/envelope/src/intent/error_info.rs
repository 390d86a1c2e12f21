//! An error, as records and snapshots keep it.

use crate::base::wire::{Extra, wire_object};

wire_object! {
    /// An error, as it is kept.
    pub struct ErrorInfo {
        /// What a program branches on, such as `HOP_LIMIT`.
        req code: String,
        /// What a person reads.
        req message: String,
    }
}

impl ErrorInfo {
    /// An error of a code and a text.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            extra: Extra::new(),
        }
    }
}
