//! The evidence of a run: three files of JSON lines in one folder, and the trusted keys of a mesh that signs.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::signed::Trust;

/// One message of a stream, as stored.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Message {
    /// The stream.
    pub stream: String,
    /// Its sequence there.
    pub seq: u64,
    /// The subject.
    pub subject: String,
    /// When the server stored it, in milliseconds since 1970, by the server's clock.
    pub time_ms: i64,
    /// The headers, in order.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The body, if it is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The body in base64, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
}

impl Message {
    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        match (&self.body, &self.body_base64) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(coded)) => base64::engine::general_purpose::STANDARD
                .decode(coded)
                .unwrap_or_default(),
            (None, None) => Vec::new(),
        }
    }
}

/// A line of the journal of a load.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Journal {
    /// Work is about to be submitted. Written before the first try.
    Tried(Tried),
    /// The mesh acknowledged it.
    Acked {
        /// The key of the work.
        key: String,
    },
    /// The mesh acknowledged a signal.
    Signal {
        /// The intent that it is for.
        intent: String,
        /// Its name.
        name: String,
        /// The id of its message.
        id: String,
    },
    /// A worker was asked to stop (SIGTERM).
    Stopped {
        /// The instance.
        instance: String,
        /// When it was asked, in milliseconds since 1970.
        from_ms: i64,
        /// When it had exited.
        until_ms: i64,
        /// Whether it exited by itself, in good order, and neither its server nor its network was in trouble during the
        /// stop.
        clean: bool,
    },
    /// A whole group of work is queued for one worker; from now on the order counts.
    Burst {
        /// The group, as in [`Tried::group`].
        group: String,
        /// When the last one was acknowledged, in milliseconds since 1970.
        ready_ms: i64,
        /// How many hops the worker runs at a time.
        slots: usize,
    },
    /// Somebody asks for the cancel of an intent: written before that, and once more when a controller says that it is
    /// cancelled.
    Cancel {
        /// The intent.
        intent: String,
        /// Whether it is done.
        done: bool,
    },
    /// A limit of an agent: written before it is set or lifted, and once more when its shares are within it.
    Limit {
        /// The agent.
        agent: String,
        /// How many hops its workers may run at a time; 0 for no limit.
        in_flight: u64,
        /// Whether it holds from now on, and no other is asked for.
        holds: bool,
        /// When, in milliseconds since 1970.
        at_ms: i64,
    },
    /// A worker process was killed (SIGKILL).
    Killed {
        /// The instance.
        instance: String,
        /// When it was gone, in milliseconds since 1970.
        at_ms: i64,
    },
    /// A worker stood still, or nothing came through to it.
    OutOfReach {
        /// What the instances of its processes begin with.
        worker: String,
        /// From when, in milliseconds since 1970.
        from_ms: i64,
        /// Until when.
        until_ms: i64,
    },
    /// A fault or an operation, for readers.
    Note {
        /// When, in milliseconds since 1970.
        at_ms: i64,
        /// What, in words.
        text: String,
    },
}

/// What the load knows about a piece of work.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Tried {
    /// The key, unique in the run; `key` in the payload.
    pub key: String,
    /// How it was submitted, for readers.
    pub via: String,
    /// The intent id, if the load chose one.
    #[serde(default)]
    pub intent: Option<String>,
    /// Every end that is allowed: `completed`, `timed_out`, or `failed:CODE`, `rejected:CODE`, `parked:CODE`.
    pub expect: Vec<String>,
    /// The must-carry constraints as written, if there are any.
    #[serde(default)]
    pub constraints: Option<String>,
    /// Fields of the envelope that the protocol does not know: name and value, as written.
    #[serde(default)]
    pub unknown: Vec<(String, String)>,
    /// The group of a burst.
    #[serde(default)]
    pub group: Option<String>,
    /// The priority.
    #[serde(default)]
    pub priority: i64,
    /// The agents that it goes through if it is completed, where the load says which.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<String>,
}

