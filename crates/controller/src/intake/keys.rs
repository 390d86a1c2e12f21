//! The keys of a raw intent: under which it is to be the only one, and in whose order it is done. Each is of one agent.

use baton_envelope::codes;
use baton_envelope::{Envelope, HEADER_ORDER_KEY, HEADER_UNIQUE, RawIntent, RawRejection, Unique};

/// The unique key of a message, once neither key is refused. Work for whichever agent is able has none: it would be another's
/// for each agent.
pub(super) fn unique(
    raw: &RawIntent<'_>,
    envelope: &Envelope,
    is_capable: bool,
) -> Result<Option<Unique>, RawRejection> {
    if let Some(key) = envelope.order_key.as_ref().filter(|_| is_capable) {
        return Err(of_one_agent(HEADER_ORDER_KEY, key));
    }
    match raw.unique()? {
        Some(unique) if is_capable => Err(of_one_agent(HEADER_UNIQUE, &unique.key)),
        unique => Ok(unique),
    }
}

/// A key on a subject that names no agent.
fn of_one_agent(header: &str, key: &str) -> RawRejection {
    RawRejection {
        code: codes::BAD_HEADER,
        field: header.to_owned(),
        value: key.to_owned(),
        problem: "is a key of one agent, and a capability names none".to_owned(),
        fix: "publish to an agent, or leave the header out".to_owned(),
    }
}
