//! Signing and verifying: the key of this process, the keys that it trusts, and whether the mesh signs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use baton_envelope::{Grant, Grants, KnownSignatures, Link, Proof, Rules, SecretKey, Signatures, Statement};
use serde::Deserialize;
use tokio::time::Instant;

use super::mesh::Mesh;
use super::roles::ControllerMesh;
use super::topology::Raised;
use crate::error::{Error, SettingDiffers};

/// How often to look whether the file of trust or the setting of the mesh has changed.
const EVERY: Duration = Duration::from_secs(5);

/// How often a process that cannot sign looks whether the mesh requires it.
const SELDOM: Duration = Duration::from_secs(30);

/// How long nobody may have written an unsigned record before signatures are required.
const QUIET: Duration = Duration::from_secs(30);

/// With which keys a process signs and verifies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signing {
    /// Whether this process signs and verifies at all, and what a leader raises the mesh to.
    pub signatures: Signatures,
    /// The file with the seed of its own key. A process without one reads, and writes unsigned.
    pub key: Option<PathBuf>,
    /// The file with the trusted keys.
    pub trust: Option<PathBuf>,
}

/// The document of trust.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trust {
    #[serde(default)]
    grant: Vec<Grant>,
}

/// A record of which no signature was found, and when.
#[derive(Debug, Clone)]
pub(crate) struct Unsigned {
    pub(crate) at: Instant,
    pub(crate) seq: u64,
    pub(crate) by: String,
}

/// A signature that this process has made.
#[derive(Debug)]
pub(crate) struct Signed {
    /// The value of its header.
    pub(crate) text: String,
    /// The link of the message that has it.
    pub(crate) link: Link,
}

/// What a process signs and verifies with.
#[derive(Debug)]
pub(crate) struct Proofs {
    own: Signatures,
    key: Option<SecretKey>,
    file: PathBuf,
    rules: RwLock<Arc<Rules>>,
    changed_at: Mutex<Option<SystemTime>>,
    since: Instant,
    /// The last record without a signature that this process has followed.
    unsigned: Mutex<Option<Unsigned>>,
}

impl Signing {
    /// Reads the files; `None` where nothing is signed.
    pub(super) fn load(&self) -> Result<Option<Arc<Proofs>>, Error> {
        if self.signatures == Signatures::Off {
            return Ok(None);
        }
        let Some(file) = &self.trust else {
            let problem = format!(
                "signatures are \"{}\", and no file of trusted keys is given: set `connection.trust`",
                self.signatures.name()
            );
            return Err(bad(Path::new("connection.trust"), problem));
        };
        let key = self.key.as_deref().map(read_key).transpose()?;
        let (grants, changed_at) = read_grants(file)?;
        if let Some(key) = &key {
            let public = key.public().to_string();
            if !grants.all().iter().any(|grant| grant.key.to_string() == public) {
                tracing::warn!(key = public, file = %file.display(), "this process signs with a key that it does not trust itself");
            }
        }
        Ok(Some(Arc::new(Proofs {
            own: self.signatures,
            key,
            file: file.clone(),
            rules: RwLock::new(Arc::new(Rules {
                grants,
                signatures: Signatures::Accept,
                since: 0,
                known: KnownSignatures::with_room(),
            })),
            changed_at: Mutex::new(changed_at),
            since: Instant::now(),
            unsigned: Mutex::new(None),
        })))
    }
}

impl Proofs {
    /// By what records are verified at this moment.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What this process was told.
    pub(crate) const fn own(&self) -> Signatures {
        self.own
    }

    pub(crate) const fn key(&self) -> Option<&SecretKey> {
        self.key.as_ref()
    }

    /// Signs a record that is to be written to `subject` after `expected`, and remembers that it has: this process need not
    /// verify it when it reads it again.
    pub(crate) fn sign(&self, subject: &str, expected: u64, previous: Option<Link>, body: Link) -> Option<Signed> {
        let statement = Statement {
            subject,
            expected,
            previous,
            body,
        };
        let text = statement.sign(self.key.as_ref()?).to_string();
        let link = Link::of_digest(body, Some(&text));
        self.rules().known.remember(Proof::of(subject, link));
        Some(Signed { text, link })
    }

