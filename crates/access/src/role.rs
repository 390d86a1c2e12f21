//! The roles, and what a role may do in words.

use std::fmt;
use std::str::FromStr;

use baton_envelope::control::{Effect, Question, Visitor, each};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a person may do. Each role may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Sees everything and changes nothing.
    Viewer,
    /// Answers intents that wait for a person.
    Approver,
    /// Submits, schedules, redrives, cancels, pauses, moves, rolls out and kills.
    Operator,
    /// Asks controllers for everything that they can be asked for.
    Admin,
}

impl Role {
    /// All of them, least first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Approver, Self::Operator, Self::Admin];

    /// Its word in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Approver => "approver",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl Role {
    /// The least role that may ask controllers a verb.
    pub fn for_verb(verb: &str) -> Self {
        match verb.split_once('.') {
            None => Self::Viewer,
            Some(_) if reading_verbs().contains(&verb) => Self::Viewer,
            Some((group, _)) if OPERATED.contains(&group) => Self::Operator,
            Some(_) => Self::Admin,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|role| role.name() == text);
        found.ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|role| role.name()).collect();
            format!("\"{text}\" is no role: expected one of {}", known.join(", "))
        })
    }
}

impl Serialize for Role {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// The groups of verbs that an operator may use: `mesh.control.<group>.*`. What is not here is the admins' alone.
pub const OPERATED: &[&str] = &[
    "agents",
    "approvals",
    "archive",
    "channels",
    "intents",
    "rollout",
    "route",
    "schedules",
    "work",
];

/// The verbs of two words that change nothing.
pub(crate) fn reading_verbs() -> Vec<&'static str> {
    verbs(|verb, effect| verb.contains('.') && effect == Effect::Reads)
}

/// The verbs of one word that change something. There is none, and there must be none: a viewer may ask all verbs of one word.
#[cfg(test)]
pub(crate) fn changing_words() -> Vec<&'static str> {
    verbs(|verb, effect| !verb.contains('.') && effect == Effect::Changes)
}

fn verbs(wanted: fn(&str, Effect) -> bool) -> Vec<&'static str> {
    struct Verbs {
        wanted: fn(&str, Effect) -> bool,
        found: Vec<&'static str>,
    }
    impl Visitor for Verbs {
        fn visit<Q: Question>(&mut self) {
            if (self.wanted)(Q::VERB, Q::EFFECT) {
                self.found.push(Q::VERB);
            }
        }
    }
    let mut verbs = Verbs {
        wanted,
        found: Vec::new(),
    };
    each(&mut verbs);
    verbs.found.sort_unstable();
    verbs.found
}

/// What an import or an export is for, in the words of `docs/security.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Asks what is there.
    SeesTopology,
    /// Takes tickets of its own agent.
    TakesTickets,
    /// Reads the ledger.
    ReadsLedger,
    /// Follows routes and load.
    FollowsRoutes,
    /// Reads the archive, what agents declared, and schedules.
    ReadsStore,
    /// Reads the archive alone.
    ReadsArchive,
    /// Reads objects.
    ReadsObjects,
    /// Reads memories of spaces.
    ReadsMemories,
    /// Asks for what changes nothing.
    AsksControllers,
    /// Hears everything as it happens.
    Watches,
    /// Writes records.
    WritesRecords,
    /// Writes tickets.
    WritesTickets,
    /// Stores objects.
    WritesObjects,
    /// Writes memories of spaces.
    WritesMemories,
    /// Spends of the cap of its own agent.
    SpendsOfItsCap,
    /// Speaks in its own name.
    SpeaksForItself,
    /// Hears answers.
    HearsReplies,
    /// Submits work.
    Submits,
    /// Answers intents that wait.
    Decides,
    /// Uses the verbs of operators.
    Operates,
    /// Uses all verbs.
    Administers,
}

impl Right {
    /// Whether something is different afterwards.
    pub(crate) const fn changes(self) -> bool {
        match self {
            Self::SeesTopology
            | Self::ReadsLedger
            | Self::FollowsRoutes
            | Self::ReadsStore
            | Self::ReadsArchive
            | Self::ReadsObjects
            | Self::ReadsMemories
            | Self::AsksControllers
            | Self::Watches
            | Self::HearsReplies => false,
            Self::TakesTickets
            | Self::WritesRecords
            | Self::WritesTickets
            | Self::WritesObjects
            | Self::WritesMemories
            | Self::SpendsOfItsCap
            | Self::SpeaksForItself
            | Self::Submits
            | Self::Decides
            | Self::Operates
            | Self::Administers => true,
        }
    }

