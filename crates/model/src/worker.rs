//! A worker: what the agent's `run.rs`, `claim.rs` and `commit.rs` do with one ticket, one write at a time.

use baton_envelope::{
    DeliveryFacts, Draft, ErrorInfo, IllegalTransition, Json, Overtaken, Owed, Record, Standing, StepEntry, Successor,
    act, is_fresh, is_untouched, on_delivery, on_overtaken, recorded_steps,
};

use crate::Protocol;
use crate::actions::{Action, Actor, Does, Network};
use crate::bounds::Broken;
use crate::hold::{Act, Doing, Hold, Turn, Worker};
use crate::old;
use crate::properties::Violation;
use crate::records::{BACKOFF, Pen, Rec, agent, at, intent, version};
use crate::world::{Payer, Proof, Ticket, World, is_lossy, owed_ticket};
use crate::write::{End, Write};

impl Worker {
    pub(crate) fn new(number: u8) -> Self {
        Self {
            pen: Pen::new(Actor::Worker(number)),
            doing: Doing::Idle,
        }
    }

    pub(crate) fn goes_first(&self) -> bool {
        self.write().is_some_and(Write::goes_first)
    }

    pub(crate) fn is_unused(&self) -> bool {
        self.doing == Doing::Idle && (self.pen.life, self.pen.writes) == (0, 0)
    }

    fn write(&self) -> Option<&Write> {
        match &self.doing {
            Doing::Ends { write, .. } | Doing::Has(_, Turn::Writes(write, _)) => Some(write),
            Doing::Idle | Doing::Has(..) | Doing::Settles { .. } | Doing::Acks { .. } | Doing::SettlesAcked { .. } => {
                None
            }
        }
    }

    /// What it can do next by itself.
    pub(crate) fn calm_actions(&self, number: u8, actions: &mut Vec<Action>) {
        let actor = Actor::Worker(number);
        if let Some(write) = self.write() {
            let networks = write.networks(false).iter().filter(|how| !is_lossy(**how));
            actions.extend(networks.map(|how| Action::Write(actor, *how)));
        }
        match &self.doing {
            Doing::Settles { .. } | Doing::SettlesAcked { .. } => actions.push(Action::Settle(actor)),
            Doing::Acks { .. } => actions.push(Action::Ack(number)),
            Doing::Has(_, Turn::Effect(_)) => actions.push(Action::Handler(number, Does::Effect)),
            Doing::Idle | Doing::Ends { .. } | Doing::Has(..) => {}
        }
    }

    /// What it can do next if answers may be lost.
    pub(crate) fn lossy_actions(&self, number: u8, actions: &mut Vec<Action>) {
        let actor = Actor::Worker(number);
        if let Some(write) = self.write() {
            let networks = write.networks(true).iter().filter(|how| is_lossy(**how));
            actions.extend(networks.map(|how| Action::Write(actor, *how)));
        }
        match &self.doing {
            Doing::Settles { .. } => actions.push(Action::Unsettled(actor)),
            Doing::Acks { .. } => actions.push(Action::AckLost(number)),
            Doing::Idle | Doing::Ends { .. } | Doing::Has(..) | Doing::SettlesAcked { .. } => {}
        }
    }
}

impl World {
    /// A worker drops its ticket without an ack: it will be delivered again.
    pub(crate) fn hand_back(&mut self, number: u8) {
        for ticket in self.queue.iter_mut().filter(|ticket| ticket.holder == Some(number)) {
            ticket.holder = None;
        }
        self.does(number, Doing::Idle);
    }

    fn does(&mut self, number: u8, doing: Doing) {
        if let Some(worker) = self.workers.get_mut(usize::from(number)) {
            worker.doing = doing;
        }
    }

    fn take_doing(&mut self, number: u8) -> Doing {
        let worker = self.workers.get_mut(usize::from(number));
        worker.map_or(Doing::Idle, |worker| std::mem::replace(&mut worker.doing, Doing::Idle))
    }

    fn pen(&mut self, number: u8) -> Pen {
        let actor = Actor::Worker(number);
        let pen = self.workers.get(usize::from(number)).map(|worker| worker.pen);
        pen.unwrap_or(Pen::new(actor))
    }
}

