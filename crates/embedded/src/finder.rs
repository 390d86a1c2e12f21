//! Finds a binary: from the variable, PATH, the cache, or a fetch, in that order.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::command::run_ok;
use crate::environment::{self, Environment, is_executable};
use crate::error::Error;
use crate::fetch;
use crate::pins::{self, GoModule};
use crate::version::Version;

/// How long a binary may take to print its version.
const ASK: Duration = Duration::from_secs(20);

/// A binary, and how it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binary {
    /// The executable.
    pub path: PathBuf,
    /// The version it printed. An explicitly named build from source may print none.
    pub version: Option<Version>,
    /// Where it came from.
    pub origin: Origin,
}

/// Where a binary came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The variable that names it.
    Variable,
    /// The search path.
    Path,
    /// The cache, from an earlier fetch.
    Cache,
    /// A fetch just now.
    Fetched,
}

/// Finds the binaries, and fetches the pinned versions of those that are missing.
#[derive(Debug, Clone)]
pub struct Finder {
    environment: Environment,
}

/// What the finder knows about one binary.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) variable: &'static str,
    pub(crate) version: Version,
    /// The oldest version to accept from PATH; `None` accepts any.
    oldest: Option<Version>,
    /// A text in the help of the real program. Other programs share its name.
    mark: Option<&'static str>,
    /// Whether the Python package contains it.
    pub(crate) in_wheel: bool,
    pub(crate) go_package: &'static str,
    pub(crate) go_module: GoModule,
}

pub(crate) const SERVER: Tool = Tool {
    name: "nats-server",
    variable: environment::SERVER_VARIABLE,
    version: pins::NATS_SERVER,
    oldest: Some(pins::NATS_SERVER_OLDEST),
    mark: None,
    in_wheel: true,
    go_package: pins::NATS_SERVER_GO,
    go_module: pins::NATS_SERVER_MODULE,
};

pub(crate) const CLI: Tool = Tool {
    name: "nats",
    variable: environment::CLI_VARIABLE,
    version: pins::NATS_CLI,
    oldest: None,
    mark: Some("NATS Utility"),
    in_wheel: false,
    go_package: pins::NATS_CLI_GO,
    go_module: pins::NATS_CLI_MODULE,
};

impl Finder {
    /// A finder for the process environment.
    #[must_use]
    pub fn from_process() -> Self {
        Self::new(Environment::from_process())
    }

    /// A finder for the given environment.
    #[must_use]
    pub fn new(environment: Environment) -> Self {
        Self { environment }
    }

    /// Provides `nats-server`; `progress` receives a line about anything that is skipped or takes long.
    ///
    /// # Errors
    /// [`Error::Variable`] when `BATON_NATS_SERVER` is unusable; otherwise when the binary is neither installed nor can
    /// be fetched.
    pub fn nats_server(&self, progress: &dyn Fn(&str)) -> Result<Binary, Error> {
        self.provide(&SERVER, self.environment.nats_server.as_deref(), progress)
    }

    /// Provides the `nats` command line tool. Building it for the first time takes about a minute.
    ///
    /// # Errors
    /// [`Error::Variable`] when `BATON_NATS_CLI` is unusable; otherwise when the binary is neither installed nor can be
    /// fetched; [`Error::Missing`] when there is no Go to build it.
    pub fn nats_cli(&self, progress: &dyn Fn(&str)) -> Result<Binary, Error> {
        self.provide(&CLI, self.environment.nats_cli.as_deref(), progress)
    }

    fn provide(&self, tool: &Tool, named: Option<&Path>, progress: &dyn Fn(&str)) -> Result<Binary, Error> {
        if let Some(path) = named {
            return from_variable(tool, path);
        }
        for path in self.environment.on_path(tool.name) {
            match tool.inspect(&path) {
                Ok(version) => {
                    return Ok(Binary {
                        path,
                        version: Some(version),
                        origin: Origin::Path,
                    });
                }
                Err(reason) => progress(&format!("passing over {}: {reason}", path.display())),
            }
        }
        let cache = self.environment.cache_dir.as_deref().ok_or(Error::NoCacheDir)?;
        fetch::provide(tool, cache, &self.environment, progress)
    }
}

impl Tool {
    /// The version of the executable, or why it is unusable.
    fn inspect(&self, path: &Path) -> Result<Version, String> {
        let version = ask_version(path)?.ok_or("its version cannot be read")?;
        if let Some(oldest) = self.oldest
            && version < oldest
        {
            return Err(format!(
                "it is version {version}, and {oldest} is the oldest that works"
            ));
        }
        if let Some(mark) = self.mark {
            let mut help = Command::new(path);
            help.arg("--help");
            let printed = run_ok(help, ASK)?;
            if !printed.stdout.contains(mark) && !printed.stderr.contains(mark) {
                return Err("it is another program of that name".to_owned());
            }
        }
        Ok(version)
    }

    /// Checks that the executable has the pinned version.
    pub(crate) fn verify(&self, path: &Path) -> Result<(), String> {
        match ask_version(path)? {
            Some(version) if version == self.version => Ok(()),
            Some(version) => Err(format!("it says it is version {version} and not {}", self.version)),
            None => Err("its version cannot be read".to_owned()),
        }
    }
}

fn ask_version(path: &Path) -> Result<Option<Version>, String> {
    let mut command = Command::new(path);
    command.arg("--version");
    let printed = run_ok(command, ASK)?;
    Ok(Version::find(&printed.stdout).or_else(|| Version::find(&printed.stderr)))
}

fn from_variable(tool: &Tool, path: &Path) -> Result<Binary, Error> {
    let unusable = |problem| Error::Variable {
        variable: tool.variable,
        path: path.to_owned(),
        problem,
    };
    if !is_executable(path) {
        return Err(unusable("which is not an executable file".to_owned()));
    }
    // Users who name a binary decide: they may choose an old or odd version, but it must run.
    let version = ask_version(path).map_err(|reason| unusable(format!("which does not work: {reason}")))?;
    Ok(Binary {
        path: path.to_owned(),
        version,
        origin: Origin::Variable,
    })
}

#[cfg(test)]
#[path = "finder_tests.rs"]
mod tests;
