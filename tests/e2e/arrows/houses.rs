//! The rooms of each crate, and the other rooms that each names.
//!
//! To add a crate, list its rooms with no arrows: the test then reports each arrow missing from the list and each that
//! is not needed. A method call is not a path, and this test does not see it. So the author must keep the methods of
//! `Mesh` in the order of the rooms.

/// The rooms of one crate.
pub(super) struct House {
    pub(super) name: &'static str,
    /// Each room and the rooms that it names, from the top down. Empty while the crate has no folders yet: then nothing
    /// is checked.
    pub(super) rooms: &'static [(&'static str, &'static [&'static str])],
}

/// The crates.
pub(super) const HOUSES: [House; 7] = [
    House {
        name: "access",
        rooms: &[
            ("table", &["file", "layout", "role"]),
            ("render", &["file", "layout", "login"]),
            ("rules", &["file", "layout", "login"]),
            ("folder", &["error", "file", "handout", "secret"]),
            ("handout", &["file", "layout", "secret"]),
            ("edit", &["error", "file", "login", "role", "secret"]),
            ("layout", &["file", "login", "role", "size"]),
            ("file", &["error", "login", "role", "server", "size"]),
            ("secret", &["error", "login"]),
            ("reloads", &[]),
            ("server", &["size"]),
            ("role", &[]),
            ("login", &[]),
            ("size", &[]),
            ("error", &[]),
        ],
    },
    House {
        name: "conformance",
        rooms: &[
            (
                "rules",
                &[
                    "acks", "children", "court", "error", "fault", "record", "report", "script",
                ],
            ),
            ("children", &["court", "fault"]),
            ("submitter", &["error", "fault", "hands", "record", "report"]),
            ("court", &["acks", "error", "fault", "hands", "record", "script"]),
            ("stage", &["error"]),
            ("hands", &["error", "record"]),
            ("report", &["error", "fault"]),
            ("fault", &["error"]),
            ("acks", &[]),
            ("error", &[]),
            ("record", &[]),
            ("script", &[]),
        ],
    },
    House {
        name: "envelope",
        rooms: &[
            (
                "control",
                &["base", "intent", "message", "rollout", "schedule", "version"],
            ),
            ("schedule", &["base", "message"]),
            ("context", &["base", "message"]),
            ("rollout", &["base", "people", "version"]),
            ("proof", &["archive", "base", "intent", "message"]),
            ("archive", &["base", "intent"]),
            ("intent", &["base", "message", "people", "version"]),
            ("message", &["base", "people", "version"]),
            ("version", &["base", "people"]),
            ("people", &["base"]),
            ("base", &[]),
        ],
    },
    House {
        name: "jetstream",
        rooms: &[
            ("doctor", &["control", "error", "server"]),
            ("repair", &["control", "error", "ledger", "schedules", "server"]),
            ("schedules", &["error", "server"]),
            ("wire", &["error", "server"]),
            ("audit", &["error", "server"]),
            ("work", &["error", "ledger", "server"]),
            ("routes", &["error", "server"]),
            ("presence", &["error", "server"]),
            ("intents", &["error", "ledger", "server"]),
            ("control", &["error", "server"]),
            ("archive", &["error", "ledger", "server"]),
            ("ledger", &["error", "server"]),
            ("objects", &["error", "server"]),
            ("server", &["error"]),
            ("error", &[]),
        ],
    },
    House {
        name: "agent",
        rooms: &[
            (
                "worker",
                &["agent", "guard", "held", "ready", "replay", "run", "watchdog"],
            ),
            ("ticket", &["claim", "run"]),
            ("ready", &[]),
            ("watchdog", &["held"]),
            ("signal", &[]),
            (
                "replay",
                &["fault", "handler", "hop", "outcome", "polled", "run", "sandbox"],
            ),
            (
                "handlers",
                &["fault", "given", "guard", "handler", "hop", "memory", "outcome"],
            ),
            ("policy", &["claim", "commit", "run"]),
            ("unwritten", &["claim", "run"]),
            ("gates", &["approving", "fault", "hop", "run"]),
            ("bounds", &["held", "renewal", "run"]),
            (
                "broadcasting",
                &["claim", "commit", "fault", "hop", "outcome", "run", "suspension"],
            ),
            ("viewing", &["claim", "commit", "fault", "memory", "run"]),
            ("suspension", &["claim", "commit", "fault", "outcome", "run"]),
            ("commit", &["claim", "fault", "memory", "outcome", "run", "undoing"]),
            (
                "run",
                &[
                    "claim", "dropped", "fanning", "fault", "handler", "held", "hop", "outcome", "polled", "renewal",
                ],
            ),
            ("renewal", &["claim", "held"]),
            ("polled", &["held"]),
            ("held", &[]),
            ("dropped", &[]),
            ("agent", &["handler", "hop", "retry"]),
            ("retry", &[]),
            (
                "fanning",
                &["approving", "calling", "fault", "handler", "hop", "outcome"],
            ),
            ("approving", &["fault", "handler", "hop", "outcome", "waiting"]),
            ("calling", &["fault", "hop", "waiting"]),
            ("context", &["fault", "given", "hop", "memory"]),
            ("undoing", &["fault", "hop", "outcome"]),
            ("handler", &["fault", "hop", "outcome"]),
            ("outcome", &["fault", "memory"]),
            ("memory", &["fault"]),
            ("waiting", &["fault", "hop"]),
            ("hop", &["claim", "fault", "given", "sandbox"]),
            ("given", &[]),
            ("sandbox", &["fault"]),
            ("claim", &[]),
            ("fault", &[]),
            ("guard", &[]),
        ],
    },
    House {
        name: "controller",
        rooms: &[
            (
                "run",
                &[
                    "api",
                    "backoff",
                    "config",
                    "context",
                    "duty",
                    "error",
                    "intake",
                    "projection",
                    "registry",
                    "rounds",
                    "stats",
                    "workers",
                ],
            ),
            ("error", &["projection"]),
            (
                "api",
                &["backoff", "context", "duty", "intake", "kills", "rounds", "schedules"],
            ),
            (
                "rounds",
                &[
                    "alarm",
                    "backoff",
                    "context",
                    "duty",
                    "intake",
                    "projection",
                    "schedules",
                    "stats",
                ],
            ),
            ("schedules", &["context"]),
            ("api", &["backoff", "context", "duty", "intake", "registry", "rounds"]),
            ("registry", &["alarm", "backoff", "context", "duty"]),
            (
                "intake",
                &["backoff", "config", "context", "duty", "projection", "stats"],
            ),
            (
                "rounds",
                &["alarm", "backoff", "context", "duty", "kills", "projection", "stats"],
            ),
            ("kills", &["context"]),
            ("tell", &["context"]),
            ("duty", &["backoff", "context", "projection"]),
            ("context", &["config", "projection", "stats", "workers"]),
            ("workers", &[]),
            ("stats", &[]),
            ("projection", &["backoff"]),
            ("config", &[]),
            ("backoff", &[]),
            ("alarm", &[]),
        ],
    },
    House {
        name: "cli",
        rooms: &[
            ("logging", &["output"]),
            ("dispatch", &["app", "args", "commands", "error"]),
            ("args", &["commands", "config"]),
            (
                "commands",
                &[
                    "app", "config", "error", "near", "output", "pages", "parse", "view", "who",
                ],
            ),
            ("who", &[]),
            ("view", &["output", "parse"]),
            ("app", &["config", "error", "output"]),
            ("config", &["error", "output", "parse"]),
            ("parse", &[]),
            ("pages", &[]),
            ("output", &["error"]),
            ("error", &["near"]),
            ("near", &[]),
        ],
    },
];
