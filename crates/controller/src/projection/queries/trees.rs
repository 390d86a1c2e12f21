//! Whether a tree of intents lives.

use baton_envelope::IntentId;

use crate::projection::tables::trees;
use crate::projection::{Error, Projection};

impl Projection {
    /// Whether an intent of the tree of this root is open. Before you conclude from a no, call [`Projection::caught_up`].
    ///
    /// # Errors
    /// When the database fails.
    pub(crate) async fn is_tree_open(&self, root: IntentId) -> Result<bool, Error> {
        self.ask(move |db| trees::is_open(db, &root)).await
    }
}
