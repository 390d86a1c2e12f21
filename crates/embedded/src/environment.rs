//! The parts of the process environment that decide where to look for binaries, as values.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The variable that names the `nats-server` executable.
pub(crate) const SERVER_VARIABLE: &str = "BATON_NATS_SERVER";
/// The variable that names the `nats` executable.
pub(crate) const CLI_VARIABLE: &str = "BATON_NATS_CLI";
/// The variable that names the cache folder.
pub(crate) const CACHE_VARIABLE: &str = "BATON_CACHE_DIR";

/// Where to look: read once from the process, or built by a test.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// The search path for executables (`PATH`).
    pub path: Option<OsString>,
    /// An explicit `nats-server` (`BATON_NATS_SERVER`).
    pub nats_server: Option<PathBuf>,
    /// An explicit `nats` (`BATON_NATS_CLI`).
    pub nats_cli: Option<PathBuf>,
    /// The folder of fetched binaries (`BATON_CACHE_DIR`, else the user's cache folder).
    pub cache_dir: Option<PathBuf>,
}

impl Environment {
    /// Reads the process environment.
    #[must_use]
    pub fn from_process() -> Self {
        // An empty value counts as unset, because unsetting a variable is awkward in some shells.
        let read = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let cache_dir = read(CACHE_VARIABLE)
            .map(PathBuf::from)
            .or_else(|| Some(Path::new(&read("XDG_CACHE_HOME")?).join("baton")))
            .or_else(|| Some(Path::new(&read("HOME")?).join(".cache").join("baton")));
        Self {
            path: read("PATH"),
            nats_server: read(SERVER_VARIABLE).map(PathBuf::from),
            nats_cli: read(CLI_VARIABLE).map(PathBuf::from),
            cache_dir,
        }
    }

    /// Every executable file with this name on the search path, in order.
    pub(crate) fn on_path(&self, name: &str) -> Vec<PathBuf> {
        let Some(path) = &self.path else { return Vec::new() };
        env::split_paths(path)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(name))
            .filter(|file| is_executable(file))
            .collect()
    }
}

/// Whether the path names an executable file.
pub(crate) fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}
