//! The settings that all processes of a mesh share: they stand in the metadata of the ledger's stream, and every process
//! compares its own with them when it starts.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use baton_envelope::Signatures;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::TOPOLOGY;
use crate::error::{Error, SettingDiffers};
use crate::server::limits::Limits;
use crate::server::mesh::Mesh;
use crate::server::roles::ControllerMesh;

/// What the keys of Baton in the metadata of a stream or consumer begin with. The server adds keys of its own (`_nats.*`).
pub(crate) const PREFIX: &str = "baton.";
/// The topology that a stream or a consumer was made with or raised to.
pub(crate) const KEY_TOPOLOGY: &str = "baton.topology";
/// The oldest topology that a controller must know to run in this mesh.
pub(crate) const KEY_LEAST: &str = "baton.topology.least";
pub(super) const KEY_REPLICAS: &str = "baton.replicas";
/// Stands in the metadata while nobody has decided how many copies the mesh keeps: a process that was told nothing made it.
pub(super) const KEY_UNDECIDED: &str = "baton.replicas.undecided";
const KEY_GRACE: &str = "baton.archive.grace";
const KEY_SECURED: &str = "baton.secured";
/// The value of [`KEY_SECURED`]. No leader ever writes another: only a person takes it away.
const SECURED: &str = "true";
/// Whether records are signed; absent where they are not.
pub(super) const KEY_SIGNATURES: &str = "baton.signatures";
/// The last ledger sequence of a record that may be unsigned though signatures are required.
pub(super) const KEY_SIGNED_SINCE: &str = "baton.signatures.since";
/// How many streams the ledger is spread over.
const SHARDS: &str = "1";
/// How long a command waits for the settings. One that may not read them goes on without: the server refuses it what it
/// may not do.
const PATIENCE: Duration = Duration::from_secs(1);

/// The shared settings as they stand in the mesh.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SharedSettings {
    /// The stream that they were read from.
    stream: String,
    entries: BTreeMap<String, String>,
    replicas: usize,
}

#[derive(Deserialize)]
struct Info {
    config: Found,
}

#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    num_replicas: usize,
}

impl SharedSettings {
    /// The topology that the ledger was made with or raised to; 0 for a build that did not say.
    pub fn topology(&self) -> u32 {
        self.number(KEY_TOPOLOGY)
    }

    /// How many copies the ledger keeps.
    pub fn replicas(&self) -> usize {
        self.replicas
    }

    /// Whether nobody has decided yet how many copies the ledger keeps.
    pub(super) fn is_undecided(&self) -> bool {
        self.entries.contains_key(KEY_UNDECIDED)
    }

    /// Whether the mesh is secured: who asks for a change is then what the server says.
    pub fn is_secured(&self) -> bool {
        self.entries.get(KEY_SECURED).is_some_and(|value| value == SECURED)
    }

    /// How long the leading controller leaves a closed intent in the ledger; `None` where no leader has said so yet.
    pub fn archive_grace(&self) -> Option<Duration> {
        self.entries.get(KEY_GRACE)?.parse().ok().map(Duration::from_secs)
    }

