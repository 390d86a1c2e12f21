//! The test binaries of the workspace: built once, found by what cargo says of them, and which of them have passed as they
//! are.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::UNIX_EPOCH;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::root;

/// What the binaries are built with: the faults for the tests of the tests, which `BATON_MUTANT` alone switches on.
pub const FEATURES: &str = "baton-envelope/mutants";

/// One test binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestBinary {
    /// The package.
    pub package: String,
    /// The target: the name of a file in `tests`, or of the library.
    pub target: String,
    /// Whether it holds the unit tests of a library.
    pub is_unit: bool,
    /// The executable.
    pub path: PathBuf,
    /// The folder of the package, in which its tests run.
    folder: PathBuf,
}

impl TestBinary {
    /// Its name: `baton-jetstream/grouping`; for the unit tests of a library the package alone.
    #[must_use]
    pub fn name(&self) -> String {
        if self.is_unit {
            self.package.clone()
        } else {
            format!("{}/{}", self.package, self.target)
        }
    }

    /// A run of it, as `cargo test` would start it, and without any fault.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command
            .current_dir(&self.folder)
            .env("CARGO", env!("CARGO"))
            .env("CARGO_MANIFEST_DIR", &self.folder)
            // Else each test that compares with a snapshot asks cargo for it.
            .env("INSTA_WORKSPACE_ROOT", root())
            .env_remove("BATON_MUTANT");
        command
    }

    /// The tests that it holds.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn tests(&self) -> Result<Vec<String>> {
        let listed = self.command().args(["--list", "--format", "terse"]).output();
        let listed = listed.with_context(|| self.path.display().to_string())?;
        if !listed.status.success() {
            bail!("{} does not list its tests: {}", self.name(), listed.status);
        }
        let text = String::from_utf8_lossy(&listed.stdout);
        let names = text.lines().filter_map(|line| line.strip_suffix(": test"));
        Ok(names.map(ToOwned::to_owned).collect())
    }

    /// What tells this build of it from the next one.
    fn stamp(&self) -> Result<String> {
        let about = fs::metadata(&self.path)?;
        let changed = about.modified()?.duration_since(UNIX_EPOCH)?;
        Ok(format!("{} bytes, {} ns", about.len(), changed.as_nanos()))
    }
}

/// A cargo command on the whole workspace that builds tests, always the same: another choice of packages or features
/// would be another build of everything.
#[must_use]
pub fn cargo_test(more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["test", "--workspace", "--locked", "--features", FEATURES])
        .args(more)
        .current_dir(root());
    // What cargo says of the package whose program this is. A build script that asks for it (the one of ring does) would
    // run again here, and once more in the next build outside: minutes, each time.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Builds all test binaries and gives them.
///
/// # Errors
/// When something does not compile.
pub fn build() -> Result<Vec<TestBinary>> {
    let mut command = cargo_test(&["--no-run", "--message-format=json-render-diagnostics"]);
    let built = command.stderr(Stdio::inherit()).output().context("cargo")?;
    if !built.status.success() {
        bail!("the tests do not build");
    }
    let mut found = Vec::new();
    for line in String::from_utf8(built.stdout)?.lines() {
        let message: Value = serde_json::from_str(line).unwrap_or_default();
        found.extend(test_binary(&message));
    }
    if found.is_empty() {
        bail!("cargo names no test binary");
    }
    Ok(found)
}

/// The test binary that a message of cargo names.
fn test_binary(message: &Value) -> Option<TestBinary> {
    let is_test = message.pointer("/profile/test").and_then(Value::as_bool) == Some(true);
    let path = message.get("executable").and_then(Value::as_str)?;
    let manifest = Path::new(message.get("manifest_path").and_then(Value::as_str)?);
    let kind = message.pointer("/target/kind/0").and_then(Value::as_str)?;
    is_test.then(|| TestBinary {
        package: package_of(message.get("package_id").and_then(Value::as_str).unwrap_or_default()),
        target: message
            .pointer("/target/name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        is_unit: kind != "test",
        path: path.into(),
        folder: manifest.parent().unwrap_or(root()).to_owned(),
    })
}

/// `path+file:///…/crates/cli#baton-cli@0.1.0`, or `…/baton-x#0.1.0` where the folder is called as the package is.
fn package_of(id: &str) -> String {
    let (folder, name) = id.split_once('#').unwrap_or((id, ""));
    let folder = folder.rsplit('/').next().unwrap_or(folder);
    name.split_once('@').map_or(folder, |(name, _)| name).to_owned()
}

/// Which binaries have passed all of their tests.
#[derive(Debug, Default)]
pub struct Passed(BTreeMap<String, String>);

impl Passed {
    /// What the last run left behind; nothing where there was none.
    #[must_use]
    pub fn read(binaries: &[TestBinary]) -> Self {
        let text = file(binaries).and_then(|file| fs::read_to_string(file).ok());
        let read = text.and_then(|text| serde_json::from_str(&text).ok());
        Self(read.unwrap_or_default())
    }

    /// Leaves it behind for another program.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, binaries: &[TestBinary]) -> Result<()> {
        let file = file(binaries).context("there is no test binary")?;
        fs::write(&file, serde_json::to_string_pretty(&self.0)?).with_context(|| file.display().to_string())
    }

    /// Notes that a binary has passed.
    ///
    /// # Errors
    /// When it is gone.
    pub fn add(&mut self, binary: &TestBinary) -> Result<()> {
        self.0.insert(binary.path.display().to_string(), binary.stamp()?);
        Ok(())
    }

    /// Whether this very build of a binary has passed.
    #[must_use]
    pub fn has(&self, binary: &TestBinary) -> bool {
        let stamp = self.0.get(&binary.path.display().to_string());
        stamp.is_some_and(|stamp| binary.stamp().is_ok_and(|now| now == *stamp))
    }
}

/// Beside the folder in which cargo keeps the binaries.
fn file(binaries: &[TestBinary]) -> Option<PathBuf> {
    let built = binaries.first()?.path.ancestors().nth(2)?;
    Some(built.join("tests-passed.json"))
}
