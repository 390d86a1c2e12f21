//! How many copies the streams and buckets of a mesh keep. As many as the ledger: an operator changes that number, and then
//! each of them.

use std::time::Duration;

use baton_envelope::control::{CopiesView, StreamCopies};
use futures::StreamExt as _;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::migrations::put_metadata;
use super::settings::{KEY_REPLICAS, KEY_UNDECIDED};
use crate::error::{Error, Refusal};
use crate::server::mesh::Mesh;
use crate::server::roles::ControllerMesh;

/// The server's codes for copies that it has no servers for: it is alone, or no more peers fit.
const TOO_FEW_SERVERS: [u64; 2] = [10074, 10005];
/// How long a stream may take to tell of itself. One whose servers are choosing a leader does not answer, and a list leaves it
/// out.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often to set the copies, and how long to wait before looking whether they are still set. A leader that raises a stream
/// at the same moment writes back what it has read.
const TRIES: u32 = 5;
const SETTLE: Duration = Duration::from_millis(500);
/// How many streams to ask at the same time.
const AT_ONCE: usize = 16;

/// A stream or a bucket of the mesh.
struct Found {
    name: String,
    /// What it tells of itself, or why it tells nothing.
    info: Result<Info, String>,
}

#[derive(Deserialize)]
struct Info {
    config: Map<String, Value>,
    #[serde(default)]
    cluster: Option<Cluster>,
}

#[derive(Deserialize)]
struct Cluster {
    #[serde(default)]
    leader: Option<String>,
    #[serde(default)]
    replicas: Option<Vec<Peer>>,
}

#[derive(Deserialize)]
struct Peer {
    #[serde(default)]
    current: bool,
    #[serde(default)]
    offline: bool,
}

impl Info {
    fn copies(&self) -> u32 {
        let copies = self.config.get("num_replicas").and_then(Value::as_u64).unwrap_or(1);
        u32::try_from(copies).unwrap_or(u32::MAX)
    }

    /// How many copies have all that was stored. A server that is no part of a cluster keeps one.
    fn current(&self) -> u32 {
        let Some(cluster) = &self.cluster else { return 1 };
        let leads = cluster.leader.as_ref().is_some_and(|leader| !leader.is_empty());
        let peers = cluster.replicas.iter().flatten();
        let current = peers.filter(|peer| peer.current && !peer.offline).count() + usize::from(leads);
        u32::try_from(current).unwrap_or(u32::MAX)
    }
}

impl Mesh {
    /// How many copies each stream and bucket of the mesh keeps, the ledger first.
    ///
    /// # Errors
    /// When the server does not answer, or has no ledger.
    pub async fn copies(&self) -> Result<CopiesView, Error> {
        let found = self.own_streams().await?;
        let copies = match &self.ledger_of(&found)?.info {
            Ok(ledger) => ledger.copies(),
            Err(error) => {
                let what = format!("STREAM.INFO.{}", self.subjects().ledger_stream());
                return Err(Error::no_answer(what, error.clone()));
            }
        };
        Ok(view(copies, found))
    }

    /// The ledger among the streams that were found.
    fn ledger_of<'a>(&self, found: &'a [Found]) -> Result<&'a Found, Error> {
        let ledger = self.subjects().ledger_stream();
        let first = found.first().filter(|first| first.name == ledger);
        first.ok_or(Error::NoStream(ledger))
    }

    /// Reads again how many copies the mesh keeps, where an operator may have changed it. Whoever reads a replicated ledger asks
    /// its leader.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn learn_copies(&self) -> Result<(), Error> {
        if let Some(shared) = self.shared_settings().await? {
            self.take_copies(shared.replicas());
        }
        Ok(())
    }

    fn take_copies(&self, copies: usize) {
        if self.replicas() != copies {
            tracing::info!(
                before = self.replicas(),
                copies,
                "the mesh keeps another number of copies"
            );
            self.set_replicas(copies);
        }
        self.routes().set_copies(copies);
    }

    /// The streams and buckets of the mesh, the ledger first.
    async fn own_streams(&self) -> Result<Vec<Found>, Error> {
        let base = self.named_streams(self.limits());
        let mut names: Vec<String> = self.stream_names().await?.into_iter().collect();
        names.retain(|name| base.iter().any(|one| one.name == *name) || self.agent_of_work_stream(name).is_some());
        let asked = names.into_iter().map(|name| async move {
            let what = format!("STREAM.INFO.{name}");
            let info = match self.ask_within::<Info>(&what, &json!({}), PATIENCE).await {
                Ok(Ok(info)) => Ok(info),
                Ok(Err(refusal)) => Err(refusal.description),
                Err(error) => Err(error.to_string()),
            };
            Found { name, info }
        });
        let mut found: Vec<Found> = futures::stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
        let ledger = self.subjects().ledger_stream();
        found.sort_by(|a, b| (a.name != ledger, &a.name).cmp(&(b.name != ledger, &b.name)));
        Ok(found)
    }
}