impl Protocol {
    /// What handlers, and people who stop workers, may do next.
    pub(crate) fn willed(&self, world: &World, number: u8, worker: &Worker, actions: &mut Vec<Action>) {
        let Doing::Has(hold, Turn::Runs) = &worker.doing else {
            return;
        };
        actions.push(Action::Handler(number, self.handler_goes_on(hold)));
        let shows = self.bounds.shows && !hold.visible && hold.next_step(self.bounds.steps).is_none();
        let may = [
            (shows, Does::Shows),
            (world.left.failures > 0, Does::Fails),
            (world.left.stops > 0, Does::Stops),
        ];
        let may = may.into_iter().filter(|(may, _)| *may);
        actions.extend(may.map(|(_, does)| Action::Handler(number, does)));
    }

    pub(crate) fn handler_goes_on(&self, hold: &Hold) -> Does {
        let step = hold.next_step(self.bounds.steps);
        step.map_or(Does::Ends, |_| Does::Step)
    }

    pub(crate) fn deliver(&self, world: &mut World, number: u8, worker: u8) {
        let Some(ticket) = world.queue.iter_mut().find(|ticket| ticket.number == number) else {
            return;
        };
        if ticket.holder.is_some() {
            world.left.redeliveries -= 1;
        }
        ticket.holder = Some(worker);
        ticket.delivered = (ticket.delivered + 1).min(2);
        let ticket = ticket.clone();
        let mut facts = DeliveryFacts {
            delivered: ticket.delivered.into(),
            reissued: ticket.reissued,
            stored_after_connect: ticket.after_connect,
        };
        match self.broken {
            Broken::RedeliveredIsFresh => facts.delivered = 1,
            Broken::ReissuedIsFresh => facts.reissued = false,
            _ => {}
        }
        if world.record(ticket.intent, ticket.seq).as_ref() != Some(&ticket.rec) {
            world.wrong = Some(Violation::TicketWithoutRecord);
        }
        let now = at(world.hour);
        let in_time = ticket.rec.snapshot.deadline.is_none_or(|deadline| deadline > now);
        if is_fresh(facts) && ticket.rec.event.begins_hop() && in_time {
            let (seen, seq) = (ticket.rec.clone(), ticket.seq);
            world.does(worker, Doing::Has(Box::new(Hold::new(&ticket, seen, seq)), Turn::Runs));
        } else {
            self.examine(world, worker, &ticket, facts);
        }
    }

    /// Reads the head and decides what to do with the ticket.
    fn examine(&self, world: &mut World, worker: u8, ticket: &Ticket, facts: DeliveryFacts) {
        let (Some((head, seq)), Some(envelope)) = (world.head(ticket.intent), ticket.rec.envelope_id()) else {
            return self.acked(world, worker, ticket.number);
        };
        let standing = match self.payer(Actor::Worker(worker)) {
            Payer::Old => old::on_delivery(&head, envelope, facts, at(world.hour)),
            Payer::New => on_delivery(&head, envelope, facts, at(world.hour)),
        };
        match standing {
            Standing::Superseded if self.broken == Broken::UnsettledUnswept => {
                self.acked(world, worker, ticket.number);
            }
            Standing::Superseded => self.settles(world, worker, (ticket.number, ticket.intent), head, seq),
            Standing::Early { .. } => world.hand_back(worker),
            Standing::Late => self.end(world, worker, ticket, (&head, seq), act::time_out(&head.snapshot)),
            Standing::Undoing => self.end(world, worker, ticket, (&head, seq), act::undo_on(&head.snapshot)),
            Standing::Mine { attempt } if attempt > self.bounds.max_attempts => {
                let error = ErrorInfo::new("POISON", "");
                self.end(world, worker, ticket, (&head, seq), act::park(&head.snapshot, error));
            }
            Standing::Mine { attempt } => {
                let mut hold = Box::new(Hold::new(ticket, head.clone(), seq));
                let doing = if is_untouched(&head, seq, ticket.seq, facts) {
                    Doing::Has(hold, Turn::Runs)
                } else if self.broken == Broken::TakeoverUnclaimed {
                    hold.visible = true;
                    hold.steps = self.load(world, &hold);
                    Doing::Has(hold, Turn::Runs)
                } else {
                    self.writes(world, worker, hold, Act::Claim { attempt })
                };
                world.does(worker, doing);
            }
        }
    }

    fn load(&self, world: &World, hold: &Hold) -> Vec<String> {
        if self.broken == Broken::StepsNotLoaded {
            return Vec::new();
        }
        let ledger = world.ledgers.get(usize::from(hold.ticket.intent)).into_iter().flatten();
        let steps = recorded_steps(ledger.map(|rec| Record::clone(rec)), hold.hop());
        steps.into_keys().collect()
    }

