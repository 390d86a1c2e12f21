//! The pages of `docs/errors`, one for each code, and how they are read. They are in the binary, so that it works alone.

use baton_envelope::codes;

/// One page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    /// The code.
    pub(crate) code: &'static str,
    /// The page as it is written, in Markdown.
    text: &'static str,
}

/// The three parts of a page, in Markdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    /// What it means, in one sentence.
    pub(crate) summary: &'static str,
    /// What it means.
    pub(crate) meaning: &'static str,
    /// Why it happens.
    pub(crate) causes: &'static str,
    /// What to do.
    pub(crate) remedy: &'static str,
}

macro_rules! pages {
    ($($code:ident)+) => {
        /// Every page, in the order of the alphabet. A page that is not there does not compile, nor does one of no code.
        pub(crate) const PAGES: &[Page] = &[$(Page {
            code: codes::$code,
            text: include_str!(concat!("../../../docs/errors/", stringify!($code), ".md")),
        }),+];
    };
}

pages! {
    ACCESS_INVALID
    ALREADY_ACTIVE
    ALREADY_ROLLED_BACK
    ANSWER_TOO_LARGE
    ARCHIVED
    ATTEMPT_TIMED_OUT
    BAD_AGENT_NAME
    BAD_AMOUNT
    BAD_APPROVAL
    BAD_BUNDLE
    BAD_CAPABILITY
    BAD_CHANNEL
    BAD_CONFIG
    BAD_CONTEXT
    BAD_DELEGATION
    BAD_EXPORT
    BAD_FAN_OUT
    BAD_FORM
    BAD_HEADER
    BAD_MEMORY
    BAD_NAME
    BAD_OUTCOME
    BAD_OUTPUT
    BAD_PAYLOAD
    BAD_PIPELINE
    BAD_REPLY_TO
    BAD_REQUEST
    BAD_SCHEDULE
    BAD_SUBJECT
    BAD_UNDO
    BAD_WAIT
    BREAKER_OPEN
    BUDGET
    BUG
    BUSY
    BY_HAND
    CANCELLED
    CAP_REACHED
    CHILD_FAILED
    COMPENSATION_FAILED
    COMPLETENESS_LOW
    CONFLICT
    CONNECTION_CLOSED
    CONTEXT_CORRUPT
    CONTEXT_FULL
    CONTEXT_MISSING
    CONTEXT_OVERFLOW
    CONTROLLER_TOO_OLD
    DEADLINE_PAST
    DEMO_FAILED
    DRAIN_WITHOUT_WORKERS
    EXHAUSTED
    EXIT_N
    FAILED
    FENCED
    FILE_EXISTS
    HOP_LIMIT
    HOP_TOO_LONG
    IMPORTED
    INBOX_DENIED
    INCOMPLETE
    INTERRUPTED
    IO_FAILED
    LEDGER_LOST
    LOCAL_SERVER_FAILED
    LOGIN_REFUSED
    MALFORMED_ENVELOPE
    MEMORY_CHANGED
    MESH_TOO_OLD
    MUST_CARRY
    NAME_IN_USE
    NAME_TAKEN
    NEVER_FIRES
    NEW_STEP
    NONE_CAPABLE
    NOTHING_BEFORE
    NOT_ACCEPTED
    NOT_APPLIED
    NOT_APPROVED
    NOT_ENTITLED
    NOT_FOUND
    NOT_JSON
    NOT_STORED
    NOT_UNIQUE
    NOT_WAITING
    NO_ANSWER
    NO_BINARY
    NO_COMMON_PROTOCOL
    NO_CONTROLLER
    NO_ENVELOPE
    NO_IDENTITY
    NO_INTENT
    NO_JETSTREAM
    NO_LEADER
    NO_MESH
    NO_OUTCOME
    NO_QUORUM
    NO_ROLLOUT
    NO_SIGNING_KEY
    NO_SUBSCRIBERS
    NO_SUCH_CHOICE
    NO_WORKER
    OLDER_DECISION
    OUTPUT_TOO_LARGE
    PANIC
    PARENT_CLOSED
    PAUSED
    PAYLOAD_TOO_LARGE
    PERMISSION_DENIED
    POISON
    PORT_TAKEN
    PREFLIGHT
    PROBLEMS_FOUND
    PROJECTION_FAILED
    RACED
    RECORDS_LOST
    RECORD_OUT_OF_TURN
    RELOAD_REFUSED
    REPLAY_TIMED_OUT
    REPLAY_UNSUPPORTED
    REQUEST_FAILED
    RETRY
    ROLLOUT_OWNED
    ROUTE_LOST
    SAME_VERSION
    SCHEDULE_EXISTS
    SCHEDULE_HELD
    SERVER_CONFIG_REFUSED
    SERVER_TOO_OLD
    SERVER_UNREACHABLE
    SETTING_DIFFERS
    SIGNAL
    STEP_CHANGED
    STILL_OPEN
    STORE_BUSY
    STREAM_FULL
    SUSPENDED
    TAKES_WORK
    TICKETS_WITHOUT_RECORD
    TOO_FEW_SERVERS
    TOO_LATE
    TOO_MANY_CONSUMERS
    TOO_MANY_SIGNALS
    TOO_MANY_VERSIONS
    TOO_MANY_WAITS
    TOPOLOGY_TOO_NEW
    UNKNOWN_ACCOUNT
    UNKNOWN_AGENT
    UNKNOWN_CODE
    UNKNOWN_RECEIVER
    UNKNOWN_SCHEDULE
    UNKNOWN_VERB
    UNKNOWN_VERSION
    UNKNOWN_ZONE
    UNREADABLE
    UNROUTABLE
    UNSUPPORTED
    UNWRITTEN
    USAGE
    VOID_RECORDS
    WAIT_EXPIRED
    WAIT_TIMED_OUT
    WORK_WITHOUT_WORKERS
    WRITE_REFUSED
    WRONG_AGENT
    WRONG_STATE
    WRONG_STATUS
}

/// The headings of the three parts.
const HEADINGS: [&str; 3] = ["\n## What it means\n", "\n## Why it happens\n", "\n## What to do\n"];

/// The page of a code; any `EXIT_` with a number has that of `EXIT_N`.
pub(crate) fn find(code: &str) -> Option<&'static Page> {
    let code = codes::find(code)?;
    PAGES.iter().find(|page| page.code == code.name)
}

impl Page {
    /// Its parts; `None` for a page that is not written as a page should be.
    pub(crate) fn parts(&self) -> Option<Parts> {
        let [meaning, causes, remedy] = HEADINGS;
        let rest = self.text.strip_prefix("# ")?.strip_prefix(self.code)?;
        let (summary, rest) = rest.split_once(meaning)?;
        let (meaning, rest) = rest.split_once(causes)?;
        let (causes, remedy) = rest.split_once(remedy)?;
        Some(Parts {
            summary: summary.trim(),
            meaning: meaning.trim(),
            causes: causes.trim(),
            remedy: remedy.trim(),
        })
    }
}

#[cfg(test)]
mod tests;
