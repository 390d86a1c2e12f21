//! The subjects, stream names and bucket names of one mesh.

use crate::base::ids::IntentId;
use crate::base::mutants::Mutant;
use crate::base::names::{AgentName, AgentVersion, CapabilityName, ChannelName, Namespace, SpaceName};
use crate::message::envelope::Priority;

/// A group of priorities that share a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Band {
    /// The lowest priority of the band.
    pub low: u8,
    /// The highest priority of the band.
    pub high: u8,
}

impl Band {
    /// The band as a token: `p4-7`.
    pub fn token(self) -> String {
        if self.low == self.high {
            format!("p{}", self.low)
        } else {
            format!("p{}-{}", self.low, self.high)
        }
    }

    /// Whether a priority belongs to the band.
    pub fn contains(self, priority: Priority) -> bool {
        (self.low..=self.high).contains(&priority.get())
    }
}

/// How the ten priorities form bands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bands {
    /// One band: priorities are recorded but have no effect.
    One,
    /// High 8–10, normal 4–7, low 1–3.
    #[default]
    Three,
    /// One band per priority.
    Ten,
}

impl Bands {
    /// Its word in a configuration and in the metadata of a mesh.
    pub const fn name(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Three => "three",
            Self::Ten => "ten",
        }
    }

    /// The bands, most urgent first.
    pub fn list(self) -> Vec<Band> {
        match self {
            Self::One => vec![Band { low: 1, high: 10 }],
            Self::Three if Mutant::I14Reversed.is_on() => vec![
                Band { low: 1, high: 3 },
                Band { low: 4, high: 7 },
                Band { low: 8, high: 10 },
            ],
            Self::Three => vec![
                Band { low: 8, high: 10 },
                Band { low: 4, high: 7 },
                Band { low: 1, high: 3 },
            ],
            Self::Ten => (1..=10).rev().map(|p| Band { low: p, high: p }).collect(),
        }
    }
}

/// The subject, stream and bucket names of one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subjects {
    namespace: Namespace,
    upper: String,
}

impl Subjects {
    /// The names of a namespace.
    pub fn new(namespace: Namespace) -> Self {
        let upper = namespace.as_str().to_ascii_uppercase();
        Self { namespace, upper }
    }

    /// The namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The subjects of the intake stream, to which anyone may publish.
    pub fn intake_subjects(&self) -> Vec<String> {
        let ns = &self.namespace;
        vec![
            format!("{ns}.intent.*"),
            format!("{ns}.capability.*"),
            format!("{ns}.channel.*"),
            format!("{ns}.signal.*.*"),
            format!("{ns}.from.*.intent.*"),
            format!("{ns}.from.*.capability.*"),
            format!("{ns}.decide.*.*.*.*.*"),
            format!("{ns}.from.*.signal.*.*"),
            format!("{ns}.from.*.decide.*.*.*.*.*"),
            format!("{ns}.from.*.channel.*"),
        ]
    }

    /// Those of them that the routers read: raw intents, and messages of channels.
    pub fn router_subjects(&self) -> Vec<String> {
        let ns = &self.namespace;
        let kinds = [
            "intent.*",
            "capability.*",
            "channel.*",
            "from.*.intent.*",
            "from.*.capability.*",
            "from.*.channel.*",
        ];
        kinds.iter().map(|kind| format!("{ns}.{kind}")).collect()
    }

    /// Those of them that tell an intent something.
    pub fn signal_subjects(&self) -> Vec<String> {
        let ns = &self.namespace;
        vec![format!("{ns}.signal.*.*"), format!("{ns}.from.*.signal.*.*")]
    }

    /// Those of them by which people decide.
    pub fn decision_subjects(&self) -> Vec<String> {
        let ns = &self.namespace;
        vec![
            format!("{ns}.decide.*.*.*.*.*"),
            format!("{ns}.from.*.decide.*.*.*.*.*"),
        ]
    }

