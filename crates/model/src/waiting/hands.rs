//! What each process does with one action.

use baton_envelope::{
    DeliveryFacts, Draft, Effect, Ends, ErrorInfo, Event, Extra, Json, OpenWait, Overtaken, Owed, Record, SignalEntry,
    SignalFate, Standing, StepEntry, Successor, WaitKind, WaitOutcome, WaitResult, WaitSpec, act, effects, is_fresh,
    on_delivery, on_overtaken, on_signal, open_waits, recorded_steps, recorded_waits, satisfied,
};

use super::scene::{Doing, Message, Scene, Ticket, WaitAction, Who, Wrong, id_of, number_of};
use super::{BrokenWait, Waiting};
use crate::records::{Rec, at};

/// How long a wait with a time waits; when that is over is not the model's business.
const AFTER_MS: u64 = 1_000;

/// What a hop does next.
enum Next {
    Asks(Vec<WaitSpec>),
    Records(String),
    Ends,
    Fails,
}

impl Waiting {
    /// The scene after an action.
    pub(crate) fn after(&self, scene: &Scene, action: WaitAction) -> Scene {
        let mut next = scene.clone();
        match action {
            WaitAction::Send => {
                next.intake.push(Message {
                    number: next.sent,
                    holder: None,
                });
                next.sent += 1;
            }
            WaitAction::Deliver { ticket, to } => self.deliver(&mut next, ticket, to),
            WaitAction::Hear { message, by } => {
                if let Some(found) = next.intake.iter_mut().find(|found| found.number == message) {
                    next.left.redeliveries -= u8::from(found.holder.is_some());
                    found.holder = Some(by);
                }
                next.does(Who::Router(by), Doing::Tells(message));
            }
            WaitAction::Step(who) => self.step(&mut next, who),
            WaitAction::Crash(who) => {
                next.left.crashes -= 1;
                next.hand_back(who);
            }
            WaitAction::Sweep => self.sweep(&mut next),
            WaitAction::Time(place) => {
                let (head, _) = next.head();
                let name = open_waits(&head.snapshot)
                    .nth(usize::from(place))
                    .map(|wait| wait.name.clone());
                if let Some((rec, seq)) = self.resume(&mut next, |wait| Some(&wait.name) == name.as_ref()) {
                    next.does(Who::Leader, Doing::Pays { of: None, rec, seq });
                }
            }
            WaitAction::LoseTicket(number) => {
                next.left.lost_tickets -= 1;
                next.queue.retain(|ticket| ticket.number != number);
            }
            WaitAction::Pause => {
                next.left.pauses -= 1;
                let (head, seq) = next.head();
                let draft = act::park(&head.snapshot.clone().seen_at(seq), ErrorInfo::new("PAUSED", ""));
                self.follow(&mut next, draft.ok(), "operator");
            }
            WaitAction::Cancel => {
                next.left.cancels -= 1;
                let (head, seq) = next.head();
                let draft = act::cancel(&head.snapshot.clone().seen_at(seq), "enough");
                self.follow(&mut next, draft.ok(), "operator");
            }
            WaitAction::Redrive => {
                let (head, seq) = next.head();
                let (id, last) = (Self::envelope_id(&next), self.envelope_of(&next));
                let draft = last.and_then(|last| {
                    let (_, version) = Self::receiver(last.hop);
                    act::redrive(&head.snapshot.clone().seen_at(seq), last.again(id), version).ok()
                });
                if let Some(rec) = self.follow(&mut next, draft, "operator") {
                    next.publish(rec, seq + 1, false);
                }
            }
        }
        next
    }

    fn follow(&self, scene: &mut Scene, draft: Option<Draft>, by: &str) -> Option<Rec> {
        draft.map(|draft| self.write(scene, draft, by))
    }

    /// The envelope of the present hop.
    fn envelope_of(&self, scene: &Scene) -> Option<baton_envelope::Envelope> {
        let (head, seq) = scene.head();
        let at = match &head.envelope {
            Some(_) => seq,
            None => head.snapshot.envelope_seq?,
        };
        scene.record(at)?.envelope.as_deref().cloned()
    }

