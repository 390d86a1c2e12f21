//! The life of an agent version: which state may follow which.

use std::fmt;

use crate::base::wire_enum::wire_enum;

wire_enum! {
    /// The state of an agent version.
    #[derive(Default)]
    pub enum VersionState {
        /// Known by name; no live worker.
        #[default]
        Declared = "declared",
        /// It has live workers; no work is routed to it.
        Ready = "ready",
        /// Takes a share of the new work.
        Canary = "canary",
        /// Takes the new work.
        Active = "active",
        /// Takes nothing new, but open work names it.
        Draining = "draining",
        /// No open work names it, and nothing runs on it.
        Drained = "drained",
        /// Taken out of service; kept for the audit.
        Retired = "retired",
        /// A bad build: it gets nothing new, and its open work is paused.
        Quarantined = "quarantined",
    }
}

/// What can happen to a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionEvent {
    /// A worker of it sent a heartbeat.
    Heard,
    /// Its last worker is gone.
    Silent,
    /// It gets a share of the new work.
    CanaryStarted,
    /// It gets the new work.
    Activated,
    /// Another version gets the new work.
    Superseded,
    /// No open work names it any more.
    Emptied,
    /// It is taken out of service.
    Retired,
    /// It is set aside as a bad build.
    Quarantined,
    /// The quarantine is lifted; its open work goes on.
    Lifted,
    /// A retired version is brought back.
    Revived,
}

impl VersionEvent {
    /// Every event, for tables and tests.
    pub const ALL: [Self; 10] = [
        Self::Heard,
        Self::Silent,
        Self::CanaryStarted,
        Self::Activated,
        Self::Superseded,
        Self::Emptied,
        Self::Retired,
        Self::Quarantined,
        Self::Lifted,
        Self::Revived,
    ];

    /// The name in documents and errors.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Heard => "heard",
            Self::Silent => "silent",
            Self::CanaryStarted => "canary_started",
            Self::Activated => "activated",
            Self::Superseded => "superseded",
            Self::Emptied => "emptied",
            Self::Retired => "retired",
            Self::Quarantined => "quarantined",
            Self::Lifted => "lifted",
            Self::Revived => "revived",
        }
    }
}

/// An event that may not follow the state of a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{event}\" may not happen to a version that is {state}")]
pub struct IllegalVersionEvent {
    /// The state.
    pub state: VersionState,
    /// The event.
    pub event: &'static str,
}

impl VersionState {
    /// Whether work that was on this version before may come back to it: it is not drained, retired or quarantined.
    pub const fn is_alive(&self) -> bool {
        matches!(
            self,
            Self::Ready | Self::Canary | Self::Active | Self::Draining | Self::Declared
        )
    }

    /// Whether nothing may run on it. Its consumers are paused, so the server itself holds work back.
    pub const fn is_paused(&self) -> bool {
        matches!(self, Self::Drained | Self::Retired | Self::Quarantined)
    }

    /// The state after an event. Only this function decides the life of a version.
    ///
    /// # Errors
    /// When the event may not follow the state; the version stays as it was.
    pub fn next(&self, event: VersionEvent) -> Result<Self, IllegalVersionEvent> {
        use VersionEvent as E;
        let found = match (self, event) {
            (Self::Declared, E::Heard) => Some(Self::Ready),
            (Self::Ready, E::Silent) => Some(Self::Declared),
            (Self::Ready | Self::Draining | Self::Drained, E::CanaryStarted) => Some(Self::Canary),
            (Self::Declared | Self::Ready | Self::Canary | Self::Draining | Self::Drained, E::Activated) => {
                Some(Self::Active)
            }
            (Self::Canary | Self::Active, E::Superseded) => Some(Self::Draining),
            (Self::Draining, E::Emptied) => Some(Self::Drained),
            (Self::Declared | Self::Ready | Self::Drained | Self::Quarantined, E::Retired) => Some(Self::Retired),
            (
                Self::Declared | Self::Ready | Self::Canary | Self::Active | Self::Draining | Self::Drained,
                E::Quarantined,
            ) => Some(Self::Quarantined),
            (Self::Quarantined, E::Lifted) => Some(Self::Draining),
            (Self::Retired, E::Revived) => Some(Self::Declared),
            _ => None,
        };
        found.ok_or_else(|| IllegalVersionEvent {
            state: self.clone(),
            event: event.name(),
        })
    }
}

impl fmt::Display for VersionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
