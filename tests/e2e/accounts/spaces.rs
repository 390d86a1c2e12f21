//! Memories of spaces where accounts keep roles apart: an agent writes in the space of its own name, an operator in every one,
//! and everybody in the mesh reads and searches.

use baton_envelope::Timestamp;
use baton_envelope::context::{Kind, Memory, SpaceMemory, SpaceWrite};
use baton_envelope::control::{SEARCH_LIMIT, SearchMemories};

use super::{OPERATOR, Secured, VIEWER, connect_as};

fn memory(space: &str) -> SpaceMemory {
    let memory = Memory::new("rule".parse().expect("an id"), Kind::Fact, b"Retry once.");
    let write = SpaceWrite {
        write: format!("{space}-1"),
        by: "research@1.0.0".to_owned(),
        at: Timestamp::from_unix_millis(1),
    };
    SpaceMemory::new(space.parse().expect("a space"), memory, b"Retry once.", write).expect("in bounds")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_writes_in_its_own_space_an_operator_in_every_one_and_all_read() {
    let mesh = Secured::start().await;
    let research = connect_as(&mesh.server, "research").await;
    research.put_memory(memory("research"), None).await.expect("its own");
    for foreign in ["code", "house-rules"] {
        let denied = research.put_memory(memory(foreign), None).await.expect_err("another's");
        assert_eq!(denied.code(), "PERMISSION_DENIED", "{denied}");
    }
    let (exit, said, _) = mesh
        .baton(
            OPERATOR,
            &["memory", "add", "house-rules", "Never retry.", "--id", "rule"],
        )
        .await;
    assert_eq!(exit, Some(0), "{said}");
    let (exit, said, _) = mesh
        .baton(
            VIEWER,
            &["memory", "add", "house-rules", "Ever retry.", "--id", "other"],
        )
        .await;
    assert_eq!(exit, Some(4), "{said}");
    assert!(said.contains("PERMISSION_DENIED"), "{said}");
    // By batch, by subject and by history.
    for space in ["research", "house-rules"] {
        for act in [
            &["memory", "list", space][..],
            &["memory", "show", space, "rule"],
            &["memory", "history", space, "rule"],
        ] {
            let (exit, said, _) = mesh.baton(VIEWER, act).await;
            assert!(exit == Some(0) && said.contains('@'), "{act:?}: {said}");
        }
        let (exit, said, _) = mesh
            .baton(VIEWER, &["memory", "search", "rule", "--space", space])
            .await;
        assert!(exit == Some(0) && said.contains("REVISION"), "{said}");
    }
    let (house, id) = ("house-rules".parse().expect("a space"), "rule".parse().expect("an id"));
    let found = research
        .space_memory(&house, &id)
        .await
        .expect("read")
        .expect("it is there");
    assert_eq!(found.record.text(), Some("Never retry."));
    let asked = SearchMemories {
        words: "never".to_owned(),
        space: None,
        limit: SEARCH_LIMIT,
    };
    let searched = research.ask_controller(&asked).await.expect("an answer");
    assert_eq!((searched.memories.len(), searched.behind), (1, 0), "{searched:?}");
    let list = research.space_memories(&house).await.expect("read");
    assert_eq!((list.memories.len(), list.unreadable.len()), (1, 0));
}
