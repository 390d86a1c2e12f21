//! An approval as a hop asks for it.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::base::json::Json;
use crate::base::names::PersonName;
use crate::base::text::quoted;
use crate::base::wire::{Extra, wire_object};
use crate::base::wire_enum::wire_enum;
use crate::people::preset::Preset;

/// How many choices an approval may offer.
pub const MOST_CHOICES: usize = 16;
/// How many people may be asked, escalations included.
pub const MOST_PEOPLE: usize = 64;
/// The longest form, in bytes.
pub const LONGEST_FORM: usize = 16 * 1024;
/// The longest title, in characters.
const LONGEST_TITLE: usize = 200;
/// How many reminders are sent for one approval.
pub const MOST_REMINDERS: u32 = 100;
/// The shortest time between two reminders.
const SHORTEST_REMINDER: Duration = Duration::from_secs(1);
/// The choice at `due` unless the approval names another: whatever counts against it.
pub const DENY: &str = "deny";
/// The word in the place of a choice that gives a seat to somebody else. No choice may have this name.
pub const DELEGATE: &str = "delegate";
/// What stands before the name of a group in `who`.
pub const GROUP: &str = "group:";
/// How many characters of a value an error quotes.
const QUOTED: usize = 80;

wire_enum! {
    /// What a choice does for the approval.
    #[derive(Default)]
    pub enum Weight {
        /// With `quorum` seats for one such choice the approval is accepted.
        #[default]
        For = "for",
        /// It leaves fewer seats for the others.
        Against = "against",
    }
}

wire_object! {
    /// One of the choices.
    pub struct Choice {
        /// Its name, a subject token such as `approve`.
        req name: String,
        /// What it does for the approval.
        def counts: Weight,
        /// What people read instead of the name.
        opt title: String,
    }
}

wire_object! {
    /// Whom to ask as well when nobody has decided for a while.
    pub struct Escalation {
        /// How long after the approval was opened, in milliseconds.
        req after_ms: u64,
        /// The people and groups that may then decide as well.
        def to: Vec<String>,
    }
}

wire_object! {
    /// What a hop asks of people. Every field may be left out: then anybody may approve or reject, at any time.
    #[derive(Default)]
    pub struct Approval {
        /// What it is about, in one line.
        opt title: String,
        /// What people should know before they decide.
        opt text: String,
        /// Which row of the table of presets fills in what is not said here; `approval` without this.
        opt preset: Preset,
        /// The choices; those of the preset without this.
        def choices: Vec<Choice>,
        /// A JSON schema that the body of a decision must match; that of the preset without this.
        opt form: Json,
        /// The people who may decide, and the groups, each as `group:NAME`. Empty: anybody may.
        def who: Vec<String>,
        /// How many of them must make the same choice; 1 without this.
        def quorum: u32,
        /// Whether nobody may decide who submitted the intent or worked on it.
        def four_eyes: bool,
        /// How often people who have not decided are reminded, in milliseconds.
        opt remind_ms: u64,
        /// Whom to ask as well after a while.
        opt escalate: Escalation,
        /// How long people have, in milliseconds from the time at which its record is stored.
        opt due_ms: u64,
        /// The choice that counts when that time is over; `deny` without this.
        opt default: String,
        /// Who submitted the intent or worked on it; Baton says so where `four_eyes` asks for it.
        def barred: Vec<PersonName>,
    }
}

/// An approval that nobody could decide.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("approval: `{field}` \"{value}\" {problem}; fix: {fix}")]
pub struct BadApproval {
    /// The field.
    pub field: &'static str,
    /// Its value, shortened.
    pub value: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do.
    pub fix: String,
}

impl BadApproval {
    /// Makes one.
    pub fn new(
        field: &'static str,
        value: impl AsRef<str>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            field,
            value: quoted(value.as_ref(), QUOTED),
            problem: problem.into(),
            fix: fix.into(),
        }
    }
}

impl Choice {
    /// A choice with which the approval is accepted.
    pub fn accepts(name: impl Into<String>) -> Self {
        Self::new(name, Weight::For)
    }

    /// A choice against it.
    pub fn rejects(name: impl Into<String>) -> Self {
        Self::new(name, Weight::Against)
    }

    fn new(name: impl Into<String>, counts: Weight) -> Self {
        Self {
            name: name.into(),
            counts,
            title: None,
            extra: Extra::new(),
        }
    }
}

