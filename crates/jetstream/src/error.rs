//! What can go wrong between Baton and the server.

mod code;
mod refuses;
mod server;

use baton_envelope::context::MemoryKey;
use baton_envelope::control::ControlError;
use baton_envelope::{
    AgentName, AgentVersion, BadName, BadText, DecodeError, IllegalTransition, IntentId, SpaceName, Timestamp,
};

pub use refuses::Refuses;
pub(crate) use server::{CONSUMER_NOT_FOUND, STREAM_NOT_FOUND, Status, TOO_MANY_CONSUMERS};
pub use server::{Refusal, Trouble};

/// The error of whatever was asked for: of the client, of a reader, or a sentence.
pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

/// A setting that all of a mesh shares, with another value in this process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{setting}` is \"{here}\" in this process ({source_here}) and \"{mesh}\" in the mesh (`baton.{setting}` in the metadata of stream {stream})"
)]
pub struct SettingDiffers {
    /// Which one.
    pub setting: &'static str,
    /// Its value in this process.
    pub here: String,
    /// Where this process has it from.
    pub source_here: String,
    /// Its value in the mesh.
    pub mesh: String,
    /// The stream that says so.
    pub stream: String,
}

/// What two sides do not agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// Nobody that is known here has signed the server's certificate.
    UnknownAuthority,
    /// The server's certificate is of another name, or not valid now.
    ServerCertificate,
    /// The server wants a certificate that it trusts.
    OwnCertificate,
}

impl TlsFault {
    const fn says(self) -> &'static str {
        match self {
            Self::UnknownAuthority => "an unknown authority has signed its certificate",
            Self::ServerCertificate => "its certificate does not hold for this address, or not now",
            Self::OwnCertificate => "it wants a certificate of this side that it trusts",
        }
    }
}

/// The revision that a memory of a space is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundRevision {
    /// Its number.
    pub revision: u64,
    /// Who wrote it.
    pub by: String,
    /// Whether the memory was forgotten with it.
    pub is_forgotten: bool,
}

fn found_instead(expected: Option<u64>, found: Option<&FoundRevision>) -> String {
    match (expected, found) {
        (None, Some(FoundRevision { revision, by, .. })) => {
            format!("is there already, at revision {revision}, by {by}")
        }
        (
            Some(expected),
            Some(FoundRevision {
                revision,
                by,
                is_forgotten,
            }),
        ) => {
            let is = if *is_forgotten { "was forgotten" } else { "is" };
            format!("{is} at revision {revision}, by {by}, and is not at {expected}")
        }
        (Some(expected), None) => format!("is not there, and so not at revision {expected}"),
        (None, None) => "changes all the time".to_owned(),
    }
}

