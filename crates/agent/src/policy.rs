//! What becomes of a hop whose attempts are used up, and of work that the agent declines, by the policy of the moment.

use baton_envelope::context::EnvelopeContext;
use baton_envelope::{
    AgentName, Asked, Envelope, ErrorInfo, Extra, HistoryEntry, InForce, OnExhausted, OnRejected, Policy, Snapshot,
    Successor, codes, speaks_against,
};
use baton_jetstream::{Error, Placed, in_form_for};

use crate::claim::Claim;
use crate::commit::{Verdict, past_limit};
use crate::ending::Ending;
use crate::run::WorkerContext;

/// How an agent gets rid of work.
struct Passing<'a> {
    did: String,
    error: &'a ErrorInfo,
    note: Option<String>,
    spent: bool,
}

/// Why work could not be passed on.
enum NotPassed {
    /// The handoff would pass the limit on hops.
    Limit(ErrorInfo),
    /// The receiver gets none, in words.
    Refused(String),
}

impl WorkerContext {
    /// The policy that holds now: an operator may have changed it since the last hop. It is read from the routes that this
    /// worker follows, and costs nothing.
    pub(crate) fn policy(&self, envelope: Option<&Envelope>) -> InForce {
        let route = self.mesh.followed_route(&self.agent);
        let set = route.as_ref().and_then(|route| route.policy.as_ref());
        let asked = envelope.and_then(|envelope| envelope.policy.as_deref());
        InForce::of(set, Some(&self.declared), asked)
    }

    /// How a hop ends whose attempts are used up.
    pub(crate) async fn exhausted(
        &self,
        at: &Snapshot,
        envelope: &Envelope,
        error: ErrorInfo,
        attempts: u32,
    ) -> Ending {
        let blames = speaks_against(&error.code);
        let ends = |error, fails| Ending::Spent { error, fails, blames };
        let to = match self.policy(Some(envelope)).on_exhausted {
            OnExhausted::Fail => return ends(error, true),
            OnExhausted::Compensate => return Ending::Compensate { error, blames },
            // A person finds it among the dead letters, under the code that says so.
            OnExhausted::Human if error.code != codes::POISON => {
                let message = format!("{}: {}", error.code, error.message);
                return ends(ErrorInfo::new(codes::EXHAUSTED, message), false);
            }
            OnExhausted::Park | OnExhausted::Human | OnExhausted::Unknown(_) => return ends(error, false),
            OnExhausted::Escalate(to) => to,
        };
        let passing = Passing {
            did: match attempts {
                1 => "gave up after 1 attempt".to_owned(),
                more => format!("gave up after {more} attempts"),
            },
            error: &error,
            note: Some(format!("escalated to {to}")),
            spent: blames,
        };
        let passed = match self.mesh.choose(&to, &asked_by(at, envelope)).await {
            Ok((choice, route)) => {
                let placed = Placed {
                    choice,
                    route,
                    stands_in: None,
                    passed_by: None,
                };
                self.pass_on(at, envelope, placed, passing)
            }
            Err(problem) => Err(NotPassed::Refused(problem.to_string())),
        };
        match passed {
            Ok(ending) => ending,
            Err(NotPassed::Limit(limit)) => ends(limit, false),
            Err(NotPassed::Refused(problem)) => {
                let message = format!("{} (not escalated to {to}: {problem})", error.message);
                ends(ErrorInfo::new(error.code, message), false)
            }
        }
    }

    /// What becomes of work that the agent declines.
    pub(crate) async fn rejected(
        &self,
        at: &Claim,
        envelope: &Envelope,
        error: ErrorInfo,
        note: Option<String>,
    ) -> Verdict {
        let found = match self.after_rejection(&at.snapshot, envelope).await {
            Ok(found) => found,
            Err(problem) => {
                tracing::warn!(error = %problem, intent = %envelope.intent, "who gets what was declined cannot be found now");
                return Verdict::Later;
            }
        };
        let Some(placed) = found else {
            return Verdict::Commit(Ending::Reject { error, note });
        };
        let passing = Passing {
            did: "declined the work".to_owned(),
            error: &error,
            note: note.clone(),
            spent: false,
        };
        match self.pass_on(&at.snapshot, envelope, placed, passing) {
            Ok(ending) => Verdict::Commit(ending),
            Err(NotPassed::Limit(limit)) => Verdict::Commit(Ending::Park(limit)),
            Err(NotPassed::Refused(problem)) => {
                tracing::warn!(intent = %envelope.intent, "what was declined goes to nobody else: {problem}");
                Verdict::Commit(Ending::Reject { error, note })
            }
        }
    }