    fn deliver(&self, scene: &mut Scene, number: u8, to: u8) {
        let Some(ticket) = scene.queue.iter_mut().find(|ticket| ticket.number == number) else {
            return;
        };
        scene.left.redeliveries -= u8::from(ticket.holder.is_some());
        (ticket.holder, ticket.delivered) = (Some(to), (ticket.delivered + 1).min(2));
        let (ticket, who) = (ticket.clone(), Who::Worker(to));
        let facts = DeliveryFacts {
            delivered: ticket.delivered.into(),
            reissued: ticket.reissued,
            stored_after_connect: true,
        };
        if is_fresh(facts) && ticket.rec.event.begins_hop() {
            let (seen, seq) = (ticket.rec, ticket.seq);
            return scene.does(
                who,
                Doing::Runs {
                    ticket: number,
                    seen,
                    seq,
                    read: 0,
                },
            );
        }
        self.examine(scene, who, &ticket, facts);
    }

    fn examine(&self, scene: &mut Scene, who: Who, ticket: &Ticket, facts: DeliveryFacts) {
        let ((head, seq), Some(envelope)) = (scene.head(), ticket.rec.envelope_id()) else {
            return;
        };
        match on_delivery(&head, envelope, facts, at(0)) {
            Standing::Superseded => scene.does(
                who,
                Doing::Pays {
                    of: Some(ticket.number),
                    rec: head,
                    seq,
                },
            ),
            Standing::Mine { attempt } => {
                let held = head.snapshot.clone().seen_at(seq);
                let draft = act::claim(&held, &instance(who), attempt).ok();
                match self.follow(scene, draft, &instance(who)) {
                    Some(seen) => scene.does(
                        who,
                        Doing::Runs {
                            ticket: ticket.number,
                            seen,
                            seq: seq + 1,
                            read: seq + 1,
                        },
                    ),
                    None => scene.hand_back(who),
                }
            }
            Standing::Early { .. } | Standing::Late | Standing::Undoing => scene.hand_back(who),
        }
    }

    fn step(&self, scene: &mut Scene, who: Who) {
        let Some(doing) = scene.doing(who).map(|doing| std::mem::replace(doing, Doing::Idle)) else {
            return;
        };
        match doing {
            Doing::Idle => {}
            Doing::Tells(number) => self.tell(scene, who, number),
            Doing::Runs {
                ticket,
                seen,
                seq,
                read,
            } => self.run(scene, who, ticket, (seen, seq), read),
            Doing::Pays { of, rec, seq } => match self.pay(scene, &rec, seq) {
                Some((rec, seq)) => scene.does(who, Doing::Pays { of, rec, seq }),
                None => match who {
                    Who::Worker(_) => scene.queue.retain(|ticket| Some(ticket.number) != of),
                    Who::Router(_) => scene.intake.retain(|message| Some(message.number) != of),
                    Who::Leader => {}
                },
            },
        }
    }

    /// Pays one thing that a record owes, and gives what is to be paid then: a `resumed` that was written, or the same once
    /// more. `None` when all is paid.
    fn pay(&self, scene: &mut Scene, rec: &Rec, seq: u64) -> Option<(Rec, u64)> {
        let mut resumes = false;
        for (effect, owed) in effects(rec) {
            match (effect, owed) {
                (Effect::Ticket(work), Owed::Now) => {
                    let source = match work.source {
                        Some(at) => scene.record(at).map(|source| (source, at)),
                        None => Some((rec.clone(), seq)),
                    };
                    if source.is_some_and(|(source, at)| scene.publish(source, at, false)) {
                        return Some((rec.clone(), seq));
                    }
                }
                (Effect::Resume, _) => {
                    resumes = self.broken != BrokenWait::SatisfiedOwesNothing || rec.event == Event::Signalled;
                }
                (Effect::Ticket(_) | Effect::Answer(_) | Effect::Children | Effect::Redrive | Effect::TopUps, _) => {}
            }
        }
        resumes.then(|| self.resume(scene, |_| false)).flatten()
    }

