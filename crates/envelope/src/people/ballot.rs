//! The state of an open approval, and what each word that is said about it is worth.
//!
//! Votes belong to seats, and each seat to one person: so one person has one vote, and one that is delegated moves with its
//! seat. A seat remembers the place in the intake of the last word about it; what was said before that counts for nothing,
//! whenever it arrives. The record that makes the outcome certain fixes it, and nothing counts after that.

use std::fmt;

use crate::base::mutants::Mutant;
use crate::base::names::PersonName;
use crate::base::text::quoted;
use crate::base::wire::{Extra, wire_object};
use crate::base::wire_enum::wire_enum;
use crate::people::approval::{Approval, Choice, DENY, Weight};
use crate::people::said::{Decider, Said, Word};

/// How many characters of a value a refusal quotes.
const QUOTED: usize = 80;

wire_enum! {
    /// What made an outcome certain.
    pub enum Cause {
        /// As many seats as it takes made the same choice.
        Quorum = "quorum",
        /// No choice can have as many seats as it takes any more.
        Unreachable = "unreachable",
        /// Its time is over, and its default counts.
        Due = "due",
        /// An operator decided in the place of all.
        Override = "override",
    }
}

wire_object! {
    /// How an approval ended.
    pub struct Decided {
        /// The choice; one of the approval's, or `deny` where no choice against it exists.
        req choice: String,
        /// Whether that choice accepts.
        def accepted: bool,
        /// What made it certain.
        req cause: Cause,
    }
}

wire_object! {
    /// A seat: one vote, of one person at a time.
    pub struct Seat {
        /// Whose it is; absent for nobody in particular.
        opt person: PersonName,
        /// The choice of its present holder.
        opt choice: String,
        /// The place in the intake of the last word about it.
        def said: u64,
        /// The ledger sequence of the record of that vote; absent in that record itself.
        opt seq: u64,
    }
}

wire_object! {
    /// An open approval, as the snapshot of its intent has it.
    pub struct Ballot {
        /// The seats. Without any, whoever decides first decides.
        def seats: Vec<Seat>,
        /// Whether the seats are the only ones who may decide.
        def closed: bool,
        /// How many seats must make the same choice.
        def quorum: u32,
        /// The choices, without their titles.
        def choices: Vec<Choice>,
        /// Whether a decision must match the form of the approval's record.
        def form: bool,
        /// Whether nobody may decide who submitted the intent or worked on it.
        def four_eyes: bool,
        /// Who that is.
        def barred: Vec<PersonName>,
        /// The choice when the time is over.
        opt default: String,
        /// How often to remind, in milliseconds.
        opt remind_ms: u64,
        /// The number of the last reminder.
        def reminded: u32,
        /// How long after it was opened others are asked as well, in milliseconds; absent once they are.
        opt escalate_ms: u64,
        /// Who these are.
        def escalate_to: Vec<PersonName>,
        /// The outcome, once it is certain.
        opt decided: Decided,
    }
}

/// What a word is worth.
#[derive(Debug, Clone, PartialEq)]
pub enum Ruling {
    /// It counts; this is the state after it.
    Counts(Box<Ballot>),
    /// The seat's present word was said later.
    Older,
    /// The outcome is certain, or the time is over.
    TooLate,
    /// It is refused, and ends nothing.
    Refused(Refusal),
}

/// Why a word is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The person has no seat.
    NoSeat {
        /// Who may decide.
        may: Vec<String>,
    },
    /// Nobody in particular may not decide where people are named.
    Nobody,
    /// The person submitted the intent or worked on it.
    FourEyes,
    /// There is no such choice.
    NoChoice {
        /// What was given.
        given: String,
        /// The choices.
        choices: Vec<String>,
    },
    /// The person to delegate to has a seat already.
    HasSeat(PersonName),
    /// The person to delegate to submitted the intent or worked on it.
    Barred(PersonName),
    /// There are no seats to give away.
    NoSeats,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSeat { may } => write!(f, "has no seat in this approval; these have: {}", may.join(", ")),
            Self::Nobody => f.write_str("is nobody in particular, and this approval names who may decide"),
            Self::FourEyes => f.write_str("submitted the intent or worked on it, and the approval wants four eyes"),
            Self::NoChoice { given, choices } => write!(
                f,
                "chose \"{}\", which is no choice of this approval; it has: {}",
                quoted(given, QUOTED),
                choices.join(", ")
            ),
            Self::HasSeat(person) => write!(f, "delegated to {person}, who has a seat already"),
            Self::Barred(person) => write!(
                f,
                "delegated to {person}, who submitted the intent or worked on it, and the approval wants four eyes"
            ),
            Self::NoSeats => f.write_str("delegated, and this approval has no seats: anybody may decide"),
        }
    }
}

impl Seat {
    /// The seat of a person who has said nothing yet.
    fn of(person: PersonName) -> Self {
        Self {
            person: Some(person),
            choice: None,
            said: 0,
            seq: None,
            extra: Extra::new(),
        }
    }
}

