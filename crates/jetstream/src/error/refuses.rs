//! Which failures are a refusal of the work itself, in one place for all that submit it.

use super::Error;

/// Whether work that is refused may be taken later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refuses {
    /// Never, as it is.
    ForGood,
    /// When somebody changes an agent or its route. One that is just being registered or rolled out does so by itself.
    ForNow,
    /// When the breaker of the version closes.
    UntilClosed,
}

impl Error {
    /// Whether this refuses the work itself; `None` where the server, the mesh or this process is in the way.
    pub fn refuses(&self) -> Option<Refuses> {
        let is_for_good = matches!(
            self,
            Self::NoneReadable { .. }
                | Self::BadText(_)
                | Self::BadEnvelope { .. }
                | Self::TooLarge { .. }
                | Self::ObjectMissing { .. }
                | Self::ObjectCorrupt { .. }
                | Self::ObjectsFull { is_lasting: true, .. }
        );
        let is_for_now = matches!(
            self,
            Self::UnknownAgent { .. } | Self::Unroutable(_) | Self::NoneCapable { .. } | Self::NoCommonProtocol(_)
        );
        if is_for_good {
            Some(Refuses::ForGood)
        } else if is_for_now {
            Some(Refuses::ForNow)
        } else {
            matches!(self, Self::BreakerOpen { .. }).then_some(Refuses::UntilClosed)
        }
    }
}
