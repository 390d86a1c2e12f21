//! `baton intents` and `baton agents`.

use baton_testkit::eventually;

use crate::harness::{Bench, LONG};

#[tokio::test(flavor = "multi_thread")]
async fn one_intent_is_shown_with_its_whole_trail() {
    let bench = Bench::start().await;
    let _worker = bench
        .worker("shout", &["--exec", "tr a-z A-Z", "--capability", "text"])
        .await;
    bench
        .run(&["send", "shout", "hi", "--id", "order-1", "--wait"])
        .await
        .exits(0);
    let text = bench.run(&["intents", "get", "order-1"]).await.exits(0).stdout;
    for part in [
        "completed",
        "shout@1.0.0",
        "holders",
        "submitted",
        "SEQ",
        "EPOCH",
        "result\n  HI",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let json = bench
        .run(&["intents", "get", "order-1", "--output", "json"])
        .await
        .exits(0)
        .json();
    assert_eq!(json["snapshot"]["result"], "HI");
    assert_eq!(json["holders"][0]["agent"], "shout");
    let records = json["records"].as_array().expect("records");
    assert_eq!(records[0]["event"]["type"], "submitted");
    assert_eq!(records.last().expect("last")["seq"], json["seq"]);
    bench
        .run(&["intents", "get", "order-2"])
        .await
        .exits(3)
        .says(&["order-2", "baton intents list"]);
    let agents = bench.run(&["agents", "list"]).await.exits(0).stdout;
    assert!(agents.contains("shout") && agents.contains("active"), "{agents}");
    let agent = bench.run(&["agents", "describe", "shout"]).await.exits(0).stdout;
    assert!(agent.contains("1.0.0") && agent.contains("text"), "{agent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_and_cut() {
    let bench = Bench::start().await;
    let _echo = bench.worker("echo", &["--exec", "cat"]).await;
    let _judge = bench.worker("judge", &["--exec", "exit 65"]).await;
    for id in ["e-1", "e-2", "e-3"] {
        bench.run(&["send", "echo", "x", "--id", id, "--wait"]).await.exits(0);
    }
    bench
        .run(&["send", "judge", "x", "--id", "j-1", "--wait"])
        .await
        .exits(1);
    let ids = async |arguments: &[&str]| -> Vec<String> {
        let mut all = vec!["intents", "list", "--output", "json"];
        all.extend(arguments);
        let json = bench.run(&all).await.exits(0).json();
        let found = json["intents"].as_array().expect("intents").iter();
        found
            .map(|one| one["intent"].as_str().expect("id").to_owned())
            .collect()
    };
    assert_eq!(ids(&[]).await, ["j-1", "e-3", "e-2", "e-1"]);
    assert_eq!(ids(&["--status", "failed"]).await, ["j-1"]);
    assert_eq!(ids(&["--agent", "echo", "--limit", "2"]).await, ["e-3", "e-2"]);
    assert!(ids(&["--status", "parked", "--status", "waiting"]).await.is_empty());
    bench
        .run(&["intents", "list", "--limit", "1"])
        .await
        .exits(0)
        .says(&["1 of 4 shown"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_one_intent_shows_every_record_once_and_ends_with_it() {
    let bench = Bench::start().await;
    let _worker = bench
        .worker(
            "slow",
            &["--exec", "while [ ! -e \"$HOME/go\" ]; do sleep 0.05; done; cat"],
        )
        .await;
    bench.run(&["send", "slow", "x", "--id", "watched"]).await.exits(0);
    let mut watch = bench.spawn("watch", &["intents", "watch", "watched", "--output", "json"]);
    eventually("the history so far", LONG, async || {
        match watch.stdout().lines().count() {
            0 => Err(watch.stderr()),
            _ => Ok(()),
        }
    })
    .await;
    std::fs::write(bench.home.path().join("go"), "").expect("written");
    assert!(watch.wait(LONG).await.success(), "{}", watch.stderr());
    let trail = bench
        .run(&["intents", "get", "watched", "--output", "json"])
        .await
        .exits(0)
        .json();
    let watched: Vec<serde_json::Value> = watch
        .stdout()
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(Some(&watched), trail["records"].as_array());
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_all_shows_what_happens_from_now_on() {
    let bench = Bench::start().await;
    let _worker = bench.worker("echo", &["--exec", "cat"]).await;
    let watch = bench.spawn("watch", &["intents", "watch"]);
    eventually("the subscription", LONG, async || {
        match watch.stderr().contains("watching") {
            true => Ok(()),
            false => Err(watch.stderr()),
        }
    })
    .await;
    bench
        .run(&["send", "echo", "x", "--id", "seen", "--wait"])
        .await
        .exits(0);
    eventually("both ends", LONG, async || {
        let seen = watch.stdout();
        let has = |event: &str| seen.lines().any(|line| line.contains("seen") && line.contains(event));
        if has("submitted") && has("completed") {
            Ok(())
        } else {
            Err(seen)
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_goes_away_is_no_error() {
    let bench = Bench::start().await;
    let mut command = bench.command(&["completions", "bash"]);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("runs");
    drop(child.stdout.take());
    let output = tokio::task::spawn_blocking(move || child.wait_with_output())
        .await
        .expect("joined")
        .expect("ran");
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{output:?}");
}
