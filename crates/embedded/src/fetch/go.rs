//! Fetches with Go: builds the tool of a small module whose `go.sum` fixes the hash of everything in it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::Failure;
use crate::command::run_ok;
use crate::environment::Environment;
use crate::finder::Tool;

/// A first build downloads and compiles everything, which takes about a minute on two cores.
const BUILD: Duration = Duration::from_secs(900);

pub(super) fn fetch(
    tool: &Tool,
    work: &Path,
    environment: &Environment,
    progress: &dyn Fn(&str),
) -> Result<PathBuf, Failure> {
    let go = environment
        .on_path("go")
        .into_iter()
        .next()
        .ok_or_else(|| Failure::NoTool("no go".to_owned()))?;
    progress(&format!(
        "building {} {} with Go, which takes a minute or two",
        tool.name, tool.version
    ));
    build(&go, tool, work).map_err(|reason| Failure::Failed(format!("with Go: {reason}")))
}

fn build(go: &Path, tool: &Tool, work: &Path) -> Result<PathBuf, String> {
    let (module, bin) = (work.join("module"), work.join("bin"));
    write(tool, &module, &bin).map_err(|error| format!("the module cannot be written: {error}"))?;
    let mut command = Command::new(go);
    // `go install package@version` requests the module's list of versions, which some proxies refuse. A module that
    // requires the version needs no list.
    command
        .args(["install", "-trimpath", tool.go_package])
        .current_dir(&module)
        .env("GOBIN", &bin);
    // The user's own settings may name another workspace, module mode or target. The build needs no C compiler.
    command
        .env("GOFLAGS", "-mod=readonly")
        .env("GOWORK", "off")
        .env("CGO_ENABLED", "0");
    command.env_remove("GOOS").env_remove("GOARCH");
    run_ok(command, BUILD)?;
    Ok(bin.join(tool.name))
}

fn write(tool: &Tool, module: &Path, bin: &Path) -> io::Result<()> {
    fs::create_dir_all(module)?;
    fs::create_dir_all(bin)?;
    fs::write(module.join("go.mod"), tool.go_module.go_mod)?;
    fs::write(module.join("go.sum"), tool.go_module.go_sum)
}
