//! Runs of the program under judgement.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use super::NOT_HAD;
use super::job::Job;
use crate::error::ConformanceError;

/// How much of what a program printed a verdict shows.
const SHOWN: usize = 300;

/// The program, and where it connects to.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) command: Vec<String>,
    pub(super) url: String,
    pub(super) namespace: String,
}

/// What became of one run.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// `None` when its time was up.
    status: Option<ExitStatus>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Program {
    /// Starts it for a job; it is killed when the child is dropped.
    pub(super) fn start(&self, job: &Job) -> Result<Child, ConformanceError> {
        let failed = |source| ConformanceError::Io {
            what: format!("the program \"{}\" cannot be started", self.command.join(" ")),
            source,
        };
        let Some((program, arguments)) = self.command.split_first() else {
            return Err(failed(std::io::ErrorKind::InvalidInput.into()));
        };
        let mut command = Command::new(program);
        command
            .args(arguments)
            .envs(job.environment())
            .env("NATS_URL", &self.url)
            .env("BATON_NAMESPACE", &self.namespace)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command.spawn().map_err(failed)
    }
}

/// Gives a program its payload and waits for its end, for so long.
pub(super) async fn end(mut child: Child, payload: Vec<u8>, patience: Duration) -> Run {
    let stdin = child.stdin.take();
    let feed = async move {
        if let Some(mut stdin) = stdin
            && let Err(error) = stdin.write_all(&payload).await
        {
            // It need not read what it does not want.
            tracing::debug!(%error, "the program does not read its stdin");
        }
    };
    let both = async move { tokio::join!(feed, child.wait_with_output()).1 };
    match tokio::time::timeout(patience, both).await {
        Ok(Ok(output)) => Run {
            status: Some(output.status),
            stdout: output.stdout,
            stderr: output.stderr,
        },
        Ok(Err(error)) => Run {
            status: None,
            stdout: Vec::new(),
            stderr: error.to_string().into_bytes(),
        },
        Err(_) => Run {
            status: None,
            stdout: Vec::new(),
            stderr: Vec::new(),
        },
    }
}

impl Run {
    /// It said that all is well.
    pub(super) fn is_good(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// It said that it does not have what was asked for.
    pub(super) fn has_not(&self) -> bool {
        self.status.and_then(|status| status.code()) == Some(NOT_HAD)
    }

    /// It ended by itself and said that something is wrong.
    pub(super) fn has_failed(&self) -> bool {
        self.status.is_some_and(|status| !status.success())
    }

    /// What it printed, without the end of the last line.
    pub(super) fn printed(&self) -> String {
        String::from_utf8_lossy(&self.stdout)
            .trim_end_matches(['\r', '\n'])
            .to_owned()
    }

    /// Whether it told this text to anybody.
    pub(super) fn says(&self, text: &str) -> bool {
        [&self.stdout, &self.stderr]
            .iter()
            .any(|printed| String::from_utf8_lossy(printed).contains(text))
    }

    /// In a few words.
    pub(super) fn in_words(&self) -> String {
        let ended = match self.status {
            None => "it did not end in time".to_owned(),
            Some(status) => status.to_string(),
        };
        let shown = |name: &str, bytes: &[u8]| match String::from_utf8_lossy(bytes).trim() {
            "" => String::new(),
            text => format!(", {name} {:?}", text.chars().take(SHOWN).collect::<String>()),
        };
        format!(
            "{ended}{}{}",
            shown("stdout", &self.stdout),
            shown("stderr", &self.stderr)
        )
    }
}
