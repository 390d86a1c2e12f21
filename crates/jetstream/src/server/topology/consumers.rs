//! The consumers of a mesh, as they should be: the router's on the intake, one for each band of each agent version, and those
//! with which controllers follow the ledger and the archive.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Config, DeliverPolicy, IntoConsumerConfig as _, ReplayPolicy, pull};
use baton_envelope::{AgentName, AgentVersion, Band, Bands};

use super::raise::mark;
use super::settings::KEY_TOPOLOGY;
use crate::server::mesh::Mesh;

/// How long the broker waits for a sign of life before it delivers a ticket to another worker.
pub const ACK_WAIT: Duration = Duration::from_secs(10);
/// How long a router may hold a raw intent before another router gets it.
const ROUTER_ACK_WAIT: Duration = Duration::from_secs(30);
/// How many tickets of one consumer may be delivered and unacked at once; the broker stops delivering at this number.
/// Wide, because slots bound the flow and delayed retries count too.
const MAX_ACK_PENDING: i64 = 100_000;
/// How long the server keeps a consumer that follows a stream and that nobody pulls from.
const TAIL_INACTIVE: Duration = Duration::from_secs(10);

/// The consumer on the intake, which all routers share.
pub(crate) const ROUTER: &str = "router";
/// The first topology in which signals and decisions have consumers of their own.
pub(crate) const WAITS_SINCE: u32 = 3;
/// The first topology under which no controller lives that knows no channels.
pub(crate) const CHANNELS_SINCE: u32 = 4;

/// What controllers read of the intake, each kind with a consumer that all of them share: a router of an earlier build must
/// not take what it would reject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intake {
    /// Raw intents.
    Router,
    /// Signals for open intents.
    Signals,
    /// Decisions of people.
    Decisions,
}

impl Intake {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Router, Self::Signals, Self::Decisions];

    /// The name of its consumer.
    pub const fn consumer(self) -> &'static str {
        match self {
            Self::Router => ROUTER,
            Self::Signals => "signals",
            Self::Decisions => "decisions",
        }
    }
}
/// How a consumer with which a controller follows a stream is described.
pub(super) const TAIL_DESCRIPTION: &str = "Baton: a controller follows the ledger";

impl Mesh {
    /// A consumer of an agent's work stream.
    pub(crate) fn work_consumer_config(&self, agent: &AgentName, version: &AgentVersion, band: Band) -> pull::Config {
        pull::Config {
            durable_name: Some(self.subjects().work_consumer(version, band)),
            filter_subjects: self.subjects().work_band(agent, version, band),
            ack_policy: AckPolicy::Explicit,
            deliver_policy: DeliverPolicy::All,
            ack_wait: ACK_WAIT,
            max_deliver: -1,
            max_ack_pending: MAX_ACK_PENDING,
            // Idle workers keep one pull waiting for each band: this limit must not bound the size of a fleet.
            max_waiting: 8192,
            metadata: mark(),
            ..pull::Config::default()
        }
    }

    /// The consumer that belongs on a stream under a name; `None` for one that is not Baton's. A consumer that follows a
    /// stream has a name that the server chose: `found` tells it.
    pub(super) fn wanted_consumer(&self, stream: &str, name: &str, found: &Config) -> Option<Config> {
        let s = self.subjects();
        if stream == s.intake_stream() {
            let kind = Intake::ALL.into_iter().find(|kind| kind.consumer() == name)?;
            return Some(self.intake_config(kind).into_consumer_config());
        }
        if stream == s.ledger_stream() || stream == s.archive_stream() {
            return is_tail(found).then(|| {
                // Each begins where its controller had come to.
                let start = match found.deliver_policy {
                    DeliverPolicy::ByStartSequence { start_sequence } => start_sequence,
                    DeliverPolicy::All
                    | DeliverPolicy::Last
                    | DeliverPolicy::New
                    | DeliverPolicy::ByStartTime { .. }
                    | DeliverPolicy::LastPerSubject => 0,
                };
                tail_config(stream == s.archive_stream(), start).into_consumer_config()
            });
        }
        let agent = self.agent_of_work_stream(stream)?;
        let version = version_of(name)?;
        let bands = [Bands::One, Bands::Three, Bands::Ten]
            .into_iter()
            .flat_map(|bands| bands.list());
        let band = bands
            .into_iter()
            .find(|band| s.work_consumer(&version, *band) == name)?;
        Some(self.work_consumer_config(&agent, &version, band).into_consumer_config())
    }
}