    /// Takes note of a record without a signature.
    pub(crate) fn saw_unsigned(&self, seq: u64, by: String) {
        let at = Instant::now();
        *self.unsigned.lock().unwrap_or_else(PoisonError::into_inner) = Some(Unsigned { at, seq, by });
    }

    /// The last record without a signature within this time; an error where this process has not looked for so long.
    pub(crate) fn unsigned_within(&self, time: Duration) -> Result<Option<Unsigned>, ()> {
        let last = self.unsigned.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match last.filter(|last| last.at.elapsed() < time) {
            Some(last) => Ok(Some(last)),
            None if self.since.elapsed() < time => Err(()),
            None => Ok(None),
        }
    }

    fn set(&self, signatures: Signatures, since: u64) {
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        if rules.signatures != signatures || rules.since != since {
            tracing::info!(
                signatures = signatures.name(),
                since,
                "the mesh has set how records are signed"
            );
            *rules = Arc::new(Rules {
                signatures,
                since,
                ..Rules::clone(&rules)
            });
        }
    }

    /// Reads the file of trust again where it has changed. One that cannot be used is told of, and the old one holds.
    fn reload(&self) {
        let now = std::fs::metadata(&self.file).and_then(|found| found.modified()).ok();
        let mut known = self.changed_at.lock().unwrap_or_else(PoisonError::into_inner);
        if now.is_none() || *known == now {
            return;
        }
        *known = now;
        match read_grants(&self.file) {
            Ok((grants, _)) => {
                tracing::info!(file = %self.file.display(), grants = grants.all().len(), "the trusted keys were read again");
                let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
                *rules = Arc::new(Rules {
                    grants,
                    ..Rules::clone(&rules)
                });
            }
            Err(error) => tracing::warn!(%error, "the trusted keys stay as they were"),
        }
    }
}

impl Mesh {
    /// Reads how the mesh signs, now and from time to time, as long as it is connected. A process that does not sign reads it
    /// later: it has compared its settings at its start.
    pub(super) async fn follow_signing(&self) -> Result<(), Error> {
        let every = match self.proofs() {
            Some(_) => EVERY,
            None => SELDOM,
        };
        if self.proofs().is_some() {
            self.learn_signing().await?;
        }
        let mesh = self.weak();
        // It ends with the last clone of the mesh.
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(every).await;
                let Some(mesh) = mesh.upgrade() else { return };
                if let Some(proofs) = mesh.proofs() {
                    proofs.reload();
                }
                match mesh.learn_signing().await {
                    // Its account does not let it ask, and never will: it may not write records either.
                    Err(Error::Denied { .. }) if mesh.proofs().is_none() => return,
                    Err(error) => tracing::debug!(%error, "how the mesh signs could not be read"),
                    Ok(()) => {}
                }
            }
        });
        Ok(())
    }

    async fn learn_signing(&self) -> Result<(), Error> {
        if let Some(shared) = self.shared_settings().await? {
            let (signatures, since) = shared.signatures();
            if let Some(proofs) = self.proofs() {
                // Whoever signs looks at signatures, also before the leader has said so.
                proofs.set(signatures.max(Signatures::Accept), since);
            }
            self.must_sign().send_replace(signatures == Signatures::Require);
        }
        Ok(())
    }

    /// Whether this process has a key to sign with.
    pub fn can_sign(&self) -> bool {
        self.proofs().is_some_and(|proofs| proofs.key().is_some())
    }

    /// Waits until the mesh requires signatures while this process has no key, and gives what is wrong then. Never ends where it
    /// has one.
    pub async fn until_it_cannot_sign(&self) -> Error {
        let mut must = self.must_sign().subscribe();
        if self.can_sign() || must.wait_for(|must| *must).await.is_err() {
            return std::future::pending().await;
        }
        self.cannot_sign("all that this process writes".to_owned())
    }

    /// What is wrong with a write of this process without a signature, if it would be void.
    pub(crate) fn refused_unsigned(&self, what: impl FnOnce() -> String) -> Option<Error> {
        let is_void = *self.must_sign().borrow() && !self.can_sign();
        is_void.then(|| self.cannot_sign(what()))
    }

    fn cannot_sign(&self, what: String) -> Error {
        let stream = self.subjects().ledger_stream();
        match self.proofs() {
            Some(_) => Error::NoSigningKey { what, stream },
            None => Error::SettingDiffers(Box::new(SettingDiffers {
                setting: "signatures",
                here: Signatures::Off.name().to_owned(),
                source_here: "the configuration of this process".to_owned(),
                mesh: Signatures::Require.name().to_owned(),
                stream,
            })),
        }
    }

    /// By what this process verifies records; `None` where it does not.
    pub fn rules(&self) -> Option<Arc<Rules>> {
        self.proofs().map(|proofs| proofs.rules())
    }
}

