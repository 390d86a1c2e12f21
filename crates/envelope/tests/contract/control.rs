//! The control API: each question and each answer is written as it was when it was new, and docs/protocol.md says the
//! same as the code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use baton_envelope::Json;
use baton_envelope::codes;
use baton_envelope::control::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::document::{set, table};

/// The decisions on a route, whose refusals are answered with their codes.
/// What a file of a verb holds.
#[derive(Deserialize)]
struct Golden {
    /// Questions as Baton writes them; the first one with every field set.
    questions: Vec<Json>,
    /// Ways to ask the last of these with as few fields as possible.
    short: Vec<Json>,
    /// Answers as Baton writes them; the first one with every field set.
    answers: Vec<Json>,
}

impl Golden {
    fn of(verb: &str) -> Self {
        read(&folder().join(format!("verbs/{verb}.json")))
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/control")
}

fn read<T: DeserializeOwned>(file: &Path) -> T {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Reads a document, and writes it again.
fn again<T: Serialize + DeserializeOwned>(about: &str, document: &str) -> String {
    let read: T = serde_json::from_str(document).unwrap_or_else(|error| panic!("{about}: {error}: {document}"));
    serde_json::to_string(&read).expect("JSON")
}

/// Whether a document comes out again byte for byte, and does so when a newer peer adds a field.
fn is_kept<T: Serialize + DeserializeOwned>(about: &str, document: &Json) {
    assert_eq!(again::<T>(about, document.get()), document.get(), "{about}");
    let comma = if document.get() == "{}" { "" } else { "," };
    let newer = document.get().replacen('{', &format!("{{\"acme_zone\":[7]{comma}"), 1);
    // A Route carries what it does not know; the other documents ignore it.
    let written = again::<T>(about, &newer);
    assert!(
        written == document.get() || written.contains("\"acme_zone\":[7]"),
        "{about}"
    );
}

/// Compares each question and its answers with the golden file of its verb.
struct Documents;

impl Visitor for Documents {
    fn visit<Q: Question>(&mut self) {
        let golden = Golden::of(Q::VERB);
        for question in &golden.questions {
            is_kept::<Q>(Q::VERB, question);
        }
        let last = golden.questions.last().expect("a question");
        for short in &golden.short {
            assert_eq!(again::<Q>(Q::VERB, short.get()), last.get(), "{}", Q::VERB);
        }
        for answer in &golden.answers {
            is_kept::<Q::Answer>(Q::VERB, answer);
            let reply = Json::parse(&format!("{{\"ok\":{}}}", answer.get())).expect("JSON");
            assert_eq!(again::<Reply<Q::Answer>>(Q::VERB, reply.get()), reply.get());
        }
    }
}

#[test]
fn every_question_and_every_answer_is_written_as_it_always_was() {
    each(&mut Documents);
    let files = std::fs::read_dir(folder().join("verbs")).expect("the golden folder");
    let files = files.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let expected = VERBS.iter().map(|verb| format!("{verb}.json"));
    assert_eq!(set(files), set(expected), "a golden file for each verb");
}

#[test]
fn what_the_leader_publishes_is_written_as_it_always_was() {
    for report in read::<Vec<Json>>(&folder().join("load.json")) {
        is_kept::<LoadReport>("load", &report);
    }
    for alarm in read::<Vec<Json>>(&folder().join("alarm.json")) {
        is_kept::<Alarm>("alarm", &alarm);
    }
    for alarm in read::<Vec<Json>>(&folder().join("mesh_alarm.json")) {
        is_kept::<MeshAlarm>("mesh_alarm", &alarm);
    }
}

#[test]
fn a_reply_is_an_answer_or_a_refusal() {
    for reply in read::<Vec<Json>>(&folder().join("reply.json")) {
        assert_eq!(again::<Reply<ArchiveFound>>("reply", reply.get()), reply.get());
    }
    let without_fix = "{\"error\":{\"code\":\"FAILED\",\"message\":\"it failed\"}}";
    let expected = ControlError::new(codes::FAILED, "it failed", "");
    assert_eq!(
        serde_json::from_str::<Reply<u8>>(without_fix).expect("a reply"),
        Reply::Error(expected)
    );
}

/// The verbs with whether each changes anything, as the code has them.
#[derive(Default)]
struct Listed(Vec<(String, String)>);

impl Visitor for Listed {
    fn visit<Q: Question>(&mut self) {
        let changes = match Q::EFFECT {
            Effect::Reads => "no",
            Effect::Changes => "yes",
        };
        assert!(Q::FIND < Q::ANSWER, "{}", Q::VERB);
        self.0.push((Q::VERB.to_owned(), changes.to_owned()));
    }
}

#[test]
fn every_verb_is_in_the_document_and_none_else() {
    let mut listed = Listed::default();
    each(&mut listed);
    let names: Vec<&str> = listed.0.iter().map(|(verb, _)| verb.as_str()).collect();
    assert_eq!(names, VERBS);
    let rows = table("### The control API").into_iter();
    let documented: Vec<(String, String)> = rows.map(|row| (row[0].clone(), row[3].clone())).collect();
    assert_eq!(documented, listed.0, "the verbs, in the order of the list");
}

/// The fields that a cell names, what stands in parentheses or after a colon left out; a `?` marks an optional one.
fn named(cell: &str) -> BTreeSet<String> {
    let mut depth = 0_i32;
    let plain: String = cell
        .chars()
        .filter(|&c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0 && c != ')'
        })
        .collect();
    let plain = plain.split_once(": ").map_or(plain.as_str(), |(before, _)| before);
    // A cell that is one piece of code has lost its marks.
    if !plain.contains('`') {
        return set([plain]);
    }
    set(plain.split('`').skip(1).step_by(2))
}

fn fields(document: &Json) -> BTreeSet<String> {
    let members: BTreeMap<String, Json> = document.read().expect("an object");
    members.into_keys().collect()
}

#[test]
fn the_fields_of_questions_and_answers_are_those_of_the_document() {
    let row = |heading: &str, name: &str| {
        let found = table(heading).into_iter().find(|row| row[0] == name);
        found.unwrap_or_else(|| panic!("\"{heading}\" has no row \"{name}\""))[1].clone()
    };
    for verb in table("### The control API") {
        let (verb, question, answer) = (&verb[0], &verb[1], &verb[2]);
        let golden = Golden::of(verb);
        if question != "{}" {
            let documented = named(&row("### Questions", question));
            let known: BTreeSet<String> = set(documented.iter().map(|field| field.trim_end_matches('?')));
            assert_eq!(known, fields(&golden.questions[0]), "the question {verb}");
            for needed in fields(&golden.short[0]) {
                assert!(documented.contains(&needed), "`{needed}` of {verb} may not be left out");
            }
        }
        if answer != "the Route" {
            let documented = named(&row("### Answers", answer));
            assert_eq!(documented, fields(&golden.answers[0]), "the answer to {verb}");
        }
    }
}
