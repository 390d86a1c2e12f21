//! Budgets: amounts are exact, every act conserves, and nothing is spent that nobody allotted.

mod amounts;
mod more;
mod one;
mod tree;
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what does not fit where the walk is does nothing"
)]
mod walk;
