//! The whole state: ledgers, the work stream, the network, the processes; and what can happen next.

use baton_envelope::{Effect, EnvelopeId, Need, Owed, Status, Timestamp, effects, is_ticket_lost, is_within, needs};
use stateright::{Model, Property};

use crate::Protocol;
use crate::actions::{Action, Actor, Network, Order};
use crate::bounds::{Broken, Faults};
use crate::hold::{Doing, Worker};
use crate::old;
use crate::others::Clerk;
use crate::properties::Violation;
use crate::records::{Rec, SLACK, WINDOW, at};
use crate::write::Write;

/// A ticket in the work stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Ticket {
    /// Its number in the stream.
    pub(crate) number: u8,
    pub(crate) intent: u8,
    /// The record that it carries, and the sequence that authorised it.
    pub(crate) rec: Rec,
    pub(crate) seq: u64,
    pub(crate) reissued: bool,
    /// How often it was delivered; two means two or more.
    pub(crate) delivered: u8,
    /// Whether it was stored after the workers connected.
    pub(crate) after_connect: bool,
    /// The hour in which it was stored.
    pub(crate) hour: u8,
    /// The worker that has it and has neither acked nor handed it back.
    pub(crate) holder: Option<u8>,
}

/// One state of the model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    pub(crate) ledgers: Vec<Vec<Rec>>,
    pub(crate) queue: Vec<Ticket>,
    pub(crate) next_ticket: u8,
    /// The message ids that the server still knows.
    pub(crate) known: Vec<(EnvelopeId, Option<u64>)>,
    /// Publishes in flight that nobody waits for.
    pub(crate) delayed: Vec<Write>,
    pub(crate) submitters: Vec<Clerk>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) operator: Clerk,
    pub(crate) sweeper: Clerk,
    pub(crate) left: Faults,
    pub(crate) hour: u8,
    /// The violation noticed on the way here.
    pub(crate) wrong: Option<Violation>,
}

impl World {
    /// The last record of an intent, with its sequence.
    pub(crate) fn head(&self, intent: u8) -> Option<(Rec, u64)> {
        let ledger = self.ledgers.get(usize::from(intent))?;
        Some((ledger.last()?.clone(), ledger.len() as u64))
    }

    pub(crate) fn record(&self, intent: u8, seq: u64) -> Option<Rec> {
        let index = usize::try_from(seq.checked_sub(1)?).ok()?;
        self.ledgers.get(usize::from(intent))?.get(index).cloned()
    }

    /// Whether nothing will happen to an intent until a person acts.
    pub(crate) fn is_at_rest(&self, intent: u8) -> bool {
        self.head(intent).is_none_or(|(rec, _)| {
            let status = &rec.snapshot.status;
            status.is_terminal() || matches!(status, Status::Parked { .. })
        })
    }

    /// Writes a ticket; the server drops it if it knows the message id.
    pub(crate) fn publish_ticket(&mut self, intent: u8, rec: Rec, seq: u64, reissued: Option<u64>, proof: Proof) {
        let Some(envelope) = rec.envelope_id() else { return };
        let id = (envelope, reissued);
        if self.known.contains(&id) {
            return;
        }
        let stands = self
            .queue
            .iter()
            .any(|ticket| ticket.rec.envelope_id() == Some(envelope));
        if stands && proof == Proof::None {
            self.wrong = Some(Violation::SecondTicket);
        }
        self.known.push(id);
        self.known.sort_unstable();
        self.add_ticket(intent, rec, seq, reissued.is_some(), true);
    }

    pub(crate) fn add_ticket(&mut self, intent: u8, rec: Rec, seq: u64, reissued: bool, after_connect: bool) {
        let number = self.next_ticket;
        self.next_ticket += 1;
        self.queue.push(Ticket {
            number,
            intent,
            rec,
            seq,
            reissued,
            delivered: 0,
            after_connect,
            hour: self.hour,
            holder: None,
        });
    }

