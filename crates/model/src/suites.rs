//! The bounds to check, each exhaustively: small ones in the tests, deep ones by hand.

use crate::bounds::{Bounds, Faults};

/// Bounds with a name.
#[derive(Debug, Clone, Copy)]
pub struct Suite {
    /// What the suite is about.
    pub name: &'static str,
    /// The bounds.
    pub bounds: Bounds,
}

const NONE: Faults = Faults::none();

/// The suites that the tests check, in less than a minute together.
pub const SMALL: [Suite; 16] = [
    Suite {
        name: "no circles",
        bounds: Bounds {
            everywhere: true,
            ..Bounds::calm()
        }
        .with(Faults {
            crashes: 1,
            redeliveries: 1,
            ..NONE
        }),
    },
    Suite {
        name: "crashes",
        bounds: Bounds::calm().with(Faults {
            crashes: 2,
            redeliveries: 1,
            hours: 1,
            ..NONE
        }),
    },
    Suite {
        name: "lost answers",
        bounds: Bounds::calm().with(Faults {
            unanswered: 1,
            crashes: 1,
            redeliveries: 1,
            ..NONE
        }),
    },
    Suite {
        name: "frozen holders",
        bounds: Bounds {
            workers: 3,
            ..Bounds::calm()
        }
        .with(Faults {
            redeliveries: 2,
            ..NONE
        }),
    },
    Suite {
        name: "lost tickets",
        bounds: Bounds::calm().with(Faults {
            lost_tickets: 1,
            crashes: 1,
            hours: 1,
            ..NONE
        }),
    },
    Suite {
        name: "repeated tickets",
        bounds: Bounds::calm().with(Faults {
            repeated_tickets: 1,
            crashes: 1,
            ..NONE
        }),
    },
    Suite {
        name: "forgotten deliveries",
        bounds: Bounds::calm().with(Faults {
            forgotten: 1,
            redeliveries: 1,
            ..NONE
        }),
    },
    Suite {
        name: "failures and redrives",
        bounds: Bounds {
            max_attempts: 1,
            ..Bounds::calm()
        }
        .with(Faults {
            failures: 1,
            redrives: 1,
            crashes: 1,
            hours: 1,
            ..NONE
        }),
    },
    Suite {
        name: "moves and pins",
        bounds: Bounds::calm().with(Faults {
            moves: 1,
            repins: 1,
            ..NONE
        }),
    },
    Suite {
        name: "stops and retries",
        bounds: Bounds::calm().with(Faults {
            stops: 1,
            failures: 1,
            crashes: 1,
            hours: 1,
            ..NONE
        }),
    },
    Suite {
        name: "deadline",
        bounds: Bounds {
            deadline: Some(1),
            ..Bounds::calm()
        }
        .with(Faults {
            crashes: 1,
            unanswered: 1,
            hours: 1,
            ..NONE
        }),
    },
    Suite {
        name: "two submitters",
        bounds: Bounds {
            submitters: 2,
            ..Bounds::calm()
        }
        .with(Faults { unanswered: 1, ..NONE }),
    },
    Suite {
        name: "pins between record and ticket",
        bounds: Bounds {
            steps: 0,
            ..Bounds::calm()
        }
        .with(Faults {
            repins: 1,
            crashes: 1,
            hours: 1,
            ..NONE
        }),
    },
    Suite {
        name: "old tickets of later heads",
        bounds: Bounds::calm().with(Faults {
            failures: 1,
            redeliveries: 1,
            hours: 1,
            ..NONE
        }),
    },
    Suite {
        name: "old and new workers",
        bounds: Bounds {
            old_workers: 1,
            ..Bounds::calm()
        }
        .with(Faults {
            stops: 1,
            crashes: 1,
            redeliveries: 1,
            ..NONE
        }),
    },
    Suite {
        name: "old clients and leader",
        bounds: Bounds {
            old_clients: true,
            old_sweeper: true,
            steps: 0,
            ..Bounds::calm()
        }
        .with(Faults {
            repins: 1,
            crashes: 1,
            hours: 1,
            ..NONE
        }),
    },
];

/// The suites that take longer and are run by hand.
pub const DEEP: [Suite; 11] = [
    Suite {
        name: "two submitters, deep",
        bounds: Bounds {
            submitters: 2,
            ..Bounds::calm()
        }
        .with(Faults {
            crashes: 1,
            unanswered: 1,
            hours: 1,
            ..NONE
        }),
    },
    Suite {
        name: "crashes, deep",
        bounds: Bounds::calm().with(Faults {
            crashes: 3,
            redeliveries: 1,
            hours: 2,
            ..NONE
        }),
    },
    Suite {
        name: "lost answers, deep",
        bounds: Bounds::calm().with(Faults {
            unanswered: 2,
            crashes: 1,
            redeliveries: 1,
            hours: 1,
            ..NONE
        }),
    },
    Suite {
        name: "frozen holders, deep",
        bounds: Bounds {
            workers: 3,
            steps: 2,
            ..Bounds::calm()
        }
        .with(Faults {
            redeliveries: 2,
            crashes: 1,
            ..NONE
        }),
    },
    Suite {
        name: "tickets lost and repeated, deep",
        bounds: Bounds::calm().with(Faults {
            lost_tickets: 1,
            repeated_tickets: 1,
            forgotten: 1,
            crashes: 1,
            hours: 2,
            ..NONE
        }),
    },
    Suite {
        name: "failures and redrives, deep",
        bounds: Bounds {
            max_attempts: 1,
            ..Bounds::calm()
        }
        .with(Faults {
            failures: 2,
            redrives: 1,
            crashes: 1,
            redeliveries: 1,
            unanswered: 1,
            hours: 1,
            ..NONE
        }),
    },
    Suite {
        name: "moves and pins, deep",
        bounds: Bounds::calm().with(Faults {
            moves: 1,
            repins: 1,
            redeliveries: 1,
            crashes: 1,
            unanswered: 1,
            ..NONE
        }),
    },
    Suite {
        name: "stops and retries, deep",
        bounds: Bounds {
            shows: true,
            ..Bounds::calm()
        }
        .with(Faults {
            stops: 1,
            failures: 1,
            crashes: 1,
            redeliveries: 1,
            hours: 1,
            ..NONE
        }),
    },
    Suite {
        name: "two intents, deep",
        bounds: Bounds {
            intents: 2,
            ..Bounds::calm()
        }
        .with(Faults {
            crashes: 1,
            hours: 1,
            ..NONE
        }),
    },
    Suite {
        name: "everything once, deep",
        bounds: Bounds {
            max_attempts: 1,
            ..Bounds::calm()
        }
        .with(Faults {
            crashes: 1,
            unanswered: 1,
            redeliveries: 1,
            failures: 1,
            redrives: 1,
            moves: 1,
            hours: 1,
            ..NONE
        }),
    },
    Suite {
        name: "old and new, deep",
        bounds: Bounds {
            workers: 3,
            old_workers: 1,
            old_sweeper: true,
            ..Bounds::calm()
        }
        .with(Faults {
            stops: 1,
            failures: 1,
            crashes: 1,
            redeliveries: 1,
            repins: 1,
            moves: 1,
            hours: 1,
            ..NONE
        }),
    },
];