    /// What it lets one do.
    pub(crate) const fn says(self) -> &'static str {
        match self {
            Self::SeesTopology => "ask which streams and consumers there are, and how they are set",
            Self::TakesTickets => "take, extend and acknowledge the tickets of its own agent",
            Self::ReadsLedger => "read every record of every intent",
            Self::FollowsRoutes => "follow routes and load reports",
            Self::ReadsStore => "read the archive, the declarations of agents, schedules, and who leads",
            Self::ReadsArchive => "read the archive: what its calls came to may be there",
            Self::ReadsObjects => "read payloads and results that are objects",
            Self::ReadsMemories => "read the memories of every space",
            Self::AsksControllers => "ask controllers what changes nothing",
            Self::Watches => "hear every record and every alarm as it happens",
            Self::WritesRecords => "write a record on any intent",
            Self::WritesTickets => "write a ticket for any agent",
            Self::WritesObjects => "store an object once, in the tree of any intent",
            Self::WritesMemories => {
                "write memories: an agent in the space of its own name and in those that it is given, a person in every space"
            }
            Self::SpendsOfItsCap => "have controllers grant calls out of the cap of its own agent, and settle them",
            Self::SpeaksForItself => "send heartbeats and answer controllers, as its own agent only",
            Self::HearsReplies => "hear the answers under its own `reply.`",
            Self::Submits => "submit work, in its own name",
            Self::Decides => "answer intents that wait, in its own name",
            Self::Operates => {
                "have controllers submit, schedule, redrive, cancel, pause, restart, move, roll out, route, quarantine and kill, in its own name"
            }
            Self::Administers => "have controllers do everything that they can be asked, in its own name",
        }
    }

    /// What comes with it that nobody wants; the server cannot tell it apart.
    pub(crate) const fn unwanted(self) -> &'static str {
        match self {
            Self::ReadsLedger | Self::ReadsArchive | Self::ReadsObjects => {
                "payloads of intents that never come to it: the server cannot limit reads by intent"
            }
            Self::WritesRecords => {
                "a record on an intent of another agent, and one in another agent's name: found and told, void with signatures"
            }
            Self::WritesTickets => "a ticket without a record: no worker runs it",
            Self::WritesObjects => {
                "junk under a hash, which no reader takes for content, and as much of it as the stream holds: bounded by its `max_bytes`"
            }
            Self::WritesMemories => {
                "memories of these spaces that it writes over without looking, or in another's name: the last 64 revisions of each are kept; and as much as the stream holds: bounded by its `max_bytes`"
            }
            Self::TakesTickets => {
                "tickets of its own agent that it acknowledges and does not run: written again by a controller"
            }
            Self::SpendsOfItsCap => {
                "calls of its own agent that it has granted and does not make, and settles for less than they took"
            }
            Self::Watches => "every payload",
            Self::Submits => "as much work as the intake holds: bounded by its `max_bytes`",
            Self::SeesTopology
            | Self::FollowsRoutes
            | Self::ReadsStore
            | Self::ReadsMemories
            | Self::AsksControllers
            | Self::SpeaksForItself
            | Self::HearsReplies
            | Self::Decides
            | Self::Operates
            | Self::Administers => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_viewer_may_ask_every_verb_of_one_word() {
        assert_eq!(changing_words(), Vec::<&str>::new());
        assert!(reading_verbs().contains(&"rollout.status"));
    }

    /// A new group of verbs must be given to operators or to workers, or kept for admins: deliberately.
    #[test]
    fn every_group_of_verbs_belongs_to_somebody() {
        const ADMINS: &[&str] = &["mesh"];
        const WORKERS: &[&str] = &["caps"];
        // Whoever may read the spaces, by the full name of each verb.
        const READERS: &[&str] = &["memory"];
        for verb in baton_envelope::control::VERBS {
            let Some((group, _)) = verb.split_once('.') else {
                continue;
            };
            let is_read = READERS.contains(&group) && reading_verbs().contains(verb);
            assert!(
                OPERATED.contains(&group) || ADMINS.contains(&group) || WORKERS.contains(&group) || is_read,
                "verb {verb}: who may ask for it?"
            );
        }
    }
}
