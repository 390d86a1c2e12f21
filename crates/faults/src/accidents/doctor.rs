//! What `baton doctor` says, and running the very command that it prints.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use baton_testkit::{ProcessGuard, nats_cli};
use serde::Deserialize;
use tokio::time::timeout;

use crate::stage::{Stage, own};

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// A finding of `baton doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Finding {
    /// What was looked at.
    pub check: String,
    /// `ok`, `warning` or `problem`.
    pub level: String,
    /// What was found.
    pub found: String,
    /// What to do.
    pub remedy: String,
}

impl Finding {
    /// Whether it names a stream, and a consumer if there is one.
    #[must_use]
    pub fn names(&self, names: &[&str]) -> bool {
        let text = format!("{} {} {}", self.check, self.found, self.remedy);
        names.iter().all(|name| text.contains(name))
    }
}

/// The problems that `baton doctor` finds now.
///
/// # Errors
/// When it cannot be run or says nothing.
pub(super) async fn problems(stage: &Stage) -> Result<Vec<Finding>> {
    #[derive(Deserialize)]
    struct Document {
        findings: Vec<Finding>,
    }
    let mut command = own(&["doctor", "--output", "json"])?;
    stage.environment(&mut command);
    let (text, complaints) = output(command).await?;
    let document: Document = serde_json::from_str(&text).with_context(|| format!("doctor: {text} {complaints}"))?;
    let mut findings = document.findings;
    findings.retain(|finding| finding.level == "problem");
    Ok(findings)
}

async fn output(command: Command) -> Result<(String, String)> {
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true).stdin(std::process::Stdio::null());
    let done = timeout(PATIENCE, command.output()).await.context("it does not end")??;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((text(&done.stdout), text(&done.stderr)))
}

/// The first whole command in a remedy: between backticks, of `nats` or `baton`, with nothing for a person to fill in.
#[must_use]
pub fn command_of(remedy: &str) -> Option<&str> {
    let is_blank = |word: &str| word.len() > 2 && word.chars().all(|c| c.is_ascii_uppercase() || c == '-');
    let quoted = remedy.split('`').skip(1).step_by(2);
    quoted
        .filter(|text| text.starts_with("nats ") || text.starts_with("baton "))
        .find(|text| !text.split(' ').any(is_blank))
}

/// Runs a command as a shell would. One that goes on, as `baton controller`, is given back.
///
/// # Errors
/// When it fails.
pub(super) async fn run(stage: &Stage, text: &str) -> Result<Option<ProcessGuard>> {
    let words: Vec<String> = words(text);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["nats", arguments @ ..] => {
            let nats = nats_cli().await.context("the nats command is needed")?;
            let mut command = nats.command(&stage.urls());
            command.args(arguments);
            let mut command = tokio::process::Command::from(command);
            command.kill_on_drop(true).stdin(std::process::Stdio::null());
            let done = timeout(PATIENCE, command.output()).await.context("it does not end")??;
            let said = String::from_utf8_lossy(&done.stderr);
            // Between the finding and the command the mesh may have healed by itself. Whether it has is looked at again.
            if !done.status.success() && !said.contains("not found") {
                bail!("{text}: {said}");
            }
            Ok(None)
        }
        ["baton", arguments @ ..] => {
            let mut command = own(arguments)?;
            stage.environment(&mut command);
            if arguments.first() == Some(&"controller") {
                return Ok(Some(ProcessGuard::spawn("remedy", command, &stage.dir)));
            }
            // What it did not mend is still found: whether it said so does not matter.
            output(command).await?;
            Ok(None)
        }
        _ => bail!("no command: {text}"),
    }
}

/// The words of a line, as a shell takes them: blanks part them, but not within single quotes.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for letter in text.chars() {
        match letter {
            '\'' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            letter => {
                if let Some(word) = words.last_mut() {
                    word.push(letter);
                }
            }
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_the_first_that_is_whole() {
        let remedy = "restore it (`nats stream restore FOLDER`), or `baton controller --make-ledger`: all is lost";
        assert_eq!(command_of(remedy), Some("baton controller --make-ledger"));
        assert_eq!(command_of("else `baton route set alpha VERSION`"), None);
        assert_eq!(
            command_of("`nats consumer rm -f MESH_WORK_a 1_0_0_p4-7`: made again"),
            Some("nats consumer rm -f MESH_WORK_a 1_0_0_p4-7")
        );
    }

    #[test]
    fn words_are_as_in_a_shell() {
        assert_eq!(
            words("nats stream edit -f A --subjects='$KV.A.>' --max-msgs=-1"),
            [
                "nats",
                "stream",
                "edit",
                "-f",
                "A",
                "--subjects=$KV.A.>",
                "--max-msgs=-1"
            ]
        );
    }
}
