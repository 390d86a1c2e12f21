//! Lives of intents: random, legal, and the same in every run.

use std::time::Duration;

use baton_envelope::{Event, WaitReason, next};
use baton_jetstream::Mesh;
use baton_testkit::records;
use tokio_util::task::TaskTracker;

use super::{Version, envelope, following, successor, versions, worker, write};
use crate::support::operator;

/// Random numbers that are the same in every run (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of.get(self.roll(of.len())).unwrap().clone()
    }
}

/// An intent's life of up to nine records, any that is legal. `name` must be new.
async fn live(mesh: &Mesh, dice: &mut Dice, name: &str) {
    let all = versions();
    let mut envelope = envelope(mesh, name, &dice.pick(&all));
    if dice.roll(3) == 0 {
        let (agent, version) = dice.pick(&all);
        envelope.pins.insert(agent, version);
    }
    let first = all.iter().find(|(agent, _)| *agent == envelope.to).unwrap().1.clone();
    let mut head = records::submitted(mesh.record_id(), mesh.now(), operator(), first, envelope.clone());
    let mut seq = write(mesh, &head, 0).await;
    for _ in 0..dice.roll(9) {
        let code = "CODE".to_owned();
        let mut events = vec![
            Event::Claimed,
            Event::Started,
            Event::Step,
            Event::HandedOff,
            Event::HandedOff,
            Event::Waiting {
                reason: dice.pick(&[WaitReason::Human, WaitReason::Time, WaitReason::Tool]),
            },
            Event::FannedOut,
            Event::Signalled,
            Event::Resumed,
            Event::RetryScheduled,
            Event::Released,
            Event::Parked { code: code.clone() },
            Event::Redriven,
            Event::Moved,
            Event::Completed,
            Event::Rejected { code: code.clone() },
            Event::Failed { code: code.clone() },
            Event::Cancelled,
            Event::Compensating,
            Event::Compensated { code: None },
        ];
        events.retain(|event| next(Some(&head.snapshot.status), event).is_ok());
        let Some(event) = (!events.is_empty()).then(|| dice.pick(&events)) else {
            break;
        };
        let holder: Version = (
            head.snapshot.agent.clone().unwrap(),
            head.snapshot.version.clone().unwrap(),
        );
        let mut record = following(mesh, &head, seq, event.clone(), mesh.now(), worker(&holder));
        let to = dice.pick(&all);
        if matches!(event, Event::HandedOff) {
            let Ok(next) = envelope.successor(successor(mesh, &holder, &to)) else {
                break;
            };
            envelope = next;
            record = records::with_work(record, envelope.clone(), to.1);
        } else if matches!(event, Event::Redriven | Event::Resumed | Event::Moved) {
            envelope = envelope.again(mesh.clock().envelope_id());
            record = records::with_work(record, envelope.clone(), holder.1);
        } else if matches!(event, Event::RetryScheduled) {
            record.snapshot.wake_at = Some(mesh.now().plus(Duration::from_secs(1)));
        }
        if dice.roll(8) == 0 {
            let (agent, version) = dice.pick(&all);
            record.snapshot.pins.insert(agent, version);
        }
        seq = write(mesh, &record, seq).await;
        head = record;
    }
}

/// Several intents at once, so that their records are mixed.
pub(super) async fn lives(mesh: &Mesh, name: &str, count: usize) {
    let tracker = TaskTracker::new();
    for task in 0..8 {
        let (mesh, name) = (mesh.clone(), name.to_owned());
        tracker.spawn(async move {
            let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ (task + 1) << 20 ^ name.len() as u64);
            for number in 0..count / 8 {
                live(&mesh, &mut dice, &format!("{name}-{task}-{number}")).await;
            }
        });
    }
    tracker.close();
    tracker.wait().await;
}
