//! What really happened in a run, beside what the ledger says. Where a part of the run is a process of its own, all of them
//! write it into one file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use baton_envelope::{IntentId, Timestamp};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

/// One thing that happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Fact {
    /// The effect of a step ran.
    Effect(IntentId, String),
    /// A signal was sent: name and id.
    Signal(String, String),
    /// The run has this intent.
    Intent(IntentId),
    /// A time was noted under a name.
    Time(String, Timestamp),
    /// What is to begin later begins then.
    Later(Timestamp),
    /// The client has come so far.
    Phase(usize),
    /// All has ended, and whoever wakes up now begins nothing more.
    Over,
    /// The client that is a process of its own has done what it had to do, or begins nothing more.
    Stopped,
}

/// All that happened.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// How often the effect of each step ran, by intent and step.
    pub(super) effects: BTreeMap<(IntentId, String), usize>,
    /// The signals that were sent: name and id.
    pub(super) signals: BTreeMap<String, String>,
    /// The intents of the run.
    pub(super) intents: BTreeSet<IntentId>,
    /// Times that the client noted; the first of a name counts.
    pub(super) times: BTreeMap<String, Timestamp>,
    /// When what is to begin later begins; the first counts.
    pub(super) later: Option<Timestamp>,
    /// How far the client has come.
    pub(super) phase: usize,
    pub(super) is_over: bool,
    pub(super) has_stopped: bool,
}

impl Seen {
    fn hear(&mut self, fact: Fact) {
        match fact {
            Fact::Effect(intent, step) => *self.effects.entry((intent, step)).or_default() += 1,
            Fact::Signal(name, id) => drop(self.signals.insert(name, id)),
            Fact::Intent(intent) => drop(self.intents.insert(intent)),
            Fact::Time(name, at) => drop(self.times.entry(name).or_insert(at)),
            Fact::Later(at) => drop(self.later.get_or_insert(at)),
            Fact::Phase(phase) => self.phase = self.phase.max(phase),
            Fact::Over => self.is_over = true,
            Fact::Stopped => self.has_stopped = true,
        }
    }
}

/// Where it is written down.
#[derive(Debug, Clone)]
pub(super) enum Log {
    /// All parts of the run are in this process.
    Memory(Arc<Mutex<Seen>>),
    /// A line of JSON for each fact. The folder goes with the last of those in the process that made it.
    File {
        path: PathBuf,
        _folder: Option<Arc<TempDir>>,
    },
}

impl Log {
    pub(super) fn in_memory() -> Self {
        Self::Memory(Arc::default())
    }

    /// In a new folder.
    pub(super) fn in_file() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        Self::File {
            path: dir.path().join("facts"),
            _folder: Some(Arc::new(dir)),
        }
    }

    /// Where another process writes it, too.
    pub(super) fn at(path: &Path) -> Self {
        Self::File {
            path: path.to_owned(),
            _folder: None,
        }
    }

    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Memory(_) => None,
            Self::File { path, .. } => Some(path),
        }
    }

    pub(super) fn tell(&self, fact: Fact) {
        match self {
            Self::Memory(seen) => seen.lock().unwrap_or_else(PoisonError::into_inner).hear(fact),
            Self::File { path, .. } => {
                let mut line = serde_json::to_vec(&fact).expect("JSON");
                line.push(b'\n');
                // One write at the end of the file, so that no other process writes into the line.
                let file = File::options().create(true).append(true).open(path);
                file.and_then(|mut file| file.write_all(&line))
                    .expect("the log of the run");
            }
        }
    }

    pub(super) fn seen(&self) -> Seen {
        match self {
            Self::Memory(seen) => seen.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            Self::File { path, .. } => {
                let mut seen = Seen::default();
                let text = std::fs::read_to_string(path).unwrap_or_default();
                for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
                    seen.hear(serde_json::from_str(line).expect("a fact"));
                }
                seen
            }
        }
    }
}