/// A line that a handler wrote when it did something: the trace of an effect.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Effect {
    /// A handler began a hop.
    Run {
        /// The intent.
        intent: String,
        /// The key of the work, from the payload.
        key: String,
        /// The hop.
        hop: u64,
        /// The attempt.
        attempt: u64,
        /// The epoch that the holder believes in.
        epoch: u64,
        /// The envelope that it got.
        envelope: String,
        /// The worker's agent.
        agent: String,
        /// Its version.
        version: String,
        /// The worker process.
        instance: String,
        /// When, in milliseconds since 1970, by the machine's clock.
        at_ms: i64,
    },
    /// The run of a handler is over: it has returned, or was dropped.
    Ended {
        /// The intent.
        intent: String,
        /// The epoch that the holder believed in.
        epoch: u64,
        /// The envelope that it got.
        envelope: String,
        /// The worker process.
        instance: String,
        /// When, in milliseconds since 1970, by the machine's clock.
        at_ms: i64,
    },
    /// The effect of a step happened.
    Step {
        /// The intent.
        intent: String,
        /// The hop.
        hop: u64,
        /// The name of the step.
        step: String,
        /// What the effect returned: different each time.
        token: String,
        /// The epoch that the holder believes in.
        epoch: u64,
        /// The worker process.
        instance: String,
        /// The token of the effect that this one takes back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        takes_back: Option<String>,
    },
}

/// Why the evidence is unusable.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// A file is unreadable.
    #[error("{path} cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A line is malformed.
    #[error("{path}, line {line}, is no line of evidence")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// Everything that a run left behind.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The messages of all streams, `dump.jsonl`.
    pub messages: Vec<Message>,
    /// The journal, `journal.jsonl`.
    pub journal: Vec<Journal>,
    /// The effects in the order in which they happened, `effects.jsonl`.
    pub effects: Vec<Effect>,
    /// Lines of effects that a killed process could not finish.
    pub torn: usize,
    /// The trusted keys, `trust.json`; `None` where nothing is verified.
    pub trust: Option<Trust>,
}

impl Evidence {
    /// Reads the files of a folder. Only `trust.json` may be missing: then nothing is verified.
    ///
    /// # Errors
    /// When a file is missing, or a line of the dump or the journal is corrupt. A line of effects may be torn: its
    /// writer was killed while writing.
    pub fn read(folder: &Path) -> Result<Self, EvidenceError> {
        let (messages, _) = lines(&folder.join("dump.jsonl"), Torn::Refused)?;
        let (journal, _) = lines(&folder.join("journal.jsonl"), Torn::Refused)?;
        let (effects, torn) = lines(&folder.join("effects.jsonl"), Torn::Counted)?;
        Ok(Self {
            messages,
            journal,
            effects,
            torn,
            trust: trust(&folder.join("trust.json"))?,
        })
    }
}

fn trust(path: &Path) -> Result<Option<Trust>, EvidenceError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(EvidenceError::Read {
                path: path.to_owned(),
                source,
            });
        }
    };
    let read = serde_json::from_slice(&bytes).map_err(|source| EvidenceError::Line {
        path: path.to_owned(),
        line: 1,
        source,
    });
    read.map(Some)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Torn {
    Refused,
    Counted,
}

fn lines<T: DeserializeOwned>(path: &Path, torn: Torn) -> Result<(Vec<T>, usize), EvidenceError> {
    let read = |source| EvidenceError::Read {
        path: path.to_owned(),
        source,
    };
    let (mut found, mut broken) = (Vec::new(), 0);
    for (index, line) in BufReader::new(File::open(path).map_err(read)?).split(b'\n').enumerate() {
        let line = line.map_err(read)?;
        if line.is_empty() {
            continue;
        }
        match serde_json::from_slice(&line) {
            Ok(value) => found.push(value),
            Err(_) if torn == Torn::Counted => broken += 1,
            Err(source) => {
                return Err(EvidenceError::Line {
                    path: path.to_owned(),
                    line: index + 1,
                    source,
                });
            }
        }
    }
    Ok((found, broken))
}
