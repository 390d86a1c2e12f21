//! Texts of others in what people are shown of waits, trees, work, schedules, channels and limits; and in the lines that they
//! are to copy.

use std::process::Command;

use baton_envelope::IntentId;
use baton_testkit::eventually;
use serde_json::{Value, json};

use crate::harness::{Bench, LONG};
use crate::hostile::{HOSTILE, harmless, publish, shows};

/// A name that is more than a word where a shell reads it.
const SHELL: &str = "x';touch evil;$(touch evil)`touch evil` #";
const AT: &str = "2026-11-21T05:00:00.000Z";

/// The first record of an intent that has ended, as JSON: a sample for records of somebody who may write to the ledger.
async fn sample(bench: &Bench) -> Value {
    let sent = bench.run(&["send", "echo", "x", "--id", "told", "--wait"]).await;
    harmless("send --wait", &sent.exits(0));
    let told = bench.run(&["intents", "get", "told", "--output", "json"]).await;
    told.exits(0).json()["records"][0].clone()
}

/// Writes a record of an intent.
async fn write(bench: &Bench, sample: &Value, intent: &str, change: impl FnOnce(&mut Value)) {
    let mut record = sample.clone();
    record["intent"] = json!(intent);
    record["envelope"]["intent"] = json!(intent);
    change(&mut record);
    publish(bench, &format!("mesh.ledger.0.{intent}"), record.to_string()).await;
    eventually("it can be read", LONG, async || {
        match bench.run(&["intents", "get", intent]).await.code {
            0 => Ok(()),
            code => Err(format!("exit {code}")),
        }
    })
    .await;
}

/// What a line for a shell says to the program that it names, word by word. The program prints them and does nothing.
fn words(line: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("baton() {{ printf '%s\\0' \"$@\"; }}; nats() {{ baton \"$@\"; }}; {line}");
    let run = Command::new("sh")
        .args(["-c", &script])
        .current_dir(folder.path())
        .output();
    let run = run.unwrap();
    assert!(run.status.success() && run.stderr.is_empty(), "{line}: {run:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{line}");
    let said = String::from_utf8(run.stdout).unwrap();
    said.trim_end_matches('\0').split('\0').map(str::to_owned).collect()
}