/// A failure of the mesh.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No server answers there.
    #[error("no nats-server answers at {url}")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        #[source]
        source: Source,
    },
    /// A server answers there, and the two do not agree on TLS.
    #[error("nats-server at {url} cannot be spoken to by TLS: {}", fault.says())]
    TlsFailed {
        /// Where.
        url: String,
        /// Which side's certificate is in the way.
        fault: TlsFault,
        /// Why.
        #[source]
        source: Source,
    },
    /// A file of TLS that cannot be read.
    #[error("`connection.{setting}`: {} cannot be read: {problem}", path.display())]
    BadTlsFile {
        /// The setting that names it.
        setting: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// An address that cannot be read.
    #[error("server address \"{url}\": {source}; expected nats://HOST:PORT")]
    BadAddress {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        #[source]
        source: Source,
    },
    /// The server does not let this user in.
    #[error("nats-server at {url} refuses {login}")]
    LoginRefused {
        /// Where.
        url: String,
        /// As whom this wanted in, without any secret.
        login: String,
        /// What the server said.
        #[source]
        source: Source,
    },
    /// The server does not let this user do that.
    #[error("the server does not allow this user to {what}")]
    Denied {
        /// What was denied.
        what: String,
    },
    /// The server does not let this user hear its answers.
    #[error("the server does not let this user hear answers: it may not listen below the inbox prefix \"{prefix}\"")]
    InboxDenied {
        /// The prefix that this process uses.
        prefix: String,
    },
    /// An inbox prefix that is no beginning of a subject.
    #[error("inbox prefix \"{0}\": expected words separated by dots, without spaces and wildcards, such as _INBOX_ada")]
    BadInboxPrefix(String),
    /// Credentials that cannot be used.
    #[error("credentials {}: {problem}", path.display())]
    BadCredentials {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A server did not take over its configuration.
    #[error("nats-server {server} did not read its configuration again: {problem}")]
    ReloadRefused {
        /// The name of the server.
        server: String,
        /// What it said.
        problem: String,
    },
    /// Something of the mesh is missing, and only a controller may make it here.
    #[error("{what} is missing, and this user may not make it: a controller does")]
    Unmade {
        /// What is missing.
        what: String,
    },
    /// The server has JetStream, and no quorum to answer with.
    #[error("JetStream does not answer at {url}: its servers have no leader")]
    NoQuorum {
        /// Where.
        url: String,
    },
    /// The server answers, and does not store what is written.
    #[error("the server answers, and does not store: {what}")]
    NotStored {
        /// What was written, and where.
        what: String,
    },
    /// The cluster has fewer servers than copies are asked for.
    #[error("the cluster cannot keep {copies} copies, and nothing was changed")]
    TooFewServers {
        /// How many were asked for.
        copies: u32,
        /// What the server says.
        #[source]
        refusal: Refusal,
    },
    /// The server is older than the oldest that Baton is tested with.
    #[error("nats-server {found} at {url} is too old: {needed} or newer is needed")]
    TooOld {
        /// Where.
        url: String,
        /// Its version.
        found: String,
        /// The oldest that will do.
        needed: &'static str,
    },
    /// The server is older than a secured mesh needs: a client could name somebody else as who asks.
    #[error("nats-server {found} at {url} is too old for a secured mesh: {needed} or newer is needed")]
    TooOldToSecure {
        /// Where.
        url: String,
        /// Its version.
        found: String,
        /// The oldest that will do.
        needed: &'static str,
    },
    /// The mesh is secured, and this controller is configured for an open one.
    #[error(
        "the mesh is secured (`baton.secured` in the metadata of stream {stream}), and this controller is not: it would take anybody's word of who asks"
    )]
    Unsecured {
        /// The stream that says so.
        stream: String,
    },
    /// The server runs without JetStream.
    #[error("nats-server at {url} runs without JetStream")]
    NoJetStream {
        /// Where.
        url: String,
    },
    /// A setting that all of a mesh shares is another one in this process.
    #[error(transparent)]
    SettingDiffers(Box<SettingDiffers>),
    /// The mesh was raised to something that this build does not know.
    #[error(
        "stream {stream} asks for a build that knows topology {needed} (`baton.topology.least`), and this one knows {known}"
    )]
    TopologyTooNew {
        /// The stream that says so.
        stream: String,
        /// The oldest topology that will do.
        needed: u32,
        /// The newest that this build knows.
        known: u32,
    },
    /// The controllers of the mesh are of a release that does not know what is asked for.
    #[error(
        "the mesh cannot {what}: its controllers, or some of them, are too old, or none has led since it was upgraded"
    )]
    MeshTooOld {
        /// What is asked for.
        what: String,
    },
    /// A file of keys that cannot be used.
    #[error("keys in {file}: {problem}")]
    BadKeys {
        /// The file, or the setting that should name one.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The mesh takes signed records alone, and this process has no key.
    #[error(
        "{what} needs a signature: the mesh requires them (`baton.signatures` in the metadata of stream {stream}), and this process has no key"
    )]
    NoSigningKey {
        /// What was to be written.
        what: String,
        /// The stream that says so.
        stream: String,
    },
    /// A `nats` context that cannot be used.
    #[error("nats context \"{name}\": {problem}")]
    BadContext {
        /// Its name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The server refused a write.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A message is larger than the server takes.
    #[error("{what} is {size} bytes, and the server takes at most {limit} in one message")]
    TooLarge {
        /// What was written.
        what: String,
        /// Its size in bytes.
        size: usize,
        /// The server's `max_payload` in bytes.
        limit: usize,
    },
    /// The server did not answer within the time that the caller allows. As with `Api`, the message has that of the source.
    #[error("no answer from the server: {what}: {source}")]
    NoAnswer {
        /// What was asked.
        what: String,
        /// What came in place of an answer.
        #[source]
        source: Source,
    },
    /// The server has no such stream: nobody has made the mesh yet, or the stream was deleted.
    #[error("there is no stream {0} on the server")]
    NoStream(String),
    /// The ledger is missing, and it was there: it held the only record of every open intent.
    #[error(
        "the ledger is lost: there is no stream {stream}, and {evidence}; it is not made again, because every intent that was open would be gone"
    )]
    LedgerLost {
        /// The stream that is missing.
        stream: String,
        /// What shows that it was there.
        evidence: String,
    },
    /// The agent had a route, and nobody remembers it.
    #[error(
        "the route of agent \"{agent}\" is lost: nobody remembers it, and its work stream has consumers of {}",
        if versions.is_empty() { "no version that is open".to_owned() } else { versions.join(", ") }
    )]
    RouteLost {
        /// The agent.
        agent: String,
        /// The versions that may have been active.
        versions: Vec<String>,
    },
    /// A version is new, and its agent has as many as it may.
    #[error("agent \"{agent}\" has {limit} versions that are not retired, and gets no more; retire or forget old ones")]
    TooManyVersions {
        /// The agent.
        agent: String,
        /// How many it may have.
        limit: usize,
    },
    /// No route says which version of the agent takes work.
    #[error("agent \"{agent}\" is unknown (known: {})", if known.is_empty() { "none".to_owned() } else { known.join(", ") })]
    UnknownAgent {
        /// The agent.
        agent: String,
        /// Those that are known.
        known: Vec<String>,
    },
    /// No record of the intent.
    #[error("there is no intent \"{0}\"")]
    NoIntent(IntentId),
    /// The ledger has no envelope for the present hop of the intent.
    #[error("the envelope of intent \"{0}\" cannot be found in the ledger")]
    NoEnvelope(IntentId),
    /// The intent is closed, and only the archive has it.
    #[error("intent \"{intent}\" is {status}, and in the archive: what is there is closed for good")]
    Archived {
        /// The intent.
        intent: IntentId,
        /// How it ended.
        status: String,
    },
    /// A bundle of the archive is not what it should be.
    #[error(transparent)]
    Bundle(Box<baton_envelope::BundleError>),
    /// The intent is not in a status in which that can be done.
    #[error("intent \"{intent}\" is {status}: {problem}")]
    WrongStatus {
        /// The intent.
        intent: IntentId,
        /// Where it stands.
        status: String,
        /// Why that does not fit.
        problem: String,
    },
    /// The ledger moved while an operator's act was being written.
    #[error("intent \"{0}\" was changed by someone else at the same moment")]
    Raced(IntentId),
    /// No version of the agent may take this work.
    #[error(transparent)]
    Unroutable(#[from] baton_envelope::Unroutable),
    /// The breaker of the version that would get the work is open, and the policy of its agent refuses more.
    #[error(
        "the breaker of {agent}@{version} is open {}: its work keeps failing, and the policy of {agent} is to refuse more",
        until.map_or_else(|| "until somebody closes it".to_owned(), |until| format!("until {until}"))
    )]
    BreakerOpen {
        /// The agent.
        agent: AgentName,
        /// The version.
        version: AgentVersion,
        /// When work is taken again; `None` if that is not foreseen.
        until: Option<Timestamp>,
    },
    /// The writer and the version that would get the work read no common version of the protocol.
    #[error(transparent)]
    NoCommonProtocol(#[from] baton_envelope::NoCommonProtocol),
    /// No agent can do all that is needed.
    #[error("no agent can do {}: {reason}", needed.join(" and "))]
    NoneCapable {
        /// The capabilities that are needed.
        needed: Vec<String>,
        /// What each agent lacks.
        reason: String,
    },
    /// No worker of a version is there to be asked.
    #[error("no worker of agent \"{agent}\" {version} answers")]
    NoWorker {
        /// The agent.
        agent: String,
        /// The version.
        version: String,
    },
    /// The route does not allow this decision.
    #[error(transparent)]
    Decision(#[from] baton_envelope::rollout::Refused),
    /// No controller answers.
    #[error("no controller of this mesh answers")]
    NoController,
    /// A controller refused.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The envelope asks for what cannot be done.
    #[error("field `{field}`: {problem}")]
    BadEnvelope {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Nothing on the ledger subject of an intent can be read.
    #[error("no record of intent \"{intent}\" can be read; the first is at {seq}: {problem}")]
    NoneReadable {
        /// The intent.
        intent: IntentId,
        /// The ledger sequence of the first.
        seq: u64,
        /// What is wrong with it.
        problem: String,
    },
    /// A text of the envelope that may not travel in headers, subjects and environments.
    #[error(transparent)]
    BadText(#[from] BadText),
    /// A stored document that cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A name that may not become a subject.
    #[error(transparent)]
    BadName(#[from] BadName),
    /// An event that may not follow.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// A message that was expected in a stream is not there, or not any more.
    #[error("{what} is not there (any more)")]
    Missing {
        /// Which one.
        what: String,
    },
    /// An object is not there.
    #[error("object {object} of the tree of intent \"{tree}\" is not there (any more)")]
    ObjectMissing {
        /// The root intent of the tree.
        tree: IntentId,
        /// The hash of the object, or of the piece.
        object: String,
    },
    /// What stands in the place of an object is something else, or nothing could stand there.
    #[error("object {object} of the tree of intent \"{tree}\" is corrupt: {problem}")]
    ObjectCorrupt {
        /// The root intent of the tree.
        tree: IntentId,
        /// The hash of the object.
        object: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There is no view of what is remembered.
    #[error("the view of a hop of intent \"{intent}\": {source}")]
    NoView {
        /// The intent.
        intent: IntentId,
        /// Why.
        #[source]
        source: baton_envelope::context::AssembleError,
    },
    /// There is no room for an object.
    #[error("there is no room for an object in the tree of intent \"{tree}\": {problem}")]
    ObjectsFull {
        /// The root intent of the tree.
        tree: IntentId,
        /// Which limit.
        problem: String,
        /// Whether it is a limit of the object or of its tree; else the stream is full, and may have room later.
        is_lasting: bool,
    },
    /// There is no memory of that id in the space, or it was forgotten.
    #[error("there is no memory \"{id}\" in space \"{space}\"")]
    NoMemory {
        /// The space.
        space: SpaceName,
        /// The id.
        id: MemoryKey,
    },
    /// The memory of a space is not at the revision that was to be written over.
    #[error("memory \"{id}\" of space \"{space}\" {}", found_instead(*expected, found.as_deref()))]
    MemoryChanged {
        /// The space.
        space: SpaceName,
        /// The id.
        id: MemoryKey,
        /// The revision that was to be written over; `None` where there was to be none.
        expected: Option<u64>,
        /// What there is.
        found: Option<Box<FoundRevision>>,
    },
    /// A request to the server failed. The message has that of the source, because a log shows one line.
    #[error("{what} failed: {source}")]
    Api {
        /// What was asked.
        what: String,
        /// What the client or the server said.
        #[source]
        source: Source,
    },
}

impl Error {
    pub(crate) fn api(what: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::Api {
            what: what.into(),
            source: source.into(),
        }
    }

    /// No answer; `source` says what came in its place.
    pub fn no_answer(what: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::NoAnswer {
            what: what.into(),
            source: source.into(),
        }
    }

    /// Whether the server is at fault, so that the same for another intent would fare no better.
    pub fn is_of_server(&self) -> bool {
        matches!(
            self,
            Self::NoAnswer { .. } | Self::NotStored { .. } | Self::Denied { .. } | Self::InboxDenied { .. }
        )
    }

    /// Whether an object cannot be had, whoever tries it again: what it is of waits for a person.
    pub fn is_of_object(&self) -> bool {
        matches!(self, Self::ObjectMissing { .. } | Self::ObjectCorrupt { .. })
    }

    /// Whether nobody can read what the ledger holds of an intent: whoever tries it again fares no better, and no worker has it.
    pub fn is_unreadable(&self) -> bool {
        matches!(
            self,
            Self::NoneReadable { .. } | Self::NoEnvelope(_) | Self::Decode(_) | Self::BadText(_)
        )
    }

    /// What the server says is in the way, by its code; `None` where it said nothing, or nothing that is known here.
    pub fn trouble(&self) -> Option<Trouble> {
        if let Self::Refused(refusal) = self {
            refusal.trouble()
        } else if let Self::Api { source, .. } = self {
            server::trouble(&**source)
        } else if let Self::NoStream(_) = self {
            Some(Trouble::NoStream)
        } else {
            None
        }
    }
}
