//! The rooms of each crate, and which others each of them names.
//!
//! To add a crate, list its rooms with no arrows: the test then names each arrow that is missing from the list, and each
//! that is listed and not needed. A call of a method is no path and is not seen, so an order of rooms that the methods of
//! `Mesh` keep to is the author's care.

/// The rooms of one crate.
pub(super) struct House {
    pub(super) name: &'static str,
    /// Each room and the rooms that it names, from the top floor down. Empty while the crate has no folders yet: then
    /// nothing is checked.
    pub(super) rooms: &'static [(&'static str, &'static [&'static str])],
}

/// The crates.
pub(super) const HOUSES: [House; 5] = [
    House {
        name: "envelope",
        rooms: &[],
    },
    House {
        name: "jetstream",
        rooms: &[
            ("doctor", &["error", "server"]),
            ("intents", &["documents", "error", "ledger", "server"]),
            ("work", &["error", "server"]),
            ("effects", &["error", "ledger", "server"]),
            ("archive", &["error", "ledger", "server"]),
            ("ledger", &["error", "server"]),
            ("control", &["documents", "error", "server"]),
            ("presence", &["error", "server"]),
            ("routes", &["documents", "error", "server"]),
            ("server", &["documents", "error"]),
            ("documents", &[]),
            ("error", &[]),
        ],
    },
    House {
        name: "agent",
        rooms: &[],
    },
    House {
        name: "controller",
        rooms: &[],
    },
    House {
        name: "cli",
        rooms: &[],
    },
];
