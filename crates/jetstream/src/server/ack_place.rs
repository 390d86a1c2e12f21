//! What the server says of a delivery in its ack subject.

use baton_envelope::Timestamp;

/// An ack subject, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AckPlace {
    /// How often the message was delivered, this time included.
    pub(crate) delivered: u64,
    /// Its sequence in the stream.
    pub(crate) stream_seq: u64,
    /// The consumer's own count of deliveries.
    pub(crate) consumer_seq: u64,
    /// When it was stored, in nanoseconds since the Unix epoch.
    pub(crate) stored: u64,
}

impl AckPlace {
    /// `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`; the second form has the
    /// domain and an account hash before the stream.
    pub(crate) fn parse(reply: &str) -> Option<Self> {
        let dots = reply.bytes().filter(|byte| *byte == b'.').count();
        let skipped = match dots {
            8 => 4,
            10.. => 6,
            _ => return None,
        };
        let mut numbers = reply.splitn(skipped + 5, '.').skip(skipped).map(str::parse);
        Some(Self {
            delivered: numbers.next()?.ok()?,
            stream_seq: numbers.next()?.ok()?,
            consumer_seq: numbers.next()?.ok()?,
            stored: numbers.next()?.ok()?,
        })
    }

    /// When the message was stored, to the millisecond.
    pub(crate) fn stored_at(&self) -> Timestamp {
        Timestamp::from_unix_millis(i64::try_from(self.stored / 1_000_000).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_ack_subject_are_read() {
        let expected = AckPlace {
            delivered: 2,
            stream_seq: 77,
            consumer_seq: 9,
            stored: 1_700_000_000,
        };
        for reply in [
            "$JS.ACK.MESH_WORK_code.1_0_0_p4-7.2.77.9.1700000000.3",
            "$JS.ACK.hub.x.MESH_LEDGER.c.2.77.9.1700000000.3",
            "$JS.ACK.hub.x.MESH_LEDGER.c.2.77.9.1700000000.3.r",
        ] {
            assert_eq!(AckPlace::parse(reply).as_ref(), Some(&expected), "{reply}");
        }
        assert_eq!(expected.stored_at(), Timestamp::from_unix_millis(1_700));
        assert_eq!(AckPlace::parse("_INBOX.x"), None);
    }
}
