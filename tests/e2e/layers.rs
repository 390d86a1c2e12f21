//! The arrows between the crates, and what the sources must not contain. Reads manifests and sources; runs nothing.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};
use baton_e2e::root;

/// The folders that contain sources.
const FOLDERS: [&str; 4] = ["crates", "tests", "benches", "examples"];
/// The longest source file, in lines.
const LONGEST: usize = 600;
/// The crates that must be found, so that these tests do not pass because a folder moved.
const CRATES: [&str; 15] = [
    "access",
    "agent",
    "baseline",
    "checker",
    "cli",
    "conformance",
    "controller",
    "demo",
    "embedded",
    "envelope",
    "faults",
    "forms",
    "jetstream",
    "testkit",
    "tokens",
];

/// A source file: its path below the root, and its text.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Source {
    /// The text without comments: a name in a comment is not a dependency.
    pub(crate) fn code(&self) -> String {
        let lines = self.text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let lines = lines.map(|line| line.split_once(" // ").map_or(line, |(code, _)| code));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// Every file below `folder` with this ending, except build output.
pub(crate) fn files(folder: &str, ending: &str) -> Result<Vec<Source>> {
    let root = root();
    let (mut open, mut found) = (vec![root.join(folder)], Vec::new());
    while let Some(folder) = open.pop() {
        let entries = std::fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        for entry in entries {
            let (kind, path) = entry.and_then(|entry| Ok((entry.file_type()?, entry.path())))?;
            if kind.is_dir() {
                if path.file_name().is_some_and(|name| name != "target") {
                    open.push(path);
                }
            } else if path.to_string_lossy().ends_with(ending) {
                let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
                let path = path.strip_prefix(root)?.display().to_string();
                found.push(Source { path, text });
            }
        }
    }
    Ok(found)
}

fn sources() -> Result<Vec<Source>> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        found.extend(files(folder, ".rs")?);
    }
    ensure!(found.len() > 100, "only {} source files were found", found.len());
    Ok(found)
}

/// The dependencies of every package of the workspace, including those for tests and builds, by the package's folder.
fn manifests() -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut found = BTreeMap::new();
    for folder in FOLDERS {
        for Source { path, text } in files(folder, "Cargo.toml")? {
            let manifest: toml::Table = text.parse().with_context(|| path.clone())?;
            let package = path.strip_suffix("/Cargo.toml").unwrap_or(&path);
            let mut names = BTreeSet::new();
            collect(&manifest, &mut names);
            found.insert(package.to_owned(), names);
        }
    }
    for name in CRATES {
        ensure!(
            found.contains_key(&format!("crates/{name}")),
            "there is no crates/{name}"
        );
    }
    Ok(found)
}

/// Collects the keys of every table of dependencies, at any depth (`target."cfg(…)".dependencies`). A renamed
/// dependency counts under its package name.
fn collect(table: &toml::Table, names: &mut BTreeSet<String>) {
    for (key, value) in table {
        let Some(inner) = value.as_table() else { continue };
        if key.ends_with("dependencies") {
            for (name, how) in inner {
                let renamed = how.get("package").and_then(toml::Value::as_str);
                names.insert(renamed.unwrap_or(name).to_owned());
            }
        } else {
            collect(inner, names);
        }
    }
}

/// The dependencies of one crate.
fn dependencies(name: &str) -> Result<BTreeSet<String>> {
    let mut manifests = manifests()?;
    manifests
        .remove(&format!("crates/{name}"))
        .with_context(|| format!("there is no crates/{name}"))
}

/// Fails with every place where the code of `folder` contains one of `words`.
fn names_none_of(folder: &str, words: &[&str]) -> Result<()> {
    let sources = files(folder, ".rs")?;
    ensure!(!sources.is_empty(), "{folder} holds no sources");
    let mut wrong = Vec::new();
    for source in &sources {
        let code = source.code();
        let found = words.iter().filter(|word| code.contains(**word));
        wrong.extend(found.map(|word| format!("{} names {word}", source.path)));
    }
    nothing(wrong)
}

fn depends_on_none_of(name: &str, packages: &[&str]) -> Result<()> {
    let dependencies = dependencies(name)?;
    let found = packages.iter().filter(|package| dependencies.contains(**package));
    nothing(found.map(|package| format!("{name} depends on {package}")).collect())
}