impl Mesh {
    /// The consumer with which controllers share a kind of what is in the intake.
    pub(crate) fn intake_config(&self, kind: Intake) -> pull::Config {
        let s = self.subjects();
        let filter_subjects = match kind {
            Intake::Router => s.router_subjects(),
            Intake::Signals => s.signal_subjects(),
            Intake::Decisions => s.decision_subjects(),
        };
        pull::Config {
            durable_name: Some(kind.consumer().to_owned()),
            filter_subjects,
            ..shared_config()
        }
    }
}

/// What the consumers of the intake have in common.
fn shared_config() -> pull::Config {
    pull::Config {
        ack_policy: AckPolicy::Explicit,
        deliver_policy: DeliverPolicy::All,
        ack_wait: ROUTER_ACK_WAIT,
        max_deliver: -1,
        max_ack_pending: 10_000,
        max_waiting: 512,
        metadata: mark(),
        ..pull::Config::default()
    }
}

/// A consumer with which a controller follows a stream from a sequence on. It lives in the memory of one server: whoever
/// follows makes another when it is gone.
pub(crate) fn tail_config(headers_only: bool, start_sequence: u64) -> pull::Config {
    pull::Config {
        description: Some(TAIL_DESCRIPTION.to_owned()),
        // Tells this controller from one of an earlier build.
        metadata: mark(),
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence },
        ack_policy: AckPolicy::None,
        headers_only,
        replay_policy: ReplayPolicy::Instant,
        inactive_threshold: TAIL_INACTIVE,
        memory_storage: true,
        num_replicas: 1,
        ..pull::Config::default()
    }
}

/// Whether a controller follows a stream with this consumer, whatever somebody has edited of it.
fn is_tail(found: &Config) -> bool {
    let is_described = found.description.as_deref() == Some(TAIL_DESCRIPTION);
    is_described || found.metadata.contains_key(KEY_TOPOLOGY)
}

/// The version whose tickets a consumer delivers; `None` if the consumer is not Baton's.
pub(crate) fn version_of(consumer: &str) -> Option<AgentVersion> {
    let (token, band) = consumer.rsplit_once("_p")?;
    let number = |text: &str| text.parse::<u8>().is_ok_and(|priority| (1..=10).contains(&priority));
    let is_band = match band.split_once('-') {
        Some((low, high)) => number(low) && number(high),
        None => number(band),
    };
    is_band.then(|| AgentVersion::from_token(token).ok())?
}

#[cfg(test)]
mod tests {
    use baton_envelope::{Namespace, Subjects};

    use super::*;

    #[test]
    fn the_version_is_read_back_from_every_consumer_name() {
        let subjects = Subjects::new(Namespace::default());
        for text in ["1.0.0", "2.0.0-rc.1", "1.0.0-x.p3", "1.0.0-p+b.p1-3"] {
            let version: AgentVersion = text.parse().expect("version");
            for band in [Bands::One, Bands::Three, Bands::Ten]
                .iter()
                .flat_map(|bands| bands.list())
            {
                let name = subjects.work_consumer(&version, band);
                assert_eq!(version_of(&name), Some(version.clone()), "{name}");
            }
        }
        for foreign in ["router", "1_0_0", "1_0_0_px", "1_0_0_p11", "tail_p4-7"] {
            assert_eq!(version_of(foreign), None, "{foreign}");
        }
    }
}
