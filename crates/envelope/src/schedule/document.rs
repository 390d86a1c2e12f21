//! The document of a schedule: what it submits, when, and what became of its last firing.

use std::time::Duration;

use crate::base::ids::IntentId;
use crate::base::json::Json;
use crate::base::names::{AgentName, ScheduleName};
use crate::base::timestamp::Timestamp;
use crate::base::wire::wire_object;
use crate::base::wire_enum::wire_enum;
use crate::message::envelope::Priority;

wire_enum! {
    /// What becomes of firings that no controller made in time, because none led.
    #[derive(Default)]
    pub enum Missed {
        /// The last of them is made, late.
        #[default]
        Once = "once",
        /// None of them is made.
        Skip = "skip",
        /// Each of them is made, late.
        All = "all",
    }
}

wire_enum! {
    /// What becomes of a firing while the intent of the last one is open.
    #[derive(Default)]
    pub enum Overlap {
        /// It is made all the same.
        #[default]
        Allow = "allow",
        /// It is left out.
        Skip = "skip",
    }
}

wire_object! {
    /// A schedule that stands still.
    pub struct Paused {
        /// Since when.
        req since: Timestamp,
        /// Who paused it.
        req by: String,
    }
}

wire_object! {
    /// The last firing that became an intent.
    pub struct Fired {
        /// The intent.
        req intent: IntentId,
        /// The nominal time.
        req at: Timestamp,
    }
}

wire_object! {
    /// The last firing that was left out.
    pub struct Skipped {
        /// The nominal time; of several, that of the last.
        req at: Timestamp,
        /// Why, in words.
        req why: String,
    }
}

wire_object! {
    /// A firing that is due and cannot be submitted; controllers try again.
    pub struct Held {
        /// Since when.
        req since: Timestamp,
        /// What programs branch on, such as `UNKNOWN_AGENT`.
        req code: String,
        /// Why, in words.
        req problem: String,
    }
}

wire_object! {
    /// Work that is submitted again and again, stored under its name in the schedules bucket. Only controllers write it.
    pub struct Schedule {
        /// The name.
        req name: ScheduleName,
        /// The agent that gets the work.
        req agent: AgentName,
        /// When it fires, as a cron expression; or else `every_ms`.
        opt cron: String,
        /// The time zone of the expression, such as `Europe/Berlin`; `UTC` when absent.
        opt tz: String,
        /// How long after the last nominal time the next one is, in milliseconds, counted from `created_at`.
        opt every_ms: u64,
        /// The longest time that a firing is put off, in milliseconds; how long each is follows from its id.
        def jitter_ms: u64,
        /// The last nominal time that may be.
        opt until: Timestamp,
        /// What becomes of firings that nobody made in time.
        def missed: Missed,
        /// What becomes of firings while the last one's intent is open.
        def overlap: Overlap,
        /// The kind of work.
        opt kind: String,
        /// The priority.
        def priority: Priority,
        /// How long after its nominal time the work must be done, in milliseconds.
        opt deadline_ms: u64,
        /// The work itself: any JSON.
        def payload: Json,
        /// `base64` when the payload is a string of base64 because it was not text.
        opt payload_encoding: String,
        /// When it was created.
        req created_at: Timestamp,
        /// Who created it.
        req created_by: String,
        /// The revision that created it; absent in that revision itself.
        opt revision: u64,
        /// Each firing with a nominal time up to this one was made or left out.
        req through: Timestamp,
        /// Since when it stands still, and who said so.
        opt paused: Paused,
        /// How many firings were made.
        def fired: u64,
        /// The last firing that was made.
        opt last: Fired,
        /// The last firing that was left out.
        opt skipped: Skipped,
        /// What keeps the firing that is due.
        opt held: Held,
    }
}

impl Schedule {
    /// The time between two firings, if it has no expression.
    pub fn every(&self) -> Option<Duration> {
        self.every_ms.map(Duration::from_millis)
    }

    /// The longest time that a firing is put off.
    pub fn jitter(&self) -> Duration {
        Duration::from_millis(self.jitter_ms)
    }

    /// When the work of a firing must be done.
    pub fn deadline(&self, at: Timestamp) -> Option<Timestamp> {
        self.deadline_ms.map(|millis| at.plus(Duration::from_millis(millis)))
    }

    /// The schedule as it stands in the revision at `revision`: from then on it names the one that created it.
    #[must_use]
    pub fn seen_at(mut self, revision: u64) -> Self {
        self.revision.get_or_insert(revision);
        self
    }

    /// Whether another document is of the same schedule, and not of a later one of the same name.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.name, self.revision, self.created_at) == (&other.name, other.revision, other.created_at)
    }
}
