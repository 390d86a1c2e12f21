//! The processes other than workers: submitters, an operator, the sweeper.

use baton_envelope::act::{self, Shift};
use baton_envelope::{Need, Status, Submission, compare_submission};

use crate::Protocol;
use crate::actions::{Action, Actor, Network, Order};
use crate::old;
use crate::records::{Pen, Rec, agent, at, first, intent, version};
use crate::world::{Payer, Proof, World, is_lossy, need_of};
use crate::write::{End, Write};

/// A process that does one thing at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Clerk {
    pub(crate) pen: Pen,
    pub(crate) doing: Office,
}

/// What a clerk is doing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Office {
    /// Nothing yet.
    Idle,
    /// A guarded write; the operator's has its order.
    Writes(Write, Option<Order>),
    /// It writes what a record implies.
    Settles { intent: u8, rec: Rec, seq: u64 },
    /// It has read a head whose ticket may be lost.
    Looks { intent: u8, head: Rec, seq: u64 },
    /// Its work is over.
    Done,
}

impl Clerk {
    pub(crate) const fn new(actor: Actor) -> Self {
        Self {
            pen: Pen::new(actor),
            doing: Office::Idle,
        }
    }

    pub(crate) fn goes_first(&self) -> bool {
        matches!(&self.doing, Office::Writes(write, _) if write.goes_first())
    }

    pub(crate) fn is_busy(&self) -> bool {
        !matches!(self.doing, Office::Idle | Office::Done)
    }

    /// What it can do next: by itself, or if answers may be lost.
    pub(crate) fn actions(&self, lossy: bool, actions: &mut Vec<Action>) {
        let actor = self.pen.actor;
        match &self.doing {
            Office::Idle if matches!(actor, Actor::Submitter { .. }) && !lossy => actions.push(Action::Submit(actor)),
            Office::Idle | Office::Done => {}
            Office::Writes(write, _) => {
                let networks = write.networks(lossy).iter().filter(|how| is_lossy(**how) == lossy);
                actions.extend(networks.map(|how| Action::Write(actor, *how)));
            }
            Office::Settles { .. } | Office::Looks { .. } if !lossy => actions.push(Action::Settle(actor)),
            Office::Settles { .. } | Office::Looks { .. } => {}
        }
    }
}

impl Order {
    /// Whether this order applies to an intent with this head.
    pub(crate) fn applies_to(self, head: &Rec) -> bool {
        let status = &head.snapshot.status;
        match self {
            Self::Redrive => matches!(status, Status::Parked { .. }),
            Self::Move => status.is_workable(),
            Self::Repin => !status.is_terminal(),
        }
    }
}

impl World {
    fn clerk(&mut self, actor: Actor) -> Option<&mut Clerk> {
        match actor {
            Actor::Submitter { .. } => self.submitters.iter_mut().find(|clerk| clerk.pen.actor == actor),
            Actor::Operator => Some(&mut self.operator),
            Actor::Sweeper => Some(&mut self.sweeper),
            Actor::Worker(_) => None,
        }
    }

    /// The record of an order.
    fn ordered(&mut self, order: Order, number: u8, payer: Payer) -> Option<Write> {
        let (head, seq) = self.head(number)?;
        if !order.applies_to(&head) {
            return None;
        }
        let pen = &mut self.operator.pen;
        let stamp = pen.stamp(at(self.hour));
        let new_envelope = pen.envelope_id();
        let draft = if order == Order::Repin {
            act::repin(&head.snapshot, &agent(0), &version(1))
        } else {
            let source = match (&head.envelope, head.snapshot.envelope_seq) {
                (None, Some(at)) => self.record(number, at)?,
                (_, _) => head.clone(),
            };
            let mut envelope = source.envelope.as_ref()?.again(new_envelope);
            let to = version(u8::from(order == Order::Move));
            envelope.to_version = Some(to.clone());
            match order {
                Order::Redrive => act::redrive(&head.snapshot, envelope, to),
                Order::Move | Order::Repin => act::shift(&head.snapshot, Shift::Moved, envelope, to),
            }
        };
        let record = draft.ok()?.seal(intent(number), seq, stamp);
        let record = match payer {
            Payer::Old => old::as_written(record, Some(&head.snapshot)),
            Payer::New => record,
        };
        Some(Write::new(number, Rec::new(record), seq))
    }
}

impl Protocol {
    pub(crate) fn submit(&self, world: &mut World, actor: Actor) {
        let (Actor::Submitter { intent, .. }, now, deadline) = (actor, at(world.hour), self.bounds.deadline) else {
            return;
        };
        let Some(clerk) = world.clerk(actor) else { return };
        let pen = &mut clerk.pen;
        let stamp = pen.stamp(now);
        let mut envelope = first(intent, pen, deadline);
        envelope.to_version = Some(version(0));
        let record = act::submit(now, version(0), envelope).seal(crate::records::intent(intent), 0, stamp);
        let record = match self.payer(actor) {
            Payer::Old => old::as_written(record, None),
            Payer::New => record,
        };
        clerk.doing = Office::Writes(Write::new(intent, Rec::new(record), 0).local(), None);
    }

