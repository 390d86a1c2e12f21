use std::collections::BTreeSet;

use baton_envelope::codes::ALL;
use clap::Parser as _;

use super::*;
use crate::args::Cli;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors");

/// What stands in a command of a page for what a person puts there.
const PLACEHOLDERS: [(&str, &str); 11] = [
    ("CHANNEL", "news"),
    ("OTHER-VERSION", "3.0.0"),
    ("OTHER", "review"),
    ("ANOTHER-ID", "order-2"),
    ("SPACE", "house-rules"),
    ("VERSION", "2.0.0"),
    ("OLD", "1.0.0"),
    ("NEW", "2.0.0"),
    ("AGENT", "code"),
    ("KIND", "a.b.v1"),
    ("NAME", "text"),
];

#[test]
fn each_code_has_its_page_and_each_page_its_code() {
    let codes: BTreeSet<&str> = ALL.iter().map(|code| code.name).collect();
    let pages: Vec<&str> = PAGES.iter().map(|page| page.code).collect();
    assert!(pages.is_sorted());
    assert_eq!(pages.into_iter().collect::<BTreeSet<_>>(), codes);
    let files: BTreeSet<String> = std::fs::read_dir(FOLDER)
        .expect("the folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    let expected = codes.iter().map(|code| format!("{code}.md"));
    assert_eq!(files, expected.chain(["README.md".to_owned()]).collect());
}

#[test]
fn a_page_has_three_parts_and_the_sentence_of_its_code() {
    for (page, code) in PAGES.iter().zip(ALL) {
        let parts = page.parts().unwrap_or_else(|| panic!("{} is not in form", page.code));
        assert_eq!(parts.summary, code.summary, "{}", page.code);
        let long = page.text.lines().count();
        assert!((10..=30).contains(&long), "{} has {long} lines", page.code);
        for part in [parts.meaning, parts.causes, parts.remedy] {
            assert!(!part.is_empty() && !part.contains("\n#"), "{}: {part}", page.code);
        }
    }
}

#[test]
fn the_index_lists_each_page_with_its_sentence() {
    let index = std::fs::read_to_string(format!("{FOLDER}/README.md")).expect("the index");
    let rows: Vec<&str> = index.lines().filter(|line| line.starts_with("| [")).collect();
    let expected: Vec<String> = ALL
        .iter()
        .map(|code| format!("| [{0}]({0}.md) | {1} |", code.name, code.summary.trim_end_matches('.')))
        .collect();
    assert_eq!(rows, expected);
}

/// A remedy that does not run is worse than none.
#[test]
fn every_command_of_a_page_is_one_that_this_program_reads() {
    let mut read = 0;
    for page in PAGES {
        let commands = page.text.lines().filter(|line| line.starts_with("baton "));
        for command in commands.filter(|command| !command.contains("COMMAND")) {
            let mut line = command.to_owned();
            for (placeholder, value) in PLACEHOLDERS {
                line = line.replace(placeholder, value);
            }
            if let Err(error) = Cli::try_parse_from(words(&line)) {
                assert!(!error.use_stderr(), "{}: {command}: {error}", page.code);
            }
            read += 1;
        }
    }
    assert!(read > 100, "only {read} commands were found");
}

/// The words of a line as a shell reads them.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (Some(open), _) if open == c => quote = None,
            (None, ' ') => words.extend(word.take()),
            (_, _) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}
