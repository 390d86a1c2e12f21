//! Snapshots of `--help`, of every command that there is.

use crate::harness::baton;
use crate::transcript::{Transcript, words};

/// The commands that a help text lists.
fn listed(help: &str) -> Vec<String> {
    let commands = help.split("\nCommands:\n").nth(1).unwrap_or_default();
    let lines = commands.lines().take_while(|line| !line.is_empty());
    // A description that goes on is indented further.
    let named = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = named.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(ToOwned::to_owned).collect()
}

/// Writes down the help of a command, and of those below it.
fn write_down(transcript: &mut Transcript, path: &str) {
    let line = format!("{path} --help");
    let run = baton(&words(&line));
    transcript.add(&line, &run);
    for name in listed(&run.stdout) {
        write_down(transcript, &format!("{path} {name}"));
    }
}

#[test]
fn every_command_helps() {
    let mut transcript = Transcript::new(&[(env!("CARGO_PKG_VERSION"), "[version]")]);
    for line in ["--help", "-h", "--version", ""] {
        transcript.add(line, &baton(&words(line)));
    }
    transcript.is("help");
    let commands = listed(&baton(&["--help"]).stdout);
    assert!(commands.len() > 10, "{commands:?}");
    for name in commands {
        let mut transcript = Transcript::new(&[]);
        write_down(&mut transcript, &name);
        transcript.is(&format!("help-{name}"));
    }
}
