//! Objects: content named by its hash, that the server stores once for each tree of intents and never changes
//! (`docs/design/050-objects.md`). What is read is verified, whoever has written it. Those of a
//! closed tree are archived (`docs/design/063-archive-of-trees.md`).

mod archive;
mod archived;
mod carry;
mod context;
mod get;
mod payload;
mod put;
mod tree;

pub use archive::ArchivedObjects;
pub use context::{MadeView, ReceivedView};
pub(crate) use payload::takes_references;
pub use tree::{ObjectOfTree, TreeOfObjects};