    /// Pays what a head owes, by the rules of the payer.
    pub(crate) fn settle(&mut self, intent: u8, rec: &Rec, seq: u64, payer: Payer, broken: Broken) {
        let now = at(self.hour);
        if payer == Payer::Old {
            if old::implies_ticket(rec) {
                let reissued = old::is_past_window(rec, now, WINDOW).then_some(seq);
                self.publish_ticket(intent, rec.clone(), seq, reissued, Proof::Given);
            }
            return;
        }
        let Some((source, owed)) = owed_ticket(rec) else { return };
        let found = match source {
            Some(at) => self.record(intent, at).map(|rec| (rec, at)),
            None => Some((rec.clone(), seq)),
        };
        let Some((source, at)) = found else { return };
        match owed {
            Owed::Now if is_within(source.at, now, WINDOW) => {
                self.publish_ticket(intent, source, at, None, Proof::None);
            }
            Owed::Now if broken == Broken::LatePayers => {
                self.publish_ticket(intent, source, at, Some(seq), Proof::None);
            }
            _ if broken == Broken::WorkableOwesNow => self.publish_ticket(intent, source, at, Some(seq), Proof::None),
            Owed::Now | Owed::IfLost | Owed::Once => {}
        }
    }

    /// Whether the sweeper would find the ticket of this head lost.
    pub(crate) fn finds_lost(&self, head: &Rec) -> bool {
        let snapshot = &head.snapshot;
        let of_version = self.queue.iter().filter(|ticket| {
            let ticket = &ticket.rec.snapshot;
            ticket.agent == snapshot.agent && ticket.version == snapshot.version
        });
        let oldest = of_version.map(|ticket| at(ticket.hour)).min();
        is_ticket_lost(snapshot, oldest, SLACK)
    }

    /// Whether a sweep of an intent would do anything now.
    pub(crate) fn wants_sweep(&self, intent: u8, is_old: bool) -> bool {
        self.head(intent)
            .is_some_and(|(rec, seq)| match need_of(&rec, at(self.hour), is_old) {
                Need::TimeOut => true,
                // The server drops a ticket whose id it knows.
                Need::Ticket => {
                    let id = rec.snapshot.envelope.map(|envelope| (envelope, Some(seq)));
                    self.finds_lost(&rec) && id.is_some_and(|id| !self.known.contains(&id))
                }
                Need::Closed | Need::None | Need::Resume | Need::Redrive | Need::TopUps => false,
            })
    }

    pub(crate) fn pass_an_hour(&mut self) {
        self.hour += 1;
        self.known.clear();
    }

    /// Everything that happens by itself while nothing goes wrong and no time passes.
    pub(crate) fn calm_actions(&self, actions: &mut Vec<Action>) {
        for clerk in self.submitters.iter().chain([&self.operator, &self.sweeper]) {
            clerk.actions(false, actions);
        }
        for (number, worker) in (0_u8..).zip(&self.workers) {
            worker.calm_actions(number, actions);
        }
        for ticket in self.queue.iter().filter(|ticket| ticket.holder.is_none()) {
            self.deliveries(ticket, actions);
        }
    }

    /// The actions of a write that goes before everything else, if there is one.
    fn first_things(&self, actions: &mut Vec<Action>) -> bool {
        let lossy = self.left.unanswered > 0;
        if let Some(clerk) = self.submitters.iter().find(|clerk| clerk.goes_first()) {
            clerk.actions(false, actions);
            if lossy {
                clerk.actions(true, actions);
            }
            return true;
        }
        let found = (0_u8..).zip(&self.workers).find(|(_, worker)| worker.goes_first());
        let Some((number, worker)) = found else { return false };
        worker.calm_actions(number, actions);
        if lossy {
            worker.lossy_actions(number, actions);
        }
        true
    }

    /// Idle workers are alike; of those that never did anything, one is enough.
    fn deliveries(&self, ticket: &Ticket, actions: &mut Vec<Action>) {
        let mut unused_before = false;
        for (worker, at) in (0_u8..).zip(&self.workers) {
            let is_unused = at.is_unused();
            if at.doing == Doing::Idle && !(is_unused && unused_before) {
                actions.push(Action::Deliver {
                    ticket: ticket.number,
                    worker,
                });
            }
            unused_before |= is_unused;
        }
    }

