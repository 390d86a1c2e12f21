//! `baton memory search`: what a person and a program are told, and what is refused.

use baton_e2e::TestMesh;
use serde_json::{Value, json};

use crate::nats_cli::{Run, run};

async fn memory(mesh: &TestMesh, arguments: &[&str]) -> Run {
    run(mesh.baton(&[&["memory"][..], arguments].concat())).await
}

async fn search(mesh: &TestMesh, arguments: &[&str]) -> Value {
    let arguments = [&["search"][..], arguments, &["--output", "json"]].concat();
    memory(mesh, &arguments).await.exits(0).json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memories_are_searched_as_soon_as_they_are_written() {
    let mesh = TestMesh::start().await;
    let none = memory(&mesh, &["search", "retry"]).await.exits(0).stdout;
    assert!(none.contains("no memory has all of these words"), "{none}");
    for arguments in [
        &[
            "house",
            "Never retry a payment.",
            "--id",
            "payments",
            "--title",
            "Payments",
            "--pin",
        ][..],
        &["house", "Otters are fast.", "--id", "otters"],
        &["other", "Retry with jitter.", "--id", "retries", "--kind", "decision"],
    ] {
        memory(&mesh, &[&["add"][..], arguments].concat()).await.exits(0);
    }
    let said = memory(&mesh, &["search", "retry"]).await.exits(0).stdout;
    for part in [
        "SPACE",
        "payments",
        "fact (pinned)",
        "Never retry a payment.",
        "other",
        "decision",
    ] {
        assert!(said.contains(part), "{part:?} is not said: {said}");
    }
    assert!(!said.contains("otters"), "{said}");
    let found = search(&mesh, &["retr*", "pay*", "--space", "house"]).await;
    let rows = found["memories"].as_array().expect("a list");
    assert_eq!(rows.len(), 1, "{found}");
    assert_eq!(
        (
            &rows[0]["id"],
            &rows[0]["title"],
            &rows[0]["pinned"],
            &rows[0]["snippet"]
        ),
        (
            &json!("payments"),
            &json!("Payments"),
            &json!(true),
            &json!("Never retry a payment.")
        ),
    );
    assert_eq!((&found["more"], &found["behind"]), (&json!(false), &json!(0)));
    let one = memory(&mesh, &["search", "retry", "--limit", "1"]).await.exits(0);
    one.says(&["there are more"]);
    memory(&mesh, &["forget", "house", "payments"]).await.exits(0);
    let found = search(&mesh, &["payment"]).await;
    assert_eq!(found["memories"], json!([]), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_that_cannot_be_made_is_refused_with_its_value_and_the_fix() {
    let mesh = TestMesh::start().await;
    for (arguments, parts) in [
        (&["search"][..], &["<WORDS>"][..]),
        (
            &["search", ""],
            &[
                "BAD_REQUEST",
                "`words` is \"\", which has no word",
                "such as payments or pay*",
            ],
        ),
        (
            &["search", "--", "-", "*", "?"],
            &["`words` is \"- * ?\", which has no word"],
        ),
        (
            &["search", "x", "--space", "House"],
            &["--space", "House", "1 to 63 characters"],
        ),
        (
            &["search", "x", "--limit", "0"],
            &["`limit` is 0, expected 1 to 100", "leave it out for 20"],
        ),
        (
            &["search", "x", "--limit", "101"],
            &["`limit` is 101, expected 1 to 100"],
        ),
        (&["search", "x", "--limit", "many"], &["--limit", "many"]),
    ] {
        memory(&mesh, arguments).await.exits(2).says(parts);
    }
    // What a person has written moves no cursor.
    memory(&mesh, &["add", "house", "otters \u{1b}[2J swim", "--id", "odd"])
        .await
        .exits(0);
    let said = memory(&mesh, &["search", "otters AND \"swim"]).await.exits(0).stdout;
    assert!(said.contains("no memory has all of these words"), "{said}");
    let said = memory(&mesh, &["search", "otters \"swim"]).await.exits(0).stdout;
    assert!(said.contains("odd") && !said.contains('\u{1b}'), "{said:?}");
}
