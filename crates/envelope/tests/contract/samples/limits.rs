//! Samples of limits.

use baton_envelope::*;

pub(crate) fn full_limits() -> AgentLimits {
    AgentLimits {
        in_flight: Some(4),
        rate_per_hour: Some(360_000),
        per_key: Some(2),
        fair: Some(16),
        key_rate_per_hour: Some(7_200),
        extra: Extra::new(),
    }
}

/// A reference in which every field is set.
pub(crate) fn full_object_ref() -> ObjectRef {
    ObjectRef::new(ObjectHash::of(b"otters"), 6, "text/plain").at_place(2)
}