    fn faults(&self, only_workers_crash: bool, actions: &mut Vec<Action>) {
        let left = self.left;
        if left.unanswered > 0 {
            for clerk in self.submitters.iter().chain([&self.operator, &self.sweeper]) {
                clerk.actions(true, actions);
            }
            for (number, worker) in (0_u8..).zip(&self.workers) {
                worker.lossy_actions(number, actions);
            }
        }
        for index in (0_u8..).zip(&self.delayed).map(|(index, _)| index) {
            actions.extend([Action::Arrives(index), Action::Vanishes(index)]);
        }
        if left.crashes > 0 && !only_workers_crash {
            for clerk in self.submitters.iter().chain([&self.operator, &self.sweeper]) {
                actions.extend(clerk.is_busy().then_some(Action::Crash(clerk.pen.actor)));
            }
        }
        if left.crashes > 0 {
            for (number, worker) in (0_u8..).zip(&self.workers) {
                let is_busy = worker.doing != Doing::Idle;
                actions.extend(is_busy.then_some(Action::Crash(Actor::Worker(number))));
            }
        }
        for ticket in &self.queue {
            if left.redeliveries > 0 && ticket.holder.is_some() {
                self.deliveries(ticket, actions);
            }
            actions.extend((left.lost_tickets > 0).then_some(Action::LoseTicket(ticket.number)));
            let is_known = ticket.delivered > 0 || ticket.after_connect;
            actions.extend((left.forgotten > 0 && is_known).then_some(Action::Forget(ticket.number)));
        }
        if left.repeated_tickets > 0 {
            for (intent, ledger) in (0_u8..).zip(&self.ledgers) {
                for (seq, rec) in (1_u64..).zip(ledger) {
                    let is_ticket = old::implies_ticket(rec);
                    actions.extend(is_ticket.then_some(Action::RepeatTicket { intent, seq }));
                }
            }
        }
    }

    fn orders(&self, actions: &mut Vec<Action>) {
        if self.operator.is_busy() {
            return;
        }
        for intent in (0_u8..).zip(&self.ledgers).map(|(intent, _)| intent) {
            let left = self.left;
            for (order, left) in [
                (Order::Redrive, left.redrives),
                (Order::Move, left.moves),
                (Order::Repin, left.repins),
            ] {
                let may = left > 0 && self.head(intent).is_some_and(|(rec, _)| order.applies_to(&rec));
                actions.extend(may.then_some(Action::Orders(order, intent)));
            }
        }
    }

    /// Performs an action that does not belong to one process.
    fn happens(&mut self, action: Action) {
        match action {
            Action::Arrives(index) => {
                let write = self.delayed.remove(usize::from(index));
                self.store(write.intent, write.rec, write.expected, write.unguarded);
            }
            Action::Vanishes(index) => {
                self.delayed.remove(usize::from(index));
            }
            Action::LoseTicket(number) => {
                self.left.lost_tickets -= 1;
                self.queue.retain(|ticket| ticket.number != number);
            }
            Action::RepeatTicket { intent, seq } => {
                self.left.repeated_tickets -= 1;
                if let Some(rec) = self.record(intent, seq) {
                    // A copy of a publish carries its message id.
                    let id = rec.envelope_id().map(|envelope| (envelope, None));
                    self.known.extend(id.filter(|id| !self.known.contains(id)));
                    self.known.sort_unstable();
                    self.add_ticket(intent, rec, seq, false, true);
                }
            }
            Action::Forget(number) => {
                self.left.forgotten -= 1;
                if let Some(ticket) = self.queue.iter_mut().find(|ticket| ticket.number == number) {
                    (ticket.delivered, ticket.after_connect, ticket.holder) = (0, false, None);
                }
            }
            Action::Hour => {
                self.left.hours -= 1;
                self.pass_an_hour();
            }
            Action::Submit(_)
            | Action::Write(..)
            | Action::Settle(_)
            | Action::Unsettled(_)
            | Action::Ack(_)
            | Action::AckLost(_)
            | Action::Deliver { .. }
            | Action::Handler(..)
            | Action::Crash(_)
            | Action::Orders(..)
            | Action::Sweep(_) => {}
        }
    }
}

