//! The whole state, and what can happen next.

use baton_envelope::{
    AgentName, AgentVersion, Author, Draft, EnvelopeId, Need, RecordId, Role, Stamp, Status, needs, open_waits,
};

use super::{BrokenWait, Left, Waiting};
use crate::actions::Actor;
use crate::records::{Pen, Rec, SLACK, agent, at, first, intent, version};

/// Something forbidden, noticed as it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Wrong {
    /// The server dropped the ticket of a record because it knows the id from another record.
    TicketDropped,
    /// A handler did something else than the first time.
    StepChanged,
    /// A wait ended by its time although its signal was there.
    TimeBeforeSignal,
}

/// A ticket in the work stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Ticket {
    pub(crate) number: u8,
    pub(crate) rec: Rec,
    pub(crate) seq: u64,
    pub(crate) reissued: bool,
    pub(crate) delivered: u8,
    pub(crate) holder: Option<u8>,
}

/// A signal in the intake.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Message {
    pub(crate) number: u8,
    pub(crate) holder: Option<u8>,
}

/// What a process is doing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Doing {
    Idle,
    /// A router has a message, and has written nothing.
    Tells(u8),
    /// A worker runs the hop of a ticket; it saw this record last, and has read the ledger up to another.
    Runs {
        ticket: u8,
        seen: Rec,
        seq: u64,
        read: u64,
    },
    /// It pays what a record owes, one thing at a time; then it acks the ticket or the message, if it has one.
    Pays {
        of: Option<u8>,
        rec: Rec,
        seq: u64,
    },
}

/// One state of the model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scene {
    pub(crate) ledger: Vec<Rec>,
    pub(crate) queue: Vec<Ticket>,
    pub(crate) next_ticket: u8,
    /// The message ids of tickets that the server knows, and the records that they were written for.
    pub(crate) known: Vec<(EnvelopeId, u64)>,
    pub(crate) intake: Vec<Message>,
    pub(crate) sent: u8,
    /// The signals that are dead letters.
    pub(crate) dead: Vec<u8>,
    pub(crate) workers: Vec<Doing>,
    pub(crate) routers: Vec<Doing>,
    pub(crate) leader: Doing,
    pub(crate) left: Left,
    pub(crate) wrong: Option<Wrong>,
}

/// A process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    /// A worker.
    Worker(u8),
    /// A router.
    Router(u8),
    /// The leader.
    Leader,
}

/// One thing that can happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WaitAction {
    /// The next signal is sent.
    Send,
    /// The broker delivers a ticket.
    Deliver {
        /// Its number.
        ticket: u8,
        /// The worker.
        to: u8,
    },
    /// The broker delivers a signal.
    Hear {
        /// Its number.
        message: u8,
        /// The router.
        by: u8,
    },
    /// A process takes its next step.
    Step(Who),
    /// A process dies.
    Crash(Who),
    /// The leader looks after the intent: resumes it, writes its ticket again, or buries what is unread.
    Sweep,
    /// The time of an open wait has come, by its place.
    Time(u8),
    /// A power cut takes a ticket.
    LoseTicket(u8),
    /// Somebody parks the intent.
    Pause,
    /// Somebody puts it back.
    Redrive,
    /// Somebody cancels it.
    Cancel,
}

impl Scene {
    /// The last record, and its sequence.
    #[expect(clippy::expect_used, reason = "the ledger begins with a record")]
    pub(crate) fn head(&self) -> (Rec, u64) {
        let last = self.ledger.last().cloned();
        (last.expect("a record"), self.ledger.len() as u64)
    }

    pub(crate) fn record(&self, seq: u64) -> Option<Rec> {
        let index = usize::try_from(seq.checked_sub(1)?).ok()?;
        self.ledger.get(index).cloned()
    }

    pub(crate) fn doing(&mut self, who: Who) -> Option<&mut Doing> {
        match who {
            Who::Worker(number) => self.workers.get_mut(usize::from(number)),
            Who::Router(number) => self.routers.get_mut(usize::from(number)),
            Who::Leader => Some(&mut self.leader),
        }
    }

    pub(crate) fn does(&mut self, who: Who, what: Doing) {
        if let Some(doing) = self.doing(who) {
            *doing = what;
        }
    }

