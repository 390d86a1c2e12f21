//! Key-value buckets without a consumer: the newest values of all keys, all revisions of one key, and the end.
//!
//! The server allows a stream 1,000 consumers where nothing else is said, so what every process does must not take one.

use std::time::Duration;

use async_nats::jetstream::kv::Store;
use serde::Deserialize;

use super::mesh::Mesh;
use super::stream::Stored;
use crate::error::Error;

/// How many keys are asked for by name at a time; the server refuses more than 1,024.
const KEYS_AT_ONCE: usize = 500;
/// How many revisions of a key are asked for at a time.
const REVISIONS_AT_ONCE: usize = 256;
/// How long each message of an answer may take.
pub(crate) const BUCKET_PATIENCE: Duration = Duration::from_secs(2);
/// How often, and how far apart, replicas are asked that have not heard of the end of a bucket yet.
const LAG_TRIES: usize = 40;
const LAG_PAUSE: Duration = Duration::from_millis(50);
/// For how long a bucket is read key by key after it could not be read at once.
const KEYS_ALONE: Duration = Duration::from_secs(600);

/// What a process needs to know of a bucket to follow it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BucketFacts {
    /// Whether the server sends changes on to a plain subject.
    pub(crate) is_republished: bool,
    /// How many copies there are.
    pub(crate) copies: usize,
}

/// The newest message of each key, and the sequence of the last message when they were read.
#[derive(Debug)]
pub(crate) struct BucketState {
    pub(crate) newest: Vec<Stored>,
    /// The last message that is surely contained, as (sequence, time of storing); `None` for an empty bucket.
    pub(crate) end: Option<(u64, String)>,
}

impl Mesh {
    pub(crate) async fn bucket(&self, name: String) -> Result<Store, Error> {
        self.context()
            .get_key_value(&name)
            .await
            .map_err(|error| Error::api(format!("opening bucket {name}"), error))
    }

    /// The values of all keys, in no order; removed keys have none.
    pub(crate) async fn bucket_values(&self, bucket: &str) -> Result<Vec<bytes::Bytes>, Error> {
        let newest = if self.reads_keys_alone() {
            self.bucket_by_keys(bucket).await?
        } else {
            match self.bucket_state(bucket).await {
                Ok(state) => state.newest,
                // A user of an older permission file may not ask for several at once, and a refusal looks like silence.
                Err(Error::NoAnswer { what, source }) => {
                    let found = self.bucket_by_keys(bucket).await?;
                    tracing::warn!(%what, %source, "not allowed, it seems: buckets are read key by key (see config/nats/secure.conf)");
                    self.read_keys_alone_until(tokio::time::Instant::now() + KEYS_ALONE);
                    found
                }
                Err(error) => return Err(error),
            }
        };
        let values = newest.into_iter().filter(|stored| !stored.is_removal());
        Ok(values.map(|stored| stored.body).collect())
    }

    /// The newest message of each key by direct get, in one request for up to 1,024 keys.
    pub(crate) async fn bucket_state(&self, bucket: &str) -> Result<BucketState, Error> {
        let stream = format!("KV_{bucket}");
        let everything = format!("$KV.{bucket}.>");
        let mut newest: Vec<Stored> = Vec::new();
        let mut request = serde_json::json!({ "multi_last": [everything], "batch": 1024 });
        loop {
            let batch = self.direct_batch_within(&stream, &request, BUCKET_PATIENCE).await?;
            if batch.is_too_many {
                return Box::pin(self.large_bucket_state(bucket)).await;
            }
            // The server ends an answer that grows too large: the rest of the same moment is asked for.
            let next = batch.found.last().map(|last| last.seq + 1);
            newest.extend(batch.found);
            match next {
                Some(next) if batch.more && batch.up_to >= next => {
                    request = serde_json::json!({
                        "multi_last": [everything], "batch": 1024, "seq": next, "up_to_seq": batch.up_to,
                    });
                }
                Some(_) | None => break,
            }
        }
        let last = newest.iter().max_by_key(|stored| stored.seq);
        let end = last.map(|last| (last.seq, last.stored_text().to_owned()));
        Ok(BucketState { newest, end })
    }

