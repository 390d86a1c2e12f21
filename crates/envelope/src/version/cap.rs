//! The cap of an agent: what its workers may spend together in a day, whichever intents they work at.
//!
//! A controller keeps the book of it, with compare-and-set. A call is granted before it is made, out of what is left of the
//! day; what it took is settled after it. A grant that nobody settles counts whole, once the hop that it was for can make no
//! call any more. So what is paid never exceeds what the book has as spent or granted, whoever dies or comes back late.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::amounts::{Amount, Amounts, MeterName, told};
use crate::base::ids::IntentId;
use crate::base::mutants::Mutant;
use crate::base::names::AgentName;
use crate::base::timestamp::Timestamp;
use crate::base::wire::{Extra, wire_object};

/// The meters that a cap bounds.
pub const CAPPED: [MeterName; 2] = [MeterName::Tokens, MeterName::Cost];
/// How many days the book has, today among them.
pub const CAP_DAYS: usize = 8;
/// How many calls of one agent may be granted and not settled at a time: all of them stand in one message.
pub const MOST_GRANTS: usize = 2_000;
/// How many charges the book remembers, so that one that comes again counts once.
const CHARGES: usize = 64;
const DAY_MS: i64 = 24 * 3600 * 1000;

wire_object! {
    /// What an agent has spent of its cap, stored under `cap.<agent>` in the control bucket. Only controllers write it.
    pub struct CapBook {
        /// The agent.
        req agent: AgentName,
        /// What it may spend in a day; a meter that is absent is not bounded.
        def per_day: Amounts,
        /// Its days, in UTC, such as `2026-11-21`.
        def days: BTreeMap<String, CapDay>,
        /// The last charges, newest last.
        def charged: Vec<String>,
    }
}

wire_object! {
    /// One day of the book.
    #[derive(Default)]
    pub struct CapDay {
        /// What was spent, of calls that are settled.
        def spent: Amounts,
        /// The calls that are granted and not settled.
        def grants: Vec<CapGrant>,
    }
}

wire_object! {
    /// A call that may be made.
    pub struct CapGrant {
        /// Names the call, so that the same question twice is one grant.
        req id: String,
        /// The intent that it is made for.
        req intent: IntentId,
        /// The epoch of its holder: once the intent has left it, this holder records nothing any more.
        req epoch: u64,
        /// What the call may take.
        def amounts: Amounts,
        /// When it was granted.
        req at: Timestamp,
    }
}

/// A call that is not granted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapRefused {
    /// The agent whose cap it is.
    pub agent: AgentName,
    /// What for, such as `step "plan"`.
    pub what: String,
    /// How much it needs of each meter.
    pub need: Amounts,
    /// What is left of the day.
    pub left: Amounts,
    /// What may be spent in a day.
    pub per_day: Amounts,
}

/// The day of a time, in UTC.
pub fn day_of(at: Timestamp) -> String {
    at.to_string().chars().take("2026-11-21".len()).collect()
}

/// When the day of a time is over.
pub fn next_day(at: Timestamp) -> Timestamp {
    Timestamp::from_unix_millis((at.unix_millis().div_euclid(DAY_MS) + 1).saturating_mul(DAY_MS))
}

impl CapBook {
    /// A book without a page.
    pub fn new(agent: AgentName) -> Self {
        Self {
            agent,
            per_day: Amounts::NONE,
            days: BTreeMap::new(),
            charged: Vec::new(),
            extra: Extra::new(),
        }
    }

    /// Sets what the agent may spend in a day; `false` where that changes nothing.
    pub fn set_cap(&mut self, per_day: Option<&Amounts>) -> bool {
        let before = std::mem::replace(&mut self.per_day, per_day.cloned().unwrap_or_default());
        before != self.per_day
    }

    /// What is left of a day, of each meter that the cap bounds.
    pub fn left(&self, day: &str) -> Amounts {
        let used = self.days.get(day).map_or(Amounts::NONE, CapDay::used);
        self.per_day.clone().less(&used)
    }

    /// Whether nothing is left of a day of a meter that the cap bounds.
    pub fn is_full(&self, day: &str) -> bool {
        self.left(day).iter().any(|(_, left)| left.is_zero())
    }

    /// Whether a call of these amounts would be granted.
    pub fn has_room(&self, day: &str, need: &Amounts) -> bool {
        need.fit(&self.left(day))
    }

    /// Grants a call; `false` where it is granted already, by its id, and is not counted again.
    ///
    /// # Errors
    /// When it does not fit into what is left of the day. Then nothing is changed.
    pub fn grant(&mut self, what: &str, grant: CapGrant) -> Result<bool, Box<CapRefused>> {
        if self.grants().any(|known| known.id == grant.id) {
            return Ok(false);
        }
        let day = day_of(grant.at);
        let is_crowded = self.grants().count() >= MOST_GRANTS;
        if (is_crowded || !self.has_room(&day, &grant.amounts)) && !Mutant::B6CapIgnored.is_on() {
            return Err(Box::new(CapRefused {
                agent: self.agent.clone(),
                what: what.to_owned(),
                left: self.left(&day),
                need: grant.amounts,
                per_day: self.per_day.clone(),
            }));
        }
        self.page(day).grants.push(grant);
        Ok(true)
    }

