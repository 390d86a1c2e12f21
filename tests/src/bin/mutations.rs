//! Puts each fault of `baton_e2e::invariants` into the runtime, and demands that its test notices.
//!
//! One build serves all: it has the feature `mutants` of the envelope, and `BATON_MUTANT` chooses the fault of a run.
//! Each test must pass without a fault, else its failure would say nothing.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail};
use baton_e2e::invariants::{PROOFS, Proof};
use serde_json::Value;

fn main() -> Result<ExitCode> {
    let only: Vec<String> = std::env::args().skip(1).collect();
    let binaries = build()?;
    let mut out = std::io::stdout().lock();
    let mut unnoticed = 0;
    for proof in PROOFS {
        let name = format!("I{}", proof.invariant);
        if !only.is_empty() && !only.contains(&name) {
            continue;
        }
        let sound = passes(&binaries, &proof, None)?;
        let broken = passes(&binaries, &proof, Some(&proof.mutant.name()))?;
        let verdict = match (sound, broken) {
            (true, false) => "noticed",
            (true, true) => "NOT NOTICED",
            (false, _) => "FAILS WITHOUT A FAULT",
        };
        unnoticed += u32::from((sound, broken) != (true, false));
        writeln!(out, "{name:<4} {verdict:<22} {} ({})", proof.test, proof.fault)?;
    }
    Ok(if unnoticed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Builds the test binaries with the faults in them; gives them by package, and fails when anything does not compile.
fn build() -> Result<HashMap<&'static str, Vec<PathBuf>>> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["test", "--no-run", "--locked", "--message-format=json"]);
    command
        .args(["--features", "baton-envelope/mutants"])
        .current_dir(root());
    let mut packages: Vec<&'static str> = PROOFS.iter().map(|proof| proof.package).collect();
    packages.sort_unstable();
    packages.dedup();
    for package in &packages {
        command.args(["--package", package]);
    }
    let built = command.stderr(Stdio::inherit()).output().context("cargo")?;
    if !built.status.success() {
        bail!("the tests do not build with the faults in them");
    }
    let mut found: HashMap<&'static str, Vec<PathBuf>> = HashMap::new();
    for line in String::from_utf8(built.stdout)?.lines() {
        let message: Value = serde_json::from_str(line).unwrap_or_default();
        let id = message.get("package_id").and_then(Value::as_str).unwrap_or_default();
        let is_test = message.pointer("/profile/test").and_then(Value::as_bool) == Some(true);
        let binary = message.get("executable").and_then(Value::as_str);
        if let (true, Some(binary)) = (is_test, binary) {
            // `path+file:///…/tests#baton-e2e@0.1.0`, or `…/crates/baton-x#0.1.0`.
            let package = packages.iter().find(|package| {
                let short = package.trim_start_matches("baton-");
                id.contains(&format!("#{package}@")) || id.contains(&format!("/{short}#"))
            });
            if let Some(package) = package {
                found.entry(package).or_default().push(binary.into());
            }
        }
    }
    Ok(found)
}

/// Whether the test passes; an error when it is not there, since a test that was not run shows nothing.
fn passes(binaries: &HashMap<&str, Vec<PathBuf>>, proof: &Proof, fault: Option<&str>) -> Result<bool> {
    for binary in binaries.get(proof.package).into_iter().flatten() {
        let mut command = Command::new(binary);
        command.args([proof.test, "--exact", "--test-threads", "1"]);
        command.current_dir(root()).env_remove("BATON_MUTANT");
        if let Some(fault) = fault {
            command.env("BATON_MUTANT", fault);
        }
        let ran = command.output().with_context(|| binary.display().to_string())?;
        let text = String::from_utf8_lossy(&ran.stdout);
        if !text.contains("running 1 test") {
            continue;
        }
        match (
            ran.status.success(),
            text.contains("1 passed"),
            text.contains("1 failed"),
        ) {
            (true, true, _) => return Ok(true),
            (false, _, true) => return Ok(false),
            // A binary that was killed or could not start is no verdict.
            (_, _, _) => bail!("{} ended with {} and no verdict", proof.test, ran.status),
        }
    }
    bail!("there is no test {} in {}", proof.test, proof.package)
}