    /// The record of an act on the state that the holder saw, ready to write.
    fn writes(&self, world: &mut World, worker: u8, hold: Box<Hold>, mut act: Act) -> Doing {
        let now = at(world.hour);
        let Some(pen) = world.workers.get_mut(usize::from(worker)).map(|worker| &mut worker.pen) else {
            return Doing::Idle;
        };
        let stamp = pen.stamp(now);
        if let Act::HandOff(next @ None) = &mut act {
            // Created once per outcome: a rebase writes the same envelope again.
            *next = Some(pen.envelope_id());
        }
        let instance = pen.instance();
        let held = hold.snapshot();
        let error = ErrorInfo::new("RETRY", "the handler failed");
        let made = match &act {
            Act::Claim { attempt } => self::act::claim(&held, &instance, *attempt),
            Act::Show { .. } => self::act::start(&held, &instance),
            Act::Step(name) => self::act::step(&held, StepEntry::new(name.clone(), Json::null())),
            Act::HandOff(id) => {
                let (Some(envelope), Some(id)) = (&hold.ticket.rec.envelope, *id) else {
                    return Doing::Idle;
                };
                let to = agent(hold.hop() + 1);
                let next = envelope.successor(Successor {
                    id,
                    to,
                    to_version: version(0),
                    from: instance,
                    payload: Json::null(),
                    kind: None,
                    history: None,
                });
                let Ok(next) = next else { return Doing::Idle };
                self::act::hand_off(&held, next, version(0))
            }
            Act::Complete => self::act::complete(&held, Json::null()),
            Act::Park => self::act::park(&held, error),
            Act::Retry => self::act::retry(&held, now.plus(BACKOFF), error),
            Act::Release { .. } => self::act::release(&held, "the worker stops"),
        };
        let Ok(draft) = made else {
            world.hand_back(worker);
            return Doing::Idle;
        };
        let mut record = draft.seal(intent(hold.ticket.intent), hold.seq, stamp);
        if matches!(act, Act::Claim { .. }) && self.broken == Broken::ClaimUnfenced {
            let snapshot = &mut record.snapshot;
            (snapshot.epoch, snapshot.attempt) = (held.epoch, held.attempt);
            snapshot.holder.clone_from(&held.holder);
        }
        if self.payer(Actor::Worker(worker)) == Payer::Old {
            record = old::as_written(record, Some(&held));
        }
        let mut write = Write::new(hold.ticket.intent, Rec::new(record), hold.seq);
        write.unguarded = self.broken == Broken::CommitUnguarded && act.is_outcome();
        if self.broken == Broken::TicketBeforeCommit && matches!(act, Act::HandOff(_)) {
            world.publish_ticket(hold.ticket.intent, write.rec.clone(), hold.seq + 1, None, Proof::Given);
        }
        Doing::Has(hold, Turn::Writes(write, act))
    }

    fn end(
        &self,
        world: &mut World,
        worker: u8,
        ticket: &Ticket,
        (head, seq): (&Rec, u64),
        made: Result<Draft, IllegalTransition>,
    ) {
        let now = at(world.hour);
        let Some(pen) = world.workers.get_mut(usize::from(worker)).map(|worker| &mut worker.pen) else {
            return;
        };
        let stamp = pen.stamp(now);
        let payer = self.payer(Actor::Worker(worker));
        let doing = made.map_or(Doing::Idle, |draft| {
            let record = draft.seal(intent(ticket.intent), seq, stamp);
            let record = match payer {
                Payer::Old => old::as_written(record, Some(&head.snapshot)),
                Payer::New => record,
            };
            Doing::Ends {
                ticket: Box::new(ticket.clone()),
                write: Write::new(ticket.intent, Rec::new(record), seq),
            }
        });
        world.does(worker, doing);
    }

