//! What an intent was made of, if it is another intent begun again.

use crate::base::ids::IntentId;
use crate::base::wire::{Extra, wire_object};

wire_object! {
    /// The hop of another intent that an intent began from.
    pub struct Origin {
        /// The other intent.
        req intent: IntentId,
        /// Its hop, from 1.
        req hop: u32,
    }
}

impl Origin {
    /// A hop of an intent.
    pub fn new(intent: IntentId, hop: u32) -> Self {
        Self {
            intent,
            hop,
            extra: Extra::new(),
        }
    }
}