    /// The subject of a signal for an intent.
    pub fn signal(&self, intent: &IntentId, name: &str) -> String {
        format!("{}.signal.{intent}.{name}", self.namespace)
    }

    /// The subject by which a person decides: a permission can name the person, and what a body says of them counts for
    /// nothing. `-` is nobody in particular.
    pub fn decision(&self, person: &str, intent: &IntentId, hop: u32, wait: &str, choice: &str) -> String {
        format!("{}.decide.{person}.{intent}.{hop}.{wait}.{choice}", self.namespace)
    }

    /// The subject on which the raw intents of an account for an agent arrive, where accounts are kept apart: whoever sends
    /// them publishes on [`Subjects::intent`], and an import of the account maps it to this. The server checks the account.
    pub fn intent_from(&self, account: &str, agent: &AgentName) -> String {
        format!("{}.from.{account}.intent.{agent}", self.namespace)
    }

    /// As [`Subjects::intent_from`], for whoever has a capability.
    pub fn capability_from(&self, account: &str, capability: &CapabilityName) -> String {
        format!("{}.from.{account}.capability.{capability}", self.namespace)
    }

    /// As [`Subjects::intent_from`], for all that subscribe to a channel.
    pub fn channel_from(&self, account: &str, channel: &ChannelName) -> String {
        format!("{}.from.{account}.channel.{channel}", self.namespace)
    }

    /// The subject on which an agent is asked: the answer is the reply.
    pub fn ask(&self, agent: &AgentName) -> String {
        format!("{}.ask.{agent}", self.namespace)
    }

    /// As [`Subjects::ask`], for what an account asks; see [`Subjects::intent_from`].
    pub fn ask_from(&self, account: &str, agent: &AgentName) -> String {
        format!("{}.from.{account}.ask.{agent}", self.namespace)
    }

    /// The subjects of everything that is asked.
    pub fn ask_all(&self) -> [String; 2] {
        let ns = &self.namespace;
        [format!("{ns}.ask.*"), format!("{ns}.from.*.ask.*")]
    }

    /// The intake subject that takes the same work as an ask; `None` for any other subject.
    pub fn intake_of_ask(&self, subject: &str) -> Option<String> {
        let (account, rest) = self.intake(subject);
        let agent = rest.strip_prefix("ask.")?;
        Some(match account {
            Some(account) => format!("{}.from.{account}.intent.{agent}", self.namespace),
            None => format!("{}.intent.{agent}", self.namespace),
        })
    }

