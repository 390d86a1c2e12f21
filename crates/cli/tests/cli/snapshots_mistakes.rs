//! Snapshots of what is said of wrong arguments, of a wrong configuration, and where no server answers.

use baton_testkit::FakeServer;
use tempfile::TempDir;

use crate::harness::{baton, command, finish};
use crate::transcript::{Transcript, words};

/// Command lines that nobody should write.
const USAGE: [&str; 31] = [
    "frobnicate",
    "send",
    "send shout x --prioritty 3",
    "send shout x --priority 11",
    "send shout x --priority high",
    "send shout x --max-hops 65",
    "send a.b x",
    "send shout x --id order.42",
    "send shout x --deadline soon",
    "send shout x --deadline 500000years",
    "send shout x --deadline 2020-01-01T00:00:00Z",
    "send shout x --constraints []",
    "send shout x --pin code=1.x",
    "send shout x --pin code",
    "send shout x --timeout 1s",
    "send shout x --wait --timeout soon",
    "send shout @/does/not/exist",
    "send code x --capability rust",
    "send x --capability rust --when-none hold --pin code=1.0.0",
    "worker --agent x",
    "worker --agent x --version 1.x",
    "worker --agent x --version 1.0.0 --exec cat --concurrency 0",
    "intents list --status done",
    "intents get",
    "dead redrive",
    "dead redrive --all order-1",
    "rollout start code 2.x",
    "rollout start code 2.0.0 --at-once --canary 5",
    "rollout start code 2.0.0 --canary 0",
    "route explain code --capability rust",
    "completions tcsh",
];

#[test]
fn wrong_arguments_are_told_to_a_person_and_to_a_program() {
    for (name, form) in [("mistakes-usage", ""), ("mistakes-usage-json", " --output json")] {
        let mut transcript = Transcript::new(&[]);
        for line in USAGE {
            let line = format!("{line}{form}");
            transcript.add(&line, &baton(&words(&line)));
        }
        transcript.is(name);
    }
}

/// To clap a variable of the environment is set like a flag, and of itself it lists what is set.
#[test]
fn how_a_command_is_used_does_not_depend_on_the_environment() {
    let home = TempDir::new().expect("a folder");
    for line in ["send", "intents get --output json"] {
        let mut bare = command(home.path());
        bare.args(words(line));
        let mut set = command(home.path());
        set.args(words(line)).env("BATON_SERVER", "nats://127.0.0.1:1");
        let (bare, set) = (finish(bare, b""), finish(set, b""));
        assert_eq!(bare.stderr, set.stderr);
        assert!(set.stderr.contains("Usage: baton"), "{set:?}");
    }
}

#[test]
fn a_wrong_configuration_is_told() {
    let home = TempDir::new().expect("a folder");
    let folder = home.path().to_str().expect("text");
    let mut transcript = Transcript::new(&[(folder, "[home]")]);
    let run = |line: &str, variable: Option<(&str, &str)>| {
        let mut command = command(home.path());
        command.args(words(line)).envs(variable);
        finish(command, b"")
    };
    for (name, text) in [
        ("misspelt", "[worker]\nconcurency = 3\n"),
        ("mistyped", "[worker]\nconcurrency = \"many\"\n"),
        ("unreadable", "[worker\n"),
        ("section", "[workers]\n"),
    ] {
        let file = format!("{folder}/{name}.toml");
        std::fs::write(&file, text).expect("written");
        for form in ["table", "json"] {
            let line = format!("worker --config {file} --output {form}");
            transcript.add(&line, &run(&line, None));
        }
    }
    for line in [
        "doctor --config /does/not/exist",
        "doctor --context nowhere",
        "intents list --context nowhere",
        "intents list --creds /does/not/exist",
        "intents list --namespace a.b",
    ] {
        transcript.add(line, &run(line, None));
    }
    for (name, value) in [("BATON_WORKER__CONCURRENCY", "many"), ("BATON_WORKER__CONCURENCY", "3")] {
        let line = format!("worker # with {name}={value}");
        transcript.add(&line, &run("worker", Some((name, value))));
    }
    transcript.is("mistakes-configuration");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_or_too_old_is_told() {
    let old = FakeServer::old().await;
    let mut transcript = Transcript::new(&[(old.url(), "nats://[old]")]);
    // Nobody listens on port 1.
    for server in ["nats://127.0.0.1:1", old.url()] {
        for command in [
            "intents list",
            "send shout x",
            "agents list --output json",
            "doctor",
            "doctor --output json",
        ] {
            let line = format!("{command} --server {server}");
            let run = tokio::task::block_in_place(|| baton(&words(&line)));
            transcript.add(&line, &run);
        }
    }
    transcript.is("mistakes-server");
}
