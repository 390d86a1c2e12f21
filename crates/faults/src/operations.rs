//! What operators do during a run: rollouts, rollbacks, moves, redrives.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use anyhow::Result;
use baton_envelope::control::{
    AbortRollout, ChannelAct, MoveIntents, PromoteRollout, Question, RollBack, RolloutAct, StartRollout,
    SubscribeAgent, UnsubscribeAgent,
};
use baton_envelope::{Author, IntentId, Margins, MaxHops, Percent, Role, Status};
use baton_jetstream::{Error, Filter, Head, Mesh, Redrive};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::{Instant, sleep_until};

use crate::control::is_paused;
use crate::journal::Journal;
use crate::patterns::SUBSCRIBED;
use crate::work::{AGENTS, kind};

/// The author of every operation.
const BY: &str = "fault-runner";
/// The average pause between operations, in milliseconds.
const PAUSE: u64 = 2_500;
/// Long enough to find a controller while one is frozen; an unanswered question is dropped.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an operator does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Rolls a version out, with these shares; none means all at once.
    Start(&'static str, &'static str, Vec<u64>),
    /// Takes the next step.
    Promote(&'static str),
    /// Goes back to the previous version.
    Rollback(&'static str),
    /// Ends a rollout where it is.
    Abort(&'static str),
    /// Moves open work from one version to another.
    Move(&'static str, &'static str, &'static str),
    /// Redrives what a fault parked.
    Redrive,
    /// Has an agent get the messages of a channel, or get them no more.
    Subscribe(&'static str, bool),
}

/// The operations of a seed with their times: a pure function of the seed.
#[must_use]
pub fn operations(seed: u64, length: Duration) -> Vec<(Duration, Operation)> {
    let mut random = StdRng::seed_from_u64(!seed);
    let mut found = Vec::new();
    let mut at = Duration::from_secs(2);
    loop {
        at += Duration::from_millis(random.random_range(PAUSE / 4..PAUSE * 7 / 4));
        if at > length {
            return found;
        }
        let agent = AGENTS.choose(&mut random).copied().unwrap_or("alpha");
        let (to, from) = if random.random_bool(0.5) {
            ("1.0.0", "2.0.0")
        } else {
            ("2.0.0", "1.0.0")
        };
        let steps = if random.random_bool(0.5) {
            vec![30, 100]
        } else {
            Vec::new()
        };
        let operation = match random.random_range(0..100) {
            0..40 => Operation::Start(agent, to, steps),
            40..52 => Operation::Promote(agent),
            52..66 => Operation::Rollback(agent),
            66..70 => Operation::Abort(agent),
            70..80 => Operation::Move(agent, from, to),
            80..85 => Operation::Subscribe(agent, random.random_bool(0.5)),
            _ => Operation::Redrive,
        };
        found.push((at, operation));
    }
}

/// An operator of a run.
#[derive(Debug)]
pub struct Operator {
    /// The operator's own connection.
    pub mesh: Mesh,
}

impl Operator {
    /// Performs each operation at its time; notes and drops what is refused or not answered. Returns the number of
    /// each.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn run(
        &self,
        operations: Vec<(Duration, Operation)>,
        journal: &Journal,
    ) -> Result<BTreeMap<String, usize>> {
        let started = Instant::now();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for (at, operation) in operations {
            sleep_until(started + at).await;
            match Box::pin(self.one(&operation)).await {
                Ok(()) => {
                    journal.note(format!("done: {operation:?}"))?;
                    *counts.entry(name(&operation).to_owned()).or_default() += 1;
                }
                Err(error) => {
                    journal.note(format!("not done: {operation:?}: {error:#}"))?;
                    *counts.entry("not done".to_owned()).or_default() += 1;
                }
            }
        }
        Ok(counts)
    }

    /// Performs an operation.
    ///
    /// # Errors
    /// When it is refused or not answered.
    pub async fn one(&self, operation: &Operation) -> Result<()> {
        let by = BY.to_owned();
        let act = |agent: &str| {
            let (take_over, reason, to_end) = (true, None, false);
            anyhow::Ok(RolloutAct {
                agent: agent.parse()?,
                by: BY.to_owned(),
                take_over,
                reason,
                to_end,
            })
        };
        match operation {
            Operation::Start(agent, version, steps) => {
                let question = StartRollout {
                    id: self.mesh.clock().intent_id().to_string(),
                    agent: agent.parse()?,
                    version: version.parse()?,
                    steps: steps.iter().filter_map(|step| Percent::new(*step).ok()).collect(),
                    hold_seconds: 1,
                    auto: !steps.is_empty(),
                    at_once: steps.is_empty(),
                    force: true,
                    margins: Margins::default(),
                    by,
                };
                self.ask(&question).await
            }
            Operation::Promote(agent) => self.ask(&PromoteRollout(act(agent)?)).await,
            Operation::Abort(agent) => self.ask(&AbortRollout(act(agent)?)).await,
            Operation::Rollback(agent) => {
                let question = RollBack {
                    agent: agent.parse()?,
                    to: None,
                    by,
                    reason: None,
                };
                self.ask(&question).await
            }
            Operation::Move(agent, from, to) => {
                let question = MoveIntents {
                    agent: agent.parse()?,
                    from: from.parse()?,
                    to: to.parse()?,
                    status: None,
                    dry_run: false,
                    by,
                };
                self.ask(&question).await
            }
            Operation::Subscribe(agent, gets) => {
                let (channel, reason) = (SUBSCRIBED.0.parse()?, None);
                let agent = agent.parse()?;
                let act = ChannelAct {
                    channel,
                    agent,
                    by,
                    reason,
                };
                match gets {
                    true => self.ask(&SubscribeAgent(act)).await,
                    false => self.ask(&UnsubscribeAgent(act)).await,
                }
            }
            Operation::Redrive => Ok(Box::pin(self.redrive_all()).await.map(drop)?),
        }
    }

    async fn ask<Q: Question>(&self, question: &Q) -> Result<()> {
        let asked = self.mesh.ask_controller_within(PATIENCE, question);
        Ok(asked.await.map(drop)?)
    }

    /// Redrives everything that is parked and not meant to stay so.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn redrive_all(&self) -> Result<Redriven, Error> {
        let parked = Filter {
            statuses: vec!["parked".to_owned()],
            ..Filter::default()
        };
        let mut redriven = Redriven::default();
        for head in self.mesh.list(&parked).await?.heads {
            // What somebody paused is resumed, and not redriven.
            if stays(&head) || is_paused(&head.record.snapshot.status) {
                continue;
            }
            let lift = head.record.snapshot.kind.as_deref() == Some(kind::LIFT);
            let how = Redrive {
                max_hops: lift.then(|| MaxHops::new(10)).and_then(Result::ok),
                ..Redrive::default()
            };
            let by = Author::of(Role::Operator, BY);
            match Box::pin(self.mesh.redrive(&head.record.intent, &how, by)).await {
                Ok(_) => redriven.count += 1,
                // Its records were taken from the ledger. The checker says whether that was to be.
                Err(Error::NoEnvelope(intent)) => {
                    redriven.lost.insert(intent);
                }
                // Another operator came first, or the server was away: the next round tries again.
                Err(error) => {
                    redriven.count += 1;
                    tracing::info!(%error, intent = %head.record.intent, "cannot redrive");
                }
            }
        }
        Ok(redriven)
    }
}

/// What became of the parked intents.
#[derive(Debug, Default)]
pub struct Redriven {
    /// How many were put back, or will be in the next round.
    pub count: usize,
    /// Those that nobody can put back: the ledger does not have their envelope any more.
    pub lost: HashSet<IntentId>,
}

/// Whether a parked intent is meant to stay so.
#[must_use]
pub fn stays(head: &Head) -> bool {
    let snapshot = &head.record.snapshot;
    let Status::Parked { code } = &snapshot.status else {
        return false;
    };
    match snapshot.kind.as_deref() {
        Some(kind::STAY) => matches!(code.as_str(), "STAY" | "HOP_LIMIT" | "UNKNOWN_AGENT"),
        Some(kind::LATE) => code == "EXHAUSTED",
        Some(_) | None => false,
    }
}

const fn name(operation: &Operation) -> &'static str {
    match operation {
        Operation::Start(..) => "rollout started",
        Operation::Promote(_) => "rollout promoted",
        Operation::Rollback(_) => "rolled back",
        Operation::Abort(_) => "rollout aborted",
        Operation::Move(..) => "work moved",
        Operation::Redrive => "redriven",
        Operation::Subscribe(_, true) => "subscribed",
        Operation::Subscribe(_, false) => "unsubscribed",
    }
}
