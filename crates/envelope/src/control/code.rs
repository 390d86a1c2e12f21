//! The codes of refusals on the control API: what a program branches on. `docs/protocol.md` lists the same ones.

macro_rules! codes {
    ($($(#[$doc:meta])+ $code:ident,)+) => {
        $($(#[$doc])+ pub const $code: &str = stringify!($code);)+

        /// Every code.
        pub const ALL: &[&str] = &[$($code),+];
    };
}

codes! {
    /// The body is not what the verb takes.
    BAD_REQUEST,
    /// The controller does not know the verb.
    UNKNOWN_VERB,
    /// No controller that could be reached knows the verb. Said by whoever asks, never by a controller.
    CONTROLLER_TOO_OLD,
    /// There is no such agent.
    UNKNOWN_AGENT,
    /// There is no such version of the agent.
    UNKNOWN_VERSION,
    /// There is no such intent.
    NOT_FOUND,
    /// Checks before a rollout failed.
    PREFLIGHT,
    /// A rollout by somebody else is under way.
    ROLLOUT_OWNED,
    /// No rollout is under way.
    NO_ROLLOUT,
    /// The version takes all new work by now.
    ALREADY_ACTIVE,
    /// There is no version before this one.
    NOTHING_BEFORE,
    /// The rollout was rolled back before.
    ALREADY_ROLLED_BACK,
    /// New work is routed to the version.
    TAKES_WORK,
    /// Open intents name the version.
    STILL_OPEN,
    /// The state of the version does not allow this.
    WRONG_STATE,
    /// The status of the intent does not allow this.
    WRONG_STATUS,
    /// Work cannot be moved from a version to itself.
    SAME_VERSION,
    /// No version may take the work.
    UNROUTABLE,
    /// The controller reads the ledger anew and cannot answer yet.
    BUSY,
    /// Anything else; the message says what.
    FAILED,
}
