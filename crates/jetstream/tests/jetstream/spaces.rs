//! Memories of spaces on a real server: no write goes unseen over another, and a list has everything that is there.

use baton_envelope::context::{Kind, Memory, MemoryKey, SPACE_CONTENT, SpaceMemory, SpaceWrite};
use baton_envelope::{SpaceName, Timestamp};
use baton_jetstream::{Error, KeptMemory, Level, Limits, Mesh, Target, examine};
use baton_testkit::Cluster;
use serde_json::{Value, json};

use crate::support::{PATIENCE, TestServer, connect, eventually};

const STREAM: &str = "MESH_MEMORY";

async fn mesh(server: &TestServer) -> Mesh {
    let mesh = connect(server).await;
    mesh.ensure_topology(Limits::default()).await.unwrap();
    mesh
}

fn space(name: &str) -> SpaceName {
    name.parse().unwrap()
}

fn id(text: &str) -> MemoryKey {
    text.parse().unwrap()
}

fn write(name: &str) -> SpaceWrite {
    SpaceWrite {
        write: name.to_owned(),
        by: "ada@workstation".to_owned(),
        at: Timestamp::from_unix_millis(1),
    }
}

fn memory(space_name: &str, key: &str, content: &str, name: &str) -> SpaceMemory {
    let memory = Memory::new(id(key), Kind::Fact, content.as_bytes());
    SpaceMemory::new(space(space_name), memory, content.as_bytes(), write(name)).unwrap()
}

async fn text(mesh: &Mesh, space_name: &str, key: &str) -> Option<String> {
    let found = mesh.space_memory(&space(space_name), &id(key)).await.unwrap()?;
    found.record.text().map(str::to_owned)
}

async fn plant(server: &TestServer, subject: &str, body: &str) -> u64 {
    let client = server.client().await;
    let reply = client
        .request(subject.to_owned(), body.to_owned().into())
        .await
        .unwrap();
    let ack: Value = serde_json::from_slice(&reply.payload).unwrap();
    assert!(ack.get("error").is_none(), "{ack}");
    ack.get("seq").and_then(Value::as_u64).unwrap()
}

