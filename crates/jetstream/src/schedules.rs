//! The schedules of a mesh: read from their bucket, and written there by compare-and-set.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use baton_envelope::ScheduleName;
use baton_envelope::schedule::Schedule;
use bytes::Bytes;

use crate::error::Error;
use crate::server::{ControllerMesh, Mesh, Published, Stored, UNCONFIRMED, publish_acked};

/// How often a change is made again when another writer came first, or the server did not confirm it.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);
/// How much larger the record and the ticket of a firing are than its payload, at most.
const RECORD_HEADROOM: usize = 8 * 1024;

/// A schedule, and the revision to write over.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSchedule {
    /// The schedule; it names the revision that created it.
    pub schedule: Schedule,
    /// The revision that it was read from.
    pub revision: u64,
}

/// All schedules at one moment.
#[derive(Debug, Clone, Default)]
pub struct ScheduleTable {
    /// Those that can be read, by name.
    pub schedules: Vec<StoredSchedule>,
    /// The last revision of the bucket that is surely contained; 0 for an empty one.
    pub end: u64,
}

/// What became of a write.
enum Written {
    /// The server has it, at this revision.
    At(u64),
    /// Somebody else came first.
    Refused,
    /// The server did not confirm it: it may stand, or have stood.
    Unconfirmed,
}

/// What stands under the name of a schedule.
enum Standing {
    /// A schedule.
    There(Box<StoredSchedule>),
    /// Nothing; the revision to write over is that of its removal, or 0.
    Free(u64),
}

impl StoredSchedule {
    fn read(stored: &Stored, key: &str) -> Result<Self, String> {
        let schedule: Schedule = serde_json::from_slice(&stored.body).map_err(|error| error.to_string())?;
        if schedule.name.as_str() != key {
            return Err(format!("it says that it is schedule \"{}\"", schedule.name));
        }
        Ok(Self {
            schedule: schedule.seen_at(stored.seq),
            revision: stored.seq,
        })
    }
}

/// What is wrong with the value of a key of the bucket, if anything is.
pub(crate) fn problem(key: &str, body: &[u8]) -> Option<String> {
    match serde_json::from_slice::<Schedule>(body) {
        Ok(schedule) if schedule.name.as_str() == key => None,
        Ok(schedule) => Some(format!("it says that it is schedule \"{}\"", schedule.name)),
        Err(error) => Some(error.to_string()),
    }
}

impl Mesh {
    /// All schedules. Those that cannot be read are left out; `baton repair list` shows them.
    ///
    /// # Errors
    /// When the bucket is missing or cannot be read.
    pub async fn schedules(&self) -> Result<ScheduleTable, Error> {
        let bucket = self.subjects().schedules_bucket();
        let state = self.bucket_state(&bucket).await?;
        let prefix = format!("$KV.{bucket}.");
        let mut schedules = Vec::new();
        for stored in state.newest.iter().filter(|stored| !stored.is_removal()) {
            let key = stored.subject.strip_prefix(&prefix).unwrap_or_default();
            match StoredSchedule::read(stored, key) {
                Ok(one) => schedules.push(one),
                Err(problem) => tracing::debug!(key, problem, "a schedule cannot be read"),
            }
        }
        schedules.sort_by(|one, other| one.schedule.name.cmp(&other.schedule.name));
        Ok(ScheduleTable {
            schedules,
            end: state.end.map_or(0, |(seq, _)| seq),
        })
    }

    /// The last revision of the bucket, as its leader knows it; 0 for an empty one.
    ///
    /// # Errors
    /// When the bucket is missing, or the server does not answer.
    pub async fn schedules_end(&self) -> Result<u64, Error> {
        let end = self.bucket_end(&self.subjects().schedules_bucket()).await?;
        Ok(end.map_or(0, |(seq, _)| seq))
    }

    /// One schedule; `None` when there is none of that name.
    ///
    /// # Errors
    /// When the bucket is missing, or the schedule cannot be read.
    pub async fn schedule(&self, name: &ScheduleName) -> Result<Option<StoredSchedule>, Error> {
        Ok(match self.standing_schedule(name).await? {
            Standing::There(stored) => Some(*stored),
            Standing::Free(_) => None,
        })
    }

    async fn standing_schedule(&self, name: &ScheduleName) -> Result<Standing, Error> {
        let bucket = self.subjects().schedules_bucket();
        let Some(stored) = self.bucket_entry(&bucket, name.as_str()).await? else {
            return Ok(Standing::Free(0));
        };
        if stored.is_removal() {
            return Ok(Standing::Free(stored.seq));
        }
        let read = StoredSchedule::read(&stored, name.as_str());
        let read = read.map_err(|problem| Error::api(format!("reading schedule \"{name}\""), problem))?;
        Ok(Standing::There(Box::new(read)))
    }
}

