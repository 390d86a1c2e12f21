//! `baton send`.

use crate::harness::Bench;

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_comes_back_as_the_result_whatever_its_form() {
    let bench = Bench::start().await;
    let _worker = bench.worker("echo", &["--exec", "cat"]).await;
    let text = bench
        .run(&["send", "echo", "hello otters", "--wait", "--timeout", "60s"])
        .await
        .exits(0);
    assert_eq!(text.stdout, "hello otters\n");
    let piped = bench
        .run_with(&["send", "echo", "--wait"], b"{\"a\": 1}".to_vec())
        .await
        .exits(0);
    assert_eq!(piped.stdout, "{\"a\": 1}\n");
    let dash = bench
        .run_with(&["send", "echo", "-", "--wait", "--output", "json"], b"[1,2]".to_vec())
        .await;
    assert_eq!(dash.exits(0).json()["snapshot"]["result"], serde_json::json!([1, 2]));
    let file = bench.home.path().join("payload.bin");
    std::fs::write(&file, [0xff, 0xfe]).expect("written");
    let named = format!("@{}", file.display());
    let sent = bench
        .run(&["send", "echo", &named, "--id", "binary", "--wait", "--output", "json"])
        .await;
    let sent = sent.exits(0).json();
    assert_eq!(sent["intent"], "binary");
    let snapshot = &sent["snapshot"];
    assert_eq!(
        (&snapshot["result"], &snapshot["result_encoding"]),
        (&"//4=".into(), &"base64".into())
    );
    let trail = bench
        .run(&["intents", "get", "binary", "--output", "json"])
        .await
        .exits(0)
        .json();
    assert_eq!(trail["records"][0]["envelope"]["payload_encoding"], "base64", "{trail}");
    let shown = bench.run(&["intents", "get", "binary"]).await.exits(0).stdout;
    assert!(
        shown.contains("result (2 bytes that are not text, in base64)\n  //4="),
        "{shown}"
    );
    let mut raw = bench.command(&["send", "echo", &named, "--wait"]);
    let raw = tokio::task::spawn_blocking(move || raw.output()).await.expect("joined");
    assert_eq!(raw.expect("it runs").stdout, [0xff, 0xfe]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_runs_once_and_other_work_under_it_is_a_conflict() {
    let bench = Bench::start().await;
    let _worker = bench
        .worker("echo", &["--exec", "echo ran >> \"$HOME/runs\"; cat"])
        .await;
    let first = bench
        .run(&["send", "echo", "{\"n\":1}", "--id", "order-42", "--wait"])
        .await
        .exits(0);
    assert_eq!(first.stdout, "{\"n\":1}\n");
    let again = bench
        .run(&["send", "echo", "{\"n\":1}", "--id", "order-42"])
        .await
        .exits(0);
    let again = again.says(&["order-42", "submitted before", "completed"]);
    assert!(again.stdout.contains("completed"), "{again:?}");
    let json = bench
        .run(&["send", "echo", "{\"n\":1}", "--id", "order-42", "--output", "json"])
        .await
        .exits(0)
        .json();
    assert_eq!(
        (json["known"].as_bool(), &json["snapshot"]["status"]["state"]),
        (Some(true), &"completed".into())
    );
    let other = bench
        .run(&["send", "echo", "{\"n\":2}", "--id", "order-42"])
        .await
        .exits(4);
    assert_eq!(other.says(&["order-42", "other work", "--id"]).stdout, "");
    let runs = std::fs::read_to_string(bench.home.path().join("runs")).expect("it ran");
    assert_eq!(runs, "ran\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_stands_in_the_first_record() {
    let bench = Bench::start().await;
    let _worker = bench.worker("echo", &["--exec", "cat"]).await;
    let arguments = [
        "send",
        "echo",
        "x",
        "--id",
        "asked",
        "--priority",
        "9",
        "--deadline",
        "10m",
        "--max-hops",
        "3",
        "--kind",
        "a.b.v1",
        "--reply-to",
        "my.inbox",
        "--constraints",
        "{\"budget\":5}",
        "--pin",
        "echo=1.0.0",
        "--output",
        "json",
    ];
    let sent = bench.run(&arguments).await.exits(0).json();
    assert_eq!(sent["known"], false);
    let record = bench
        .run(&["intents", "get", "asked", "--output", "json"])
        .await
        .exits(0)
        .json();
    let envelope = &record["records"][0]["envelope"];
    for (field, value) in [
        ("priority", serde_json::json!(9)),
        ("max_hops", serde_json::json!(3)),
        ("kind", serde_json::json!("a.b.v1")),
        ("reply_to", serde_json::json!("my.inbox")),
        ("constraints", serde_json::json!({"budget": 5})),
        ("pins", serde_json::json!({"echo": "1.0.0"})),
    ] {
        assert_eq!(envelope[field], value, "{field}: {envelope}");
    }
    assert!(
        envelope["deadline"].is_string() && envelope["constraints_hash"].is_string(),
        "{envelope}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_refused_with_the_way_out() {
    let bench = Bench::start().await;
    let _worker = bench.worker("echo", &["--exec", "sleep 30"]).await;
    bench
        .run(&["send", "nobody", "x"])
        .await
        .exits(3)
        .says(&["\"nobody\"", "known: echo", "baton worker"]);
    let large = bench
        .run_with(&["send", "echo"], vec![b'a'; (64 << 20) + 1])
        .await
        .exits(4);
    large.says(&["67108865 bytes", "CONTEXT_FULL", "hint: "]);
    let late = bench
        .run(&["send", "echo", "x", "--id", "slow", "--wait", "--timeout", "3s"])
        .await
        .exits(5);
    late.says(&["\"slow\"", "3s", "echo@1.0.0", "baton intents watch slow"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_that_does_not_complete_is_an_error_with_its_reason() {
    let bench = Bench::start().await;
    let _worker = bench
        .worker("judge", &["--exec", "echo 'no such invoice' >&2; exit 65"])
        .await;
    let run = bench
        .run(&["send", "judge", "x", "--id", "inv-1", "--wait"])
        .await
        .exits(1);
    let run = run.says(&["inv-1", "failed(EXIT_65)", "no such invoice", "baton intents get inv-1"]);
    assert_eq!(run.stdout, "");
}
