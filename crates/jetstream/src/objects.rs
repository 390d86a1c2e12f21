//! Objects: content named by its hash, that the server stores once for each tree of intents and never changes
//! (`docs/design/050-objects.md`). What is read is verified, whoever has written it.

mod carry;
mod context;
mod get;
mod payload;
mod put;
mod tree;

pub use context::ReceivedView;
pub(crate) use payload::takes_references;
pub use tree::{ObjectOfTree, TreeOfObjects};