impl Protocol {
    /// The state after an action.
    pub(crate) fn after(&self, world: &World, action: Action) -> World {
        let mut next = world.clone();
        match action {
            Action::Submit(actor) => self.submit(&mut next, actor),
            Action::Write(Actor::Worker(number), how) => self.worker_writes(&mut next, number, how),
            Action::Write(actor, how) => self.clerk_writes(&mut next, actor, how),
            Action::Settle(Actor::Worker(number)) => self.worker_settles(&mut next, number),
            Action::Settle(actor) => self.clerk_settles(&mut next, actor),
            Action::Unsettled(actor) => Self::unsettled(&mut next, actor),
            Action::Ack(number) => self.acks(&mut next, number),
            Action::AckLost(number) => {
                next.left.unanswered -= 1;
                next.hand_back(number);
            }
            Action::Deliver { ticket, worker } => self.deliver(&mut next, ticket, worker),
            Action::Handler(number, does) => self.handler(&mut next, number, does),
            Action::Crash(actor) => Self::crash(&mut next, actor),
            Action::Orders(order, intent) => self.order(&mut next, order, intent),
            Action::Sweep(intent) => self.sweep(&mut next, intent),
            Action::Arrives(_)
            | Action::Vanishes(_)
            | Action::LoseTicket(_)
            | Action::RepeatTicket { .. }
            | Action::Forget(_)
            | Action::Hour => next.happens(action),
        }
        next
    }

    /// The rules by which a process writes and pays.
    pub(crate) fn payer(&self, actor: Actor) -> Payer {
        let is_old = match actor {
            Actor::Worker(number) => number < self.bounds.old_workers,
            Actor::Submitter { .. } | Actor::Operator => self.bounds.old_clients,
            Actor::Sweeper => self.bounds.old_sweeper,
        };
        if is_old { Payer::Old } else { Payer::New }
    }

    /// Whether there is a sweeper.
    pub(crate) fn sweeps(&self) -> bool {
        !matches!(
            self.broken,
            Broken::NoSweeper | Broken::UnsettledUnswept | Broken::AckFirstUnswept
        )
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let bounds = self.bounds;
        let submitters = (0..bounds.intents)
            .flat_map(|intent| (0..bounds.submitters).map(move |number| Actor::Submitter { intent, number }));
        vec![World {
            ledgers: vec![Vec::new(); usize::from(bounds.intents)],
            queue: Vec::new(),
            next_ticket: 0,
            known: Vec::new(),
            delayed: Vec::new(),
            submitters: submitters.map(Clerk::new).collect(),
            workers: (0..bounds.workers).map(Worker::new).collect(),
            operator: Clerk::new(Actor::Operator),
            sweeper: Clerk::new(Actor::Sweeper),
            left: bounds.faults,
            hour: 0,
            wrong: None,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        // A wrong state is reported as it is; exploring further teaches nothing.
        if world.wrong.is_some() {
            return;
        }
        if world.first_things(actions) {
            return;
        }
        world.calm_actions(actions);
        for (number, worker) in (0_u8..).zip(&world.workers) {
            self.willed(world, number, worker, actions);
        }
        world.faults(self.bounds.only_workers_crash, actions);
        world.orders(actions);
        if self.sweeps() && !world.sweeper.is_busy() {
            let intents = (0_u8..).zip(&world.ledgers).map(|(intent, _)| intent);
            actions.extend(
                intents
                    .filter(|intent| world.wants_sweep(*intent, self.bounds.old_sweeper))
                    .map(Action::Sweep),
            );
        }
        if world.left.hours > 0 && !world.ledgers.iter().all(Vec::is_empty) {
            actions.push(Action::Hour);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        Some(self.after(world, action))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        crate::properties::all()
    }
}

/// The rules by which a process writes and pays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payer {
    New,
    Old,
}

/// Whether the writer of a ticket has found out that there is none: the sweeper has, if its clock is right. (The old
/// build never had to.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    None,
    Given,
}

/// The ticket that a head owes: the place of its envelope, and when it is owed.
pub(crate) fn owed_ticket(head: &Rec) -> Option<(Option<u64>, Owed)> {
    effects(head).find_map(|(effect, owed)| match effect {
        Effect::Ticket(work) => Some((work.source, owed)),
        Effect::Answer(_) | Effect::Resume | Effect::Children | Effect::Redrive | Effect::TopUps => None,
    })
}

/// What a sweeper believes an intent to need.
pub(crate) fn need_of(head: &Rec, now: Timestamp, is_old: bool) -> Need {
    if is_old {
        old::needs(&head.snapshot, now, SLACK)
    } else {
        needs(head, now, SLACK)
    }
}

/// Whether an answer can be lost this way.
pub(crate) fn is_lossy(how: Network) -> bool {
    matches!(how, Network::LosesTheAnswer | Network::Delays | Network::GivesUp)
}
