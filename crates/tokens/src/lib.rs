//! How many tokens a text is. Pure: no runtime, no files, no network; the vocabulary is part of the binary.
//!
//! A [`Counter`] counts for one vocabulary and one way to split. [`O200k`] is the one there is. A model whose tokenizer
//! is not published is served by a [`Factor`] on top of it.
//!
//! ```
//! use baton_tokens::{Counter, Factor, O200k};
//!
//! assert_eq!(O200k.count("Hand the invoice to the next agent."), 8);
//! let cautious = Factor::from_thousandths(1_300).expect("more than 0");
//! assert_eq!(cautious.of(8), 11);
//! ```

mod factor;
mod o200k;
#[cfg(feature = "reference")]
pub mod reference;

use std::fmt::Debug;

pub use factor::Factor;
pub use o200k::{Counted, O200k};

/// Counts the tokens of a text.
///
/// Whoever stores a count stores [`id`](Self::id) beside it: counts of different ids do not add up.
pub trait Counter: Debug + Send + Sync {
    /// The vocabulary and the way to split it stands for, as `name#revision`. What counts otherwise has another id.
    fn id(&self) -> &'static str;

    /// How many tokens this text is. What looks like a special token of a model is plain text.
    fn count(&self, text: &str) -> u64;
}

/// The counter with this id, or of this name without a revision.
///
/// `None` for all others: count with [`O200k`] and a [`Factor`] then, and say so to whoever named it.
pub fn counter(name: &str) -> Option<&'static dyn Counter> {
    match name {
        "o200k_base" | O200k::ID => Some(&O200k),
        _ => None,
    }
}