    /// Ends the waits of the head, if they are over.
    fn resume(&self, scene: &mut Scene, is_due: impl Fn(&OpenWait) -> bool) -> Option<(Rec, u64)> {
        let (head, seq) = scene.head();
        let held = head.snapshot.clone().seen_at(seq);
        let mut now = held.clone();
        if self.broken == BrokenWait::TimeFirst && open_waits(&now).any(&is_due) {
            now.signals.clear();
        }
        let ends = satisfied(&now, is_due)?;
        let (mut results, mut taken) = (Vec::new(), Vec::new());
        for (wait, end) in ends {
            let mut result = WaitResult {
                name: wait.name.clone(),
                kind: wait.kind.clone(),
                outcome: WaitOutcome::Abandoned,
                data: Json::null(),
                data_encoding: None,
                by: None,
                at: None,
                seq: None,
                children: Vec::new(),
                extra: Extra::new(),
            };
            match end {
                Ends::Signal { id, seq } => {
                    (result.outcome, result.seq) = (WaitOutcome::Signalled, seq);
                    taken.push(id);
                }
                Ends::Time => {
                    result.outcome = WaitOutcome::TimedOut;
                    if held.signals.iter().any(|signal| signal.name == wait.name) {
                        scene.wrong = Some(Wrong::TimeBeforeSignal);
                    }
                }
                Ends::Decision(_) => result.outcome = WaitOutcome::Decided,
                Ends::Another if self.broken == BrokenWait::LosersUnrecorded => continue,
                Ends::Another | Ends::Children => {}
            }
            results.push(result);
        }
        let last = self.envelope_of(scene)?;
        let envelope = match self.broken {
            BrokenWait::OldEnvelope => last,
            BrokenWait::Nothing
            | BrokenWait::SatisfiedOwesNothing
            | BrokenWait::Untold
            | BrokenWait::Unburied
            | BrokenWait::AnswersFromUnread
            | BrokenWait::LosersUnrecorded
            | BrokenWait::TimeFirst => last.again(Self::envelope_id(scene)),
        };
        let (_, version) = Self::receiver(envelope.hop);
        let draft = act::resume(&held, envelope, version, results, &taken).ok()?;
        let rec = self.write(scene, draft, "controller");
        Some((rec, seq + 1))
    }

    fn tell(&self, scene: &mut Scene, who: Who, number: u8) {
        let (head, seq) = scene.head();
        let held = head.snapshot.clone().seen_at(seq);
        let pays = |rec, seq| Doing::Pays {
            of: Some(number),
            rec,
            seq,
        };
        let name = self.bounds.signals.get(usize::from(number));
        let name = name.copied().unwrap_or_default();
        let doing = match on_signal(&held, name, &id_of(number)) {
            SignalFate::Take => {
                let entry = SignalEntry {
                    name: name.to_owned(),
                    id: id_of(number),
                    data: Json::null(),
                    data_encoding: None,
                    by: None,
                    at: None,
                    extra: Extra::new(),
                };
                let draft = act::signal(&held, entry).ok();
                match self.follow(scene, draft, "controller") {
                    Some(rec) => pays(rec, seq + 1),
                    None => Doing::Idle,
                }
            }
            SignalFate::Known => pays(head, seq),
            SignalFate::TooLate | SignalFate::TooMany => {
                bury(scene, number);
                pays(head, seq)
            }
        };
        scene.does(who, doing);
    }

    fn sweep(&self, scene: &mut Scene) {
        let (head, seq) = scene.head();
        if head.snapshot.status.is_terminal() {
            for number in head.snapshot.signals.iter().filter_map(|signal| number_of(&signal.id)) {
                bury(scene, number);
            }
            return;
        }
        if let Some((rec, seq)) = self.resume(scene, |_| false) {
            return scene.does(Who::Leader, Doing::Pays { of: None, rec, seq });
        }
        let source = match (&head.envelope, head.snapshot.envelope_seq) {
            (None, Some(at)) => scene.record(at).map(|rec| (rec, at)),
            (_, _) => Some((head, seq)),
        };
        if let Some((rec, at)) = source {
            scene.publish(rec, at, true);
        }
    }

