//! Decisions of people about approvals.

use baton_envelope::RawIntent;
use baton_envelope::codes;
use baton_jetstream::Error;

use crate::intake::routing::{Routed, Routing};

impl Routing {
    /// Records a decision for `to`: a person, an intent, a hop, a wait and a choice.
    pub(super) async fn decision(&self, raw: &RawIntent<'_>, _to: &str) -> Result<Routed, Error> {
        let text = "decisions are not supported by this version of Baton".to_owned();
        self.dead(raw, codes::UNSUPPORTED, text).await
    }
}