impl ControllerMesh {
    /// Writes a new schedule, and gives it as it stands; `None` when the name is taken.
    ///
    /// # Errors
    /// When the bucket cannot be read or written.
    pub async fn create_schedule(&self, schedule: &Schedule) -> Result<Option<StoredSchedule>, Error> {
        let (size, limit) = (schedule.payload.get().len(), self.client().max_payload());
        let limit = limit.saturating_sub(RECORD_HEADROOM);
        if size > limit {
            let what = format!("the payload of schedule \"{}\"", schedule.name);
            return Err(Error::TooLarge { what, size, limit });
        }
        let mut tries = 0;
        let mut unconfirmed = None;
        loop {
            let over = match self.standing_schedule(&schedule.name).await? {
                // What was there since may have been this one, and somebody has removed it: it does not come back.
                Standing::Free(over) if unconfirmed.is_some_and(|written| written != over) => {
                    let what = format!(
                        "writing schedule \"{}\" (it may have been removed since)",
                        schedule.name
                    );
                    return Err(Error::no_answer(what, UNCONFIRMED));
                }
                Standing::Free(over) => over,
                // A write that was not answered may stand all the same.
                Standing::There(there) if tries > 0 && there.schedule == schedule.clone().seen_at(there.revision) => {
                    return Ok(Some(*there));
                }
                Standing::There(_) => return Ok(None),
            };
            match self.write_schedule(schedule, over, tries).await? {
                Written::At(revision) => {
                    let schedule = schedule.clone().seen_at(revision);
                    return Ok(Some(StoredSchedule { schedule, revision }));
                }
                Written::Unconfirmed => unconfirmed = unconfirmed.or(Some(over)),
                Written::Refused => {}
            }
            tries += 1;
        }
    }

    /// Writes what `change` makes of a schedule as it stands, and gives what stands then. `change` is called again on the
    /// newer one when somebody else wrote at the same moment; `None` of it leaves the schedule as it is. `known` is how
    /// the caller has read it a moment ago.
    ///
    /// # Errors
    /// When the bucket cannot be read or written.
    pub async fn change_schedule(
        &self,
        name: &ScheduleName,
        known: Option<StoredSchedule>,
        change: impl Fn(&Schedule) -> Option<Schedule> + Send,
    ) -> Result<Option<StoredSchedule>, Error> {
        let mut present = known;
        let mut tries = 0;
        loop {
            let there = match present.take() {
                Some(known) => known,
                None => match self.standing_schedule(name).await? {
                    Standing::There(there) => *there,
                    Standing::Free(_) => return Ok(None),
                },
            };
            let Some(next) = change(&there.schedule) else {
                return Ok(Some(there));
            };
            if let Written::At(revision) = self.write_schedule(&next, there.revision, tries).await? {
                let schedule = next;
                return Ok(Some(StoredSchedule { schedule, revision }));
            }
            tries += 1;
        }
    }

    /// Removes a schedule, and gives what stood there.
    ///
    /// # Errors
    /// When the bucket cannot be read or written.
    pub async fn remove_schedule(&self, name: &ScheduleName) -> Result<Option<StoredSchedule>, Error> {
        let mut tries = 0;
        loop {
            let there = match self.standing_schedule(name).await? {
                Standing::There(there) => *there,
                Standing::Free(_) => return Ok(None),
            };
            let mut headers = HeaderMap::new();
            headers.insert("KV-Operation", "PURGE");
            headers.insert("Nats-Rollup", "sub");
            let written = self
                .write_key(name, (headers, Bytes::new()), there.revision, tries)
                .await?;
            if matches!(written, Written::At(_)) {
                return Ok(Some(there));
            }
            tries += 1;
        }
    }

    async fn write_schedule(&self, schedule: &Schedule, over: u64, tries: u32) -> Result<Written, Error> {
        let body = serde_json::to_vec(schedule).map_err(|error| Error::api("encoding a schedule", error))?;
        let message = (HeaderMap::new(), Bytes::from(body));
        self.write_key(&schedule.name, message, over, tries).await
    }

    /// Writes over a revision.
    async fn write_key(
        &self,
        name: &ScheduleName,
        (mut headers, body): (HeaderMap, Bytes),
        over: u64,
        tries: u32,
    ) -> Result<Written, Error> {
        headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, over.to_string());
        let subject = format!("$KV.{}.{name}", self.subjects().schedules_bucket());
        let (written, why) = match publish_acked(self.link(), subject.into(), headers, body).await? {
            Published::Stored { seq } => return Ok(Written::At(seq)),
            Published::Refused(refusal) => return Err(refusal.into()),
            Published::WrongSequence => (Written::Refused, "others write it all the time"),
            Published::Unheard | Published::Unknown => (Written::Unconfirmed, UNCONFIRMED),
        };
        if tries >= TRIES {
            return Err(Error::no_answer(format!("writing schedule \"{name}\""), why));
        }
        tokio::time::sleep(PAUSE).await;
        Ok(written)
    }
}