fn ids(kept: &[KeptMemory]) -> Vec<&str> {
    kept.iter().map(|one| one.record.id.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_goes_over_the_revision_that_it_names_and_over_no_other() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let first = mesh
        .put_memory(memory("house", "rule", "one", "w-1"), None)
        .await
        .unwrap();
    // The same write again is the same revision, whoever has written since.
    let again = mesh
        .put_memory(memory("house", "rule", "one", "w-1"), None)
        .await
        .unwrap();
    assert_eq!(again, first);
    let taken = mesh
        .put_memory(memory("house", "rule", "two", "w-2"), None)
        .await
        .unwrap_err();
    assert_eq!(taken.code(), "MEMORY_CHANGED");
    let said = format!(
        "memory \"rule\" of space \"house\" is there already, at revision {}, by ada@workstation",
        first.revision
    );
    assert_eq!(taken.to_string(), said);
    let second = mesh
        .put_memory(memory("house", "rule", "two", "w-2"), Some(first.revision))
        .await
        .unwrap();
    assert_eq!(text(&mesh, "house", "rule").await.as_deref(), Some("two"));
    let late = mesh
        .put_memory(memory("house", "rule", "three", "w-3"), Some(first.revision))
        .await
        .unwrap_err();
    assert!(
        late.to_string().ends_with(&format!(
            "is at revision {}, by ada@workstation, and is not at {}",
            second.revision, first.revision
        )),
        "{late}"
    );
    let again = mesh
        .put_memory(memory("house", "rule", "one", "w-1"), None)
        .await
        .unwrap();
    assert_eq!(
        again.revision, first.revision,
        "it has been done, and another went over it"
    );
    assert_eq!(text(&mesh, "house", "rule").await.as_deref(), Some("two"));
    let nothing = mesh
        .put_memory(memory("house", "other", "x", "w-4"), Some(7))
        .await
        .unwrap_err();
    assert!(
        nothing.to_string().ends_with("is not there, and so not at revision 7"),
        "{nothing}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_forgotten_leaves_its_id_free_and_its_history() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let first = mesh
        .put_memory(memory("house", "rule", "one", "w-1"), None)
        .await
        .unwrap();
    let second = mesh
        .put_memory(memory("house", "rule", "two", "w-2"), Some(first.revision))
        .await
        .unwrap();
    let forget = |record: &SpaceMemory| {
        Some(SpaceMemory::forgotten(
            record.space.clone(),
            record.id.clone(),
            write("w-5"),
        ))
    };
    let gone = mesh
        .change_memory(&space("house"), &id("rule"), None, forget)
        .await
        .unwrap();
    assert!(gone.record.is_forgotten());
    let none = mesh
        .change_memory(&space("house"), &id("rule"), None, forget)
        .await
        .unwrap_err();
    assert_eq!(none.code(), "NOT_FOUND");
    assert_eq!(none.to_string(), "there is no memory \"rule\" in space \"house\"");
    let late = mesh
        .put_memory(memory("house", "rule", "three", "w-6"), Some(second.revision))
        .await
        .unwrap_err();
    assert!(late.to_string().contains("was forgotten at revision"), "{late}");
    let back = mesh
        .put_memory(memory("house", "rule", "four", "w-7"), None)
        .await
        .unwrap();
    let history = mesh.space_history(&space("house"), &id("rule")).await.unwrap();
    let revisions: Vec<u64> = history.memories.iter().map(|one| one.revision).collect();
    assert_eq!(
        revisions,
        [first.revision, second.revision, gone.revision, back.revision]
    );
    let texts: Vec<Option<&str>> = history.memories.iter().map(|one| one.record.text()).collect();
    assert_eq!(texts, [Some("one"), Some("two"), None, Some("four")]);
    // A write that was done before it was forgotten does not bring it back.
    mesh.change_memory(&space("house"), &id("rule"), Some(back.revision), |record| {
        Some(SpaceMemory::forgotten(
            record.space.clone(),
            record.id.clone(),
            write("w-8"),
        ))
    })
    .await
    .unwrap();
    mesh.put_memory(memory("house", "rule", "four", "w-7"), None)
        .await
        .unwrap();
    assert_eq!(text(&mesh, "house", "rule").await, None);
}

/// Eight writers, ten changes each: none is lost.
async fn compete(meshes: &[Mesh]) {
    let first = memory("house", "count", "", "begin");
    let mesh = meshes.first().unwrap();
    mesh.put_memory(first, None).await.unwrap();
    let writers = meshes.iter().cycle().take(8).enumerate().map(|(writer, mesh)| {
        async move {
            for round in 0..10 {
                let change = |record: &SpaceMemory| {
                    let text = format!("{}.", record.text().unwrap_or_default());
                    Some(memory(
                        "house",
                        "count",
                        &text,
                        &format!("{writer}-{round}-{}", text.len()),
                    ))
                };
                mesh.change_memory(&space("house"), &id("count"), None, change)
                    .await
                    .unwrap();
                // Whoever has written reads it.
                let list = mesh.space_memories(&space("house")).await.unwrap();
                let counted = list.memories.first().and_then(|one| one.record.memory.as_ref());
                let bytes = counted.unwrap().bytes;
                assert!(bytes > round, "{bytes} bytes after {round}");
            }
        }
    });
    futures::future::join_all(writers).await;
    for mesh in meshes {
        assert_eq!(text(mesh, "house", "count").await, Some(".".repeat(80)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_of_several_writers_is_lost_and_the_last_64_revisions_are_kept() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    compete(&[mesh.clone(), connect(&server).await]).await;
    let history = mesh.space_history(&space("house"), &id("count")).await.unwrap();
    let lengths: Vec<u64> = history
        .memories
        .iter()
        .map(|one| one.record.memory.as_ref().unwrap().bytes)
        .collect();
    assert_eq!(lengths, (17..=80).collect::<Vec<u64>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_three_copies_no_change_is_lost_and_each_writer_reads_its_own() {
    let cluster = Cluster::start(3).await;
    let mut meshes = Vec::new();
    for index in 0..3 {
        let target = Target {
            replicas: Some(3),
            ..Target::at(cluster.server(index).url())
        };
        meshes.push(target.connect().await.unwrap());
    }
    let limits = Limits {
        replicas: 3,
        ..Limits::default()
    };
    meshes[0].ensure_topology(limits).await.unwrap();
    compete(&meshes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_has_all_of_its_space_and_nothing_of_another() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    assert_eq!(mesh.space_memories(&space("large")).await.unwrap().memories, []);
    // More bytes than one answer has, then more memories than the server answers for at once.
    let content = "x".repeat(SPACE_CONTENT);
    for number in 0..40 {
        let record = memory("large", &format!("large-{number:02}"), &content, &format!("l-{number}"));
        mesh.put_memory(record, None).await.unwrap();
    }
    mesh.put_memory(memory("other", "alone", "x", "o-1"), None)
        .await
        .unwrap();
    let list = mesh.space_memories(&space("large")).await.unwrap();
    assert_eq!((list.memories.len(), list.unreadable.len()), (40, 0));
    assert!(
        list.memories.iter().all(|one| one.record.text().is_none()),
        "no content"
    );
    assert_eq!(ids(&list.memories)[39], "large-39");
    let many = (0..1_100).map(|number| memory("many", &format!("m-{number:04}"), "x", &format!("m-{number}")));
    for record in many {
        mesh.put_memory(record, None).await.unwrap();
    }
    let list = mesh.space_memories(&space("many")).await.unwrap();
    assert_eq!((list.memories.len(), list.unreadable.len()), (1_100, 0));
    assert_eq!(ids(&list.memories)[1_099], "m-1099");
    assert_eq!(
        ids(&mesh.space_memories(&space("other")).await.unwrap().memories),
        ["alone"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_named_and_can_be_written_over() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    mesh.put_memory(memory("house", "good", "x", "w-1"), None)
        .await
        .unwrap();
    let junk = plant(&server, "mesh.memory.house.junk", "no memory").await;
    let foreign = String::from_utf8(memory("cellar", "good", "x", "w-2").encode()).unwrap();
    plant(&server, "mesh.memory.house.foreign", &foreign).await;
    let list = mesh.space_memories(&space("house")).await.unwrap();
    assert_eq!(ids(&list.memories), ["good"]);
    let unreadable: Vec<&str> = list.unreadable.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(unreadable, ["foreign", "junk"]);
    let said = &list.unreadable[0].problem;
    assert!(said.contains("it stands on mesh.memory.house.foreign"), "{said}");
    // What nobody could read is not written.
    let refused = mesh
        .put_memory(memory("house", "late", "x", "a\u{1b}"), None)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "UNREADABLE", "{refused}");
    assert_eq!(mesh.space_memory(&space("house"), &id("late")).await.unwrap(), None);
    let error = mesh.space_memory(&space("house"), &id("junk")).await.unwrap_err();
    assert_eq!(error.code(), "UNREADABLE");
    assert_eq!(
        mesh.space_history(&space("house"), &id("junk"))
            .await
            .unwrap()
            .unreadable
            .len(),
        1
    );
    mesh.put_memory(memory("house", "junk", "mended", "w-3"), Some(junk))
        .await
        .unwrap();
    assert_eq!(text(&mesh, "house", "junk").await.as_deref(), Some("mended"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_stream_refuses_and_keeps_what_it_has() {
    let server = TestServer::start().await;
    let mesh = connect(&server).await;
    let mut limits = Limits::default();
    limits.bounds.memory_bytes = 1 << 20;
    mesh.ensure_topology(limits).await.unwrap();
    mesh.put_memory(memory("house", "rule", "kept", "w-1"), None)
        .await
        .unwrap();
    let large = "x".repeat(SPACE_CONTENT);
    let mut full = None;
    for number in 0..8 {
        let record = memory("house", &format!("m-{number}"), &large, &format!("f-{number}"));
        if let Err(error) = mesh.put_memory(record, None).await {
            full = Some(error);
            break;
        }
    }
    let full = full.expect("it has no room for all of them");
    assert_eq!(full.code(), "STREAM_FULL", "{full}");
    assert_eq!(text(&mesh, "house", "rule").await.as_deref(), Some("kept"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_names_each_setting_by_which_memories_could_be_lost_and_a_person_puts_it_back() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let of_stream = async || {
        let findings = examine(&mesh, Limits::default()).await.unwrap();
        let found = findings.into_iter().find(|one| one.check == format!("stream {STREAM}"));
        found.expect("a finding")
    };
    assert_eq!(of_stream().await.level, Level::Ok);
    for (setting, value, said) in [
        ("allow_rollup_hdrs", json!(true), "allow_rollup"),
        ("max_msgs_per_subject", json!(1), "max_messages_per_subject"),
        ("discard", json!("old"), "discard"),
        ("max_age", json!(3_600_000_000_000_u64), "max_age"),
    ] {
        let mut info = server.api(&format!("STREAM.INFO.{STREAM}"), &json!({})).await;
        info["config"][setting] = value;
        let updated = server.api(&format!("STREAM.UPDATE.{STREAM}"), &info["config"]).await;
        assert!(updated.get("error").is_none(), "{setting}: {updated}");
        let finding = of_stream().await;
        assert!(
            finding.level != Level::Ok && finding.found.contains(said),
            "{setting}: {finding:?}"
        );
        mesh.restore_stream(STREAM, Limits::default()).await.unwrap();
        eventually("it is as it was", PATIENCE, async || match of_stream().await {
            finding if finding.level == Level::Ok => Ok(()),
            finding => Err(format!("{finding:?}")),
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mesh_without_the_stream_says_so() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    server.api(&format!("STREAM.DELETE.{STREAM}"), &json!({})).await;
    let list = mesh.space_memories(&space("house")).await.unwrap_err();
    assert!(matches!(&list, Error::NoStream(stream) if stream == STREAM), "{list}");
    let put = mesh
        .put_memory(memory("house", "rule", "x", "w-1"), None)
        .await
        .unwrap_err();
    assert!(matches!(&put, Error::NoStream(stream) if stream == STREAM), "{put}");
}