pub(crate) fn nothing(wrong: Vec<String>) -> Result<()> {
    if wrong.is_empty() {
        return Ok(());
    }
    bail!("{}", wrong.join("\n"))
}

#[test]
fn only_jetstream_testkit_and_baseline_depend_on_the_nats_client() -> Result<()> {
    let mut users: Vec<String> = Vec::new();
    for (package, dependencies) in manifests()? {
        if dependencies.contains("async-nats") {
            users.push(package);
        }
    }
    ensure!(
        users == ["crates/baseline", "crates/jetstream", "crates/testkit"],
        "{users:?}"
    );
    Ok(())
}

#[test]
fn envelope_is_pure() -> Result<()> {
    let outside = ["tokio", "async-nats", "rand"];
    depends_on_none_of("envelope", &outside)?;
    let siblings: Vec<String> = dependencies("envelope")?
        .into_iter()
        .filter(|name| name.starts_with("baton-"))
        .collect();
    ensure!(siblings.is_empty(), "envelope depends on {siblings:?}");
    let words = ["SystemTime", "Instant", "std::env", "tokio", "async_nats", "rand::"];
    let mut wrong = Vec::new();
    // The switch of the faults is behind a feature that no product enables: `invariants::faults_are_in_no_product`.
    let sources = files("crates/envelope/src", ".rs")?;
    for source in sources.iter().filter(|source| !source.path.ends_with("/mutants.rs")) {
        let found = words.iter().filter(|word| source.code().contains(**word));
        wrong.extend(found.map(|word| format!("{} names {word}", source.path)));
    }
    nothing(wrong)
}

/// The model of accounts is decided by its file alone. Random bytes come in from outside; only its folder touches files.
#[test]
fn access_is_pure_but_for_its_files() -> Result<()> {
    depends_on_none_of(
        "access",
        &["tokio", "async-nats", "rand", "baton-jetstream", "baton-embedded"],
    )?;
    names_none_of(
        "crates/access/src",
        &["SystemTime", "Instant", "std::env", "tokio", "rand::"],
    )?;
    let mut wrong = Vec::new();
    for source in files("crates/access/src", ".rs")? {
        if !source.path.ends_with("/folder.rs") && source.code().contains("std::fs") {
            wrong.push(format!("{} touches files", source.path));
        }
    }
    nothing(wrong)
}

/// It counts what strangers send, in every process: no runtime, no files, no network, and no library that may change a count.
#[test]
fn the_counter_of_tokens_is_pure() -> Result<()> {
    let manifest = files("crates/tokens", "Cargo.toml")?;
    let manifest: toml::Table = manifest.first().context("no manifest")?.text.parse()?;
    let used = manifest.get("dependencies").and_then(toml::Value::as_table);
    let used: Vec<&String> = used.into_iter().flat_map(|table| table.keys()).collect();
    ensure!(used == ["regex"], "the counter depends on {used:?}");
    let optional = manifest["dependencies"]["regex"].get("optional");
    ensure!(
        optional.and_then(toml::Value::as_bool) == Some(true),
        "regex is for tests"
    );
    names_none_of(
        "crates/tokens/src",
        &["SystemTime", "Instant", "std::env", "std::fs", "std::net", "std::io"],
    )
}

#[test]
fn agent_and_controller_never_name_each_other() -> Result<()> {
    depends_on_none_of("agent", &["baton-controller"])?;
    names_none_of("crates/agent", &["baton_controller"])?;
    depends_on_none_of("controller", &["baton-agent"])?;
    names_none_of("crates/controller", &["baton_agent"])
}

#[test]
fn a_worker_cannot_do_what_only_a_controller_may() -> Result<()> {
    names_none_of("crates/agent/src", &["ControllerMesh", "Sweeper", "Lease::"])?;
    names_none_of("crates/controller/src", &["WorkerMesh", "Puller"])?;
    for client in ["crates/cli/src", "examples"] {
        names_none_of(client, &["ControllerMesh", "WorkerMesh", "Sweeper", "Lease::"])?;
    }
    Ok(())
}

#[test]
fn jetstream_names_neither_agent_nor_controller() -> Result<()> {
    depends_on_none_of("jetstream", &["baton-agent", "baton-controller"])?;
    names_none_of("crates/jetstream", &["baton_agent", "baton_controller"])
}

