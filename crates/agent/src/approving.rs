//! Asking people in a hop, and before one.

use std::collections::BTreeSet;
use std::time::Duration;

use baton_envelope::people::{Approval, Cause, Decision};
use baton_envelope::{Author, PersonName, Role, Snapshot, WaitKind, WaitSpec, codes, open_waits};
use baton_forms::Form;
use baton_jetstream::{Head, WorkerMesh};
use futures::future::BoxFuture;

use crate::fault::Fault;
use crate::handler::AnyHandler;
use crate::hop::{Hop, HopClock, Journal};
use crate::outcome::Outcome;
use crate::waiting::{Wait, Waited};

/// The name of the wait before a hop, where the intent or its worker asks for one.
pub(crate) const GATE: &str = "gate";
/// Its name where an operator has set a gate on the agent.
pub(crate) const AGENT_GATE: &str = "agent-gate";

impl Hop {
    /// Asks people, and waits for what they decide without holding a process. As with [`Hop::wait`] the handler runs again
    /// from its first line when they have decided, and this returns the decision.
    ///
    /// The first request fixes `who` of the approval.
    ///
    /// # Errors
    /// The suspension; or when nobody could decide the approval, or the handler has asked for other waits before.
    pub async fn approve(&mut self, name: &str, approval: Approval) -> Result<Decision, Fault> {
        let wait = self.approval(name, approval).await?;
        self.wait(wait).await?.decision()
    }

    /// The wait for what people decide, to be asked for beside others.
    ///
    /// # Errors
    /// When nobody could decide the approval, or the history of the intent cannot be read.
    pub async fn approval(&self, name: &str, approval: Approval) -> Result<Wait, Fault> {
        let spec = self.fix(name, approval).await?;
        Ok(Wait { spec })
    }

    /// Fixes who is asked, unless that is done already.
    pub(crate) async fn fix(&self, name: &str, approval: Approval) -> Result<WaitSpec, Fault> {
        if self.waits.contains_key(name) || self.is_asked(name).await {
            // What is recorded counts, and not what is asked for now.
            return Ok(WaitSpec::for_people(name, approval));
        }
        let bad = |problem: String| Fault::terminal(codes::BAD_APPROVAL, format!("approval \"{name}\": {problem}"));
        let mut workers = None;
        if approval.four_eyes
            && let (HopClock::Mesh(mesh), Journal::Ledger(claim)) = (&self.clock, &self.journal)
        {
            let through = claim.lock().await.place.seq;
            workers = workers_of(mesh, self, through).await?;
        }
        let members = |group: &str| self.groups.get(group).cloned();
        let fixed = approval.fixed(members, workers.as_deref());
        let fixed = fixed.map_err(|problem| bad(problem.to_string()))?;
        if let Some(form) = &fixed.form {
            Form::read(form.get()).map_err(|problem| bad(problem.to_string()))?;
        }
        Ok(WaitSpec::for_people(name, fixed))
    }

    /// Whether the hop has asked for it before, and it is open still.
    async fn is_asked(&self, name: &str) -> bool {
        let is_it = |snapshot: &Snapshot| open_waits(snapshot).any(|wait| wait.name == name && wait.ballot.is_some());
        match &self.journal {
            Journal::Ledger(claim) => is_it(&claim.lock().await.snapshot),
            Journal::Sandbox(_) => false,
        }
    }
}

impl Waited {
    /// What people decided.
    ///
    /// # Errors
    /// When the wait was not one for people, or was abandoned.
    pub fn decision(&self) -> Result<Decision, Fault> {
        if self.result().kind != WaitKind::Approval {
            let text = format!("wait \"{}\" is none for people", self.name());
            return Err(Fault::terminal(codes::BAD_WAIT, text));
        }
        self.data()
    }
}

/// Who submitted the intent of a hop or worked on it; `None` when it is not known who submitted it.
async fn workers_of(mesh: &WorkerMesh, hop: &Hop, through: u64) -> Result<Option<Vec<PersonName>>, Fault> {
    let history = mesh.history_through(hop.intent(), through).await;
    let history = history.map_err(|error| Fault::unwritten(&error))?;
    let submitter = history.first().and_then(|first| person_of(&first.record.by));
    let all: BTreeSet<PersonName> = history
        .iter()
        .filter_map(|Head { record, .. }| person_of(&record.by))
        .collect();
    Ok(submitter.map(|_| all.into_iter().collect()))
}

/// The person who wrote a record: the account, or the user at a host. What a controller writes for somebody whom it does not
/// know is nobody's.
fn person_of(author: &Author) -> Option<PersonName> {
    match author.role {
        Role::Client | Role::Operator | Role::Worker => {
            let name = author.instance.split('@').next().unwrap_or_default();
            name.to_ascii_lowercase().parse().ok()
        }
        Role::Controller | Role::Unknown(_) => None,
    }
}

/// What people are asked before a hop, under the name of each wait.
pub(crate) type Gates = Vec<(&'static str, Approval)>;

/// Runs a handler once people have let it begin.
pub(crate) fn gated<'a>(
    handler: &'a dyn AnyHandler,
    hop: &'a mut Hop,
    gates: Gates,
) -> BoxFuture<'a, Result<Outcome, Fault>> {
    // A replay runs what was let through.
    if gates.is_empty() || hop.is_replay() {
        return handler.run(hop);
    }
    Box::pin(async move {
        for (name, gate) in gates {
            let decision = hop.approve(name, gate.clone()).await?;
            if !decision.accepted {
                return Ok(Outcome::reject(codes::NOT_APPROVED, why(&decision, &gate)));
            }
        }
        handler.run(hop).await
    })
}

/// Why people did not let it begin, in words.
fn why(decision: &Decision, gate: &Approval) -> String {
    let votes = decision
        .votes
        .iter()
        .map(|vote| format!("{}: {}", vote.by, vote.choice));
    let votes: Vec<String> = votes.collect();
    let choice = &decision.choice;
    let voted = match votes.is_empty() {
        true => String::new(),
        false => format!(" ({})", votes.join(", ")),
    };
    match decision.cause {
        Cause::Due => {
            let within = gate.due_ms.map(Duration::from_millis);
            let within = within.map_or_else(|| "in time".to_owned(), |within| format!("within {within:?}"));
            let who = match (votes.is_empty(), gate.who.is_empty()) {
                (true, true) => "nobody".to_owned(),
                (true, false) => format!("nobody of {}", gate.who.join(", ")),
                (false, _) => "too few".to_owned(),
            };
            format!("{who} decided {within}, so \"{choice}\" counts{voted}")
        }
        Cause::Override => format!("an operator decided \"{choice}\" in the place of all{voted}"),
        Cause::Quorum | Cause::Unreachable | Cause::Unknown(_) => format!("\"{choice}\"{voted}"),
    }
}