impl Ballot {
    /// The state of an approval that was just opened. It is [fixed](Approval::fixed) before.
    pub fn of(approval: &Approval) -> Self {
        let people =
            |names: &[String]| -> Vec<PersonName> { names.iter().filter_map(|name| name.parse().ok()).collect() };
        let escalate = approval.escalate.as_ref();
        Self {
            seats: people(&approval.who).into_iter().map(Seat::of).collect(),
            closed: !approval.who.is_empty(),
            quorum: approval.needed(),
            choices: approval
                .offered()
                .into_iter()
                .map(|choice| Choice { title: None, ..choice })
                .collect(),
            form: approval.asked_form().is_some(),
            four_eyes: approval.four_eyes,
            barred: approval.barred.clone(),
            default: approval.default.clone(),
            remind_ms: approval.remind_ms,
            reminded: 0,
            escalate_ms: escalate.map(|escalate| escalate.after_ms),
            escalate_to: escalate.map_or_else(Vec::new, |escalate| people(&escalate.to)),
            decided: None,
            extra: Extra::new(),
        }
    }

    /// What a word is worth. `is_late` says whether its message was stored at or after the end of the approval's time.
    ///
    /// A function of the head alone, so that a word that comes twice, to two controllers or after a pause is worth the same.
    pub fn rule(&self, said: &Said, is_late: bool) -> Ruling {
        if self.decided.is_some() || is_late {
            return Ruling::TooLate;
        }
        let at = match self.seat_of(&said.by) {
            Ok(at) => at,
            Err(refusal) => return Ruling::Refused(refusal),
        };
        if let Some(seat) = at.and_then(|at| self.seats.get(at))
            && seat.said > said.seq
        {
            return Ruling::Older;
        }
        match &said.word {
            Word::Choice(choice) => self.voted(at, said, choice),
            Word::Delegate(to) => self.delegated(at, said, to),
        }
    }

    /// The seat of a person; `None` for one that whoever comes first takes.
    fn seat_of(&self, by: &Decider) -> Result<Option<usize>, Refusal> {
        let person = by.person();
        if person.is_some_and(|person| self.barred.contains(person)) || (self.four_eyes && person.is_none()) {
            return Err(Refusal::FourEyes);
        }
        let own = self.seats.iter().position(|seat| seat.person.as_ref() == person);
        match (own, person) {
            (None, _) if !self.closed || Mutant::P8AnyoneDecides.is_on() => Ok(None),
            (Some(at), Some(_)) => Ok(Some(at)),
            (Some(at), None) if !self.closed => Ok(Some(at)),
            (_, None) => Err(Refusal::Nobody),
            (None, Some(_)) => Err(Refusal::NoSeat { may: self.may_decide() }),
        }
    }

    fn voted(&self, at: Option<usize>, said: &Said, choice: &str) -> Ruling {
        if self.choices.iter().all(|offered| offered.name != choice) {
            let choices = self.choices.iter().map(|choice| choice.name.clone()).collect();
            let given = choice.to_owned();
            return Ruling::Refused(Refusal::NoChoice { given, choices });
        }
        let mut after = self.clone();
        let seat = Seat {
            person: said.by.person().cloned(),
            choice: Some(choice.to_owned()),
            said: said.seq,
            seq: None,
            extra: Extra::new(),
        };
        match at.and_then(|at| after.seats.get_mut(at)) {
            Some(own) => *own = seat,
            None => after.seats.push(seat),
        }
        after.decided = after.tally();
        Ruling::Counts(Box::new(after))
    }

    fn delegated(&self, at: Option<usize>, said: &Said, to: &PersonName) -> Ruling {
        if self.barred.contains(to) {
            return Ruling::Refused(Refusal::Barred(to.clone()));
        }
        if self.seats.iter().any(|seat| seat.person.as_ref() == Some(to)) {
            return Ruling::Refused(Refusal::HasSeat(to.clone()));
        }
        let mut after = self.clone();
        let Some(seat) = at.and_then(|at| after.seats.get_mut(at)).filter(|_| self.closed) else {
            return Ruling::Refused(Refusal::NoSeats);
        };
        *seat = Seat {
            said: said.seq,
            ..Seat::of(to.clone())
        };
        Ruling::Counts(Box::new(after))
    }

    /// The outcome, where the votes make it certain.
    pub fn tally(&self) -> Option<Decided> {
        let quorum = usize::try_from(self.quorum.max(1)).unwrap_or(usize::MAX);
        let votes = |name: &str| {
            self.seats
                .iter()
                .filter(|seat| seat.choice.as_deref() == Some(name))
                .count()
        };
        let open = self.seats.iter().filter(|seat| seat.choice.is_none()).count();
        let mut accepting = self.choices.iter().filter(|choice| choice.counts == Weight::For);
        if let Some(won) = accepting.clone().find(|choice| votes(&choice.name) >= quorum) {
            return Some(Decided::new(&won.name, true, Cause::Quorum));
        }
        if accepting.any(|choice| votes(&choice.name) + open >= quorum) {
            return None;
        }
        // The choice against it that most have made; the first of them where several have as many.
        let against = self.choices.iter().filter(|choice| choice.counts != Weight::For);
        let most = against.rev().max_by_key(|choice| votes(&choice.name));
        let name = most.map_or(DENY, |choice| choice.name.as_str());
        Some(Decided::new(name, false, Cause::Unreachable))
    }

