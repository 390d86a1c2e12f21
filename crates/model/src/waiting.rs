//! A model of waits, signals and times on one intent, checked exhaustively within small bounds.
//!
//! It is beside the model of the commit protocol, and coarser about that: a guarded write with its rebase is one action. In
//! turn it has routers that take signals from an intake, a leader that fires timers and buries what nobody reads, people who
//! pause and cancel. The rules are the runtime's own: the acts, `next`, `effects`, `needs`, `satisfied`, `on_signal`,
//! `on_delivery`, `on_overtaken`, `recorded_waits`. [`BrokenWait`] switches off, one at a time, what a first form of the
//! design lacked; each must give a counterexample.

mod hands;
mod judge;
mod scene;

pub use scene::{Scene, WaitAction};

use stateright::{Model, Property};

/// The bounds of a check.
#[derive(Debug, Clone, Copy)]
pub struct WaitBounds {
    /// Hops; each waits once, then records a step and goes on.
    pub hops: u32,
    /// Whether a hop waits for the first of `a` and `b`, and not for `a` alone.
    pub any: bool,
    /// Whether each wait has a time, which may come at any moment.
    pub times: bool,
    /// The names of the signals that are sent, in their order, at any moments.
    pub signals: &'static [&'static str],
    /// Workers, each with one slot.
    pub workers: u8,
    /// Routers, each with one message at a time.
    pub routers: u8,
    /// What may go wrong, and what people may do.
    pub left: Left,
}

/// How often something may still happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Left {
    /// Processes that die, at any point.
    pub crashes: u8,
    /// Deliveries of a ticket or of a message whose holder still runs.
    pub redeliveries: u8,
    /// Tickets that a power cut takes.
    pub lost_tickets: u8,
    /// Times that somebody parks the intent; it is put back.
    pub pauses: u8,
    /// Times that somebody cancels it.
    pub cancels: u8,
}

impl Left {
    /// Nothing.
    pub const NONE: Self = Self {
        crashes: 0,
        redeliveries: 0,
        lost_tickets: 0,
        pauses: 0,
        cancels: 0,
    };
}

/// A rule of waits that is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokenWait {
    /// None.
    Nothing,
    /// Only whoever has just written `signalled` ends a wait: neither the writer of `waiting` nor a repeat nor the sweeper.
    SatisfiedOwesNothing,
    /// `resumed` has the envelope under its old id.
    OldEnvelope,
    /// The ids of messages that a wait has taken are forgotten.
    Untold,
    /// What is unread at the end is buried by nobody.
    Unburied,
    /// A handler answers from unread signals, too.
    AnswersFromUnread,
    /// `resumed` has no result of the waits that lost.
    LosersUnrecorded,
    /// A time ends a wait whatever is unread.
    TimeFirst,
}

/// The waits of an intent within bounds, in the form that the checker takes.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The bounds.
    pub bounds: WaitBounds,
    /// Which rule is switched off.
    pub broken: BrokenWait,
}

/// Bounds with a name.
#[derive(Debug, Clone, Copy)]
pub struct WaitSuite {
    /// What it is about.
    pub name: &'static str,
    /// The bounds.
    pub bounds: WaitBounds,
}

const ONE: WaitBounds = WaitBounds {
    hops: 1,
    any: false,
    times: false,
    signals: &["a"],
    workers: 1,
    routers: 1,
    left: Left::NONE,
};

/// What the tests check, in seconds. A dead process is replaced at once, so one of a kind is enough for crashes.
pub const WAITS: [WaitSuite; 7] = [
    WaitSuite {
        name: "one wait, one signal",
        bounds: WaitBounds {
            left: Left {
                crashes: 2,
                ..Left::NONE
            },
            ..ONE
        },
    },
    WaitSuite {
        name: "frozen holders of a wait",
        bounds: WaitBounds {
            workers: 2,
            routers: 2,
            left: Left {
                redeliveries: 1,
                ..Left::NONE
            },
            ..ONE
        },
    },
    WaitSuite {
        name: "two hops, two signals",
        bounds: WaitBounds {
            hops: 2,
            signals: &["a", "a"],
            left: Left {
                crashes: 1,
                ..Left::NONE
            },
            ..ONE
        },
    },
    WaitSuite {
        name: "a pause, a cancel and a time",
        bounds: WaitBounds {
            times: true,
            left: Left {
                pauses: 1,
                cancels: 1,
                ..Left::NONE
            },
            ..ONE
        },
    },
    WaitSuite {
        name: "a lost ticket of a wait",
        bounds: WaitBounds {
            left: Left {
                lost_tickets: 1,
                crashes: 1,
                ..Left::NONE
            },
            ..ONE
        },
    },
    WaitSuite {
        name: "the first of two",
        bounds: WaitBounds {
            any: true,
            signals: &["b", "a"],
            left: Left {
                crashes: 1,
                ..Left::NONE
            },
            ..ONE
        },
    },
    WaitSuite {
        name: "the first of two, with times",
        bounds: WaitBounds {
            any: true,
            times: true,
            signals: &["a", "b"],
            left: Left {
                pauses: 1,
                ..Left::NONE
            },
            ..ONE
        },
    },
];

impl Model for Waiting {
    type State = Scene;
    type Action = WaitAction;

    fn init_states(&self) -> Vec<Scene> {
        vec![self.begin()]
    }

    fn actions(&self, scene: &Scene, actions: &mut Vec<WaitAction>) {
        if scene.wrong.is_none() {
            self.calm(scene, actions);
            self.willed(scene, actions);
        }
    }

    fn next_state(&self, scene: &Scene, action: WaitAction) -> Option<Scene> {
        Some(self.after(scene, action))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        judge::all()
    }
}