    /// A bucket of more than 1,024 keys, part by part. What changes meanwhile stands behind the end that was read first.
    async fn large_bucket_state(&self, bucket: &str) -> Result<BucketState, Error> {
        let stream = format!("KV_{bucket}");
        let end = self.bucket_end(bucket).await?;
        let through = end.as_ref().map_or(0, |(seq, _)| *seq);
        let keys = self.bucket_subjects(bucket).await?;
        let mut newest = Vec::with_capacity(keys.len());
        for keys in keys.chunks(KEYS_AT_ONCE) {
            let mut left: Vec<&String> = keys.iter().collect();
            let mut tries = 0;
            while !left.is_empty() {
                let request = serde_json::json!({ "multi_last": left, "batch": KEYS_AT_ONCE });
                let batch = self.direct_batch_within(&stream, &request, BUCKET_PATIENCE).await?;
                if batch.up_to < through && tries < LAG_TRIES {
                    tries += 1;
                    tokio::time::sleep(LAG_PAUSE).await;
                    continue;
                }
                let before = left.len();
                left.retain(|key| !batch.found.iter().any(|stored| stored.subject == **key));
                newest.extend(batch.found);
                // The others were purged since they were listed.
                if !batch.more || left.len() == before {
                    break;
                }
            }
        }
        Ok(BucketState { newest, end })
    }

    /// The newest message of each key, one request for each.
    async fn bucket_by_keys(&self, bucket: &str) -> Result<Vec<Stored>, Error> {
        let stream = format!("KV_{bucket}");
        let mut newest = Vec::new();
        for subject in self.bucket_subjects(bucket).await? {
            newest.extend(self.direct_last_of(&stream, &subject).await?);
        }
        Ok(newest)
    }

    /// The newest message of one key.
    pub(crate) async fn bucket_entry(&self, bucket: &str, key: &str) -> Result<Option<Stored>, Error> {
        self.direct_last_of(&format!("KV_{bucket}"), &format!("$KV.{bucket}.{key}"))
            .await
    }

    /// All revisions of a key that are kept, oldest first.
    pub(crate) async fn bucket_history(&self, bucket: &str, key: &str) -> Result<Vec<Stored>, Error> {
        let (stream, subject) = (format!("KV_{bucket}"), format!("$KV.{bucket}.{key}"));
        let mut found: Vec<Stored> = Vec::new();
        loop {
            let next = found.last().map_or(1, |last| last.seq + 1);
            let request = serde_json::json!({ "seq": next, "next_by_subj": subject, "batch": REVISIONS_AT_ONCE });
            let (batch, more) = self.direct_batch_of(&stream, &request).await?;
            let is_last = batch.is_empty() || !more;
            found.extend(batch);
            if is_last {
                return Ok(found);
            }
        }
    }

    /// The last message of a bucket as its leader knows it: (sequence, time of storing); `None` for an empty bucket.
    pub(crate) async fn bucket_end(&self, bucket: &str) -> Result<Option<(u64, String)>, Error> {
        let (stream, request) = (
            format!("KV_{bucket}"),
            serde_json::json!({ "last_by_subj": format!("$KV.{bucket}.>") }),
        );
        let last = self.leader_get_within(&stream, &request, BUCKET_PATIENCE).await?;
        Ok(last.map(|last| (last.seq, last.stored_text().to_owned())))
    }

    /// The subjects of all keys, removed ones included.
    async fn bucket_subjects(&self, bucket: &str) -> Result<Vec<String>, Error> {
        let subjects = self
            .stream_subjects(&format!("KV_{bucket}"), &format!("$KV.{bucket}.>"))
            .await?;
        let mut found: Vec<String> = subjects.into_keys().collect();
        found.sort_unstable();
        Ok(found)
    }

    /// What the server says of a bucket.
    pub(crate) async fn bucket_facts(&self, bucket: &str) -> Result<BucketFacts, Error> {
        #[derive(Deserialize)]
        struct Info {
            config: Config,
        }
        #[derive(Deserialize)]
        struct Config {
            #[serde(default)]
            republish: Option<serde::de::IgnoredAny>,
            #[serde(default)]
            num_replicas: usize,
        }
        let stream = format!("KV_{bucket}");
        match self.stream_info(&stream).await? {
            Some(Info { config }) => Ok(BucketFacts {
                is_republished: config.republish.is_some(),
                copies: config.num_replicas,
            }),
            None => Err(Error::NoStream(stream)),
        }
    }
}