    /// An intake subject without the namespace, and the account that it came from where the subject says so.
    pub fn intake<'s>(&self, subject: &'s str) -> (Option<&'s str>, &'s str) {
        let rest = subject
            .strip_prefix(self.namespace.as_str())
            .and_then(|rest| rest.strip_prefix('.'))
            .unwrap_or(subject);
        match rest.strip_prefix("from.").and_then(|rest| rest.split_once('.')) {
            Some((account, rest)) => (Some(account), rest),
            None => (None, rest),
        }
    }

    /// The subject of raw intents for an agent.
    pub fn intent(&self, agent: &AgentName) -> String {
        format!("{}.intent.{agent}", self.namespace)
    }

    /// The subjects on which raw intents for an agent stand in the intake.
    pub fn intents_in_intake(&self, agent: &AgentName) -> [String; 2] {
        let ns = &self.namespace;
        [self.intent(agent), format!("{ns}.from.*.intent.{agent}")]
    }

    /// The subject of raw intents for any agent that has a capability.
    pub fn capability(&self, capability: &CapabilityName) -> String {
        format!("{}.capability.{capability}", self.namespace)
    }

    /// The subject of the messages of a channel.
    pub fn channel(&self, channel: &ChannelName) -> String {
        format!("{}.channel.{channel}", self.namespace)
    }

    /// The subject of an intent's records.
    pub fn ledger(&self, intent: &IntentId) -> String {
        [self.namespace.as_str(), ".ledger.0.", intent.as_str()].concat()
    }

    /// The intent that a ledger subject names.
    pub fn intent_of_ledger(&self, subject: &str) -> Option<IntentId> {
        subject
            .strip_prefix(self.namespace.as_str())?
            .strip_prefix(".ledger.0.")?
            .parse()
            .ok()
    }

    /// The subject of all records of all intents.
    pub fn ledger_all(&self) -> String {
        format!("{}.ledger.*.*", self.namespace)
    }

    /// The subject of a bundle, by the agent that had the intent last; `-` for none.
    pub fn archive(&self, agent: Option<&AgentName>) -> String {
        format!("{}.archive.{}", self.namespace, agent.map_or("-", AgentName::as_str))
    }

    /// The subject of all bundles.
    pub fn archive_all(&self) -> String {
        format!("{}.archive.*", self.namespace)
    }

    /// The archive stream.
    pub fn archive_stream(&self) -> String {
        format!("{}_ARCHIVE", self.upper)
    }

    /// The context stream, which holds objects.
    pub fn context_stream(&self) -> String {
        format!("{}_CONTEXT", self.upper)
    }

    /// The subject of an object, or of a piece of one, of the tree of this intent.
    pub fn object(&self, tree: &IntentId, token: &str) -> String {
        [self.namespace.as_str(), ".context.", tree.as_str(), ".", token].concat()
    }

    /// The subject of all objects of a tree.
    pub fn objects_of(&self, tree: &IntentId) -> String {
        format!("{}.context.{tree}.*", self.namespace)
    }

    /// The subject of all objects.
    pub fn objects_all(&self) -> String {
        format!("{}.context.*.*", self.namespace)
    }

    /// The tree and the last token that the subject of an object names.
    pub fn object_of<'s>(&self, subject: &'s str) -> Option<(IntentId, &'s str)> {
        let rest = subject
            .strip_prefix(self.namespace.as_str())?
            .strip_prefix(".context.")?;
        let (tree, token) = rest.split_once('.')?;
        Some((tree.parse().ok()?, token))
    }

    /// The stream of the archived objects.
    pub fn context_archive_stream(&self) -> String {
        format!("{}_CONTEXT_ARCHIVE", self.upper)
    }

    /// The subject of a bundle of objects of the tree of this intent.
    pub fn object_bundle(&self, tree: &IntentId, name: &str) -> String {
        format!("{}.context-archive.{tree}.{name}", self.namespace)
    }

    /// The subject of all bundles of objects.
    pub fn object_bundles_all(&self) -> String {
        format!("{}.context-archive.*.*", self.namespace)
    }

    /// The memory stream, which holds the memories of spaces.
    pub fn memory_stream(&self) -> String {
        format!("{}_MEMORY", self.upper)
    }

    /// The subject of a memory of a space.
    pub fn memory(&self, space: &SpaceName, id: &str) -> String {
        format!("{}.memory.{space}.{id}", self.namespace)
    }

    /// The subject of all memories of a space.
    pub fn memories_of(&self, space: &SpaceName) -> String {
        format!("{}.memory.{space}.*", self.namespace)
    }

    /// The subject of all memories of all spaces.
    pub fn memories_all(&self) -> String {
        format!("{}.memory.*.*", self.namespace)
    }

    /// The space and the id that the subject of a memory names.
    pub fn memory_of<'s>(&self, subject: &'s str) -> Option<(SpaceName, &'s str)> {
        let rest = subject
            .strip_prefix(self.namespace.as_str())?
            .strip_prefix(".memory.")?;
        let (space, id) = rest.split_once('.')?;
        Some((space.parse().ok()?, id))
    }

    /// The stream of the checkpoints.
    pub fn audit_stream(&self) -> String {
        format!("{}_AUDIT", self.upper)
    }

    /// The subject of the checkpoints.
    pub fn checkpoint(&self) -> String {
        format!("{}.audit.checkpoint", self.namespace)
    }

    /// The subject on which the server republishes an intent's records as it stores them.
    pub fn event(&self, intent: &IntentId) -> String {
        format!("{}.event.{intent}", self.namespace)
    }

    /// The subject of all republished records.
    pub fn event_all(&self) -> String {
        format!("{}.event.*", self.namespace)
    }

    /// The destination of the ledger's republish rule.
    pub fn event_rule(&self) -> String {
        format!("{}.event.{{{{wildcard(2)}}}}", self.namespace)
    }

    /// The subject of a ticket.
    pub fn work(&self, agent: &AgentName, version: &AgentVersion, priority: Priority) -> String {
        if Mutant::I7OneVersion.is_on() {
            return format!("{}.work.{agent}.1_0_0.p{priority}", self.namespace);
        }
        // `concat` here and above: each hop needs both subjects, and `format!` grows its string piece by piece.
        let (token, priority) = (version.token(), priority.get().to_string());
        let (namespace, agent) = (self.namespace.as_str(), agent.as_str());
        [namespace, ".work.", agent, ".", &token, ".p", &priority].concat()
    }

    /// The subject of all tickets of an agent.
    pub fn work_all(&self, agent: &AgentName) -> String {
        format!("{}.work.{agent}.*.*", self.namespace)
    }

    /// The subjects of a version's tickets in a band.
    pub fn work_band(&self, agent: &AgentName, version: &AgentVersion, band: Band) -> Vec<String> {
        let token = version.token();
        (band.low..=band.high)
            .rev()
            .map(|p| format!("{}.work.{agent}.{token}.p{p}", self.namespace))
            .collect()
    }

    /// The subject of an instance's heartbeats.
    pub fn heartbeat(&self, agent: &AgentName, version: &AgentVersion, instance: &str) -> String {
        format!("{}.heartbeat.{agent}.{}.{instance}", self.namespace, version.token())
    }

    /// The subject of all heartbeats.
    pub fn heartbeat_all(&self) -> String {
        format!("{}.heartbeat.*.*.*", self.namespace)
    }

    /// The subject of one question to the controllers.
    pub fn control(&self, verb: &str) -> String {
        format!("{}.control.{verb}", self.namespace)
    }

    /// The subject of all questions to the controllers.
    pub fn control_all(&self) -> String {
        format!("{}.control.>", self.namespace)
    }

    /// The subject of the load reports.
    pub fn load(&self) -> String {
        format!("{}.load", self.namespace)
    }

    /// The subject of the alarms.
    pub fn alarm(&self) -> String {
        format!("{}.alarm", self.namespace)
    }

    /// The subject on which a worker of a version replays hops.
    pub fn replay(&self, agent: &AgentName, version: &AgentVersion) -> String {
        format!("{}.replay.{agent}.{}", self.namespace, version.token())
    }

    /// The subject of all tickets of a version.
    pub fn work_version(&self, agent: &AgentName, version: &AgentVersion) -> String {
        format!("{}.work.{agent}.{}.*", self.namespace, version.token())
    }

    /// The subject on which one worker process answers.
    pub fn instance(&self, agent: &AgentName, version: &AgentVersion, instance: &str) -> String {
        format!("{}.agent.{agent}.{}.{instance}", self.namespace, version.token())
    }

    /// The control bucket, which holds the leader's lease.
    pub fn control_bucket(&self) -> String {
        format!("{}_CONTROL", self.upper)
    }

    /// The intake stream.
    pub fn intake_stream(&self) -> String {
        format!("{}_INTAKE", self.upper)
    }

    /// The ledger stream.
    pub fn ledger_stream(&self) -> String {
        format!("{}_LEDGER", self.upper)
    }

    /// The work stream of an agent.
    pub fn work_stream(&self, agent: &AgentName) -> String {
        format!("{}_WORK_{agent}", self.upper)
    }

    /// The prefix of all work streams.
    pub fn work_stream_prefix(&self) -> String {
        format!("{}_WORK_", self.upper)
    }

    /// The consumer of a version and band on the agent's work stream.
    pub fn work_consumer(&self, version: &AgentVersion, band: Band) -> String {
        format!("{}_{}", version.token(), band.token())
    }

    /// The routes bucket.
    pub fn routes_bucket(&self) -> String {
        format!("{}_ROUTES", self.upper)
    }

    /// Where the server sends on each change of a route. Anything else published there is not believed.
    pub fn route(&self, agent: &AgentName) -> String {
        format!("{}.route.{agent}", self.namespace)
    }

    /// The changes of all routes.
    pub fn route_all(&self) -> String {
        format!("{}.route.*", self.namespace)
    }

    /// The destination of the routes bucket's republish rule.
    pub fn route_rule(&self) -> String {
        format!("{}.route.>", self.namespace)
    }

    /// The agents bucket.
    pub fn agents_bucket(&self) -> String {
        format!("{}_AGENTS", self.upper)
    }

    /// The schedules bucket. Its keys are the names of the schedules.
    pub fn schedules_bucket(&self) -> String {
        format!("{}_SCHEDULES", self.upper)
    }

    /// The breakers bucket.
    pub fn breakers_bucket(&self) -> String {
        format!("{}_BREAKERS", self.upper)
    }

    /// The key of an agent version in the agents bucket and in the breakers bucket.
    pub fn agent_key(&self, agent: &AgentName, version: &AgentVersion) -> String {
        format!("{agent}.{}", version.token())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_priority_is_in_exactly_one_band() {
        for bands in [Bands::One, Bands::Three, Bands::Ten] {
            for p in 1..=10 {
                let priority = Priority::new(p).expect("in range");
                assert_eq!(bands.list().iter().filter(|band| band.contains(priority)).count(), 1);
            }
        }
    }

    #[test]
    fn an_intake_subject_names_the_account_where_the_server_put_one() {
        let subjects = Subjects::new("acme".parse().expect("namespace"));
        let agent: AgentName = "research".parse().expect("agent");
        let from = subjects.intent_from("PUB_shop", &agent);
        assert_eq!(subjects.intake(&from), (Some("PUB_shop"), "intent.research"));
        assert_eq!(subjects.intake(&subjects.intent(&agent)), (None, "intent.research"));
        assert_eq!(subjects.intake("acme.from"), (None, "from"));
    }

    #[test]
    fn what_is_asked_is_taken_in_as_what_is_published() {
        let subjects = Subjects::new("acme".parse().expect("namespace"));
        let agent: AgentName = "research".parse().expect("agent");
        let of = |subject: &str| subjects.intake_of_ask(subject);
        assert_eq!(of(&subjects.ask(&agent)), Some(subjects.intent(&agent)));
        let from = subjects.ask_from("shop", &agent);
        assert_eq!(of(&from), Some(subjects.intent_from("shop", &agent)));
        assert_eq!(of("acme.intent.research"), None);
    }

    #[test]
    fn a_ledger_subject_names_its_intent() {
        let subjects = Subjects::new(Namespace::default());
        let intent: IntentId = "order-42".parse().expect("id");
        assert_eq!(subjects.intent_of_ledger(&subjects.ledger(&intent)), Some(intent));
    }

    #[test]
    fn the_subject_of_an_object_names_its_tree() {
        let subjects = Subjects::new(Namespace::default());
        let tree: IntentId = "order-42".parse().expect("id");
        let subject = subjects.object(&tree, "ab");
        assert_eq!(subject, "mesh.context.order-42.ab");
        assert_eq!(subjects.object_of(&subject), Some((tree, "ab")));
        assert_eq!(subjects.object_of("mesh.context.order-42"), None);
    }
}
