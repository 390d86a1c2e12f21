//! Arguments that are wrong: the message names the value and the rule, and nothing is asked of any server.

use crate::harness::baton;

#[test]
fn a_bad_argument_is_named_with_its_rule() {
    let cases: [(&[&str], &[&str]); 24] = [
        (&["schedules", "next", "dst", "0"], &["0", "1..=1000"]),
        (&["schedules", "next", "dst", "5000"], &["5000", "1..=1000"]),
        (&["work", "create", "--task", " "], &["--task", "what is to be done"]),
        (
            &["send", "shout", "x", "--priority", "11"],
            &["--priority", "11", "1 to 10"],
        ),
        (
            &["send", "shout", "x", "--priority", "high"],
            &["--priority", "high", "1 to 10"],
        ),
        (
            &["send", "shout", "x", "--max-hops", "65"],
            &["--max-hops", "65", "1 to 64"],
        ),
        (
            &["agents", "policy", "shout", "--attempts", "0"],
            &["--attempts", "from 1 to 1000"],
        ),
        (
            &["agents", "limit", "shout", "--in-flight", "x"],
            &["--in-flight", "whole number", "0 for no limit"],
        ),
        (
            &["agents", "limit", "shout", "--rate", "0.5/s"],
            &["--rate", "0.5/s", "30/m"],
        ),
        (
            &["intents", "list", "--limit", "many"],
            &["--limit", "many", "expected a whole number"],
        ),
        (
            &["worker", "--agent", "x", "--concurrency", "0"],
            &["--concurrency", "expected a whole number, 1 or more"],
        ),
        (&["send", "a.b", "x"], &["a.b", "no dots"]),
        (&["send", "*", "x"], &["\"*\"", "a-z 0-9 -"]),
        (&["send", "shout", "x", "--id", "order.42"], &["order.42", "no dots"]),
        (
            &["send", "shout", "x", "--deadline", "soon"],
            &["--deadline", "soon", "RFC 3339"],
        ),
        (
            &["send", "shout", "x", "--deadline", "2020-01-01T00:00:00Z"],
            &["--deadline", "2020-01-01", "past"],
        ),
        (
            &["send", "shout", "x", "--constraints", "[]"],
            &["--constraints", "object"],
        ),
        (&["send", "shout", "x", "--pin", "code=1.x"], &["--pin", "1.x", "1.4.0"]),
        (
            &["worker", "--agent", "x", "--version", "1.x"],
            &["--version", "1.x", "1.4.0"],
        ),
        (&["intents", "list", "--status", "done"], &["done", "completed"]),
        (&["rollout", "start", "code", "2.x"], &["2.x", "1.4.0"]),
        (
            &["rollout", "start", "code", "2.0.0", "--at-once", "--canary", "5"],
            &["--at-once", "--canary"],
        ),
        (&["route", "explain", "code", "--capability", "rust"], &["--capability"]),
        (
            &["send", "code", "x", "--capability", "rust"],
            &["\"code\"", "--capability"],
        ),
    ];
    are_named(&cases);
}

#[test]
fn a_gate_that_nobody_could_pass_or_that_is_nowhere_is_named() {
    let cases: [(&[&str], &[&str]); 6] = [
        (
            &["send", "shout", "x", "--approver", "ada"],
            &["--approver needs --gate AGENT", "--gate shout"],
        ),
        (
            &["send", "shout", "x", "--quorum", "2"],
            &["--quorum needs --gate AGENT"],
        ),
        (
            &["send", "shout", "x", "--four-eyes"],
            &["--four-eyes needs --gate AGENT"],
        ),
        (
            &["send", "shout", "x", "--approve-within", "1h"],
            &["--approve-within needs --gate AGENT"],
        ),
        (
            &["send", "shout", "x", "--gate", "shout", "--approver", "Ada"],
            &["--approver", "\"Ada\"", "a-z 0-9 -"],
        ),
        (
            &[
                "send",
                "shout",
                "x",
                "--gate",
                "shout",
                "--approver",
                "ada",
                "--quorum",
                "2",
            ],
            &["--quorum 2", "the 1 who may approve"],
        ),
    ];
    are_named(&cases);
}

fn are_named(cases: &[(&[&str], &[&str])]) {
    for (arguments, named) in cases {
        let run = baton(arguments).exits(2).says(named);
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn what_is_missing_is_named() {
    baton(&["worker", "--agent", "x"])
        .exits(2)
        .says(&["--version SEMVER and --exec CMD"]);
    baton(&["send"]).exits(2).says(&["<AGENT>"]);
    baton(&["dead", "redrive"]).exits(2).says(&["<ID>"]);
    baton(&["send", "shout", "@/does/not/exist"])
        .exits(2)
        .says(&["/does/not/exist", "No such file"]);
    baton(&["send", "shout", "x", "--timeout", "1s"])
        .exits(2)
        .says(&["--wait"]);
}

#[test]
fn a_program_gets_the_same_error_as_json_on_stderr() {
    let run = baton(&["send", "shout", "x", "--priority", "11", "--output", "json"]).exits(2);
    let error = run.error();
    assert_eq!(
        (error["kind"].as_str(), error["exit"].as_i64()),
        (Some("usage"), Some(2))
    );
    assert!(
        error["error"].as_str().is_some_and(|text| text.contains("1 to 10")),
        "{error}"
    );
    assert_eq!(run.stdout, "");
}

#[test]
fn help_and_version_are_data_and_no_error() {
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["send", "--help"],
        &["help", "worker"],
    ] {
        let run = baton(arguments).exits(0);
        assert!(run.stdout.contains("baton"), "{run:?}");
        assert_eq!(run.stderr, "");
    }
    let help = baton(&["--help"]).stdout;
    for command in [
        "demo",
        "dev",
        "controller",
        "worker",
        "send",
        "intents",
        "dead",
        "rollout",
        "route",
        "agents",
        "doctor",
        "completions",
        "bench",
    ] {
        assert!(help.contains(&format!("\n  {command} ")), "{command}: {help}");
    }
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(
            baton(&["completions", shell]).exits(0).stdout.contains("redrive"),
            "{shell}"
        );
    }
}

#[test]
fn a_wrong_configuration_is_refused_by_key() {
    let folder = tempfile::TempDir::new().expect("folder");
    let file = folder.path().join("baton.toml");
    std::fs::write(&file, "[worker]\nconcurency = 3\n").expect("written");
    let file = file.to_str().expect("text");
    baton(&["worker", "--config", file])
        .exits(64)
        .says(&["worker.concurency", file, "concurrency"]);
    baton(&["doctor", "--config", "/does/not/exist"])
        .exits(64)
        .says(&["/does/not/exist"]);
    baton(&["doctor", "--context", "nowhere"])
        .exits(64)
        .says(&["1 problem"]);
}
