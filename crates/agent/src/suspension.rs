//! Whether a hop may be suspended: whether somebody ends its waits, and whether the children that it asks for can be asked.

use baton_envelope::codes;
use baton_envelope::{
    AgentName, AskedWaits, Children, Envelope, ErrorInfo, OBJECTS_SINCE, Snapshot, WaitSpec, check_kind, compare_waits,
    opened_calls,
};
use baton_jetstream::Error;

use crate::claim::Claim;
use crate::commit::{SMALLER, Verdict, park, past_limit};
use crate::ending::Ending;
use crate::fault::Fault;
use crate::memory::HandedOn;
use crate::outcome::Receiver;
use crate::run::WorkerContext;

/// Refuses what some controllers of the mesh may be too old for.
pub(crate) fn known_to_all(is_known: Result<bool, Error>, text: &str) -> Result<(), Fault> {
    match is_known {
        Ok(true) => Ok(()),
        Ok(false) => Err(Fault::retry(text).with_code(codes::MESH_TOO_OLD)),
        Err(error) => Err(Fault::unwritten(&error)),
    }
}

impl WorkerContext {
    /// A hop is suspended only where somebody ends the wait.
    pub(crate) async fn suspend(
        &self,
        at: &Claim,
        envelope: &Envelope,
        mut waits: Vec<WaitSpec>,
        handed_on: HandedOn,
    ) -> Verdict {
        // A call that is open already has what its children begin with.
        let is_new = opened_calls(&waits).next().is_some() && compare_waits(&at.snapshot, &waits) != AskedWaits::Same;
        if is_new && handed_on.tells() {
            let context = match Box::pin(self.left_behind(at, envelope, handed_on)).await {
                Ok(context) => context,
                Err(verdict) => return *verdict,
            };
            for children in waits.iter_mut().filter_map(|wait| wait.children.as_mut()) {
                children.context.clone_from(&context);
            }
        }
        if is_new {
            // Whoever goes on with the hop is of this version, or of another that reads references, too.
            let result_refs = match self.reads_references().await {
                Ok(reads) => reads,
                Err(error) => return Box::pin(self.act_on_fault(at, envelope, Fault::unwritten(&error))).await,
            };
            for children in waits.iter_mut().filter_map(|wait| wait.children.as_mut()) {
                children.result_refs = result_refs;
            }
        }
        for (name, children) in opened_calls(&waits) {
            if let Err(verdict) = self.check_children(at, envelope, name, children).await {
                return *verdict;
            }
        }
        for onward in waits.iter().filter_map(|wait| wait.onward.as_ref()) {
            let Some(to) = onward.to.clone() else { continue };
            let kind = onward.kind.as_deref().or(envelope.kind.as_deref());
            // By a misspelt name the children would work for nobody.
            if let Err(fault) = self.receiver(at, envelope, &Receiver::Agent(to), kind).await {
                return Box::pin(self.act_on_fault(at, envelope, fault)).await;
            }
        }
        let text = "the hop cannot wait: the controllers of the mesh, or some of them, are too old to end a wait";
        match known_to_all(self.mesh.knows_waits().await, text) {
            Ok(()) => Verdict::Commit(Ending::Suspend(waits)),
            Err(fault) => self.act_on_fault(at, envelope, fault).await,
        }
    }

    /// Whether this worker and all others of its version read references.
    async fn reads_references(&self) -> Result<bool, Error> {
        match self.protocol.newest >= OBJECTS_SINCE {
            true => self.mesh.reads_references(&self.agent, &self.version).await,
            false => Ok(false),
        }
    }

    /// Whether children can be asked for: where they cannot, the intent keeps what it has, and waits for a person.
    async fn check_children(
        &self,
        at: &Claim,
        envelope: &Envelope,
        name: &str,
        children: &Children,
    ) -> Result<(), Box<Verdict>> {
        let refused = |code: &str, problem: String| {
            let message = format!("the call \"{name}\": {problem}");
            Box::new(park(ErrorInfo::new(code, message)))
        };
        children
            .check()
            .map_err(|problem| refused(codes::BAD_FAN_OUT, problem))?;
        let limit = self.mesh.largest_record();
        check_size(&at.snapshot, envelope, (name, children), limit)
            .map_err(|problem| refused(codes::PAYLOAD_TOO_LARGE, problem))?;
        let mut placed: Vec<(&AgentName, Option<&str>)> = Vec::new();
        for child in &children.children {
            let kind = children.kind_of(child);
            if let Some(Err(bad)) = kind.map(check_kind) {
                return Err(refused(codes::BAD_FAN_OUT, bad.to_string()));
            }
            let Some(to) = children.agent_of(child) else { continue };
            envelope
                .next_hop(to)
                .map_err(|limit| Box::new(park(past_limit(&limit, &at.snapshot))))?;
            if placed.contains(&(to, kind)) {
                continue;
            }
            placed.push((to, kind));
            if let Err(fault) = self.receiver(at, envelope, &Receiver::Agent(to.clone()), kind).await {
                return Err(Box::new(Box::pin(self.act_on_fault(at, envelope, fault)).await));
            }
        }
        Ok(())
    }
}

/// Whether each child fits into a message of its own, and the record with which the hop goes on into one.
fn check_size(
    at: &Snapshot,
    envelope: &Envelope,
    (name, children): (&str, &Children),
    limit: usize,
) -> Result<(), String> {
    if let Some((index, bytes)) = envelope
        .largest_child(name, children, at)
        .filter(|(_, bytes)| *bytes > limit)
    {
        return Err(format!(
            "child {index} takes up to {bytes} bytes with the constraints and the fields of its parent, and the server takes at most \
             {limit} in one message; {SMALLER}"
        ));
    }
    match envelope.least_when_joined(children).filter(|bytes| *bytes > limit) {
        Some(bytes) => Err(format!(
            "with the ends of its {} children the envelope of the hop takes {bytes} bytes or more, and the server takes at most {limit} \
             in one message; {SMALLER}",
            children.children.len()
        )),
        None => Ok(()),
    }
}
