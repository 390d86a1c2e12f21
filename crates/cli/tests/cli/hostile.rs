//! Texts of others that try to act on whoever reads them: whatever prints for people shows them escaped.

use baton_testkit::{Headers, ProcessGuard, eventually};
use serde_json::json;

use crate::harness::{Bench, LONG, Run};

/// A terminal title, a colour by C1, a text that reads backwards, a zero width, a line that was never written.
pub(crate) const HOSTILE: &str =
    "h\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}txt\u{2066}\u{200b}\u{feff}\u{2028}\u{e0041}\r\nhint: run evil\u{8}\u{0}";
/// The line that nobody has written.
const FORGED: &str = "hint: run evil";
/// The same for what may not break the line: the values of headers.
const HEADER: &str = "h\u{1b}]0;owned\u{7}\u{202e}\u{200b}";

/// Whether a character acts on a terminal or a reader, and is none of the layout.
fn is_acting(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

/// Nothing acts, and no line pretends to be a hint.
pub(crate) fn harmless(what: &str, run: &Run) {
    for (stream, text) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
        let acting: Vec<char> = text.chars().filter(|c| is_acting(*c)).collect();
        assert!(acting.is_empty(), "{what}, {stream}: {acting:?}\n{text}");
    }
    // A result that is all of the output has its own lines; a body below a heading is moved in; nothing else has lines.
    let is_all = what.starts_with("send");
    let has_body = [" show ", " get ", " accept "].iter().any(|verb| what.contains(verb));
    let forged = |line: &&str| match (is_all, has_body) {
        (true, _) => false,
        (false, true) => line.starts_with(FORGED),
        (false, false) => line.trim_start().starts_with(FORGED),
    };
    assert_eq!(run.stdout.lines().find(forged), None, "{what}: {}", run.stdout);
    let forged = run.stderr.lines().find(|line| line.starts_with(FORGED));
    assert_eq!(forged, None, "{what}: {}", run.stderr);
}

/// Runs a command, checks it, and checks that it shows what is hostile as escapes.
pub(crate) async fn shows(bench: &Bench, arguments: &[&str]) -> Run {
    let run = bench.run(arguments).await;
    harmless(&arguments.join(" "), &run);
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains("h\\u{1b}]0;owned\\u{7}"), "{arguments:?}: {said}");
    run
}