impl ControllerMesh {
    /// Raises how the mesh signs by one step towards what this process was told: off, accept, require. Never lowers it.
    /// Says what it waits for, if it does. It does not require them while there are live workers that do not sign, `unsigned`:
    /// one that was idle would go on and do its work in vain.
    ///
    /// # Errors
    /// When the server refuses or does not answer.
    pub async fn raise_signatures(&self, unsigned: &[String]) -> Result<Raised, Error> {
        let mut raised = Raised::default();
        let Some(proofs) = self.proofs() else { return Ok(raised) };
        let Some(shared) = self.shared_settings().await? else {
            return Ok(raised);
        };
        let next = match shared.signatures().0 {
            found if found >= proofs.own() => return Ok(raised),
            Signatures::Off => Signatures::Accept,
            Signatures::Accept | Signatures::Require => Signatures::Require,
        };
        if next == Signatures::Require {
            if !unsigned.is_empty() {
                let what = "signatures are not required yet: live workers do not sign";
                raised.waiting.push(format!("{what}: {}", unsigned.join(", ")));
                return Ok(raised);
            }
            match proofs.unsigned_within(QUIET) {
                Ok(None) => {}
                Ok(Some(Unsigned { seq, by, .. })) => {
                    let what = "signatures are not required yet: records are still written without one";
                    raised
                        .waiting
                        .push(format!("{what}, the last by {by} at sequence {seq}"));
                    return Ok(raised);
                }
                Err(()) => {
                    let what =
                        "signatures are not required yet: this controller has not seen for 30 s that all are signed";
                    raised.waiting.push(what.to_owned());
                    return Ok(raised);
                }
            }
        }
        let (stream, since) = self.write_signatures(next).await?;
        proofs.set(next, since);
        raised.changed.push(format!(
            "{stream}: baton.signatures becomes {}, after sequence {since}",
            next.name()
        ));
        Ok(raised)
    }
}

fn read_key(file: &Path) -> Result<SecretKey, Error> {
    let text = std::fs::read_to_string(file).map_err(|error| bad(file, error.to_string()))?;
    is_private(file);
    let seed = text.lines().map(str::trim).find(|line| line.starts_with('S'));
    let seed = seed.ok_or_else(|| bad(file, "there is no line with a seed".to_owned()))?;
    seed.parse().map_err(|error| bad(file, format!("{error}")))
}

/// Warns where others may read a secret.
fn is_private(file: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(file).map_or(0, |found| found.permissions().mode());
        if mode & 0o077 != 0 {
            tracing::warn!(file = %file.display(), mode = format!("{:o}", mode & 0o777), "others may read this key: `chmod 600` it");
        }
    }
}

fn read_grants(file: &Path) -> Result<(Grants, Option<SystemTime>), Error> {
    let changed_at = std::fs::metadata(file).and_then(|found| found.modified()).ok();
    let text = std::fs::read_to_string(file).map_err(|error| bad(file, error.to_string()))?;
    let trust: Trust = toml::from_str(&text).map_err(|error| bad(file, error.to_string()))?;
    let grants = Grants::new(trust.grant).map_err(|error| bad(file, error.to_string()))?;
    Ok((grants, changed_at))
}

fn bad(file: &Path, problem: String) -> Error {
    Error::BadKeys {
        file: file.display().to_string(),
        problem,
    }
}