    /// The handler runs to its next record.
    fn run(&self, scene: &mut Scene, who: Who, ticket: u8, (mut seen, mut seq): (Rec, u64), read: u64) {
        let known = scene.ledger.iter().take(usize::try_from(read).unwrap_or_default());
        let history: Vec<Record> = known.map(|rec| Record::clone(rec)).collect();
        let next = self.next_of(&history, &seen);
        let Some(held) = scene.queue.iter().find(|queued| queued.number == ticket).cloned() else {
            return scene.hand_back(who);
        };
        let Some(envelope) = held.rec.envelope.clone() else {
            return;
        };
        let event = match &next {
            Next::Asks(specs) => Event::Waiting {
                reason: baton_envelope::reason_of(specs),
            },
            Next::Records(_) => Event::Step,
            Next::Ends if envelope.hop < self.bounds.hops => Event::HandedOff,
            Next::Ends => Event::Completed,
            Next::Fails => {
                scene.wrong = Some(Wrong::StepChanged);
                return;
            }
        };
        let (head, head_seq) = scene.head();
        if head_seq != seq {
            let before = seen.snapshot.clone().seen_at(seq);
            match on_overtaken(&event, &before, envelope.id, &instance(who), &head.snapshot) {
                Overtaken::Rebase => (seen, seq) = (head, head_seq),
                Overtaken::Remake => return scene.hand_back(who),
                Overtaken::Fenced if head.snapshot.status.may_have_a_ticket() => return scene.hand_back(who),
                Overtaken::Fenced => {
                    let of = Some(ticket);
                    return scene.does(
                        who,
                        Doing::Pays {
                            of,
                            rec: head,
                            seq: head_seq,
                        },
                    );
                }
            }
        }
        let before = seen.snapshot.clone().seen_at(seq);
        let draft = match &next {
            Next::Asks(specs) => act::suspend(&before, specs),
            Next::Records(name) => act::step(&before, StepEntry::new(name.clone(), Json::null())),
            Next::Ends | Next::Fails if event == Event::Completed => act::complete(&before, Json::null()),
            Next::Ends | Next::Fails => {
                let (to, version) = Self::receiver(envelope.hop + 1);
                let next = envelope.successor(Successor {
                    id: Self::envelope_id(scene),
                    to,
                    to_version: version.clone(),
                    from: instance(who),
                    payload: Json::null(),
                    kind: None,
                    history: None,
                });
                let Ok(next) = next else { return scene.hand_back(who) };
                act::hand_off(&before, next, version)
            }
        };
        let Some(rec) = self.follow(scene, draft.ok(), &instance(who)) else {
            return scene.hand_back(who);
        };
        let seq = seq + 1;
        let doing = match next {
            Next::Records(_) => Doing::Runs {
                ticket,
                seen: rec,
                seq,
                read: seq,
            },
            Next::Asks(_) | Next::Ends | Next::Fails => Doing::Pays {
                of: Some(ticket),
                rec,
                seq,
            },
        };
        scene.does(who, doing);
    }

    /// What the handler of a hop does, by what it knows.
    fn next_of(&self, history: &[Record], seen: &Rec) -> Next {
        let (hop, specs) = (seen.snapshot.hop, self.specs());
        let waits = recorded_waits(history, hop);
        let mut ended: Vec<&str> = specs
            .iter()
            .filter(|spec| waits.contains_key(&spec.name))
            .map(|spec| spec.name.as_str())
            .collect();
        let lost = |name: &str| {
            waits
                .get(name)
                .is_some_and(|result| result.outcome == WaitOutcome::Abandoned)
        };
        let mut winner = ended.iter().copied().find(|name| !lost(name)).map(str::to_owned);
        if self.broken == BrokenWait::AnswersFromUnread && !history.is_empty() {
            let unread = |name: &str| seen.snapshot.signals.iter().any(|signal| signal.name == name);
            let told = specs
                .iter()
                .find(|spec| unread(&spec.name) || ended.iter().any(|name| *name == spec.name && !lost(name)));
            winner = told.map(|spec| spec.name.clone());
            if winner.is_some() {
                ended = specs.iter().map(|spec| spec.name.as_str()).collect();
            }
        }
        let Some(winner) = winner else { return Next::Asks(specs) };
        if ended.len() != specs.len() {
            return Next::Fails;
        }
        let steps = recorded_steps(history.iter().cloned(), hop);
        let name = format!("after-{winner}");
        match steps.keys().next() {
            Some(other) if *other != name => Next::Fails,
            Some(_) => Next::Ends,
            None => Next::Records(name),
        }
    }

    fn specs(&self) -> Vec<WaitSpec> {
        let names: &[&str] = if self.bounds.any { &["a", "b"] } else { &["a"] };
        let spec = |name: &&str| WaitSpec {
            any: self.bounds.any,
            after_ms: self.bounds.times.then_some(AFTER_MS),
            ..WaitSpec::new(*name, WaitKind::Signal)
        };
        names.iter().map(spec).collect()
    }
}

fn bury(scene: &mut Scene, number: u8) {
    if !scene.dead.contains(&number) {
        scene.dead.push(number);
        scene.dead.sort_unstable();
    }
}

fn instance(who: Who) -> String {
    match who {
        Who::Worker(number) => format!("worker{number}"),
        Who::Router(number) => format!("router{number}"),
        Who::Leader => "leader".to_owned(),
    }
}
