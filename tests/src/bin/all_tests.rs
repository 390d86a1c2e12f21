//! Runs all tests of the workspace in less time than `cargo test --workspace`: the same binaries, but several of them at
//! once, as far as their kind allows. It prints the seconds of each, what a failing one said in full, and at its end once more
//! why each failed: where a log is cut, its end is what is left of it.
//!
//! `all_tests` runs all; `all_tests jetstream e2e` those binaries whose name contains one of the words.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::process::{Child, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use baton_e2e::binaries::{Passed, TestBinary, build, cargo_test};
use baton_e2e::groups::{Group, Job, plan};
use baton_testkit::{nats_cli, nats_server};
use tokio::time::Instant;

/// How long one binary may take.
const LIMIT: Duration = Duration::from_secs(15 * 60);
const PAUSE: Duration = Duration::from_millis(20);
/// How much of panics is told once more at the end.
const MOST_PANICS: usize = 10;
const MOST_LINES: usize = 8;
const MOST_CHARACTERS: usize = 400;

fn main() -> Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let started = Instant::now();
    let all = build()?;
    say(&format!("{:>7.1} s  build", started.elapsed().as_secs_f64()))?;
    fetch()?;
    let is_meant = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word));
    let binaries: Vec<&TestBinary> = all.iter().filter(|binary| is_meant(&binary.name())).collect();
    let mut results = Vec::new();
    for (group, jobs) in plan(&binaries)? {
        results.extend(run_group(&group, jobs)?);
    }
    note_passed(&all, &binaries, &results)?;
    let mut total = Counts::default();
    for one in &results {
        total.add(one.counts);
    }
    let mut is_good = results.iter().all(|one| one.is_good);
    if words.is_empty() {
        let (counts, good) = run_doctests()?;
        total.add(counts);
        is_good &= good;
    }
    for one in results.iter().filter(|one| !one.is_good) {
        say(&format!("FAILED: {}", one.label))?;
        for panic in &one.panics {
            say(panic)?;
        }
    }
    say(&format!("{:>7.1} s  in all", started.elapsed().as_secs_f64()))?;
    say(&format!("{} passed, {} failed", total.passed, total.failed))?;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sees to it that the server and the `nats` CLI are there, so that not every test waits for the first one to fetch them.
fn fetch() -> Result<()> {
    let started = Instant::now();
    tokio::runtime::Runtime::new()?.block_on(async {
        nats_server().await;
        nats_cli().await;
    });
    say(&format!(
        "{:>7.1} s  nats-server and nats",
        started.elapsed().as_secs_f64()
    ))
}

/// Leaves behind which binaries have passed whole. Two runs of one binary must together have run all of its tests.
fn note_passed(all: &[TestBinary], binaries: &[&TestBinary], results: &[Finished]) -> Result<()> {
    let mut passed = Passed::default();
    for binary in binaries {
        let of: Vec<&Finished> = results.iter().filter(|one| one.binary == **binary).collect();
        if of.iter().any(|one| !one.is_good) {
            continue;
        }
        let ran: usize = of.iter().map(|one| one.counts.passed).sum();
        let listed = binary.tests()?.len();
        if ran != listed {
            bail!("{} has {listed} tests, and {ran} of them ran", binary.name());
        }
        passed.add(binary)?;
    }
    passed.write(all)
}

/// How many tests passed, and how many did not.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    passed: usize,
    failed: usize,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    /// Reads the last lines of test binaries: `test result: ok. 3 passed; 0 failed; …`.
    fn read(text: &str) -> Self {
        let mut counts = Self::default();
        let results = text.lines().filter_map(|line| line.strip_prefix("test result: "));
        for part in results.flat_map(|line| line.split([';', '.'])) {
            let number = |word: &str| part.trim().strip_suffix(word).and_then(|text| text.trim().parse().ok());
            counts.passed += number("passed").unwrap_or(0);
            counts.failed += number("failed").unwrap_or(0);
        }
        counts
    }
}

/// A run that goes on.
struct Running {
    job: Job,
    child: Child,
    output: File,
    since: Instant,
}

