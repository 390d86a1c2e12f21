//! The files of pipelines: one for each, checked as it is read.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use baton_envelope::{AgentName, BadPipeline, Pipeline, codes};
use baton_jetstream::Error;
use clap::Args;

use super::written::parsed;
use crate::error::{CliError, Kind};
use crate::near;

/// How many letters a name may differ in to be what was probably meant.
const NEAR: usize = 3;

/// Where the files are.
#[derive(Debug, Clone, Args)]
pub(crate) struct FolderArgs {
    /// Folder of the pipelines, with a file NAME.toml for each.
    #[arg(long = "pipelines", value_name = "FOLDER", default_value = "config/pipelines")]
    pub(in crate::commands) folder: PathBuf,
}

/// A pipeline that was read.
#[derive(Debug, Clone)]
pub(in crate::commands) struct Read {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) description: Option<String>,
    pub(in crate::commands) pipeline: Pipeline,
}

impl FolderArgs {
    /// The names of the pipelines, in their order.
    pub(super) fn names(&self) -> Result<Vec<String>, CliError> {
        let failed = |error: std::io::Error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                self.no_folder()
            } else {
                CliError::io(anyhow::Error::new(error).context(self.folder.display().to_string()))
            }
        };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Reads and checks a pipeline.
    pub(in crate::commands) fn read(&self, name: &str) -> Result<Read, CliError> {
        let path = self.folder.join(format!("{name}.toml"));
        let is_name = Path::new(name).components().count() == 1 && !name.contains(['/', '\\']);
        if !is_name || !path.is_file() {
            return Err(self.unknown(name));
        }
        let text = std::fs::read_to_string(&path)
            .with_context(|| path.display().to_string())
            .map_err(CliError::io)?;
        let (description, pipeline) = parsed(&text).map_err(|bad| refused(&path, &bad))?;
        Ok(Read {
            name: name.to_owned(),
            path,
            description,
            pipeline,
        })
    }

    fn no_folder(&self) -> CliError {
        let message = format!("there is no folder {}", self.folder.display());
        CliError::say(Kind::NotFound, codes::NOT_FOUND, message)
            .hint("run it where config/pipelines is, or name the folder with --pipelines")
    }

    fn unknown(&self, name: &str) -> CliError {
        let known = match self.names() {
            Ok(known) => known,
            Err(error) => return error,
        };
        let message = format!("there is no pipeline \"{name}\" in {}", self.folder.display());
        let error = CliError::say(Kind::NotFound, codes::NOT_FOUND, message);
        match near::nearest(name, known.iter().map(String::as_str), NEAR) {
            Some(near) => error.hint(format!("did you mean \"{near}\"?")),
            None => error.hint("`baton pipelines list` shows those that are there"),
        }
    }
}

impl Read {
    /// The agent that gets the work first.
    pub(in crate::commands) fn first(&self) -> Result<AgentName, CliError> {
        let first = self.pipeline.steps.first().map(|step| step.agent.clone());
        first.ok_or_else(CliError::bug)
    }

    /// The same error, with the line of the step where it is about an agent that the mesh does not know.
    pub(in crate::commands) fn located(&self, error: CliError) -> CliError {
        match error.source.downcast_ref() {
            Some(Error::UnknownAgent { agent, known }) => self.unknown_agent(agent, known).unwrap_or(error),
            Some(_) | None => error,
        }
    }

    /// That the mesh does not know an agent of it.
    fn unknown_agent(&self, agent: &str, known: &[String]) -> Option<CliError> {
        let step = self.pipeline.steps.iter().find(|step| step.agent.as_str() == agent)?;
        let known = match known {
            [] => "none".to_owned(),
            known => known.join(", "),
        };
        let at = format!("{}:{}", self.path.display(), step.line);
        let message = format!("{at}: agent \"{agent}\" is unknown (known: {known})");
        Some(
            CliError::say(Kind::NotFound, codes::UNKNOWN_AGENT, message)
                .hint("correct the name, or start a worker of the agent"),
        )
    }
}

fn refused(path: &Path, bad: &BadPipeline) -> CliError {
    let message = format!("{}:{}: {}", path.display(), bad.line, bad.problem);
    CliError::say(Kind::BadConfig, codes::BAD_PIPELINE, message).hint(bad.fix.clone())
}
