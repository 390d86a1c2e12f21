//! Searching the memories of spaces: a search has what was written before it, whatever became of the index and the stream.

use std::path::Path;

use baton_controller::ControllerConfig;
use baton_envelope::SpaceName;
use baton_envelope::codes;
use baton_envelope::context::{Kind, Memory, SpaceMemory, SpaceWrite};
use baton_envelope::control::{FoundMemories, Reply, SEARCH_LIMIT, SearchMemories};
use baton_jetstream::{Limits, Mesh};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{PATIENCE, Running, TestServer, eventually, mesh_with_research, quiet};

fn write_of(mesh: &Mesh) -> SpaceWrite {
    SpaceWrite {
        write: mesh.clock().envelope_id().to_string(),
        by: "test".to_owned(),
        at: mesh.now(),
    }
}

/// Writes a memory over a revision, and gives the new one.
async fn put(mesh: &Mesh, space: &str, id: &str, content: &str, over: Option<u64>) -> u64 {
    let memory = Memory::new(id.parse().unwrap(), Kind::Fact, content.as_bytes());
    let record = SpaceMemory::new(space.parse().unwrap(), memory, content.as_bytes(), write_of(mesh)).unwrap();
    mesh.put_memory(record, over).await.unwrap().revision
}

async fn forget(mesh: &Mesh, space: &str, id: &str) {
    let (space, id) = (space.parse().unwrap(), id.parse().unwrap());
    let next = |record: &SpaceMemory| {
        Some(SpaceMemory::forgotten(
            record.space.clone(),
            record.id.clone(),
            write_of(mesh),
        ))
    };
    mesh.change_memory(&space, &id, None, next).await.unwrap();
}

fn question(words: &str, space: Option<&str>) -> SearchMemories {
    SearchMemories {
        words: words.to_owned(),
        space: space.map(|space| space.parse::<SpaceName>().unwrap()),
        limit: SEARCH_LIMIT,
    }
}

/// What a search finds; it has everything that was written before it.
async fn search(mesh: &Mesh, words: &str, space: Option<&str>) -> FoundMemories {
    let found = mesh.ask_controller(&question(words, space)).await.unwrap();
    assert_eq!(found.behind, 0, "{found:?}");
    found
}

/// What was found, as `space/id@revision`, in order of the names.
fn names(found: &FoundMemories) -> Vec<String> {
    let name = |one: &baton_envelope::control::FoundMemory| format!("{}/{}@{}", one.space, one.id, one.revision);
    let mut names: Vec<String> = found.memories.iter().map(name).collect();
    names.sort();
    names
}

async fn stream(server: &TestServer, verb: &str, body: Value) -> Value {
    let client = server.client().await;
    let subject = format!("$JS.API.STREAM.{verb}.MESH_MEMORY");
    let reply = client.request(subject, body.to_string().into()).await.unwrap();
    serde_json::from_slice(&reply.payload).unwrap()
}

async fn purge(server: &TestServer, subject: &str) {
    let purged = stream(server, "PURGE", json!({ "filter": subject })).await;
    assert_eq!(purged.get("success"), Some(&true.into()), "{purged}");
}

