//! Context: what the hops of a tree remember, and what one receiver is given of it.
//!
//! A *memory* is an object with a key and attributes. A *context link* says what one hop added, and names the links before
//! it by their hashes, so that nothing in the chain can be altered, dropped or swapped unseen. A *view* is what one
//! receiver is given: a text that fits its window, and a *manifest* that says of everything else why it is not there. A
//! *space* has memories that outlive every tree.
//!
//! All of it is pure. Objects come in as bytes, and the counter of tokens as a function.

mod assemble;
mod candidate;
mod chain;
mod facts;
mod link;
mod manifest;
mod memory;
mod overflow;
mod render;
mod request;
mod space;
mod view;

pub use assemble::{Assembled, UNCOUNTED_BYTES, assemble, planned, uncounted};
pub use candidate::{Candidate, Out, Position};
pub use chain::{Chain, ChainError, ChainFault, Load, Reach, Walk};
pub use facts::facts;
pub use link::{CATALOGUE_EVERY, Catalogue, ContextLink, Entry, MOST_MEMORIES, MOST_PREVIOUS};
pub use manifest::{Manifest, ManifestItem, Uncovered, Why, levels};
pub use memory::{BadMemory, Counts, Kind, Level, Memory, MemoryKey, Relevance, extract};
pub use overflow::{AssembleError, Part};
pub use render::{Contents, Fixed, render};
pub use request::{BUDGET_DEFAULT, Counter, RECENT_DEFAULT, Request, Strategy, view_budget};
pub use space::{SPACE_CONTENT, SpaceMemory, SpaceWrite};
pub(crate) use view::handed_down;
pub use view::{Completeness, Concern, EnvelopeContext, Gap, MOST_GAPS, ManifestAt, View, carried_gaps};