    pub(crate) fn clerk_writes(&self, world: &mut World, actor: Actor, how: Network) {
        let Some(clerk) = world.clerk(actor) else { return };
        let Office::Writes(mut write, order) = std::mem::replace(&mut clerk.doing, Office::Idle) else {
            return;
        };
        let doing = match world.advance(&mut write, how, self.broken) {
            None => Office::Writes(write, order),
            Some(End::Stored(seq)) => {
                let (intent, rec) = (write.intent, write.rec);
                Office::Settles { intent, rec, seq }
            }
            Some(End::GaveUp) => Office::Idle,
            Some(End::Superseded) => match (actor, order) {
                (Actor::Submitter { .. }, _) => repeated(world, &write),
                (_, Some(order @ (Order::Move | Order::Repin))) => {
                    let again = world.ordered(order, write.intent, self.payer(actor));
                    again.map_or(Office::Idle, |write| Office::Writes(write, Some(order)))
                }
                (_, _) => Office::Idle,
            },
        };
        done(world, actor, doing);
    }

    pub(crate) fn clerk_settles(&self, world: &mut World, actor: Actor) {
        let Some(clerk) = world.clerk(actor) else { return };
        match std::mem::replace(&mut clerk.doing, Office::Idle) {
            Office::Settles { intent, rec, seq } => {
                world.settle(intent, &rec, seq, self.payer(actor), self.broken);
            }
            Office::Looks { intent, head, seq } => {
                if world.finds_lost(&head) {
                    let source = match (&head.envelope, head.snapshot.envelope_seq) {
                        (None, Some(at)) => world.record(intent, at).map(|rec| (rec, at)),
                        (_, _) => Some((head, seq)),
                    };
                    if let Some((rec, at)) = source {
                        world.publish_ticket(intent, rec, at, Some(seq), Proof::Given);
                    }
                }
            }
            Office::Idle | Office::Writes(..) | Office::Done => {}
        }
        done(world, actor, Office::Idle);
    }

    pub(crate) fn order(&self, world: &mut World, order: Order, intent: u8) {
        let left = &mut world.left;
        match order {
            Order::Redrive => left.redrives -= 1,
            Order::Move => left.moves -= 1,
            Order::Repin => left.repins -= 1,
        }
        if let Some(write) = world.ordered(order, intent, self.payer(Actor::Operator)) {
            world.operator.doing = Office::Writes(write, Some(order));
        }
    }

    pub(crate) fn sweep(&self, world: &mut World, number: u8) {
        let Some((head, seq)) = world.head(number) else { return };
        let now = at(world.hour);
        let is_old = self.bounds.old_sweeper;
        match need_of(&head, now, is_old) {
            // No intent of this model waits, or has a budget.
            Need::Closed | Need::None | Need::Resume | Need::Redrive | Need::TopUps => {}
            Need::Ticket => {
                world.sweeper.doing = Office::Looks {
                    intent: number,
                    head,
                    seq,
                }
            }
            Need::TimeOut => {
                let stamp = world.sweeper.pen.stamp(now);
                let Ok(draft) = act::time_out(&head.snapshot) else {
                    return;
                };
                let mut record = draft.seal(intent(number), seq, stamp);
                if is_old {
                    record = old::as_written(record, Some(&head.snapshot));
                    (record.snapshot.holder, record.snapshot.epoch) =
                        (head.snapshot.holder.clone(), head.snapshot.epoch);
                }
                world.sweeper.doing = Office::Writes(Write::new(number, Rec::new(record), seq), None);
            }
        }
    }

    pub(crate) fn crash(world: &mut World, actor: Actor) {
        world.left.crashes -= 1;
        if let Actor::Worker(number) = actor {
            world.hand_back(number);
            if let Some(worker) = world.workers.get_mut(usize::from(number)) {
                worker.pen.dies();
            }
        } else if let Some(clerk) = world.clerk(actor) {
            clerk.pen.dies();
            done(world, actor, Office::Idle);
        }
    }
}

/// A submit that found its id taken: the same work settles the head once more.
fn repeated(world: &World, write: &Write) -> Office {
    let intent = write.intent;
    let there = world.record(intent, 1).and_then(|rec| rec.envelope.clone());
    let (Some(there), Some(new), Some((rec, seq))) = (there, &write.rec.envelope, world.head(intent)) else {
        return Office::Idle;
    };
    match compare_submission(&there, new) {
        Submission::Same => Office::Settles { intent, rec, seq },
        Submission::Conflict => Office::Idle,
    }
}

/// An idle submitter has done its work.
fn done(world: &mut World, actor: Actor, doing: Office) {
    if let Some(clerk) = world.clerk(actor) {
        let is_over = doing == Office::Idle && matches!(actor, Actor::Submitter { .. });
        clerk.doing = if is_over { Office::Done } else { doing };
    }
}