    /// Who gets work that this agent declines; `None` if the intent ends. Who stands in for another agent leaves what it
    /// declines to the other alternatives of that agent, whatever its own policy is.
    async fn after_rejection(&self, at: &Snapshot, envelope: &Envelope) -> Result<Option<Placed>, Error> {
        let asked = asked_by(at, envelope);
        let stood_in = envelope.stands_in.is_some();
        match self.policy(Some(envelope)).on_rejected {
            OnRejected::Return => {
                // The last entry of the path is this hop.
                let mut before = at.path.iter().rev().skip(1);
                let Some(entry) = before.find(|entry| entry.agent != self.agent) else {
                    return Ok(None);
                };
                match self.mesh.choose(&entry.agent, &asked).await {
                    Ok((choice, route)) => Ok(Some(Placed {
                        choice,
                        route,
                        stands_in: None,
                        passed_by: None,
                    })),
                    Err(error @ (Error::UnknownAgent { .. } | Error::Unroutable(_))) => {
                        tracing::warn!(%error, intent = %envelope.intent, "what was declined cannot go back");
                        Ok(None)
                    }
                    Err(error) => Err(error),
                }
            }
            on_rejected if stood_in || on_rejected == OnRejected::Alternative => {
                let passed_by = envelope.passed_by();
                let meant_for: Option<Policy> = match self.mesh.route_of(&passed_by.for_agent).await {
                    Ok(route) => route.policy.clone(),
                    Err(Error::UnknownAgent { .. }) => None,
                    Err(error) => return Err(error),
                };
                self.mesh.stand_in(&passed_by, meant_for.as_ref(), &asked).await
            }
            OnRejected::End | OnRejected::Alternative | OnRejected::Unknown(_) => Ok(None),
        }
    }

    /// Hands the work on as it is, with the error in the history of its envelope.
    fn pass_on(
        &self,
        at: &Snapshot,
        envelope: &Envelope,
        placed: Placed,
        passing: Passing<'_>,
    ) -> Result<Ending, NotPassed> {
        let (route, version) = (placed.route, placed.choice.version);
        let Passing {
            did,
            error,
            note,
            spent,
        } = passing;
        let new = Successor {
            id: self.mesh.clock().envelope_id(),
            to: route.agent.clone(),
            to_version: version.clone(),
            from: format!("{}@{}", self.agent, self.version),
            payload: envelope.payload.clone(),
            kind: None,
            history: Some(self.signed(told(&self.agent, did, &route.agent, error), envelope)),
        };
        let next = envelope.passed_on(new, placed.stands_in);
        let mut next = next.map_err(|limit| NotPassed::Limit(past_limit(&limit, at)))?;
        next.pins.clone_from(&at.pins);
        // The view of this agent is that of the next one; its version knows links, and has added none.
        if let Ok(context) = EnvelopeContext::counted(envelope)
            && next.context.is_some()
        {
            let hop = Some(next.hop);
            next.context = EnvelopeContext { hop, ..context }.json();
        }
        match in_form_for(&route, &version, next, envelope.protocol, self.protocol) {
            Ok((next, conversion)) => Ok(Ending::PassOn {
                envelope: Box::new(next),
                is_manual: route.is_manual(&version),
                version,
                conversion,
                note,
                error: error.clone(),
                spent,
            }),
            Err(problem) => Err(NotPassed::Refused(problem.to_string())),
        }
    }
}

fn asked_by<'a>(at: &'a Snapshot, envelope: &'a Envelope) -> Asked<'a> {
    Asked {
        root: envelope.root(),
        kind: envelope.kind.as_deref(),
        pins: &at.pins,
        path: &at.path,
    }
}

fn told(agent: &AgentName, did: String, to: &AgentName, error: &ErrorInfo) -> HistoryEntry {
    HistoryEntry {
        agent: agent.clone(),
        version: None,
        hop: None,
        at: None,
        did: Some(did),
        decided: Some(format!("{to} gets it")),
        why: Some(format!("{}: {}", error.code, error.message)),
        refs: Vec::new(),
        extra: Extra::new(),
    }
}