impl Approval {
    /// An approval with this title, by whoever comes.
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: Some(title.into()),
            ..Self::default()
        }
    }

    /// One of the presets, with this title.
    pub fn of(preset: Preset, title: impl Into<String>) -> Self {
        Self {
            preset: Some(preset),
            ..Self::new(title)
        }
    }

    /// Says more about it.
    #[must_use]
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// Names the people and groups (`group:NAME`) who may decide.
    #[must_use]
    pub fn who<W: Into<String>>(mut self, who: impl IntoIterator<Item = W>) -> Self {
        self.who = who.into_iter().map(Into::into).collect();
        self
    }

    /// Names the choices.
    #[must_use]
    pub fn choices(mut self, choices: impl IntoIterator<Item = Choice>) -> Self {
        self.choices = choices.into_iter().collect();
        self
    }

    /// Asks for a body that matches this JSON schema with each decision.
    #[must_use]
    pub fn form(mut self, schema: Json) -> Self {
        self.form = Some(schema);
        self
    }

    /// Needs so many people with the same choice.
    #[must_use]
    pub const fn quorum(mut self, quorum: u32) -> Self {
        self.quorum = quorum;
        self
    }

    /// Keeps out whoever submitted the intent or worked on it.
    #[must_use]
    pub const fn four_eyes(mut self) -> Self {
        self.four_eyes = true;
        self
    }

    /// Reminds those who have not decided, this often.
    #[must_use]
    pub fn remind(mut self, every: Duration) -> Self {
        self.remind_ms = Some(millis(every));
        self
    }

    /// Asks these people and groups as well after a while.
    #[must_use]
    pub fn escalate<W: Into<String>>(mut self, after: Duration, to: impl IntoIterator<Item = W>) -> Self {
        self.escalate = Some(Escalation {
            after_ms: millis(after),
            to: to.into_iter().map(Into::into).collect(),
            extra: Extra::new(),
        });
        self
    }

    /// Ends it after this time, with the default.
    #[must_use]
    pub fn due(mut self, after: Duration) -> Self {
        self.due_ms = Some(millis(after));
        self
    }

    /// Names the choice that counts when its time is over.
    #[must_use]
    pub fn or_else(mut self, choice: impl Into<String>) -> Self {
        self.default = Some(choice.into());
        self
    }

    /// How many people must make the same choice.
    pub fn needed(&self) -> u32 {
        self.quorum.max(1)
    }

    /// The choices, with those of the preset where it names none.
    pub fn offered(&self) -> Vec<Choice> {
        match self.choices.is_empty() {
            true => self.preset().row().choices(),
            false => self.choices.clone(),
        }
    }

    /// The form, or that of the preset.
    pub fn asked_form(&self) -> Option<Json> {
        self.form.clone().or_else(|| self.preset().row().form())
    }

    fn preset(&self) -> &Preset {
        self.preset.as_ref().unwrap_or(&Preset::Approval)
    }

    /// The choice that counts when its time is over.
    pub fn at_due(&self) -> &str {
        self.default.as_deref().unwrap_or(DENY)
    }

    /// The approval with everything fixed that must not change while it is open: who the members of its groups are, and who is
    /// barred from it. `members` knows the groups; `workers` submitted the intent or worked on it, `None` when that is not
    /// known.
    ///
    /// # Errors
    /// When the approval is not valid, or nobody could decide it.
    pub fn fixed(
        &self,
        members: impl Fn(&str) -> Option<Vec<PersonName>>,
        workers: Option<&[PersonName]>,
    ) -> Result<Self, BadApproval> {
        self.check()?;
        let barred = match (self.four_eyes, workers) {
            (false, _) => Vec::new(),
            (true, Some(workers)) => workers.to_vec(),
            (true, None) => {
                let problem = "cannot be kept: it is not known who submitted the intent";
                let fix = "submit in the name of a person (`baton send`, or an account of a secured mesh)";
                return Err(BadApproval::new("four_eyes", "true", problem, fix));
            }
        };
        let may = |person: &PersonName| !barred.contains(person);
        let who: Vec<PersonName> = people("who", &self.who, &members)?.into_iter().filter(may).collect();
        let later = match &self.escalate {
            Some(escalate) => people("escalate.to", &escalate.to, &members)?,
            None => Vec::new(),
        };
        let needed = usize::try_from(self.needed()).unwrap_or(usize::MAX);
        if !self.who.is_empty() && who.len() < needed {
            let but = if barred.is_empty() {
                ""
            } else {
                " and have not worked on it"
            };
            let problem = format!("is more than the {} who may decide{but}", who.len());
            let fix = "name more people in `who`, or need fewer";
            return Err(BadApproval::new("quorum", needed.to_string(), problem, fix));
        }
        if who.len() + later.len() > MOST_PEOPLE {
            let problem = format!("are more people than {MOST_PEOPLE} with those in `who`");
            let given = later.len().to_string();
            return Err(BadApproval::new("escalate.to", given, problem, "ask fewer"));
        }
        let names = |people: Vec<PersonName>| people.iter().map(PersonName::to_string).collect();
        Ok(Self {
            who: names(who),
            quorum: self.needed(),
            choices: self.offered(),
            form: self.asked_form(),
            escalate: self.escalate.as_ref().map(|escalate| Escalation {
                to: names(later.into_iter().filter(may).collect()),
                ..escalate.clone()
            }),
            barred,
            ..self.clone()
        })
    }

    /// Checks everything but who the people are, and whether the form is a schema.
    ///
    /// # Errors
    /// Names the field, the value and the fix.
    pub fn check(&self) -> Result<(), BadApproval> {
        if let Some(title) = self.title.as_deref()
            && (title.chars().count() > LONGEST_TITLE || title.contains('\n'))
        {
            let problem = format!("is longer than {LONGEST_TITLE} characters, or has more than one line");
            return Err(BadApproval::new("title", title, problem, "put the rest into `text`"));
        }
        self.check_preset()?;
        self.check_choices()?;
        self.check_form()?;
        self.check_times()?;
        if self.who.is_empty() && self.needed() > 1 {
            return Err(BadApproval::new(
                "quorum",
                self.quorum.to_string(),
                "needs people to count, and `who` is empty",
                "name the people in `who`",
            ));
        }
        Ok(())
    }

    fn check_preset(&self) -> Result<(), BadApproval> {
        let preset = self.preset();
        let problem = match preset {
            Preset::Assignment | Preset::Override => "is an act of an operator, and no hop can ask for it",
            Preset::Unknown(_) => "is no preset",
            Preset::Approval | Preset::Confirmation | Preset::Review | Preset::Clarification | Preset::Form => {
                return Ok(());
            }
        };
        let known = "confirmation, review, clarification, form, approval";
        Err(BadApproval::new(
            "preset",
            preset.name(),
            problem,
            format!("give one of {known}"),
        ))
    }

    fn check_choices(&self) -> Result<(), BadApproval> {
        let choices = self.offered();
        if choices.len() > MOST_CHOICES {
            let (given, problem) = (choices.len().to_string(), format!("are more than {MOST_CHOICES}"));
            return Err(BadApproval::new("choices", given, problem, "offer fewer"));
        }
        let mut seen = BTreeSet::new();
        for Choice { name, counts, .. } in &choices {
            let is_taken = name == DELEGATE || !seen.insert(name);
            if is_taken || name.parse::<PersonName>().is_err() {
                let problem = "is no name of a choice, or is there twice";
                let fix = "give 1 to 63 characters of a-z 0-9 -, another for each choice, and not `delegate`";
                return Err(BadApproval::new("choices", name, problem, fix));
            }
            if let Weight::Unknown(other) = counts {
                let fix = "let each choice count `for` or `against`";
                return Err(BadApproval::new("choices.counts", other, "is no weight", fix));
            }
        }
        if choices.iter().all(|choice| choice.counts != Weight::For) {
            let fix = "let at least one of them count `for`";
            return Err(BadApproval::new("choices", "", "cannot accept anything", fix));
        }
        match self.default.as_deref() {
            Some(default) if default != DENY && choices.iter().all(|choice| choice.name != default) => {
                Err(BadApproval::new(
                    "default",
                    default,
                    "is none of the choices",
                    "give one of them, or `deny`",
                ))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn check_form(&self) -> Result<(), BadApproval> {
        let Some(form) = self.asked_form() else {
            return match *self.preset() == Preset::Form {
                true => Err(BadApproval::new(
                    "form",
                    "",
                    "is missing",
                    "give a JSON schema of the answer",
                )),
                false => Ok(()),
            };
        };
        if form.get().len() > LONGEST_FORM {
            let (given, problem) = (
                form.get().len().to_string(),
                format!("bytes are more than {LONGEST_FORM}"),
            );
            return Err(BadApproval::new("form", given, problem, "ask for less"));
        }
        Ok(())
    }

    fn check_times(&self) -> Result<(), BadApproval> {
        let shortest = millis(SHORTEST_REMINDER);
        if let Some(remind) = self.remind_ms.filter(|remind| *remind < shortest) {
            let problem = format!("is less than {shortest}");
            return Err(BadApproval::new(
                "remind_ms",
                remind.to_string(),
                problem,
                "remind less often",
            ));
        }
        if self.due_ms == Some(0) {
            return Err(BadApproval::new("due_ms", "0", "leaves no time", "give people time"));
        }
        match &self.escalate {
            Some(escalate) if escalate.to.is_empty() => Err(BadApproval::new(
                "escalate.to",
                "",
                "is empty",
                "name whom to ask as well",
            )),
            Some(_) | None => Ok(()),
        }
    }
}

/// The people that a list of people and groups means, each once. `members` knows the groups.
///
/// # Errors
/// A name that is none, or a group that nobody knows.
pub(super) fn people(
    field: &'static str,
    who: &[String],
    members: impl Fn(&str) -> Option<Vec<PersonName>>,
) -> Result<Vec<PersonName>, BadApproval> {
    let mut found: Vec<PersonName> = Vec::new();
    for name in who {
        let named =
            match name.strip_prefix(GROUP) {
                Some(group) => members(group).ok_or_else(|| {
                    let fix = "name it where the worker is configured (`[groups]`), or name the people";
                    BadApproval::new(field, name, "is a group that this worker does not know", fix)
                })?,
                None => vec![name.parse().map_err(|error| {
                    BadApproval::new(field, name, format!("is no person: {error}"), "name a person")
                })?],
            };
        for person in named {
            if !found.contains(&person) {
                found.push(person);
            }
        }
    }
    if found.len() > MOST_PEOPLE {
        let problem = format!("people are more than {MOST_PEOPLE}");
        return Err(BadApproval::new(field, found.len().to_string(), problem, "ask fewer"));
    }
    Ok(found)
}

/// A duration as the wire has it.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
