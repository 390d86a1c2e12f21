//! How much of what a tree remembers a version takes at once.

use std::num::NonZeroU32;

use crate::base::wire::wire_object;

/// One token of the receiver for each of the counter.
const ALIKE: NonZeroU32 = NonZeroU32::MIN.saturating_add(999);

wire_object! {
    /// What the views of a version are cut to.
    #[derive(Default)]
    pub struct ViewSize {
        /// The most tokens of a view, as the version counts them.
        opt view_tokens: u64,
        /// How many thousandths of a token of the counter one of the version is, where its model has other tokens.
        opt factor: u32,
    }
}

impl ViewSize {
    /// The factor; one that is 0 or not given is 1,000.
    pub fn factor(&self) -> NonZeroU32 {
        self.factor.and_then(NonZeroU32::new).unwrap_or(ALIKE)
    }

    /// Whether it says nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}