    /// The first setting that differs from `own`; `source` says where this process has one from.
    ///
    /// # Errors
    /// [`Error::SettingDiffers`], or [`Error::TopologyTooNew`] where this build is too old for the mesh.
    pub fn agrees(&self, own: Limits, source: impl Fn(&'static str) -> String) -> Result<(), Error> {
        let least = self.number(KEY_LEAST);
        if least > TOPOLOGY {
            return Err(Error::TopologyTooNew {
                stream: self.stream.clone(),
                needed: least,
                known: TOPOLOGY,
            });
        }
        for (setting, here) in refused(own) {
            let key = format!("{PREFIX}{setting}");
            if let Some(mesh) = self.entries.get(&key).filter(|mesh| **mesh != here) {
                return Err(Error::SettingDiffers(Box::new(SettingDiffers {
                    setting,
                    here: here.to_owned(),
                    source_here: source(setting),
                    mesh: mesh.clone(),
                    stream: self.stream.clone(),
                })));
            }
        }
        // The others may differ for a time: that is how a mesh is turned on without stopping.
        if own.signatures == Signatures::Off && self.signatures().0 == Signatures::Require {
            return Err(Error::SettingDiffers(Box::new(SettingDiffers {
                setting: "signatures",
                here: own.signatures.name().to_owned(),
                source_here: source("signatures"),
                mesh: Signatures::Require.name().to_owned(),
                stream: self.stream.clone(),
            })));
        }
        Ok(())
    }

    /// Whether records are signed, and up to which sequence they need not be.
    pub fn signatures(&self) -> (Signatures, u64) {
        let text = |key: &str| self.entries.get(key).map(String::as_str).unwrap_or_default();
        let signatures = Signatures::of_name(text(KEY_SIGNATURES)).unwrap_or_default();
        (signatures, text(KEY_SIGNED_SINCE).parse().unwrap_or_default())
    }

    fn number(&self, key: &str) -> u32 {
        self.entries
            .get(key)
            .and_then(|text| text.parse().ok())
            .unwrap_or_default()
    }
}

/// The settings whose difference is refused: with the wrong one, work would wait where nobody pulls, or be written in a way
/// that its stream does not take.
fn refused(own: Limits) -> [(&'static str, &'static str); 3] {
    [
        ("bands", own.bands.name()),
        ("shards", SHARDS),
        ("tickets", own.tickets.name()),
    ]
}

/// The metadata of a ledger that is made with these limits.
pub(super) fn metadata(limits: Limits) -> HashMap<String, String> {
    let mut metadata: HashMap<String, String> = refused(limits)
        .into_iter()
        .map(|(setting, value)| (format!("{PREFIX}{setting}"), value.to_owned()))
        .collect();
    metadata.insert(KEY_REPLICAS.to_owned(), limits.replicas.to_string());
    if !limits.decides && limits.replicas == 1 {
        metadata.insert(KEY_UNDECIDED.to_owned(), "true".to_owned());
    }
    if limits.secured {
        metadata.insert(KEY_SECURED.to_owned(), SECURED.to_owned());
    }
    metadata
}

/// The keys of [`metadata`] that a leader brings up to date, because an operator may change what they tell of; the others
/// it only adds where they are missing.
pub(super) fn is_told_by_leader(key: &str) -> bool {
    [KEY_REPLICAS, KEY_GRACE, KEY_SECURED].contains(&key)
}

/// What the leader tells of the archive.
pub(super) fn grace(grace: Duration) -> (String, String) {
    (KEY_GRACE.to_owned(), grace.as_secs().to_string())
}

impl Mesh {
    /// The shared settings of this mesh; `None` while it has no ledger.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn shared_settings(&self) -> Result<Option<SharedSettings>, Error> {
        let stream = self.subjects().ledger_stream();
        let info = self.stream_info(&stream).await?;
        Ok(info.map(|Info { config }| SharedSettings {
            stream,
            entries: config.metadata,
            replicas: config.num_replicas,
        }))
    }