    /// What it ends with when its time is over.
    pub fn at_due(&self) -> Decided {
        let default = self.default.as_deref().unwrap_or(DENY);
        match self.choices.iter().find(|choice| choice.name == default) {
            Some(choice) => Decided::new(&choice.name, choice.counts == Weight::For, Cause::Due),
            None => Decided::new(self.denial(), false, Cause::Due),
        }
    }

    /// The state in which its default counts; `None` when the outcome is certain already.
    pub fn expired(&self) -> Option<Self> {
        self.decided.is_none().then(|| Self {
            decided: Some(self.at_due()),
            ..self.clone()
        })
    }

    /// Whether a decision with this choice must match the form: one that declines need not say what it would have to.
    pub fn needs_form(&self, choice: &str) -> bool {
        let made = self.choices.iter().find(|offered| offered.name == choice);
        self.form && made.is_some_and(|made| made.counts == Weight::For)
    }

    /// The choice that denies: the first that counts against it.
    fn denial(&self) -> &str {
        let against = self.choices.iter().find(|choice| choice.counts != Weight::For);
        against.map_or(DENY, |choice| choice.name.as_str())
    }

    /// An operator gives the seat of a person to somebody else. Like a delegation, but no word of that person makes it older.
    ///
    /// # Errors
    /// When the person has no seat, or the other may not have it.
    pub fn assigned(&self, from: &PersonName, to: &PersonName) -> Result<Self, Refusal> {
        let at = self.seat_of(&Decider::Person(from.clone()))?;
        let said = at.and_then(|at| self.seats.get(at)).map_or(0, |seat| seat.said);
        let said = Said {
            by: Decider::Person(from.clone()),
            word: Word::Delegate(to.clone()),
            seq: said,
        };
        match self.delegated(at, &said, to) {
            Ruling::Counts(after) => Ok(*after),
            Ruling::Refused(refusal) => Err(refusal),
            Ruling::Older | Ruling::TooLate => Err(Refusal::NoSeats),
        }
    }

    /// An operator decides in the place of all. `None` when the outcome is certain already, or there is no such choice.
    pub fn overridden(&self, choice: &str) -> Option<Self> {
        let offered = self.choices.iter().find(|offered| offered.name == choice)?;
        let mut after = self.clone();
        if after.decided.is_some() {
            return None;
        }
        after.decided = Some(Decided::new(
            &offered.name,
            offered.counts == Weight::For,
            Cause::Override,
        ));
        Some(after)
    }

    /// The state after reminder number `number`; `None` when it was sent already, or nobody waits for it.
    pub fn reminded(&self, number: u32) -> Option<Self> {
        (self.decided.is_none() && self.reminded < number).then(|| Self {
            reminded: number,
            ..self.clone()
        })
    }

    /// The state in which the people of the escalation may decide as well; `None` when they may already, or nobody waits.
    pub fn escalated(&self) -> Option<Self> {
        if self.decided.is_some() || self.escalate_ms.is_none() {
            return None;
        }
        let mut after = self.clone();
        after.escalate_ms = None;
        let people = std::mem::take(&mut after.escalate_to);
        let is_new = |person: &PersonName| self.seats.iter().all(|seat| seat.person.as_ref() != Some(person));
        if self.closed {
            after.seats.extend(people.into_iter().filter(is_new).map(Seat::of));
        }
        Some(after)
    }

    /// Who may decide.
    pub fn may_decide(&self) -> Vec<String> {
        match self.closed {
            true => self.seats.iter().map(Seat::name).collect(),
            false => vec!["anybody".to_owned()],
        }
    }

    /// Who has not decided yet.
    pub fn silent(&self) -> Vec<String> {
        let silent = self.seats.iter().filter(|seat| seat.choice.is_none());
        silent.map(Seat::name).collect()
    }

    /// Names the records of the votes by the sequences that they have now, and forgets the places in an intake that is another.
    pub(crate) fn move_places(&mut self, place: impl Fn(u64) -> Option<u64>) {
        for seat in &mut self.seats {
            seat.said = 0;
            seat.seq = seat.seq.and_then(&place);
        }
    }

    /// Notes where the votes stand that the record at `seq` holds, of those that are meant.
    pub(crate) fn place(&mut self, seq: u64, is_meant: impl Fn(&Seat) -> bool) {
        let unplaced = |seat: &&mut Seat| seat.choice.is_some() && seat.seq.is_none();
        for seat in self.seats.iter_mut().filter(unplaced) {
            if is_meant(seat) {
                seat.seq = Some(seq);
            }
        }
    }
}

impl Seat {
    /// Whose it is.
    pub fn name(&self) -> String {
        self.person
            .as_ref()
            .map_or_else(|| crate::people::said::NOBODY.to_owned(), PersonName::to_string)
    }
}

impl Decided {
    fn new(choice: &str, accepted: bool, cause: Cause) -> Self {
        Self {
            choice: choice.to_owned(),
            accepted,
            cause,
            extra: Extra::new(),
        }
    }
}
