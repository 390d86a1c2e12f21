//! Snapshots of `baton explain`; and each error of the command has a code that it explains.

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{baton, command, finish};
use crate::transcript::{Transcript, words};

#[test]
fn a_code_is_explained_and_a_misspelt_one_is_guessed() {
    let mut transcript = Transcript::new(&[]);
    for line in [
        "explain",
        "explain UNKNOWN_AGENT",
        "explain UNKNOWN_AGENT --output json",
        "explain exit_75",
        "explain UNKOWN_AGENT",
        "explain OUT_OF_OTTERS",
        "explain OUT_OF_OTTERS --output json",
    ] {
        transcript.add(line, &baton(&words(line)));
    }
    transcript.is("explain");
}

#[test]
fn a_wrong_configuration_is_explained_in_spite_of_it() {
    let home = TempDir::new().expect("a folder");
    let mut command = command(home.path());
    command
        .args(["explain", "BAD_CONFIG"])
        .env("BATON_CONFIG", "/does/not/exist");
    let run = finish(command, b"").exits(0);
    assert!(run.stdout.starts_with("BAD_CONFIG: "), "{run:?}");
}

/// What may go wrong before a server is asked, and when none is there.
#[test]
fn every_error_has_a_code_that_is_explained() {
    for (line, code) in [
        ("frobnicate", "USAGE"),
        ("send shout x --priority 11", "USAGE"),
        ("worker --agent x", "USAGE"),
        ("send a.b x", "BAD_NAME"),
        ("send shout @/does/not/exist", "IO_FAILED"),
        ("send shout x --deadline 2020-01-01T00:00:00Z", "DEADLINE_PAST"),
        ("doctor --config /does/not/exist", "BAD_CONFIG"),
        ("intents list --context nowhere", "BAD_CONTEXT"),
        ("intents list --server nats://127.0.0.1:1", "SERVER_UNREACHABLE"),
        ("doctor --server nats://127.0.0.1:1", "SERVER_UNREACHABLE"),
        ("explain OUT_OF_OTTERS", "UNKNOWN_CODE"),
    ] {
        let run = baton(&words(&format!("{line} --output json")));
        let said = run.stderr.lines().last().unwrap_or_default();
        let document: Value = serde_json::from_str(said).unwrap_or_else(|error| panic!("{line}: {error}: {run:?}"));
        assert_eq!(document["code"], code, "{line}: {document}");
        assert!(baton(&["explain", code]).exits(0).stdout.starts_with(code));
        // People are told where to read on, but for what clap says: that ends with `--help`.
        let text = baton(&words(line)).stderr;
        let more = format!("hint: `baton explain {code}` says more");
        assert!(text.contains(&more) || text.contains("try '--help'"), "{line}: {text}");
    }
}
