//! Which test binaries may run side by side, and with how many of their tests at a time.

use anyhow::{Result, bail};

use crate::binaries::TestBinary;

/// How a group of binaries is run.
#[derive(Debug)]
pub struct Group {
    /// Its name.
    pub name: &'static str,
    /// How many run side by side.
    pub at_once: usize,
    /// How many tests each runs at a time.
    pub threads: usize,
}

/// Tests that compute.
const PURE: Group = Group {
    name: "pure",
    at_once: 2,
    threads: 2,
};
/// Tests with servers and processes, which spend most of their time waiting for these.
const WAITING: Group = Group {
    name: "waiting",
    at_once: 2,
    threads: 6,
};
/// Tests that judge how fast something is, or count on a moment: one binary after the other, with nothing beside it.
const TIMED: Group = Group {
    name: "timed",
    at_once: 1,
    threads: 2,
};

/// The binaries that compute. Unit tests do, too.
const COMPUTE: [&str; 5] = [
    "baton-model/broken",
    "baton-model/protocol",
    "baton-model/waiting",
    "baton-envelope/contract",
    "baton-fuzz/corpus",
];
/// The modules with tests of the last kind.
const CLOCKED: [(&str, &[&str]); 4] = [
    ("baton-agent/agent", &["probing::", "pausing::"]),
    (
        "baton-cli/e2e",
        &[
            "conformance::",
            "conformance_submitter::",
            "crash::",
            "schedules::a_schedule_fires_in_time",
            "upgrade::",
        ],
    ),
    ("baton-controller/controller", &["projection::speed::"]),
    ("baton-jetstream/jetstream", &["grouping::", "leasing::"]),
];
/// The binaries that take longest, so that none of them is begun last.
const LONGEST: [&str; 4] = [
    "baton-cli/e2e",
    "baton-faults/seeds",
    "baton-controller/controller",
    "baton-cli/cli",
];

/// One run of a binary: all of its tests, or those of one kind.
#[derive(Debug)]
pub struct Job {
    /// The binary.
    pub binary: TestBinary,
    /// What it is called, with the tests that are chosen.
    pub label: String,
    /// Which tests are chosen.
    pub arguments: Vec<String>,
}

/// Which binary runs in which group, and with which of its tests.
///
/// # Errors
/// When a binary cannot be asked for its tests, or a module that is named here has none.
pub fn plan(binaries: &[&TestBinary]) -> Result<Vec<(Group, Vec<Job>)>> {
    let (mut pure, mut waiting, mut timed) = (Vec::new(), Vec::new(), Vec::new());
    for (name, modules) in CLOCKED {
        for binary in binaries.iter().filter(|binary| binary.name() == name) {
            let tests = binary.tests()?;
            let gone = modules
                .iter()
                .find(|module| !tests.iter().any(|test| test.starts_with(**module)));
            if let Some(module) = gone {
                bail!("{name} has no tests in {module}");
            }
        }
    }
    for binary in binaries {
        let name = binary.name();
        let job = |label: &str, arguments: Vec<String>| Job {
            binary: (*binary).clone(),
            label: label.to_owned(),
            arguments,
        };
        let clocked = CLOCKED.iter().find(|(of, _)| *of == name).map(|(_, modules)| *modules);
        if binary.is_unit || COMPUTE.contains(&name.as_str()) {
            pure.push(job(&name, Vec::new()));
        } else {
            let modules = clocked.unwrap_or_default();
            let without = modules
                .iter()
                .flat_map(|module| ["--skip".to_owned(), (*module).to_owned()]);
            waiting.push(job(&name, without.collect()));
        }
        if let Some(modules) = clocked {
            let label = format!("{name} {}", modules.join(" "));
            timed.push(job(&label, modules.iter().map(|module| (*module).to_owned()).collect()));
        }
    }
    let place = |job: &Job| {
        LONGEST
            .iter()
            .position(|name| *name == job.label)
            .unwrap_or(LONGEST.len())
    };
    waiting.sort_by_key(place);
    Ok(vec![(PURE, pure), (WAITING, waiting), (TIMED, timed)])
}
