//! The codes of refusals on the control API, for programs to branch on. `docs/protocol.md` lists the same codes.

macro_rules! codes {
    ($($(#[$doc:meta])+ $code:ident,)+) => {
        $($(#[$doc])+ pub const $code: &str = stringify!($code);)+

        /// Every code.
        pub const ALL: &[&str] = &[$($code),+];
    };
}

codes! {
    /// The body does not fit the verb.
    BAD_REQUEST,
    /// The controller does not know the verb.
    UNKNOWN_VERB,
    /// No controller within reach knows the verb. The client says so, never a controller.
    CONTROLLER_TOO_OLD,
    /// No agent has this name.
    UNKNOWN_AGENT,
    /// The agent has no such version.
    UNKNOWN_VERSION,
    /// No intent has this id.
    NOT_FOUND,
    /// The checks before a rollout failed.
    PREFLIGHT,
    /// Somebody else's rollout is under way.
    ROLLOUT_OWNED,
    /// No rollout is under way.
    NO_ROLLOUT,
    /// The version already takes all new work.
    ALREADY_ACTIVE,
    /// No version was active before this one.
    NOTHING_BEFORE,
    /// The rollout was already rolled back.
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
    /// The controller is reading the ledger again and cannot answer yet.
    BUSY,
    /// Anything else; the message says what.
    FAILED,
}