async fn consumers(server: &TestServer) -> u64 {
    let info = stream(server, "INFO", json!({})).await;
    info.pointer("/state/consumer_count").and_then(Value::as_u64).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_has_what_was_written_before_it() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let running = Running::start(&mesh, quiet("a"));
    let found = search(&mesh, "otters", None).await;
    assert_eq!(found, FoundMemories::default());
    assert_eq!(
        consumers(&server).await,
        0,
        "nothing is followed where nothing is written"
    );

    let one = put(&mesh, "house", "one", "Ships are named by otters.", None).await;
    let other = put(&mesh, "other", "one", "Otters swim.", None).await;
    let found = search(&mesh, "otters", None).await;
    assert_eq!(
        names(&found),
        [format!("house/one@{one}"), format!("other/one@{other}")]
    );
    assert_eq!((found.through, found.more), (other, false));
    assert_eq!(consumers(&server).await, 1);
    let found = search(&mesh, "otter* ships", Some("house")).await;
    assert_eq!(names(&found), [format!("house/one@{one}")]);
    assert_eq!(found.memories[0].snippet, "Ships are named by otters.");
    assert_eq!(
        (found.memories[0].kind.as_str(), found.memories[0].pinned),
        ("fact", false)
    );
    assert_eq!(
        names(&search(&mesh, "ships", Some("other")).await),
        Vec::<String>::new()
    );

    let two = put(&mesh, "house", "one", "Ships are named by badgers.", Some(one)).await;
    assert_eq!(
        names(&search(&mesh, "otters", Some("house")).await),
        Vec::<String>::new()
    );
    assert_eq!(
        names(&search(&mesh, "badgers", None).await),
        [format!("house/one@{two}")]
    );
    let (space, id) = ("house".parse().unwrap(), "one".parse().unwrap());
    let pin = |record: &SpaceMemory| record.with_pin(true, write_of(&mesh));
    let pinned = mesh.change_memory(&space, &id, None, pin).await.unwrap().revision;
    let found = search(&mesh, "badgers", None).await;
    assert_eq!(names(&found), [format!("house/one@{pinned}")]);
    assert!(found.memories[0].pinned);
    forget(&mesh, "house", "one").await;
    assert_eq!(names(&search(&mesh, "badgers", None).await), Vec::<String>::new());
    let again = put(&mesh, "house", "one", "Badgers again.", None).await;
    assert_eq!(
        names(&search(&mesh, "badgers", None).await),
        [format!("house/one@{again}")]
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_best_come_first_and_that_there_are_more_is_said() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    for number in 0..25 {
        put(
            &mesh,
            "house",
            &format!("m-{number}"),
            &format!("Otters, number {number}."),
            None,
        )
        .await;
    }
    let best = put(&mesh, "house", "otters", "Otters are otters.", None).await;
    let running = Running::start(&mesh, quiet("a"));
    let found = search(&mesh, "otters", None).await;
    assert_eq!((found.memories.len(), found.more), (20, true));
    assert_eq!(found.memories[0].revision, best);
    let all = SearchMemories {
        limit: 100,
        ..question("otters", None)
    };
    let found = mesh.ask_controller(&all).await.unwrap();
    assert_eq!((found.memories.len(), found.more), (26, false));
    let exactly = SearchMemories { limit: 26, ..all };
    let found = mesh.ask_controller(&exactly).await.unwrap();
    assert_eq!((found.memories.len(), found.more), (26, false));
    running.stop().await;
}

fn with_file(instance: &str, file: &Path) -> ControllerConfig {
    ControllerConfig {
        projection: Some(file.to_owned()),
        ..quiet(instance)
    }
}

/// Changes the file of a controller that has stopped, once nothing uses it any more.
async fn change_file(file: &Path, change: &str) {
    eventually("the file is free", PATIENCE, async || {
        let db = Connection::open(file).map_err(|error| error.to_string())?;
        db.execute_batch(change).map_err(|error| error.to_string())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_on_disk_goes_on_where_it_was_and_an_older_one_is_made_anew() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let file = server.dir().join("search.db");
    let running = Running::start(&mesh, with_file("a", &file));
    let kept = put(&mesh, "house", "kept", "Otters stay.", None).await;
    let changed = put(&mesh, "house", "changed", "Otters change.", None).await;
    put(&mesh, "house", "forgotten", "Otters go.", None).await;
    put(&mesh, "house", "purged", "Otters vanish.", None).await;
    assert_eq!(search(&mesh, "otters", None).await.memories.len(), 4);
    running.stop().await;
    // While it is down.
    let changed = put(&mesh, "house", "changed", "Otters have changed.", Some(changed)).await;
    forget(&mesh, "house", "forgotten").await;
    purge(&server, "mesh.memory.house.purged").await;
    let new = put(&mesh, "other", "new", "Otters come.", None).await;
    let expected = [
        format!("house/changed@{changed}"),
        format!("house/kept@{kept}"),
        format!("other/new@{new}"),
    ];
    // Only what is not read again keeps this.
    change_file(&file, "UPDATE memories SET title = 'From the file' WHERE id = 'kept'").await;
    let running = Running::start(&mesh, with_file("a", &file));
    let found = search(&mesh, "otters", None).await;
    assert_eq!(names(&found), expected);
    let of_kept = found.memories.iter().find(|one| one.revision == kept).unwrap();
    assert_eq!(of_kept.title.as_deref(), Some("From the file"));
    assert_eq!(
        names(&search(&mesh, "change*", None).await),
        [format!("house/changed@{changed}")]
    );
    running.stop().await;

    change_file(&file, "UPDATE meta SET schema = schema - 1").await;
    let running = Running::start(&mesh, with_file("a", &file));
    let found = search(&mesh, "otters", None).await;
    assert_eq!(names(&found), expected);
    assert!(found.memories.iter().all(|one| one.title.is_none()), "{found:?}");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_purged_or_cannot_be_read_is_not_found() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let running = Running::start(&mesh, quiet("a"));
    // More revisions than the stream keeps.
    let mut many = put(&mesh, "house", "many", "Otters, the first.", None).await;
    for number in 0..70 {
        many = put(&mesh, "house", "many", &format!("Otters, number {number}."), Some(many)).await;
    }
    let purged = put(&mesh, "house", "purged", "Otters vanish.", None).await;
    let found = search(&mesh, "otters", None).await;
    assert_eq!(
        names(&found),
        [format!("house/many@{many}"), format!("house/purged@{purged}")]
    );
    purge(&server, "mesh.memory.house.purged").await;
    assert_eq!(
        names(&search(&mesh, "otters", None).await),
        [format!("house/many@{many}")]
    );
    // All of a space, its last message among them.
    put(&mesh, "other", "last", "Otters, at last.", None).await;
    purge(&server, "mesh.memory.other.*").await;
    assert_eq!(
        names(&search(&mesh, "otters", None).await),
        [format!("house/many@{many}")]
    );
    let again = put(&mesh, "house", "purged", "Otters return.", None).await;
    let found = search(&mesh, "otters", None).await;
    assert_eq!(
        names(&found),
        [format!("house/many@{many}"), format!("house/purged@{again}")]
    );

    let client = server.client().await;
    for (subject, body) in [
        ("mesh.memory.house.purged", "otters that nobody can read"),
        ("mesh.memory.HOUSE.purged", "otters that nobody can read"),
    ] {
        let stored = client.request(subject, body.into()).await.unwrap();
        assert!(String::from_utf8_lossy(&stored.payload).contains("\"seq\""));
    }
    assert_eq!(
        names(&search(&mesh, "otters", None).await),
        [format!("house/many@{many}")]
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_deleted_and_made_anew_leaves_nothing() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let running = Running::start(&mesh, quiet("a"));
    put(&mesh, "house", "one", "Otters of before.", None).await;
    put(&mesh, "house", "two", "Otters of before.", None).await;
    assert_eq!(search(&mesh, "otters", None).await.memories.len(), 2);
    let deleted = stream(&server, "DELETE", json!({})).await;
    assert_eq!(deleted["success"], true, "{deleted}");
    assert_eq!(search(&mesh, "otters", None).await, FoundMemories::default());
    mesh.ensure_topology(Limits::default()).await.unwrap();
    assert_eq!(search(&mesh, "otters", None).await, FoundMemories::default());
    let new = put(&mesh, "house", "two", "Otters of now.", None).await;
    assert_eq!(
        names(&search(&mesh, "otters", None).await),
        [format!("house/two@{new}")]
    );
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_cannot_be_answered_is_refused_with_field_and_value() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let running = Running::start(&mesh, quiet("a"));
    put(&mesh, "house", "one", "Otters.", None).await;
    search(&mesh, "otters", None).await;
    let client = server.client().await;
    let ask = async |body: Value| {
        let reply = client
            .request("mesh.control.memory.search", body.to_string().into())
            .await;
        serde_json::from_slice::<Reply<FoundMemories>>(&reply.unwrap().payload).unwrap()
    };
    for (body, parts) in [
        (json!({ "words": "" }), &["`words`", "no word"][..]),
        (json!({ "words": "- * \"" }), &["`words` is \"- * \"", "no word"]),
        (json!({ "words": "x", "limit": 0 }), &["`limit` is 0", "1 to 100"]),
        (json!({ "words": "x", "limit": 101 }), &["`limit` is 101", "1 to 100"]),
        (
            json!({ "words": "x", "space": "House" }),
            &["space", "House", "1 to 63 characters"],
        ),
        (json!({ "space": "house" }), &["`words`"]),
    ] {
        let Reply::Error(refused) = ask(body.clone()).await else {
            panic!("{body} was answered");
        };
        assert_eq!(refused.code, codes::BAD_REQUEST, "{body}");
        assert!(parts.iter().all(|part| refused.message.contains(part)), "{refused:?}");
        assert!(!refused.fix.is_empty(), "{refused:?}");
    }
    // What is no word is nothing else, either.
    for words in [
        "otters\0",
        "\"otters",
        "otters AND",
        "otters NEAR(",
        "title:otters",
        "otters ^ - : {",
    ] {
        let reply = ask(json!({ "words": words })).await;
        assert!(matches!(reply, Reply::Ok(_)), "{words:?}: {reply:?}");
    }
    running.stop().await;
}