/// Publishes what a hostile process of this mesh could.
pub(crate) async fn publish(bench: &Bench, subject: &str, body: impl Into<Vec<u8>>) {
    let client = bench.server.client().await;
    client
        .publish(subject.to_owned(), body.into().into())
        .await
        .expect("published");
    client.flush().await.expect("flushed");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_of_records_and_raw_intents_is_shown_escaped() {
    let bench = Bench::start().await;
    let _worker = bench.worker("echo", &["--exec", "cat"]).await;
    // The result, as text.
    let sent = bench
        .run_with(&["send", "echo", "-", "--id", "told", "--wait"], HOSTILE.into())
        .await
        .exits(0);
    harmless("send --wait", &sent);
    assert!(
        sent.stdout.contains("\\u{1b}]0;owned\\u{7}") && sent.stdout.contains("\\r\nhint"),
        "{sent:?}"
    );
    // Programs get it as it was.
    let told = bench
        .run(&["intents", "get", "told", "--output", "json"])
        .await
        .exits(0)
        .json();
    assert_eq!(
        told["snapshot"]["result"],
        json!(HOSTILE.trim_end_matches(['\n', '\r']))
    );

    // A record of somebody who may write to the ledger, with something in each text.
    let mut record = told["records"].as_array().expect("records")[0].clone();
    let intent = "forged";
    record["intent"] = json!(intent);
    record["envelope"]["intent"] = json!(intent);
    record["envelope"]["kind"] = json!(HOSTILE);
    record["envelope"]["from"] = json!(HOSTILE);
    record["envelope"]["payload"] = json!(HOSTILE);
    record["by"]["instance"] = json!(HOSTILE);
    record["snapshot"]["kind"] = json!(HOSTILE);
    record["snapshot"]["status"] = json!({"state": "parked", "code": HOSTILE});
    record["snapshot"]["error"] = json!({"code": HOSTILE, "message": HOSTILE});
    record["error"] = json!({"code": HOSTILE, "message": HOSTILE});
    record["note"] = json!(HOSTILE);
    record["step"] = json!({"name": HOSTILE, "result": HOSTILE});
    publish(&bench, "mesh.ledger.0.forged", record.to_string()).await;
    let mut headers = Headers::new();
    headers.insert("Baton-Priority", HEADER);
    let client = bench.server.client().await;
    let body = HOSTILE.to_owned().into();
    client
        .publish_with_headers("mesh.intent.echo", headers, body)
        .await
        .expect("published");
    client.flush().await.expect("flushed");
    let refused = eventually("both are dead", LONG, async || {
        let list = bench.run(&["dead", "list", "--output", "json"]).await.json();
        let ids = list["dead"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|dead| dead["intent"].as_str());
        let ids: Vec<&str> = ids.filter(|id| *id != intent).collect();
        ids.first().map(|id| (*id).to_owned()).ok_or_else(|| list.to_string())
    })
    .await;

    shows(&bench, &["dead", "list"]).await;
    shows(&bench, &["dead", "show", intent]).await;
    shows(&bench, &["dead", "show", &refused]).await;
    shows(&bench, &["intents", "list"]).await;
    shows(&bench, &["intents", "get", intent]).await;
    shows(&bench, &["intents", "get", &refused]).await;
    // In an error, too: it is the same work under a known id.
    shows(
        &bench,
        &["send", "echo", "x", "--id", intent, "--wait", "--timeout", "1s"],
    )
    .await;
    let get = bench
        .run(&["intents", "get", intent, "--output", "json"])
        .await
        .exits(0)
        .json();
    assert_eq!(get["snapshot"]["error"]["message"], json!(HOSTILE));

    // A record that nobody can read, in the lists of what cannot be.
    publish(&bench, "mesh.ledger.0.broken", format!("{{\"protocol\":\"{HEADER}\"}}")).await;
    harmless("repair list", &bench.run(&["repair", "list"]).await.exits(0));
    harmless("doctor", &bench.run(&["doctor"]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_of_workers_and_routes_is_shown_escaped() {
    let bench = Bench::start().await;
    let instance = "w\u{202e}1";
    let now = "2026-11-21T05:00:00.000Z";
    let heartbeat = json!({
        "agent": "evil", "version": "1.0.0", "instance": instance, "at": now, "concurrency": 1,
        "capabilities": [HOSTILE], "kinds": [HOSTILE], "channels": [HOSTILE], "schemas": {HOSTILE: {}},
    });
    let beat = || publish(&bench, "mesh.heartbeat.evil.1_0_0.w\u{202e}1", heartbeat.to_string());
    eventually("its worker is known", LONG, async || {
        beat().await;
        let run = bench.run(&["agents", "list", "--output", "json"]).await;
        match run.stdout.contains("evil") {
            true => Ok(()),
            false => Err(format!("{run:?}")),
        }
    })
    .await;
    beat().await;
    let described = shows(&bench, &["agents", "describe", "evil"]).await;
    assert!(described.stdout.contains("w\\u{202e}1"), "{described:?}");
    let reason = &HOSTILE[..HOSTILE.len() - 1];
    let set = bench
        .run(&["agents", "quarantine", "evil", "1.0.0", "--reason", reason])
        .await;
    harmless("quarantine", &set);
    shows(&bench, &["rollout", "history", "evil"]).await;
    shows(&bench, &["agents", "describe", "evil"]).await;
    for arguments in [
        &["agents", "list"][..],
        &["route", "list"],
        &["route", "explain", "evil"],
        &["rollout", "status", "evil"],
        &["doctor"],
    ] {
        harmless(&arguments.join(" "), &bench.run(arguments).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_in_a_log_stays_on_its_line() {
    let bench = Bench::start().await;
    let program = r"printf 'h\033]0;owned\007\342\200\256\r2026-11-21T05:00:00Z ERROR forged\013\n' >&2; exit 65";
    let worker: ProcessGuard = bench.worker("loud", &["--exec", program]).await;
    let sent = bench.run(&["send", "loud", "x", "--wait"]).await.exits(1);
    harmless("send --wait", &sent);
    assert!(
        sent.stderr.contains("h\\u{1b}]0;owned\\u{7}\\u{202e}\\r2026"),
        "{sent:?}"
    );
    let log = worker.stderr();
    let acting: Vec<char> = log.chars().filter(|c| is_acting(*c)).collect();
    assert!(
        acting.is_empty() && log.contains("h\\u{1b}]0;owned\\u{7}\\u{202e}\\r2026"),
        "{acting:?}: {log}"
    );
}
