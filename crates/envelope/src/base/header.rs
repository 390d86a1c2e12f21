//! Header names on the wire. NATS header names are case-sensitive: these are exact.

/// The id of the intent.
pub const HEADER_INTENT: &str = "Baton-Intent";
/// The kind of work.
pub const HEADER_KIND: &str = "Baton-Kind";
/// The priority, 1 to 10.
pub const HEADER_PRIORITY: &str = "Baton-Priority";
/// The deadline: RFC 3339, or a duration from the time of storing.
pub const HEADER_DEADLINE: &str = "Baton-Deadline";
/// Not before this time: RFC 3339, or a duration from the time of storing.
pub const HEADER_NOT_BEFORE: &str = "Baton-Not-Before";
/// The limit on hops, 1 to 64.
pub const HEADER_MAX_HOPS: &str = "Baton-Max-Hops";
/// The subject to publish the result on.
pub const HEADER_REPLY_TO: &str = "Baton-Reply-To";
/// On a capability subject: further capabilities that the work needs, separated by commas.
pub const HEADER_CAPABILITIES: &str = "Baton-Capabilities";
/// On a capability subject: `reject` (default) or `hold` when no agent has the capabilities.
pub const HEADER_WHEN_NONE: &str = "Baton-When-None";
/// On an ask: how long whoever asks waits for the answer, a duration.
pub const HEADER_WAIT: &str = "Baton-Wait";
/// The key under which the work is to be the only one of its agent.
pub const HEADER_UNIQUE: &str = "Baton-Unique";
/// The key in whose order the agent gets the work.
pub const HEADER_ORDER_KEY: &str = "Baton-Order-Key";
/// How many tokens the intent may spend.
pub const HEADER_BUDGET_TOKENS: &str = "Baton-Budget-Tokens";
/// What the intent may cost.
pub const HEADER_BUDGET_COST: &str = "Baton-Budget-Cost";
/// How many seconds the attempts of the intent may run, together.
pub const HEADER_BUDGET_TIME: &str = "Baton-Budget-Time";
/// What becomes of a hop whose budget does not suffice.
pub const HEADER_BUDGET_EXHAUSTED: &str = "Baton-Budget-Exhausted";
/// The agents to go to after this one, in their order, separated by commas.
pub const HEADER_ITINERARY: &str = "Baton-Itinerary";
/// What the work is for, where it stands, what is asked, and what is expected back: a JSON object.
pub const HEADER_TASK: &str = "Baton-Task";
/// With a unique key: for how long after its submit completed work holds it, a duration.
pub const HEADER_WITHIN: &str = "Baton-Within";
/// With a unique key that other work holds: `keep` (default), `replace` or `refuse`.
pub const HEADER_ON_CONFLICT: &str = "Baton-On-Conflict";
/// On a channel subject: the agents that get the message, separated by commas, in place of those that subscribed.
pub const HEADER_RECEIVERS: &str = "Baton-Receivers";
/// How the intent chooses versions: `hop` or `chain`.
pub const HEADER_PINNING: &str = "Baton-Pinning";
/// Present when the body is a whole envelope: its protocol version.
pub const HEADER_PROTOCOL: &str = "Baton-Protocol";
/// W3C trace context.
pub const HEADER_TRACEPARENT: &str = "traceparent";
/// The server's message id, for deduplication.
pub const HEADER_MSG_ID: &str = "Nats-Msg-Id";
/// On a ticket: the ledger sequence that authorised it.
pub const HEADER_LEDGER_SEQUENCE: &str = "Baton-Ledger-Sequence";
/// On a ticket that was written again from the ledger: the worker reads the ledger before it runs the hop.
pub const HEADER_REISSUED: &str = "Baton-Reissued";
/// On a ledger record: the event's name.
pub const HEADER_EVENT: &str = "Baton-Event";
/// On a ledger record: the status after the event.
pub const HEADER_STATUS: &str = "Baton-Status";
/// On a ledger record: `1` when an import wrote it, as a copy, and `parked` follows.
pub const HEADER_IMPORTED: &str = "Baton-Imported";
/// On a ledger record and its ticket: who signed it, and the signature.
pub const HEADER_SIGNATURE: &str = "Baton-Signature";
/// On a bundle of the archive: when its intent was submitted, RFC 3339.
pub const HEADER_SUBMITTED: &str = "Baton-Submitted";
/// On a bundle: when its intent ended, RFC 3339.
pub const HEADER_ENDED: &str = "Baton-Ended";
/// On a bundle: `1` when Baton made the intent id, so the ledger keeps nothing of the intent.
pub const HEADER_GENERATED: &str = "Baton-Generated";
/// On a part of a bundle that is too large for one message: `<part>/<parts>`.
pub const HEADER_PART: &str = "Baton-Part";
/// On every part but the first: the archive sequence of the part before it.
pub const HEADER_PREVIOUS_PART: &str = "Baton-Previous-Part";
/// On a message whose head or subject could not be read: what was wrong. Baton adds it before it reads the message.
pub const HEADER_MALFORMED: &str = "Baton-Malformed";
/// On a message of the context stream: `whole`, or `pieces` where the body is a list of pieces.
pub const HEADER_OBJECT: &str = "Baton-Object";
/// On a message of the context stream: the media type of the content.
pub const HEADER_MEDIA: &str = "Baton-Media";
/// On a message of the context stream: the size of the content in bytes.
pub const HEADER_BYTES: &str = "Baton-Bytes";
/// On an answer: `1` when its body names an object, which is the result.
pub const HEADER_REF: &str = "Baton-Ref";
