//! What cannot be read: it holds nothing up, it is listed and told of, and one command repairs it.

use baton_testkit::eventually;
use futures::StreamExt as _;

use crate::harness::{Bench, LONG};

async fn write(bench: &Bench, subject: &str, body: &str) {
    let client = bench.server.client().await;
    client
        .publish(subject.to_owned(), body.to_owned().into())
        .await
        .expect("published");
    client.flush().await.expect("flushed");
}

/// The keys that are listed as unreadable.
async fn keys(bench: &Bench) -> Vec<String> {
    let list = bench.run(&["repair", "list", "--output", "json"]).await.exits(0).json();
    let entries = list["unreadable"].as_array().expect("a list").iter();
    entries
        .map(|one| one["key"].as_str().expect("a key").to_owned())
        .collect()
}

async fn status(bench: &Bench, intent: &str) -> String {
    let run = bench
        .run(&["intents", "get", intent, "--output", "json"])
        .await
        .exits(0)
        .json();
    run["snapshot"]["status"]["state"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
async fn garbage_in_the_ledger_stops_no_intent_and_is_repaired() {
    let bench = Bench::start().await;
    let client = bench.server.client().await;
    let program = "touch \"$HOME/busy\"; while [ ! -e \"$HOME/go\" ]; do sleep 0.05; done; cat";
    let _worker = bench.worker("slow", &["--exec", program]).await;
    bench.run(&["send", "slow", "x", "--id", "runs"]).await.exits(0);
    eventually("it runs", LONG, async || {
        match bench.home.path().join("busy").exists() {
            true => Ok(()),
            false => Err("idle".to_owned()),
        }
    })
    .await;
    // On a running intent: its commit goes on from the last readable record.
    write(&bench, "mesh.ledger.0.runs", "garbage").await;
    std::fs::write(bench.home.path().join("go"), "").expect("written");
    bench
        .run(&["send", "slow", "x", "--id", "runs", "--wait", "--timeout", "30s"])
        .await
        .exits(0);
    assert_eq!(keys(&bench).await, Vec::<String>::new());
    bench
        .run(&["repair", "intent/runs"])
        .await
        .exits(3)
        .says(&["nothing to repair"]);

    // At the end of one that is closed, on one that waits, on an id that nobody has, and of a newer protocol.
    bench.run(&["agents", "quarantine", "slow", "1.0.0"]).await.exits(0);
    bench.run(&["route", "set", "other", "1.0.0"]).await.exits(0);
    bench.run(&["send", "other", "x", "--id", "waits"]).await.exits(0);
    // What was told of the first garbage may come late.
    let mut alarms = client.subscribe("mesh.alarm").await.expect("subscribed");
    client.flush().await.expect("flushed");
    for (intent, body) in [
        ("runs", "garbage"),
        ("waits", "garbage"),
        ("nobody", "garbage"),
        ("later", "{\"protocol\":\"9.0.0\"}"),
    ] {
        write(&bench, &format!("mesh.ledger.0.{intent}"), body).await;
    }
    let expected = ["intent/later", "intent/nobody", "intent/runs", "intent/waits"];
    assert_eq!(keys(&bench).await, expected);
    let doctor = bench.run(&["doctor"]).await.exits(1);
    for key in expected {
        assert!(
            doctor.stdout.contains(&format!("baton repair {key}")),
            "{key}: {doctor:?}"
        );
    }
    assert_eq!(
        (status(&bench, "runs").await, status(&bench, "waits").await),
        ("completed".to_owned(), "pending".to_owned())
    );

    // Each is told of once.
    let mut told = Vec::new();
    while told.len() < 4 {
        let alarm = tokio::time::timeout(LONG, alarms.next())
            .await
            .expect("an alarm")
            .expect("connected");
        let alarm: serde_json::Value = serde_json::from_slice(&alarm.payload).expect("JSON");
        if alarm["code"] == "UNREADABLE" {
            told.push(alarm["ways_out"][0].as_str().expect("a command").to_owned());
        }
    }
    told.sort();
    assert_eq!(told, expected.map(|key| format!("baton repair {key}")));

    bench
        .run(&["repair", "intent/later"])
        .await
        .exits(4)
        .says(&["newer", "--force"]);
    for key in ["intent/runs", "intent/waits", "intent/nobody"] {
        bench.run(&["repair", key]).await.exits(0);
    }
    let removed = bench
        .run(&["repair", "intent/later", "--force", "--output", "json"])
        .await
        .exits(0)
        .json();
    assert_eq!(removed["removed"].as_array().map(Vec::len), Some(1), "{removed}");
    assert_eq!(keys(&bench).await, Vec::<String>::new());
    assert_eq!(
        (status(&bench, "runs").await, status(&bench, "waits").await),
        ("completed".to_owned(), "pending".to_owned())
    );
    // It goes on: its agent gets a worker.
    let _worker = bench.worker("other", &["--exec", "cat"]).await;
    bench
        .run(&["send", "other", "x", "--id", "waits", "--wait", "--timeout", "50s"])
        .await
        .exits(0);
    bench
        .run(&["send", "other", "x", "--id", "nobody", "--wait", "--timeout", "50s"])
        .await
        .exits(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_the_buckets_stops_no_agent_and_is_repaired() {
    let bench = Bench::start().await;
    let _worker = bench.worker("shout", &["--exec", "tr a-z A-Z"]).await;
    for (key, body) in [
        ("MESH_ROUTES.shout", "garbage"),
        ("MESH_ROUTES.ghost", "garbage"),
        ("MESH_AGENTS.ghost.1_0_0", "{\"agent\":7}"),
        ("MESH_CONTROL.leader", "\u{1}"),
    ] {
        write(&bench, &format!("$KV.{key}"), body).await;
    }
    // A ticket, a heartbeat and raw messages need no repair.
    for subject in [
        "mesh.work.shout.1_0_0.p5",
        "mesh.heartbeat.shout.1_0_0.w",
        "mesh.intent.shout.x",
        "mesh.capability.Bad",
    ] {
        write(&bench, subject, "\u{0}garbage").await;
    }
    // The rest goes on, and what was read before is written again by itself.
    bench
        .run(&["send", "shout", "hello", "--wait", "--timeout", "30s"])
        .await
        .exits(0);
    eventually("what is remembered is back", LONG, async || match keys(&bench).await {
        left if left == ["declaration/ghost.1_0_0", "route/ghost"] => Ok(()),
        left => Err(format!("{left:?}")),
    })
    .await;
    let doctor = bench.run(&["doctor"]).await.exits(1);
    for key in ["declaration/ghost.1_0_0", "route/ghost"] {
        assert!(doctor.stdout.contains(&format!("baton repair {key}")), "{doctor:?}");
        bench.run(&["repair", key]).await.exits(0);
        bench.run(&["repair", key]).await.exits(3);
    }
    bench
        .run(&["repair", "list"])
        .await
        .exits(0)
        .says(&["everything can be read"]);
    bench
        .run(&["repair", "routes/ghost"])
        .await
        .exits(2)
        .says(&["repair list"]);
    let _worker = bench.worker("ghost", &["--exec", "cat"]).await;
    bench
        .run(&["send", "ghost", "boo", "--wait", "--timeout", "30s"])
        .await
        .exits(0);
}
