//! Where a delivery stands.

/// What an ack subject says of a delivery that is never acked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// In the stream.
    pub(super) seq: u64,
    /// The consumer's own count.
    pub(super) delivery: u64,
    /// When the message was stored, in nanoseconds since the Unix epoch.
    pub(super) stored: u64,
}

impl Place {
    /// `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`; the second form has the
    /// domain and an account hash before the stream.
    pub(super) fn parse(reply: &str) -> Option<Self> {
        let skipped = match reply.split('.').count() {
            9 => 5,
            11.. => 7,
            _ => return None,
        };
        let mut numbers = reply.split('.').skip(skipped).map(str::parse);
        Some(Self {
            seq: numbers.next()?.ok()?,
            delivery: numbers.next()?.ok()?,
            stored: numbers.next()?.ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_ack_subject_are_read() {
        let expected = Place {
            seq: 77,
            delivery: 9,
            stored: 1_700_000_000,
        };
        for reply in [
            "$JS.ACK.MESH_LEDGER.c.1.77.9.1700000000.3",
            "$JS.ACK.hub.x.MESH_LEDGER.c.1.77.9.1700000000.3",
            "$JS.ACK.hub.x.MESH_LEDGER.c.1.77.9.1700000000.3.r",
        ] {
            assert_eq!(Place::parse(reply).as_ref(), Some(&expected), "{reply}");
        }
        assert_eq!(Place::parse("_INBOX.x"), None);
    }
}
