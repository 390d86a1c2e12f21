//! The commands in the documents: each `baton` line of a block of shell parses as the command line that it shows, and no
//! line holds two commands that were run together.

mod shell;

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;

use self::shell::Line;

/// A line of a block of shell, and where it stands.
struct Found {
    place: String,
    text: String,
}

/// README.md and every page below docs.
fn documents() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (mut open, mut found) = (vec![root.join("docs")], vec![root.join("README.md")]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "md") {
                found.push(path);
            }
        }
    }
    found
}

/// The lines of the `sh` blocks of a document. A line that ends with `\` goes on in the next one.
fn lines(name: &str, text: &str) -> Vec<Found> {
    let (mut found, mut block, mut goes_on) = (Vec::<Found>::new(), None, false);
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(language) = line.strip_prefix("```") {
            block = if block.is_none() { Some(language == "sh") } else { None };
            goes_on = false;
        } else if block == Some(true) && !line.is_empty() {
            let part = line.strip_suffix('\\');
            match found.last_mut().filter(|_| goes_on) {
                Some(last) => last.text.push_str(part.unwrap_or(line)),
                None => found.push(Found {
                    place: format!("{name}:{}", number + 1),
                    text: part.unwrap_or(line).to_owned(),
                }),
            }
            goes_on = part.is_some();
        }
    }
    found
}

/// What stands for the words that a reader fills in.
fn filled_in(word: &str) -> String {
    let name = word.trim_end_matches("...").trim_end_matches('…');
    let is_placeholder = name.len() > 1 && name.chars().all(|c| c.is_ascii_uppercase() || c == '-');
    match name {
        _ if !is_placeholder => word.to_owned(),
        "VERSION" | "OTHER-VERSION" | "OLD" | "NEW" => "1.0.0".to_owned(),
        "COMMAND" => "doctor".to_owned(),
        "RULE" => "deadline".to_owned(),
        _ => name.to_lowercase(),
    }
}

/// What is wrong with a line; empty if nothing is.
fn problems(text: &str) -> Vec<String> {
    let line = Line::read(text);
    let mut problems = line.run_together();
    for words in line.commands.iter().filter(|words| words[0] == "baton") {
        let words = words.iter().map(|word| filled_in(word));
        match baton_cli::command().try_get_matches_from(words) {
            Err(error) if !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
                problems.push(error.to_string());
            }
            Ok(_) | Err(_) => {}
        }
    }
    problems
}

#[test]
fn every_command_in_the_documents_parses_and_stands_on_a_line_of_its_own() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for path in documents() {
        let text = std::fs::read_to_string(&path).unwrap();
        for Found { place, text } in lines(&path.display().to_string(), &text) {
            seen += usize::from(text.contains("baton "));
            wrong.extend(
                problems(&text)
                    .into_iter()
                    .map(|why| format!("{place}: {text}\n    {why}")),
            );
        }
    }
    assert!(seen > 150, "only {seen} lines name baton: the documents moved");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_command_that_does_not_parse_is_found_wherever_it_stands_on_its_line() {
    for wrong in [
        "baton intents shwo ID",
        "$ baton send AGENT PAYLOAD --prioritty 3",
        "sudo -E baton rollout start AGENT 1.x",
        "BATON_SERVER=nats://a:1 baton dead redrive",
        "echo 'x' | baton send AGENT --max-hops 99",
        "baton doctor && baton doctor AGENT",
        "nats pub mesh.intent.a x; baton intents list --limitt 3 > file",
    ] {
        assert_eq!(problems(wrong).len(), 1, "{wrong}: {:?}", problems(wrong));
    }
    for right in [
        "baton dead list [--agent NAME]",
        "baton dead redrive ID...   # as many as you like",
        "$ RUST_BACKTRACE=1 baton -vv COMMAND 2>&1 | tee log",
        "baton worker --agent AGENT --version OLD --exec 'tr a-z A-Z | rev'",
        "baton COMMAND --help",
        "cargo build --release    # baton, for everything",
        "baton bench --only baton",
    ] {
        assert_eq!(problems(right), Vec::<String>::new(), "{right}");
    }
}

/// As a copy-edit once left them.
#[test]
fn lines_that_were_run_together_are_found() {
    for wrong in [
        "cargo build --release # baton, for everything baton bench # w1 to w6, about a quarter of an hour",
        "--output json # some of them, as JSON",
        "sudo -E cargo run -p baton-faults -- power-cut --rate 400 sudo -E cargo run -p baton-faults",
        "baton doctor # what is wrong baton doctor",
        "cargo build baton bench",
    ] {
        assert!(!problems(wrong).is_empty(), "{wrong}");
    }
}

#[test]
fn a_line_is_found_in_its_block_alone_and_goes_on_after_a_backslash() {
    let text = "baton prose\n\n```sh\nbaton send \\\n    AGENT\n```\n\n```text\nbaton text\n```\n";
    let found = lines("x.md", text);
    let found: Vec<_> = found.iter().map(|line| (&*line.place, &*line.text)).collect();
    assert_eq!(found, [("x.md:4", "baton send AGENT")]);
}