/// What a run came to.
struct Finished {
    binary: TestBinary,
    label: String,
    counts: Counts,
    is_good: bool,
    /// What its tests panicked with, where it failed.
    panics: Vec<String>,
}

fn run_group(group: &Group, jobs: Vec<Job>) -> Result<Vec<Finished>> {
    let mut waiting = jobs.into_iter();
    let mut running: Vec<Running> = Vec::new();
    let mut finished = Vec::new();
    say(&format!("{} tests, {} binaries at a time", group.name, group.at_once))?;
    loop {
        while running.len() < group.at_once
            && let Some(job) = waiting.next()
        {
            running.push(start(job, group.threads)?);
        }
        if running.is_empty() {
            return Ok(finished);
        }
        std::thread::sleep(PAUSE);
        let mut going_on = Vec::new();
        for mut one in running {
            let too_long = one.since.elapsed() > LIMIT;
            if too_long {
                one.child.kill()?;
            }
            match one.child.try_wait()? {
                None if !too_long => going_on.push(one),
                None => finished.push(end(one, false)?),
                Some(status) => finished.push(end(one, status.success())?),
            }
        }
        running = going_on;
    }
}

fn start(job: Job, threads: usize) -> Result<Running> {
    let output = tempfile::tempfile().context("a file for the output of a test")?;
    let mut command = job.binary.command();
    command
        .args(&job.arguments)
        .env("RUST_TEST_THREADS", threads.to_string())
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?);
    let child = command.spawn().with_context(|| job.binary.path.display().to_string())?;
    Ok(Running {
        job,
        child,
        output,
        since: Instant::now(),
    })
}

fn end(mut one: Running, has_succeeded: bool) -> Result<Finished> {
    let mut text = Vec::new();
    one.output.rewind()?;
    one.output.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let counts = Counts::read(&text);
    // One that was killed, or that never came to its end, has no result.
    let is_good = has_succeeded && counts.failed == 0 && text.contains("test result: ok");
    let verdict = if is_good { "" } else { "  FAILED" };
    let seconds = one.since.elapsed().as_secs_f64();
    let (label, count) = (one.job.label, counts.passed);
    say(&format!("{seconds:>7.1} s  {label}: {count} passed{verdict}"))?;
    for skipped in text.lines().filter(|line| line.starts_with("SKIPPED")) {
        say(skipped)?;
    }
    if !is_good {
        say(&text)?;
    }
    Ok(Finished {
        binary: one.job.binary,
        label,
        counts,
        is_good,
        panics: if is_good { Vec::new() } else { panics(&text) },
    })
}

/// The panics that a test binary tells of: which test, where, and what it said first.
fn panics(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let is_panic = |line: &str| line.starts_with("thread '") && line.contains(" panicked at ");
    let starts = (0..lines.len()).filter(|at| lines.get(*at).is_some_and(|line| is_panic(line)));
    let told = starts.take(MOST_PANICS).map(|at| {
        let of = lines.iter().skip(at).take(MOST_LINES);
        let of = of.take_while(|line| !line.starts_with("note: run with") && !line.starts_with("stack backtrace"));
        of.map(|line| line.chars().take(MOST_CHARACTERS).collect::<String>())
            .collect::<Vec<String>>()
            .join("\n  ")
    });
    told.collect()
}

/// The examples in the documentation, which only cargo can run.
fn run_doctests() -> Result<(Counts, bool)> {
    let started = Instant::now();
    let ran = cargo_test(&["--doc"])
        .stderr(Stdio::inherit())
        .output()
        .context("cargo")?;
    let text = String::from_utf8_lossy(&ran.stdout);
    let (counts, seconds) = (Counts::read(&text), started.elapsed().as_secs_f64());
    say(&format!("{seconds:>7.1} s  documentation: {} passed", counts.passed))?;
    if !ran.status.success() {
        say(&text)?;
    }
    Ok((counts, ran.status.success()))
}

/// Prints a line at once: whoever waits wants to see how far it is.
fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