    pub(crate) fn handler(&self, world: &mut World, number: u8, does: Does) {
        let Doing::Has(hold, turn) = world.take_doing(number) else {
            return;
        };
        let step = hold.next_step(self.bounds.steps);
        let doing = match (does, turn, step) {
            (Does::Effect, Turn::Effect(step), _) => {
                check_effect(world, &hold, &step);
                self.writes(world, number, hold, Act::Step(step))
            }
            (Does::Step, _, Some(step)) if hold.visible || self.broken == Broken::StepUnannounced => {
                Doing::Has(hold, Turn::Effect(step))
            }
            (Does::Step, _, step) => self.writes(world, number, hold, Act::Show { step }),
            (Does::Shows, _, _) => self.writes(world, number, hold, Act::Show { step: None }),
            (Does::Fails, _, _) => {
                world.left.failures -= 1;
                let is_last = hold.seen.snapshot.attempt >= self.bounds.max_attempts;
                let act = if is_last { Act::Park } else { Act::Retry };
                self.writes(world, number, hold, act)
            }
            (Does::Stops, _, _) => {
                world.left.stops -= 1;
                self.writes(world, number, hold, Act::Release { stops: true })
            }
            (Does::Ends | Does::Effect, _, _) if hold.hop() < self.bounds.hops => {
                self.writes(world, number, hold, Act::HandOff(None))
            }
            (Does::Ends | Does::Effect, _, _) => self.writes(world, number, hold, Act::Complete),
        };
        let doing = match doing {
            Doing::Has(hold, Turn::Writes(write, act)) => Doing::Has(hold, Turn::Writes(write.local(), act)),
            other => other,
        };
        world.does(number, doing);
    }

    pub(crate) fn worker_writes(&self, world: &mut World, number: u8, how: Network) {
        match world.take_doing(number) {
            Doing::Ends { ticket, mut write } => match world.advance(&mut write, how, self.broken) {
                None => world.does(number, Doing::Ends { ticket, write }),
                Some(End::Stored(seq)) => {
                    self.settles(world, number, (ticket.number, write.intent), write.rec, seq);
                }
                // The head moved: look again.
                Some(End::Superseded) => self.look_again(world, number, &ticket),
                Some(End::GaveUp) => world.hand_back(number),
            },
            Doing::Has(hold, Turn::Writes(mut write, act)) => match world.advance(&mut write, how, self.broken) {
                None => world.does(number, Doing::Has(hold, Turn::Writes(write, act))),
                Some(End::Stored(seq)) => self.stored(world, number, hold, (write, seq), act),
                Some(End::Superseded) => self.overtaken(world, number, hold, act),
                Some(End::GaveUp) => self.gave_up(world, number, hold, act),
            },
            other => world.does(number, other),
        }
    }

    fn stored(&self, world: &mut World, number: u8, mut hold: Box<Hold>, (write, seq): (Write, u64), act: Act) {
        if act.is_outcome() && world.record(hold.ticket.intent, seq).as_ref() != Some(&write.rec) {
            world.wrong = Some(Violation::BelievedCommit);
        }
        hold.take_over((write.rec.clone(), seq));
        hold.guard = Some(seq);
        match act {
            Act::Claim { .. } => {
                hold.visible = true;
                hold.steps = self.load(world, &hold);
                world.does(number, Doing::Has(hold, Turn::Runs));
            }
            Act::Show { step } => {
                hold.visible = true;
                world.does(number, Doing::Has(hold, step.map_or(Turn::Runs, Turn::Effect)));
            }
            Act::Step(name) => {
                hold.steps.push(name);
                world.does(number, Doing::Has(hold, Turn::Runs));
            }
            Act::HandOff(_) | Act::Complete | Act::Park => {
                self.settles(world, number, (hold.ticket.number, hold.ticket.intent), write.rec, seq);
            }
            Act::Retry | Act::Release { .. } => world.hand_back(number),
        }
    }

    fn overtaken(&self, world: &mut World, number: u8, mut hold: Box<Hold>, act: Act) {
        let (Some(head), Some(envelope)) = (world.head(hold.ticket.intent), hold.ticket.rec.envelope_id()) else {
            return;
        };
        let (held, instance) = (hold.snapshot(), world.pen(number).instance());
        let judge = match self.payer(Actor::Worker(number)) {
            Payer::Old => old::on_overtaken,
            Payer::New => on_overtaken,
        };
        let mut found = judge(&act.event(), &held, envelope, &instance, &head.0.snapshot);
        if self.broken == Broken::EveryHeadMine {
            found = Overtaken::Rebase;
        }
        match (found, act) {
            (Overtaken::Rebase, act) => {
                hold.take_over(head);
                let doing = self.writes(world, number, hold, act);
                world.does(number, doing);
            }
            (Overtaken::Remake, _) => world.hand_back(number),
            (Overtaken::Fenced, Act::Claim { .. }) => self.look_again(world, number, &hold.ticket),
            // The run ends. Nothing done here counts, and the ticket is left to the present holder.
            (Overtaken::Fenced, Act::Show { .. } | Act::Step(_)) => world.hand_back(number),
            (Overtaken::Fenced, Act::Release { stops: false }) => world.hand_back(number),
            (Overtaken::Fenced, _) => {
                if head.0.snapshot.status.may_have_a_ticket() {
                    world.hand_back(number);
                } else {
                    self.settles(world, number, (hold.ticket.number, hold.ticket.intent), head.0, head.1);
                }
            }
        }
    }