    /// A process no longer has what was delivered to it: it will be delivered again.
    pub(crate) fn hand_back(&mut self, who: Who) {
        match who {
            Who::Worker(number) => {
                for ticket in self.queue.iter_mut().filter(|ticket| ticket.holder == Some(number)) {
                    ticket.holder = None;
                }
            }
            Who::Router(number) => {
                for message in self.intake.iter_mut().filter(|message| message.holder == Some(number)) {
                    message.holder = None;
                }
            }
            Who::Leader => {}
        }
        self.does(who, Doing::Idle);
    }

    /// Writes a ticket; the server drops it if it knows the message id. `false` when it has.
    pub(crate) fn publish(&mut self, rec: Rec, seq: u64, reissued: bool) -> bool {
        let Some(id) = rec.envelope_id() else { return false };
        if !reissued {
            if let Some((_, of)) = self.known.iter().find(|(known, _)| *known == id) {
                if *of != seq {
                    self.wrong = Some(Wrong::TicketDropped);
                }
                return false;
            }
            self.known.push((id, seq));
        }
        let number = self.next_ticket;
        self.next_ticket += 1;
        self.queue.push(Ticket {
            number,
            rec,
            seq,
            reissued,
            delivered: 0,
            holder: None,
        });
        true
    }

    pub(crate) fn everyone(&self) -> impl Iterator<Item = (Who, &Doing)> {
        let workers = (0_u8..)
            .zip(&self.workers)
            .map(|(number, doing)| (Who::Worker(number), doing));
        let routers = (0_u8..)
            .zip(&self.routers)
            .map(|(number, doing)| (Who::Router(number), doing));
        workers.chain(routers).chain([(Who::Leader, &self.leader)])
    }
}

impl Waiting {
    /// The intent has just been submitted, and its ticket stands.
    pub(crate) fn begin(&self) -> Scene {
        let pen = Pen::new(Actor::Operator);
        let envelope = first(0, &pen, None);
        let mut scene = Scene {
            ledger: Vec::new(),
            queue: Vec::new(),
            next_ticket: 0,
            known: Vec::new(),
            intake: Vec::new(),
            sent: 0,
            dead: Vec::new(),
            workers: vec![Doing::Idle; usize::from(self.bounds.workers)],
            routers: vec![Doing::Idle; usize::from(self.bounds.routers)],
            leader: Doing::Idle,
            left: self.bounds.left,
            wrong: None,
        };
        let draft = baton_envelope::act::submit(at(0), version(0), envelope);
        let rec = self.write(&mut scene, draft, "client");
        let _is_new = scene.publish(rec, 1, false);
        scene
    }

    /// Appends the record of an act. Its ids depend on its place alone.
    pub(crate) fn write(&self, scene: &mut Scene, draft: Draft, by: &str) -> Rec {
        let seq = scene.ledger.len() as u64;
        let place = u8::try_from(seq).unwrap_or(u8::MAX);
        let stamp = Stamp {
            id: RecordId::generate(at(0), [9, place, 0, 0, 0, 0, 0, 0, 0, 0]),
            at: at(0),
            by: Author::of(Role::Controller, by),
        };
        let mut record = draft.seal(intent(0), seq, stamp);
        if self.broken == BrokenWait::Untold {
            record.snapshot.told = None;
        }
        let rec = Rec::new(record);
        scene.ledger.push(rec.clone());
        rec
    }

    /// An id for the envelope of the next record.
    pub(crate) fn envelope_id(scene: &Scene) -> EnvelopeId {
        let place = u8::try_from(scene.ledger.len()).unwrap_or(u8::MAX);
        EnvelopeId::generate(at(0), [8, place, 0, 0, 0, 0, 0, 0, 0, 0])
    }

    /// What happens by itself when nothing more goes wrong.
    pub(crate) fn calm(&self, scene: &Scene, actions: &mut Vec<WaitAction>) {
        let busy = scene.everyone().filter(|(_, doing)| **doing != Doing::Idle);
        actions.extend(busy.map(|(who, _)| WaitAction::Step(who)));
        let idle = |doings: &[Doing]| doings.iter().position(|doing| *doing == Doing::Idle);
        // Idle processes are alike.
        if let Some(to) = idle(&scene.workers).and_then(|to| u8::try_from(to).ok()) {
            let free = scene.queue.iter().filter(|ticket| ticket.holder.is_none());
            actions.extend(free.map(|ticket| WaitAction::Deliver {
                ticket: ticket.number,
                to,
            }));
        }
        if let Some(by) = idle(&scene.routers).and_then(|by| u8::try_from(by).ok()) {
            let free = scene.intake.iter().filter(|message| message.holder.is_none());
            actions.extend(free.map(|message| WaitAction::Hear {
                message: message.number,
                by,
            }));
        }
        if scene.leader == Doing::Idle && self.wants_sweep(scene) {
            actions.push(WaitAction::Sweep);
        }
        if matches!(scene.head().0.snapshot.status, Status::Parked { .. }) {
            actions.push(WaitAction::Redrive);
        }
    }