impl ControllerMesh {
    /// Sets how many copies every stream and bucket of the mesh keeps, the ledger first: its number is the mesh's. The server
    /// makes new copies in its own time. Anyone may repeat it.
    ///
    /// # Errors
    /// When the ledger does not get that many: then nothing was changed. What other streams do not get is in the answer.
    pub async fn set_copies(&self, copies: u32) -> Result<CopiesView, Error> {
        let mut first = None;
        for _ in 0..TRIES {
            let mut found = self.own_streams().await?;
            let changed = self.set_each(&mut found, copies).await?;
            // What was refused, and what answered before its leader was chosen anew, only the first look knows.
            let first = first.get_or_insert(found);
            if changed == 0 {
                return Ok(view(copies, std::mem::take(first)));
            }
            tokio::time::sleep(SETTLE).await;
        }
        Ok(view(copies, first.unwrap_or_default()))
    }

    /// Sets the copies that a leader is configured with, where nobody has decided on them: a worker or a command came before the
    /// first controller. `None` where somebody has, or where that is what the mesh keeps.
    ///
    /// # Errors
    /// As [`ControllerMesh::set_copies`].
    pub async fn decide_copies(&self, copies: usize) -> Result<Option<CopiesView>, Error> {
        let shared = self.shared_settings().await?;
        let is_due = shared.is_some_and(|shared| shared.is_undecided() && copies > shared.replicas());
        let (true, Ok(copies)) = (is_due, u32::try_from(copies)) else {
            return Ok(None);
        };
        // Once: a person who sets another number meanwhile is right.
        let mut found = self.own_streams().await?;
        self.set_each(&mut found, copies).await?;
        Ok(Some(view(copies, found)))
    }

    /// Sets the copies of those streams that keep another number, and tells how many these were.
    async fn set_each(&self, found: &mut [Found], copies: u32) -> Result<usize, Error> {
        let ledger = self.subjects().ledger_stream();
        self.ledger_of(found)?;
        let mut changed = 0;
        for stream in found {
            let is_ledger = stream.name == ledger;
            let Ok(info) = &mut stream.info else { continue };
            let is_decided = !is_ledger || !has_metadata(&info.config, KEY_UNDECIDED);
            if info.copies() != copies || !is_decided {
                let mut config = info.config.clone();
                config.insert("num_replicas".to_owned(), copies.into());
                if is_ledger {
                    put_metadata(&mut config, KEY_REPLICAS, copies.to_string().into());
                    remove_metadata(&mut config, KEY_UNDECIDED);
                }
                let what = format!("STREAM.UPDATE.{}", stream.name);
                let body = Value::Object(config.clone());
                match self.ask::<serde::de::IgnoredAny>(&what, &body).await? {
                    Ok(_) => {
                        tracing::info!(stream = stream.name, copies, "a stream keeps another number of copies");
                        info.config = config;
                        changed += 1;
                    }
                    Err(refusal) if is_ledger => return Err(not_given(copies, refusal)),
                    Err(refusal) => stream.info = Err(refusal.description),
                }
            }
            if is_ledger {
                self.take_copies(usize::try_from(copies).unwrap_or(usize::MAX));
            }
        }
        Ok(changed)
    }
}

fn has_metadata(config: &Map<String, Value>, key: &str) -> bool {
    config.get("metadata").is_some_and(|all| all.get(key).is_some())
}

fn remove_metadata(config: &mut Map<String, Value>, key: &str) {
    if let Some(all) = config.get_mut("metadata").and_then(Value::as_object_mut) {
        all.remove(key);
    }
}

fn not_given(copies: u32, refusal: Refusal) -> Error {
    if TOO_FEW_SERVERS.contains(&refusal.code) {
        return Error::TooFewServers { copies, refusal };
    }
    refusal.into()
}

fn view(replicas: u32, found: Vec<Found>) -> CopiesView {
    let streams = found.into_iter().map(|one| {
        let (copies, current) = one.info.as_ref().map_or((0, 0), |info| (info.copies(), info.current()));
        StreamCopies {
            stream: one.name,
            copies,
            current,
            problem: one.info.err(),
        }
    });
    CopiesView {
        replicas,
        streams: streams.collect(),
    }
}