    fn gave_up(&self, world: &mut World, number: u8, hold: Box<Hold>, act: Act) {
        match act {
            // The server is at fault: the holder releases the hop, if that can be written.
            Act::Show { step: Some(_) } | Act::Step(_) => {
                let doing = self.writes(world, number, hold, Act::Release { stops: false });
                world.does(number, doing);
            }
            Act::Show { step: None } => world.does(number, Doing::Has(hold, Turn::Runs)),
            Act::Claim { .. } | Act::HandOff(_) | Act::Complete | Act::Park | Act::Retry | Act::Release { .. } => {
                world.hand_back(number);
            }
        }
    }

    fn look_again(&self, world: &mut World, number: u8, ticket: &Ticket) {
        let facts = DeliveryFacts {
            delivered: ticket.delivered.into(),
            reissued: ticket.reissued,
            stored_after_connect: ticket.after_connect,
        };
        self.examine(world, number, ticket, facts);
    }

    fn settles(&self, world: &mut World, number: u8, (ticket, intent): (u8, u8), rec: Rec, seq: u64) {
        let owes = match self.payer(Actor::Worker(number)) {
            Payer::Old => old::implies_ticket(&rec),
            Payer::New if self.broken == Broken::WorkableOwesNow => owed_ticket(&rec).is_some(),
            Payer::New => owed_ticket(&rec).is_some_and(|(_, owed)| owed == Owed::Now),
        };
        if !owes {
            return self.acked(world, number, ticket);
        }
        let doing = if self.broken == Broken::AckFirstUnswept {
            world.queue.retain(|queued| queued.number != ticket);
            Doing::SettlesAcked { intent, rec, seq }
        } else {
            Doing::Settles {
                ticket,
                intent,
                rec,
                seq,
            }
        };
        world.does(number, doing);
    }

    fn acked(&self, world: &mut World, number: u8, ticket: u8) {
        world.does(number, Doing::Acks { ticket });
    }

    pub(crate) fn worker_settles(&self, world: &mut World, number: u8) {
        match world.take_doing(number) {
            Doing::Settles {
                ticket,
                intent,
                rec,
                seq,
            } => {
                world.settle(intent, &rec, seq, self.payer(Actor::Worker(number)), self.broken);
                self.acked(world, number, ticket);
            }
            Doing::SettlesAcked { intent, rec, seq } => {
                world.settle(intent, &rec, seq, self.payer(Actor::Worker(number)), self.broken);
            }
            other => world.does(number, other),
        }
    }

    pub(crate) fn unsettled(world: &mut World, actor: Actor) {
        if let Actor::Worker(number) = actor {
            world.left.unanswered -= 1;
            world.hand_back(number);
        }
    }

    pub(crate) fn acks(&self, world: &mut World, number: u8) {
        if let Doing::Acks { ticket } = world.take_doing(number) {
            world.queue.retain(|queued| queued.number != ticket);
        }
    }
}

/// I6: an effect whose result is recorded runs only for a holder that was sure of the hop before that record was
/// written, and froze between its guard and the effect. Nothing but the system that the effect calls can refuse that
/// one.
fn check_effect(world: &mut World, hold: &Hold, step: &str) {
    let ledger = world.ledgers.get(usize::from(hold.ticket.intent)).into_iter().flatten();
    let recorded = (1_u64..).zip(ledger).find(|(_, rec)| {
        let is_named = rec.step.as_ref().is_some_and(|entry| entry.name == step);
        is_named && rec.snapshot.hop == hold.hop()
    });
    if let Some((seq, _)) = recorded
        && hold.guard.is_none_or(|guard| guard > seq)
    {
        world.wrong = Some(Violation::EffectRepeated);
    }
}