    /// What goes wrong, what people do, and what time does.
    pub(crate) fn willed(&self, scene: &Scene, actions: &mut Vec<WaitAction>) {
        let (head, _) = scene.head();
        let (status, left) = (&head.snapshot.status, scene.left);
        if usize::from(scene.sent) < self.bounds.signals.len() {
            actions.push(WaitAction::Send);
        }
        if left.crashes > 0 {
            let busy = scene.everyone().filter(|(_, doing)| **doing != Doing::Idle);
            actions.extend(busy.map(|(who, _)| WaitAction::Crash(who)));
        }
        if left.redeliveries > 0 {
            let idle = (0_u8..).zip(&scene.workers).find(|(_, doing)| **doing == Doing::Idle);
            let held = scene.queue.iter().filter(|ticket| ticket.holder.is_some());
            let to = idle.map(|(to, _)| to);
            actions.extend(held.filter_map(|ticket| {
                let ticket = ticket.number;
                to.map(|to| WaitAction::Deliver { ticket, to })
            }));
            let idle = (0_u8..).zip(&scene.routers).find(|(_, doing)| **doing == Doing::Idle);
            let held = scene.intake.iter().filter(|message| message.holder.is_some());
            let by = idle.map(|(by, _)| by);
            actions.extend(held.filter_map(|message| {
                let message = message.number;
                by.map(|by| WaitAction::Hear { message, by })
            }));
        }
        if left.lost_tickets > 0 {
            actions.extend(scene.queue.iter().map(|ticket| WaitAction::LoseTicket(ticket.number)));
        }
        let is_open = !status.is_terminal();
        if left.pauses > 0 && (status.is_workable() || matches!(status, Status::Waiting { .. })) {
            actions.push(WaitAction::Pause);
        }
        if left.cancels > 0 && is_open {
            actions.push(WaitAction::Cancel);
        }
        // Timers exist for the open waits of a waiting head alone.
        if scene.leader == Doing::Idle && matches!(status, Status::Waiting { .. }) {
            let timed = (0_u8..)
                .zip(open_waits(&head.snapshot))
                .filter(|(_, wait)| wait.after_ms.is_some());
            actions.extend(timed.map(|(place, _)| WaitAction::Time(place)));
        }
    }

    /// Whether the leader, looking much later, would do anything.
    pub(crate) fn wants_sweep(&self, scene: &Scene) -> bool {
        let (head, _) = scene.head();
        let pays = scene.everyone().any(|(_, doing)| matches!(doing, Doing::Pays { .. }));
        if head.snapshot.status.is_terminal() {
            let unread = head.snapshot.signals.iter().filter_map(|signal| number_of(&signal.id));
            let mut unburied = unread.filter(|number| !scene.dead.contains(number));
            return self.broken != BrokenWait::Unburied && unburied.next().is_some();
        }
        match needs(&head, at(1), SLACK) {
            Need::Resume => self.broken != BrokenWait::SatisfiedOwesNothing,
            // Somebody who still pays may write it.
            Need::Ticket => {
                !pays
                    && scene
                        .queue
                        .iter()
                        .all(|ticket| ticket.rec.envelope_id() != head.snapshot.envelope)
            }
            Need::Closed | Need::None | Need::TimeOut | Need::Redrive | Need::TopUps => false,
        }
    }

    /// The agent and version of the next hop.
    pub(crate) fn receiver(hop: u32) -> (AgentName, AgentVersion) {
        (agent(hop), version(0))
    }
}

/// The message id of a signal.
pub(crate) fn id_of(number: u8) -> String {
    format!("m{number}")
}

/// The number of a signal, by its message id.
pub(crate) fn number_of(id: &str) -> Option<u8> {
    id.strip_prefix('m')?.parse().ok()
}
