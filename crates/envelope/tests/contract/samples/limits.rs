//! Samples of limits.

use baton_envelope::budget::{Amount, Amounts, MeterName};
use baton_envelope::*;

pub(crate) fn full_limits() -> AgentLimits {
    AgentLimits {
        in_flight: Some(4),
        rate_per_hour: Some(360_000),
        per_key: Some(2),
        fair: Some(16),
        key_rate_per_hour: Some(7_200),
        per_day: Some(Box::new(
            Amounts::NONE.with(MeterName::Tokens, Amount::whole(2_000_000)),
        )),
        extra: Extra::new(),
    }
}

pub(crate) fn full_cap_grant() -> CapGrant {
    CapGrant {
        id: "01JD6QZ0".to_owned(),
        intent: "order-1".parse().expect("an id"),
        epoch: 3,
        amounts: Amounts::NONE.with(MeterName::Tokens, Amount::whole(1_200)),
        at: Timestamp::from_unix_millis(1_780_000_000_000),
        extra: Extra::new(),
    }
}

pub(crate) fn full_cap_day() -> CapDay {
    CapDay {
        spent: Amounts::NONE.with(MeterName::Tokens, Amount::whole(40_000)),
        grants: vec![full_cap_grant()],
        extra: Extra::new(),
    }
}

pub(crate) fn full_cap_book() -> CapBook {
    CapBook {
        per_day: Amounts::NONE.with(MeterName::Tokens, Amount::whole(2_000_000)),
        days: [("2026-11-21".to_owned(), full_cap_day())].into(),
        charged: vec!["01JD6QZ1".to_owned()],
        ..CapBook::new("research".parse().expect("a name"))
    }
}

/// A reference in which every field is set.
pub(crate) fn full_object_ref() -> ObjectRef {
    ObjectRef::new(ObjectHash::of(b"otters"), 6, "text/plain").at_place(2)
}