    /// Settles a call on the day that it was granted on: what it took is spent, and the rest is free. A meter that `took` does
    /// not name counts whole; so does everything where nobody can say. `false` where the call is not granted, or is settled
    /// already: then nothing is changed.
    pub fn settle(&mut self, id: &str, took: Option<&Amounts>) -> bool {
        for page in self.days.values_mut() {
            let Some(at) = page.grants.iter().position(|grant| grant.id == id) else {
                continue;
            };
            let granted = page.grants.remove(at).amounts;
            let mut spent = took.cloned().unwrap_or(Amounts::NONE);
            for (meter, granted) in granted.iter() {
                if spent.of(meter).is_none() {
                    spent.set(meter, granted);
                }
            }
            page.spent.add(&of_capped(&spent));
            return true;
        }
        false
    }

    /// Counts what was spent without having been granted. A charge that comes again, by its id, changes nothing.
    pub fn charge(&mut self, id: &str, at: Timestamp, spent: &Amounts) -> bool {
        if self.charged.iter().any(|known| known == id) {
            return false;
        }
        self.page(day_of(at)).spent.add(&of_capped(spent));
        self.charged.push(id.to_owned());
        let old = self.charged.len().saturating_sub(CHARGES);
        self.charged.drain(..old);
        true
    }

    /// The calls that are granted and not settled, oldest day first.
    pub fn grants(&self) -> impl Iterator<Item = &CapGrant> {
        self.days.values().flat_map(|page| &page.grants)
    }

    /// The page of a day. Pages of long ago go, but for those with calls that are not settled.
    fn page(&mut self, day: String) -> &mut CapDay {
        let is_new = !self.days.contains_key(&day);
        if is_new && self.days.len() >= CAP_DAYS {
            let over = self.days.len() + 1 - CAP_DAYS;
            let old: Vec<String> = self.days.keys().take(over).cloned().collect();
            self.days
                .retain(|day, page| !old.contains(day) || !page.grants.is_empty());
        }
        self.days.entry(day).or_default()
    }
}

impl CapDay {
    /// What was spent, and what is granted.
    pub fn used(&self) -> Amounts {
        let mut used = self.spent.clone();
        used.add(&self.granted());
        used
    }

    /// What is granted and not settled.
    pub fn granted(&self) -> Amounts {
        let mut granted = Amounts::NONE;
        for grant in &self.grants {
            granted.add(&of_capped(&grant.amounts));
        }
        granted
    }
}

/// The amounts of the meters that caps bound.
fn of_capped(amounts: &Amounts) -> Amounts {
    let mut capped = Amounts::NONE;
    for meter in CAPPED {
        if let Some(amount) = amounts.of(meter) {
            capped.set(meter, amount);
        }
    }
    capped
}

impl std::error::Error for CapRefused {}

impl fmt::Display for CapRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            agent,
            what,
            need,
            left,
            per_day,
        } = self;
        write!(f, "{what} needs {need}, and ")?;
        let never = CAPPED.into_iter().find(|meter| {
            let cap = per_day.of(*meter);
            cap.is_some_and(|cap| need.get(*meter) > cap)
        });
        if let Some(meter) = never {
            let cap = told(meter, per_day.get(meter));
            return write!(
                f,
                "all agents {agent} may spend {cap} in a day together: it never fits; fix: ask for less, or raise the cap (`baton agents budget {agent}`)"
            );
        }
        let is_short = |(meter, amount): &(MeterName, Amount)| need.get(*meter) > *amount;
        let short: Vec<String> = left
            .iter()
            .filter(is_short)
            .map(|(meter, left)| told(meter, left))
            .collect();
        if short.is_empty() {
            return write!(
                f,
                "{MOST_GRANTS} calls of {agent} are under way; fix: none is needed, it goes on when one of them has ended"
            );
        }
        write!(
            f,
            "{} are left of what {agent} may spend today ({per_day}); fix: none is needed, it goes on when there is room, tomorrow (UTC) at the latest; to have it go on now, raise the cap (`baton agents budget {agent}`)",
            short.join(" and ")
        )
    }
}

/// So much in a day, as people write it: `50/day`, `2.5M/day`, `200k/day`; `0` for no cap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PerDay(
    /// How much.
    pub Amount,
);

impl FromStr for PerDay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || {
            format!(
                "\"{text}\" is no amount of a day: expected such as 50/day, 0.25/day, 200k/day or 2M/day; 0 for no cap"
            )
        };
        if text == "0" {
            return Ok(Self(Amount::ZERO));
        }
        let amount = text.strip_suffix("/day").ok_or_else(bad)?;
        let (digits, times) = match amount.chars().last() {
            Some('k') => (amount.strip_suffix('k'), 1_000),
            Some('M') => (amount.strip_suffix('M'), 1_000_000),
            _ => (Some(amount), 1),
        };
        let amount: Amount = digits.and_then(|digits| digits.parse().ok()).ok_or_else(bad)?;
        Ok(Self(amount.times(times)))
    }
}