/// The baseline names the client as the testkit does, and no mesh may run on it.
#[test]
fn the_baseline_is_bare_and_only_the_benchmarks_use_it() -> Result<()> {
    let siblings: Vec<String> = dependencies("baseline")?
        .into_iter()
        .filter(|name| name.starts_with("baton-"))
        .collect();
    ensure!(siblings.is_empty(), "baseline depends on {siblings:?}");
    let users = manifests()?;
    let users = users.iter().filter(|(_, names)| names.contains("baton-baseline"));
    let users: Vec<&str> = users.map(|(package, _)| package.as_str()).collect();
    ensure!(users == ["benches"], "{users:?}");
    Ok(())
}

#[test]
fn the_nats_client_is_named_in_jetstream_testkit_and_baseline_alone() -> Result<()> {
    for name in CRATES {
        if !["jetstream", "testkit", "baseline"].contains(&name) {
            names_none_of(&format!("crates/{name}"), &["async_nats"])?;
        }
    }
    Ok(())
}

#[test]
fn embedded_knows_nothing_of_the_mesh() -> Result<()> {
    let siblings: Vec<String> = dependencies("embedded")?
        .into_iter()
        .filter(|name| name.starts_with("baton-"))
        .collect();
    ensure!(siblings.is_empty(), "embedded depends on {siblings:?}");
    names_none_of("crates/embedded/src", &["baton_envelope", "baton_jetstream"])
}

#[test]
fn checker_shares_no_code_with_the_runtime() -> Result<()> {
    let siblings: Vec<String> = dependencies("checker")?
        .into_iter()
        .filter(|name| name.starts_with("baton-") || name == "tokio")
        .collect();
    ensure!(siblings.is_empty(), "checker depends on {siblings:?}");
    names_none_of("crates/checker/src", &["baton_envelope", "baton_jetstream", "std::env"])
}

#[test]
fn nothing_depends_on_the_fault_runner() -> Result<()> {
    for (package, names) in manifests()? {
        ensure!(!names.contains("baton-faults"), "{package} depends on baton-faults");
    }
    Ok(())
}

#[test]
fn testkit_model_fuzzing_and_tests_are_in_no_product() -> Result<()> {
    for Source { path, text } in files("crates", "Cargo.toml")? {
        // The fault runner is itself a tool for tests: it starts servers, and nothing may depend on it.
        if path == "crates/faults/Cargo.toml" {
            continue;
        }
        let manifest: toml::Table = text.parse()?;
        let product = manifest.get("dependencies").and_then(toml::Value::as_table);
        for name in ["baton-testkit", "baton-model", "baton-fuzz", "baton-e2e"] {
            let found = product.is_some_and(|table| table.contains_key(name));
            ensure!(!found, "{path} has {name} outside of its dev-dependencies");
        }
    }
    Ok(())
}

#[test]
fn no_source_file_is_longer_than_it_may_be() -> Result<()> {
    let mut wrong = Vec::new();
    for source in sources()? {
        let lines = source.text.lines().count();
        if lines > LONGEST {
            wrong.push(format!("{} has {lines} lines, at most {LONGEST}", source.path));
        }
    }
    nothing(wrong)
}

#[test]
fn nothing_is_left_undone_and_no_test_is_skipped() -> Result<()> {
    // Concatenated, so that this file does not find itself.
    let words = [
        concat!("to", "do!("),
        concat!("un", "implemented!("),
        concat!("#[ig", "nore"),
    ];
    let mut wrong = Vec::new();
    for source in sources()? {
        let code = source.code();
        let found = words.iter().filter(|word| code.contains(**word));
        wrong.extend(found.map(|word| format!("{} holds {word}", source.path)));
    }
    nothing(wrong)
}

#[test]
fn no_source_names_a_folder_of_somebodys_machine() -> Result<()> {
    let words = ["work", "home", "root", "Users"].map(|folder| format!("/{folder}/"));
    let mut looked_at = sources()?;
    for folder in FOLDERS {
        looked_at.extend(files(folder, "Cargo.toml")?);
    }
    let mut wrong = Vec::new();
    for source in looked_at {
        let found = words.iter().filter(|word| source.text.contains(word.as_str()));
        wrong.extend(found.map(|word| format!("{} holds {word}", source.path)));
    }
    nothing(wrong)
}