    /// Compares the settings of this process with those of the mesh, once, at its start. With several values for `replicas`
    /// that of the mesh wins, and the difference is logged.
    ///
    /// # Errors
    /// When a setting differs that must not, or the server does not answer.
    pub async fn agree(&self, own: Limits, source: impl Fn(&'static str) -> String) -> Result<(), Error> {
        let Some(shared) = self.shared_settings().await? else {
            return Ok(());
        };
        shared.agrees(own, source)?;
        if shared.is_secured() {
            self.set_secured(true);
        }
        if shared.replicas != own.replicas {
            if own.decides && shared.is_undecided() {
                tracing::info!(
                    here = own.replicas,
                    mesh = shared.replicas,
                    "nobody has decided how many copies the mesh keeps: this controller does, once it leads"
                );
            // 1 is what a process has that says nothing.
            } else if own.replicas == 1 {
                tracing::debug!(
                    replicas = shared.replicas,
                    "the streams of the mesh keep so many copies"
                );
            } else {
                tracing::warn!(
                    here = own.replicas,
                    mesh = shared.replicas,
                    stream = shared.stream,
                    "`replicas` differs from the mesh's: the mesh's holds; `baton mesh replicas N` changes it"
                );
            }
            self.set_replicas(shared.replicas);
        }
        Ok(())
    }

    /// As [`Mesh::agree`], for a command that does not stay: what it cannot read soon, it does not compare.
    ///
    /// # Errors
    /// When a setting differs that must not.
    pub async fn agree_soon(&self, own: Limits, source: impl Fn(&'static str) -> String) -> Result<(), Error> {
        match tokio::time::timeout(PATIENCE, self.agree(own, source)).await {
            Ok(Err(error @ (Error::SettingDiffers(_) | Error::TopologyTooNew { .. }))) => Err(error),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the shared settings were not compared");
                Ok(())
            }
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }
}

impl ControllerMesh {
    /// Writes how the mesh signs from now on. Gives the ledger's stream and its last sequence.
    pub(in crate::server) async fn write_signatures(&self, signatures: Signatures) -> Result<(String, u64), Error> {
        #[derive(Deserialize)]
        struct Info {
            config: Value,
            state: State,
        }
        #[derive(Deserialize)]
        struct State {
            last_seq: u64,
        }
        let stream = self.subjects().ledger_stream();
        let what = format!("STREAM.INFO.{stream}");
        let Info { mut config, state } = self.ask(&what, &serde_json::json!({})).await??;
        put_metadata(&mut config, KEY_SIGNATURES, signatures.name());
        if signatures == Signatures::Require {
            put_metadata(&mut config, KEY_SIGNED_SINCE, &state.last_seq.to_string());
        }
        let what = format!("STREAM.UPDATE.{stream}");
        self.ask::<serde::de::IgnoredAny>(&what, &config).await??;
        Ok((stream, state.last_seq))
    }
}

fn put_metadata(config: &mut Value, key: &str, text: &str) {
    let all = config
        .as_object_mut()
        .map(|config| config.entry("metadata").or_insert_with(|| Value::Object(Map::new())));
    if let Some(all) = all.and_then(Value::as_object_mut) {
        all.insert(key.to_owned(), text.into());
    }
}

#[cfg(test)]
mod tests {
    use baton_envelope::Bands;

    use super::*;
    use crate::server::limits::TicketPersistence;

    fn shared(entries: &[(&str, &str)]) -> SharedSettings {
        SharedSettings {
            stream: "MESH_LEDGER".to_owned(),
            entries: entries
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            replicas: 1,
        }
    }

    #[test]
    fn a_difference_names_the_setting_both_values_and_where_they_come_from() {
        let ten = Limits {
            bands: Bands::Ten,
            ..Limits::default()
        };
        let mesh = shared(&[("baton.bands", "three"), ("_nats.ver", "2.15.1")]);
        let error = mesh
            .agrees(ten, |setting| format!("variable {setting}"))
            .expect_err("differs")
            .to_string();
        for part in [
            "bands",
            "\"ten\"",
            "variable bands",
            "\"three\"",
            "baton.bands",
            "MESH_LEDGER",
        ] {
            assert!(error.contains(part), "no {part} in {error}");
        }
        assert!(mesh.agrees(Limits::default(), |_| String::new()).is_ok());
        let asynchronous = Limits {
            tickets: TicketPersistence::Async,
            ..Limits::default()
        };
        let mesh = shared(&[("baton.tickets", "default")]);
        assert!(mesh.agrees(asynchronous, |_| String::new()).is_err());
    }

    #[test]
    fn a_mesh_without_settings_agrees_with_everything() {
        let ten = Limits {
            bands: Bands::Ten,
            ..Limits::default()
        };
        let mesh = shared(&[("_nats.ver", "2.15.1")]);
        assert!(mesh.agrees(ten, |_| String::new()).is_ok());
        assert_eq!(mesh.topology(), 0);
    }

    #[test]
    fn a_mesh_of_a_later_build_is_refused_where_it_says_so() {
        let mesh = shared(&[("baton.topology", "99")]);
        assert!(
            mesh.agrees(Limits::default(), |_| String::new()).is_ok(),
            "it only adds"
        );
        let mesh = shared(&[("baton.topology.least", "99")]);
        let error = mesh.agrees(Limits::default(), |_| String::new()).expect_err("too new");
        assert!(error.to_string().contains("99"), "{error}");
    }
}
