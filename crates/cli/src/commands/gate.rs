//! Who lets an agent begin: the same flags for one intent and for a worker.

use baton_envelope::codes;
use baton_envelope::people::Approval;
use clap::Args;

use crate::error::{CliError, Kind};
use crate::parse::Span;

/// What people are asked before an agent begins.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct GateArgs {
    /// Person who may let it begin, or group:NAME of the worker's groups; may be repeated [default: anybody].
    #[arg(long = "approver", value_name = "PERSON")]
    pub(crate) approvers: Vec<String>,
    /// How many of them must approve.
    #[arg(long, value_name = "N", default_value_t = 1)]
    quorum: u32,
    /// Nobody approves who submitted the intent or worked on it.
    #[arg(long)]
    four_eyes: bool,
    /// How long they have; then it is denied.
    #[arg(long = "approve-within", value_name = "DURATION")]
    approve_within: Option<Span>,
}

impl GateArgs {
    /// The approval.
    pub(crate) fn approval(&self) -> Result<Approval, CliError> {
        let mut approval = Approval::default().who(&self.approvers).quorum(self.quorum);
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
