//! Every code that Baton itself gives to an error: what a program branches on, and what `baton explain` explains.
//!
//! This is the only list. Each code has a page in `docs/errors`, and the tables of `docs/protocol.md` name the codes that
//! travel between processes. The codes of a handler are not here: an agent chooses them freely, and readers keep them as
//! they are.

/// Where a code is seen. One code may be seen in several places, and means the same in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// In the record of a raw intent that a router rejected.
    Rejection,
    /// In the record of an intent that was parked.
    Park,
    /// In the record of an attempt that failed, or of an intent that ended so.
    Attempt,
    /// In the answer of a controller.
    Control,
    /// In the answer of a worker that was asked to replay a hop.
    Replay,
    /// In an alarm of a controller.
    Alarm,
    /// Only in what the command prints; it never travels.
    Command,
}

/// A code, and what it says in one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// The code, such as `UNKNOWN_AGENT`.
    pub name: &'static str,
    /// What it means, in one sentence.
    pub summary: &'static str,
    /// Where it is seen.
    pub places: &'static [Place],
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $code:ident: $($place:ident)+,)+) => {
        $($(#[doc = $doc])+ pub const $code: &str = stringify!($code);)+

        /// Every code, in the order of the alphabet.
        pub const ALL: &[Code] = &[$(Code {
            name: $code,
            summary: concat!($($doc),+).trim_ascii(),
            places: &[$(Place::$place),+],
        }),+];
    };
}

codes! {
    /// The file of accounts says something that it may not.
    ACCESS_INVALID: Command,
    /// The version already takes all new work.
    ALREADY_ACTIVE: Control,
    /// The rollout was rolled back already.
    ALREADY_ROLLED_BACK: Control,
    /// The answer to a replay is larger than the server takes.
    ANSWER_TOO_LARGE: Replay,
    /// The intent is closed, and only the archive has it.
    ARCHIVED: Command,
    /// The attempt ran longer than the policy of its agent allows.
    ATTEMPT_TIMED_OUT: Attempt,
    /// An outcome hands off to a name that is not a valid agent name.
    BAD_AGENT_NAME: Attempt,
    /// What a handler wants to spend, or has spent, is no amount.
    BAD_AMOUNT: Attempt,
    /// An agent asked people for something that nobody could decide.
    BAD_APPROVAL: Attempt,
    /// A bundle in the archive is corrupt.
    BAD_BUNDLE: Command,
    /// An outcome hands off to a name that is not a valid capability.
    BAD_CAPABILITY: Attempt,
    /// A broadcast names a channel that none can be.
    BAD_CHANNEL: Attempt,
    /// The configuration is wrong.
    BAD_CONFIG: Command,
    /// The `nats` context cannot be used.
    BAD_CONTEXT: Command,
    /// A seat in an approval cannot go to this person.
    BAD_DELEGATION: Rejection Control,
    /// The file is no export of a mesh, or was altered.
    BAD_EXPORT: Command,
    /// A handler asked for children that cannot be: none, too many, or a join that they cannot meet.
    BAD_FAN_OUT: Park,
    /// The body of a decision is not what the approval asks for.
    BAD_FORM: Rejection,
    /// A header of a raw intent has a bad value.
    BAD_HEADER: Rejection,
    /// A memory, or what is asked of a view, cannot be: a bad attribute, or a key that nobody has remembered.
    BAD_MEMORY: Attempt Command,
    /// A name, an id or a version has characters that it may not have.
    BAD_NAME: Command,
    /// A program wrote something that is not an outcome.
    BAD_OUTCOME: Attempt,
    /// The result is not what the sender expects.
    BAD_OUTPUT: Attempt,
    /// The payload is not what the agent takes.
    BAD_PAYLOAD: Attempt,
    /// The file of a pipeline says a way that work cannot go.
    BAD_PIPELINE: Command,
    /// An answer may not be published on `reply_to`.
    BAD_REPLY_TO: Rejection,
    /// The body of a question does not have the form that its receiver takes.
    BAD_REQUEST: Control Replay,
    /// A schedule, or what is asked of one, cannot be.
    BAD_SCHEDULE: Control,
    /// The subject names no valid agent.
    BAD_SUBJECT: Rejection,
    /// A step or a hop named an undo that cannot be: nobody takes it, or the intent has too many.
    BAD_UNDO: Attempt,
    /// A handler asked for a wait that cannot be: a bad name, or no time.
    BAD_WAIT: Attempt,
    /// The breaker of the version is open: its work keeps failing.
    BREAKER_OPEN: Rejection Park Control Alarm,
    /// The budget of the intent does not suffice for what it asks for.
    BUDGET: Park Attempt,
    /// This is a bug in Baton itself.
    BUG: Command,
    /// The controller cannot do it now: it still reads the ledger, or others take the unique key.
    BUSY: Control,
    /// A person ended the work, and named no code.
    BY_HAND: Attempt,
    /// Somebody cancelled the intent.
    CANCELLED: Attempt,
    /// The agent has spent what it may in a day.
    CAP_REACHED: Park Attempt,
    /// A child came to another end than its parent can go on with.
    CHILD_FAILED: Attempt,
    /// An undo has failed, and what the intent did before it is not undone.
    COMPENSATION_FAILED: Park,
    /// Hops of a version could not read all of what they were given of what is remembered.
    COMPLETENESS_LOW: Alarm,
    /// The intent id is taken by other work.
    CONFLICT: Rejection Control,
    /// The connection to the server was closed.
    CONNECTION_CLOSED: Command,
    /// What stands under the hash of an object is not what the hash is of.
    CONTEXT_CORRUPT: Rejection Park Attempt Command,
    /// There is no more room for objects: the tree of the intent has as many as it may, or the stream is full.
    CONTEXT_FULL: Rejection Park Attempt Control Command,
    /// An object that something refers to is not there.
    CONTEXT_MISSING: Rejection Park Attempt Command,
    /// What must be in the view of the receiver does not fit into its budget of tokens.
    CONTEXT_OVERFLOW: Park,
    /// No controller that answered knows the question.
    CONTROLLER_TOO_OLD: Control,
    /// The deadline has passed.
    DEADLINE_PAST: Rejection,
    /// The demo did not end as it should.
    DEMO_FAILED: Command,
    /// A draining version has open work and no live worker.
    DRAIN_WITHOUT_WORKERS: Alarm,
    /// The last attempt failed, and the failure named no code.
    EXHAUSTED: Park,
    /// The program of an agent ended with the exit code N.
    EXIT_N: Attempt,
    /// The operation failed for a reason without a code of its own.
    FAILED: Control,
    /// Another worker has taken the hop.
    FENCED: Attempt,
    /// The file is there already.
    FILE_EXISTS: Command,
    /// A handoff would pass the limit on hops.
    HOP_LIMIT: Park,
    /// A hop has recorded as many steps and waits as it may.
    HOP_TOO_LONG: Attempt,
    /// The intent came from another mesh and waits for a person.
    IMPORTED: Park,
    /// The server does not let this user hear its answers.
    INBOX_DENIED: Command,
    /// Some of the intents could not be processed.
    INCOMPLETE: Command,
    /// A person stopped the command at once.
    INTERRUPTED: Command,
    /// A file or a stream of this machine cannot be read or written.
    IO_FAILED: Command,
    /// The ledger was removed from the server; Baton does not create it again on its own.
    LEDGER_LOST: Command,
    /// The server that the command started for itself does not run.
    LOCAL_SERVER_FAILED: Command,
    /// The server does not let this user in.
    LOGIN_REFUSED: Command,
    /// The body is not a valid envelope, or is not for this subject.
    MALFORMED_ENVELOPE: Rejection,
    /// The memory of a space is at another revision than the one that was to be written over.
    MEMORY_CHANGED: Attempt Command,
    /// The controllers of the mesh are too old to end a wait.
    MESH_TOO_OLD: Attempt Command,
    /// A handoff does not carry the constraints unchanged.
    MUST_CARRY: Park,
    /// A publisher may ask the agent that is to be removed.
    NAME_IN_USE: Command,
    /// Another account of the mesh has the name.
    NAME_TAKEN: Command,
    /// The schedule would never fire.
    NEVER_FIRES: Control,
    /// A replayed hop runs a step that has no record.
    NEW_STEP: Replay,
    /// No agent has all the capabilities that are needed.
    NONE_CAPABLE: Rejection Park,
    /// No version was active before this one.
    NOTHING_BEFORE: Control,
    /// Nobody took the work in the time that it may wait.
    NOT_ACCEPTED: Park,
    /// The accounts are written, and the server does not use them yet.
    NOT_APPLIED: Command,
    /// People decided that an agent does not begin with the work.
    NOT_APPROVED: Rejection,
    /// Somebody decided who may not decide that.
    NOT_ENTITLED: Rejection,
    /// There is no such intent.
    NOT_FOUND: Control,
    /// A result, a payload or a note of an agent cannot be written as JSON.
    NOT_JSON: Attempt,
    /// The server answers, and does not store what is written.
    NOT_STORED: Command,
    /// Other work of the agent holds the unique key.
    NOT_UNIQUE: Rejection Control,
    /// A decision is for something that is not open.
    NOT_WAITING: Rejection Control,
    /// The server did not answer in time.
    NO_ANSWER: Command,
    /// A program that Baton needs is not on this machine.
    NO_BINARY: Command,
    /// The version that would get the work reads no form of the envelope that can be written.
    NO_COMMON_PROTOCOL: Rejection Park,
    /// No controller of this mesh answers.
    NO_CONTROLLER: Command,
    /// The ledger has no envelope for the present hop of the intent.
    NO_ENVELOPE: Park Command,
    /// The server does not say who asks for a change of a secured mesh.
    NO_IDENTITY: Control,
    /// A signal or a decision names an intent that does not exist.
    NO_INTENT: Rejection,
    /// The server runs without JetStream.
    NO_JETSTREAM: Command,
    /// Controllers run, and none of them leads.
    NO_LEADER: Alarm Command,
    /// The server has no mesh in this namespace yet.
    NO_MESH: Command,
    /// A program ended well, but wrote no outcome.
    NO_OUTCOME: Attempt,
    /// The servers have no quorum, and JetStream does not answer.
    NO_QUORUM: Command,
    /// No rollout is under way.
    NO_ROLLOUT: Control,
    /// The mesh takes signed records alone, and this process has no key.
    NO_SIGNING_KEY: Command,
    /// Nobody subscribes to the channel.
    NO_SUBSCRIBERS: Rejection Park Control,
    /// A decision is none of the choices of the approval.
    NO_SUCH_CHOICE: Rejection Control,
    /// No worker of the version answers.
    NO_WORKER: Command,
    /// The same person has said something later.
    OLDER_DECISION: Rejection,
    /// A program wrote more than Baton can keep.
    OUTPUT_TOO_LARGE: Attempt,
    /// The code of the handler panicked.
    PANIC: Attempt Replay,
    /// The child was closed before it began: its parent had ended, or did not wait for it any more.
    PARENT_CLOSED: Rejection,
    /// Somebody paused the intent.
    PAUSED: Park,
    /// The record would be larger than the server takes.
    PAYLOAD_TOO_LARGE: Rejection Park Attempt,
    /// The server does not allow this user to do that.
    PERMISSION_DENIED: Command,
    /// The last attempt ended without a word from its worker.
    POISON: Park,
    /// Another program listens on the port.
    PORT_TAKEN: Command,
    /// A check before a rollout failed.
    PREFLIGHT: Control,
    /// At least one problem was found.
    PROBLEMS_FOUND: Command,
    /// The controller's local cache of the ledger cannot be used.
    PROJECTION_FAILED: Command,
    /// Somebody else changed the intent at the same moment.
    RACED: Command,
    /// The ledger has no record of an open intent any more.
    RECORDS_LOST: Alarm,
    /// A record is not of the worker whose turn it was.
    RECORD_OUT_OF_TURN: Alarm,
    /// The server does not take over its configuration.
    RELOAD_REFUSED: Command,
    /// The handler took too long for a replay.
    REPLAY_TIMED_OUT: Replay,
    /// The agent cannot be replayed.
    REPLAY_UNSUPPORTED: Replay,
    /// The server refused or could not do what it was asked for.
    REQUEST_FAILED: Command,
    /// The attempt failed, and the failure named no code.
    RETRY: Attempt,
    /// Somebody else's rollout is under way.
    ROLLOUT_OWNED: Control,
    /// The route of an agent is lost, and nobody remembers it.
    ROUTE_LOST: Command,
    /// Work cannot be moved from a version to itself.
    SAME_VERSION: Control,
    /// Another schedule has the name.
    SCHEDULE_EXISTS: Control,
    /// A firing of a schedule is due, and cannot be submitted.
    SCHEDULE_HELD: Alarm,
    /// The server would not start with the configuration.
    SERVER_CONFIG_REFUSED: Command,
    /// The server is older than the oldest that Baton works with.
    SERVER_TOO_OLD: Command,
    /// No server answers at this address.
    SERVER_UNREACHABLE: Command,
    /// A setting that all of a mesh shares differs in this process.
    SETTING_DIFFERS: Command,
    /// A signal ended the program of an agent.
    SIGNAL: Attempt,
    /// The recorded result of a step is not what the code reads now.
    STEP_CHANGED: Attempt,
    /// Open intents name the version.
    STILL_OPEN: Control,
    /// Another server uses the folder.
    STORE_BUSY: Command,
    /// A stream is full and takes no new messages.
    STREAM_FULL: Command,
    /// The hop waits for something outside; a handler passes it on.
    SUSPENDED: Attempt,
    /// New work is routed to the version.
    TAKES_WORK: Control,
    /// Workers were given tickets that no record of the ledger owes.
    TICKETS_WITHOUT_RECORD: Alarm,
    /// The cluster has fewer servers than copies are asked for.
    TOO_FEW_SERVERS: Control,
    /// A signal or a decision came after the end of what it was for.
    TOO_LATE: Rejection,
    /// A stream has as many consumers as the server allows.
    TOO_MANY_CONSUMERS: Command,
    /// An intent has more signals than it may that nobody has read.
    TOO_MANY_SIGNALS: Rejection,
    /// An agent has so many versions that it gets no more.
    TOO_MANY_VERSIONS: Alarm,
    /// A hop asks for more waits than it may have open.
    TOO_MANY_WAITS: Attempt,
    /// The streams of the mesh are newer than this build knows.
    TOPOLOGY_TOO_NEW: Command,
    /// No account of the mesh has the name.
    UNKNOWN_ACCOUNT: Command,
    /// There is no such agent.
    UNKNOWN_AGENT: Rejection Park Control,
    /// Baton has no such code.
    UNKNOWN_CODE: Command,
    /// A message of a channel names a receiver that nobody knows.
    UNKNOWN_RECEIVER: Rejection Park,
    /// There is no such schedule.
    UNKNOWN_SCHEDULE: Control,
    /// The controller does not know the question.
    UNKNOWN_VERB: Control,
    /// There is no such version of the agent.
    UNKNOWN_VERSION: Control Alarm,
    /// There is no such time zone.
    UNKNOWN_ZONE: Control,
    /// A stored document cannot be read.
    UNREADABLE: Alarm Command,
    /// No version of the agent may take this work.
    UNROUTABLE: Rejection Park Control,
    /// The subject asks for something that this version of the protocol does not have.
    UNSUPPORTED: Rejection,
    /// The ledger could not be written, and the hop was handed back.
    UNWRITTEN: Attempt,
    /// The arguments of the command are wrong.
    USAGE: Command,
    /// Records were written whose signature does not verify: they decide nothing.
    VOID_RECORDS: Alarm,
    /// The time of a wait is over, and nothing came.
    WAIT_EXPIRED: Park Attempt,
    /// What a command waits for had not come when its time was up.
    WAIT_TIMED_OUT: Command,
    /// A version takes work, has no live worker, and work waits.
    WORK_WITHOUT_WORKERS: Alarm,
    /// The server refused a write.
    WRITE_REFUSED: Command,
    /// The envelope is for another agent.
    WRONG_AGENT: Replay,
    /// The state of the version does not allow this.
    WRONG_STATE: Control,
    /// The status of the intent does not allow this.
    WRONG_STATUS: Control,
}

/// What stands before the number in the code of a program that ended with an exit code.
const EXIT: &str = "EXIT_";

/// The code of an attempt whose program ended with this exit code, such as `EXIT_3`. All of them are explained as
/// [`EXIT_N`].
pub fn exit(status: i32) -> String {
    format!("{EXIT}{status}")
}

/// The code of this name; `None` for one that Baton does not give, such as one of a handler.
pub fn find(name: &str) -> Option<&'static Code> {
    let is_exit = name
        .strip_prefix(EXIT)
        .is_some_and(|status| !status.is_empty() && status.bytes().all(|digit| digit.is_ascii_digit()));
    let name = if is_exit { EXIT_N } else { name };
    ALL.iter().find(|code| code.name == name)
}

/// The codes that are seen in a place.
pub fn of(place: Place) -> impl Iterator<Item = &'static Code> {
    ALL.iter().filter(move |code| code.places.contains(&place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_each_has_its_sentence() {
        assert!(ALL.is_sorted_by(|a, b| a.name < b.name));
        for Code { name, summary, places } in ALL {
            let is_sentence = summary.ends_with('.') && summary.starts_with(|first: char| first.is_ascii_uppercase());
            assert!(is_sentence && !summary.contains("  "), "{name}: {summary}");
            assert!(
                !places.is_empty() && places.is_sorted_by(|a, b| a < b),
                "{name}: {places:?}"
            );
        }
    }

    #[test]
    fn a_code_is_found_by_its_name_and_an_exit_code_by_any_number() {
        assert_eq!(find(UNKNOWN_AGENT).map(|code| code.name), Some("UNKNOWN_AGENT"));
        assert_eq!(find(&exit(75)).map(|code| code.name), Some(EXIT_N));
        assert_eq!(find(EXIT_N).map(|code| code.name), Some(EXIT_N));
        for name in ["EXIT_", "EXIT_-1", "EMPTY", "unknown_agent", ""] {
            assert_eq!(find(name), None, "{name}");
        }
    }
}
