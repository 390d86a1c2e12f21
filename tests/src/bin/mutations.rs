//! Puts each fault of `baton_e2e::invariants` into the runtime, and demands that its test notices.
//!
//! One build serves all, and it is that of `all_tests`: it has the feature `mutants` of the envelope, and `BATON_MUTANT`
//! chooses the fault of a run. Each test must pass without a fault, else its failure would say nothing; where `all_tests`
//! has just run this very build, it has shown that already.

use std::collections::VecDeque;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use baton_e2e::binaries::{Passed, TestBinary, build};
use baton_e2e::invariants::{PROOFS, Proof};

/// How many faults are tried at a time: their tests wait, most of the time in vain.
const AT_ONCE: usize = 4;

fn main() -> Result<ExitCode> {
    let only: Vec<String> = std::env::args().skip(1).collect();
    let binaries = build()?;
    let passed = Passed::read(&binaries);
    let meant = PROOFS
        .iter()
        .filter(|proof| only.is_empty() || only.iter().any(|name| name == proof.invariant));
    let mut open = VecDeque::new();
    for proof in meant {
        let binary = binary_of(&binaries, proof)?;
        open.push_back((*proof, binary, passed.has(binary)));
    }
    let open = Mutex::new(open);
    let next = || open.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let try_all = || -> Result<bool> {
        let mut all_noticed = true;
        while let Some((proof, binary, is_sound)) = next() {
            all_noticed &= is_noticed(&proof, binary, is_sound)?;
        }
        Ok(all_noticed)
    };
    let mut all_noticed = true;
    std::thread::scope(|scope| -> Result<()> {
        let lanes: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(try_all)).collect();
        for lane in lanes {
            let Ok(noticed) = lane.join() else {
                bail!("a thread of this program panicked");
            };
            all_noticed &= noticed?;
        }
        Ok(())
    })?;
    Ok(if all_noticed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The binary that holds the test; an error when none does, since a test that was not run shows nothing.
fn binary_of<'a>(binaries: &'a [TestBinary], proof: &Proof) -> Result<&'a TestBinary> {
    for binary in binaries.iter().filter(|binary| binary.package == proof.package) {
        if binary.tests()?.iter().any(|test| test == proof.test) {
            return Ok(binary);
        }
    }
    bail!("there is no test {} in {}", proof.test, proof.package)
}

/// Tries one fault and says what came of it.
fn is_noticed(proof: &Proof, binary: &TestBinary, has_passed: bool) -> Result<bool> {
    let sound = has_passed || passes(binary, proof, None)?;
    let broken = passes(binary, proof, Some(&proof.mutant.name()))?;
    let verdict = match (sound, broken) {
        (true, false) => "noticed",
        (true, true) => "NOT NOTICED",
        (false, _) => "FAILS WITHOUT A FAULT",
    };
    let name = proof.invariant;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{name:<4} {verdict:<22} {} ({})", proof.test, proof.fault)?;
    out.flush()?;
    Ok((sound, broken) == (true, false))
}

/// Whether the test passes.
fn passes(binary: &TestBinary, proof: &Proof, fault: Option<&str>) -> Result<bool> {
    let mut command = binary.command();
    command.args([proof.test, "--exact", "--test-threads", "1"]);
    if let Some(fault) = fault {
        command.env("BATON_MUTANT", fault);
    }
    let ran = command.output().with_context(|| binary.path.display().to_string())?;
    let text = String::from_utf8_lossy(&ran.stdout);
    match (
        ran.status.success(),
        text.contains("1 passed"),
        text.contains("1 failed"),
    ) {
        (true, true, _) => Ok(true),
        (false, _, true) => Ok(false),
        // A binary that was killed or could not start is no verdict.
        (_, _, _) => bail!("{} ended with {} and no verdict", proof.test, ran.status),
    }
}