/// An intent that asks people, or waits for a signal, by this name.
fn waits(record: &mut Value, name: &str, kind: &str) {
    record["snapshot"]["status"] = json!({"state": "waiting", "reason": "human"});
    let ballot = json!({"choices": [{"name": name}], "quorum": 1});
    let mut open = json!({"hop": 1, "name": name, "kind": kind, "then": name});
    let mut spec = json!({"name": name, "kind": kind, "title": HOSTILE});
    if kind == "approval" {
        open["ballot"] = ballot;
        let form = json!({"type": "object", "title": HOSTILE, "required": [HOSTILE, SHELL]});
        spec["approval"] = json!({"title": HOSTILE, "text": HOSTILE, "form": form, "choices": [{"name": name}]});
        open["ballot"]["form"] = json!(true);
    }
    record["snapshot"]["waits"] = json!([open]);
    record["waits"] = json!([spec]);
    record["signal"] = json!({"name": name, "id": name, "data": HOSTILE, "by": HOSTILE});
    record["results"] = json!([{"name": name, "kind": kind, "outcome": name, "data": HOSTILE, "by": HOSTILE}]);
    record["people"] = json!({"act": name, "hop": 1, "wait": name, "choice": name, "to": [HOSTILE], "form": HOSTILE});
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_of_waits_is_shown_escaped_and_lines_to_copy_are_what_they_say() {
    let bench = Bench::start().await;
    let _worker = bench.worker("echo", &["--exec", "cat"]).await;
    let sample = sample(&bench).await;
    for (intent, name, kind) in [
        ("asks", HOSTILE, "approval"),
        ("asks-shell", SHELL, "approval"),
        ("hears", HOSTILE, "signal"),
        ("hears-shell", SHELL, "signal"),
        ("hears-flag", "--server=evil", "signal"),
        ("odd", HOSTILE, HOSTILE),
    ] {
        write(&bench, &sample, intent, |record| waits(record, name, kind)).await;
        shows(&bench, &["intents", "get", intent]).await;
    }
    shows(&bench, &["approvals", "list"]).await;
    for (intent, name) in [("asks", HOSTILE), ("asks-shell", SHELL)] {
        let shown = shows(&bench, &["approvals", "show", intent]).await;
        let (_, lines) = shown.stdout.split_once("\nto decide\n").expect("the lines");
        assert!(!lines.contains("\nto decide"), "{lines}");
        let lines: Vec<&str> = lines.lines().collect();
        let [answer, publish] = lines[..] else {
            panic!("{lines:?}")
        };
        let (answer, publish) = (words(answer), words(publish));
        assert_eq!(answer[..5], ["approvals", "answer", intent, "--as", "-"], "{answer:?}");
        assert_eq!(
            (&*answer[5], &*answer[7], answer.len()),
            ("--choice", "--form", 9),
            "{answer:?}"
        );
        assert_eq!((&*publish[0], publish.len()), ("pub", 3), "{publish:?}");
        if name == SHELL {
            assert_eq!(answer[6], SHELL);
            assert_eq!(publish[1], format!("mesh.decide.-.{intent}.1.{SHELL}.{SHELL}"));
        }
        // What the choice is called, in a line and in an error.
        for verb in ["approve", "reject"] {
            let decided = bench
                .run(&["approvals", verb, intent, "--as", "ada", "--timeout", "1s"])
                .await;
            harmless(&format!("approvals {verb}"), &decided);
        }
        let overruled = ["approvals", "override", intent, "--choice", "x", "--reason", SHELL];
        harmless("approvals override", &bench.run(&overruled).await);
    }
    for (intent, words_before) in [("hears-shell", 2), ("hears-flag", 3)] {
        let get = bench
            .run(&["intents", "get", intent, "--output", "json"])
            .await
            .exits(0);
        let line = get.json()["waits"][0]["end"].as_str().expect("a line").to_owned();
        let said = words(&line);
        assert_eq!(
            (said.len(), said.last().map(String::as_str)),
            (words_before + 2, Some("DATA")),
            "{line}"
        );
    }
    harmless("intents state", &bench.run(&["intents", "state", "odd"]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_of_children_adds_no_row_to_a_tree() {
    let bench = Bench::start().await;
    let _worker = bench.worker("echo", &["--exec", "cat"]).await;
    let sample = sample(&bench).await;
    let call = |name: &str| {
        let children = json!({"children": [{"payload": 1}, {"payload": 2}], "to": "echo", "join": HOSTILE});
        json!({"name": name, "kind": "children", "title": HOSTILE, "children": children})
    };
    write(&bench, &sample, "family", |record| {
        record["snapshot"]["status"] = json!({"state": "completed"});
        record["snapshot"]["result"] = json!(HOSTILE);
        record["waits"] = json!([call(HOSTILE), call("plain")]);
    })
    .await;
    let family = "family".parse().unwrap();
    for name in [HOSTILE, "plain"] {
        let child = IntentId::of_child(&family, 1, name, 0);
        write(&bench, &sample, child.as_str(), |record| {
            record["snapshot"]["status"] = json!({"state": "rejected", "code": HOSTILE});
            record["snapshot"]["error"] = json!({"code": HOSTILE, "message": HOSTILE});
        })
        .await;
    }
    let tree = shows(&bench, &["intents", "tree", "family"]).await.exits(0);
    // The parent, and for each call a line and those of its two children.
    assert_eq!(tree.stdout.lines().count(), 7, "{}", tree.stdout);
    let json = bench
        .run(&["intents", "tree", "family", "--output", "json"])
        .await
        .exits(0)
        .json();
    assert_eq!(json["calls"][0]["name"], json!(HOSTILE));
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_of_work_by_hand_schedules_channels_and_limits_is_shown_escaped() {
    let bench = Bench::start().await;
    let _worker = bench.worker("echo", &["--exec", "cat"]).await;
    let sample = sample(&bench).await;
    bench.run(&["agents", "add", "desk", "--manual"]).await.exits(0);
    write(&bench, &sample, "by-hand", |record| {
        record["snapshot"]["agent"] = json!("desk");
        record["snapshot"]["path"] = json!([{"agent": "desk", "version": "1.0.0"}]);
        record["snapshot"]["kind"] = json!(HOSTILE);
        record["envelope"]["to"] = json!("desk");
        record["envelope"]["from"] = json!(HOSTILE);
        record["envelope"]["kind"] = json!(HOSTILE);
        record["envelope"]["payload"] = json!(HOSTILE);
    })
    .await;
    eventually("it is listed", LONG, async || {
        let list = bench.run(&["work", "list"]).await;
        match list.stdout.contains("by-hand") {
            true => Ok(()),
            false => Err(format!("{list:?}")),
        }
    })
    .await;
    shows(&bench, &["work", "list"]).await;
    shows(&bench, &["work", "accept", "by-hand", "--as", "ada"])
        .await
        .exits(0);

    let schedule = json!({
        "name": "evil", "agent": "echo", "cron": HOSTILE, "tz": HOSTILE, "kind": HOSTILE, "payload": HOSTILE,
        "missed": HOSTILE, "overlap": HOSTILE, "created_at": AT, "created_by": HOSTILE, "through": AT,
        "paused": {"since": AT, "by": HOSTILE}, "skipped": {"at": AT, "why": HOSTILE},
        "held": {"since": AT, "code": HOSTILE, "problem": HOSTILE}, "last": {"intent": "told", "at": AT},
    });
    publish(&bench, "$KV.MESH_SCHEDULES.evil", schedule.to_string()).await;
    for line in [&["schedules", "list"][..], &["schedules", "show", "evil"]] {
        eventually("it is known", LONG, async || {
            let run = bench.run(line).await;
            match run.stdout.contains("h\\u{1b}") {
                true => Ok(()),
                false => Err(format!("{run:?}")),
            }
        })
        .await;
        shows(&bench, line).await.exits(0);
    }
    for line in [
        &["schedules", "next", "evil"][..],
        &["schedules", "resume", "evil"],
        &["schedules", "list"],
    ] {
        harmless(&line.join(" "), &bench.run(line).await);
    }

    // An argument ends at a zero byte.
    let reason = HOSTILE.trim_end_matches('\0');
    for line in [
        &["channels", "subscribe", "news", "desk", "--reason", reason][..],
        &["channels", "list"],
        &["channels", "show", "news"],
        &["send", "x", "--channel", "news", "--id", "to-all"],
        &["channels", "status", "to-all"],
        &["agents", "limit", "desk", "--in-flight", "2", "--reason", reason],
        &["agents", "limit", "desk"],
        &["agents", "policy", "desk"],
        &["send", "echo", "x", "--unique", reason],
        &["send", "echo", "x", "--order-key", reason],
        &["send", "echo", "x", "--kind", reason],
        &["agents", "kill", "desk", "1.0.0", "--reason", reason],
        &["agents", "pause", "echo", "--reason", reason],
    ] {
        harmless(&line.join(" "), &bench.run(line).await);
    }
    shows(&bench, &["agents", "breaker", "desk", "--open", "--reason", reason]).await;
    shows(&bench, &["agents", "breaker", "desk"]).await;
    shows(&bench, &["agents", "list"]).await;
    shows(&bench, &["rollout", "history", "desk"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_named_so_that_its_repair_can_be_copied() {
    let bench = Bench::start().await;
    let subject = "mesh.ledger.0.x;touch$(touch${IFS}evil)";
    publish(&bench, subject, "no record").await;
    eventually("it is found", LONG, async || {
        let doctor = bench.run(&["doctor", "--output", "json"]).await.json();
        let findings = doctor["findings"].as_array().into_iter().flatten();
        let mut remedies = findings.filter_map(|finding| finding["remedy"].as_str());
        let Some(remedy) = remedies.find(|remedy| remedy.starts_with("baton repair ") && remedy.contains("x;touch"))
        else {
            return Err(doctor.to_string());
        };
        let (line, _) = remedy.split_once(" (").expect("a command");
        assert_eq!(words(line), ["repair", &format!("ledger/{subject}")]);
        Ok(())
    })
    .await;
}
