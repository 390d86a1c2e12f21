//! Who lets an agent begin: the same flags for one intent and for a worker.

use std::collections::BTreeSet;

use baton_envelope::people::{Approval, GROUP};
use baton_envelope::{PersonName, codes, shown};
use clap::Args;

use crate::error::{CliError, Kind};
use crate::parse::Span;

/// What people are asked before an agent begins.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct GateArgs {
    /// Person who may let it begin, or group:NAME of the worker's groups; may be repeated [default: anybody].
    #[arg(long = "approver", value_name = "PERSON")]
    pub(crate) approvers: Vec<String>,
    /// How many of them must approve [default: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    quorum: Option<u32>,
    /// Nobody approves who submitted the intent or worked on it.
    #[arg(long)]
    four_eyes: bool,
    /// How long they have; then it is denied.
    #[arg(long = "approve-within", value_name = "DURATION")]
    approve_within: Option<Span>,
}

impl GateArgs {
    /// The first flag that was given: it asks for a gate.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let flags = [
            ("--approver", !self.approvers.is_empty()),
            ("--quorum", self.quorum.is_some()),
            ("--four-eyes", self.four_eyes),
            ("--approve-within", self.approve_within.is_some()),
        ];
        flags.into_iter().find_map(|(flag, is_given)| is_given.then_some(flag))
    }

    /// The approval. Whatever a worker would refuse is refused here, but for the members of its groups.
    pub(crate) fn approval(&self) -> Result<Approval, CliError> {
        let bad = |message: String| CliError::say(Kind::Usage, codes::BAD_APPROVAL, message);
        let mut people = BTreeSet::new();
        let mut has_group = false;
        for approver in &self.approvers {
            if approver.starts_with(GROUP) {
                has_group = true;
                continue;
            }
            let person: PersonName = approver
                .parse()
                .map_err(|error| bad(format!("--approver \"{}\" is no person: {error}", shown(approver))))?;
            people.insert(person);
        }
        let quorum = self.quorum.unwrap_or(1);
        if !has_group && !people.is_empty() && usize::try_from(quorum).unwrap_or(usize::MAX) > people.len() {
            let message = format!("--quorum {quorum} is more than the {} who may approve", people.len());
            return Err(bad(message).hint("name more people with --approver, or need fewer"));
        }
        let mut approval = Approval::default().who(&self.approvers).quorum(quorum);
        if self.four_eyes {
            approval = approval.four_eyes();
        }
        if let Some(Span(within)) = self.approve_within {
            approval = approval.due(within);
        }
        let checked = approval.check();
        checked.map_err(|bad| CliError::new(Kind::Usage, codes::BAD_APPROVAL, bad.into()))?;
        Ok(approval)
    }
}
