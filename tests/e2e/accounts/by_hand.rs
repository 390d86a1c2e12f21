//! Work by hand in a secured mesh: who does it is what the server says.

use super::{OPERATOR, Secured, VIEWER, id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_by_hand_is_done_in_the_name_that_the_server_says() {
    let mesh = Secured::start().await;
    let task = [
        "work", "create", "--from", "root", "--to", "reviewer", "--task", "read it", "--id", "by-hand",
    ];
    let file = tempfile::tempdir().expect("a folder");
    let file = file.path().join("export");
    let file = file.to_str().expect("UTF-8");
    for (user, args, expected, part) in [
        (
            VIEWER,
            &["agents", "add", "reviewer", "--manual"][..],
            4,
            "PERMISSION_DENIED",
        ),
        (OPERATOR, &["agents", "add", "reviewer", "--manual"], 0, "active"),
        (OPERATOR, &task, 0, "reviewer"),
        (VIEWER, &["work", "list"], 0, "by-hand"),
        (VIEWER, &["work", "accept", "by-hand"], 4, "PERMISSION_DENIED"),
        (VIEWER, &["export", file], 0, "1 open intent"),
        (OPERATOR, &["work", "accept", "by-hand", "--as", "root"], 0, "ada"),
        (
            OPERATOR,
            &["work", "complete", "by-hand", "--as", "root"],
            0,
            "completed",
        ),
        // This is the mesh that the file came from.
        (OPERATOR, &["import", file], 0, "here already: 1"),
    ] {
        let (exit, said, _) = mesh.baton(user, args).await;
        assert_eq!(
            (exit, said.contains(part)),
            (Some(expected), true),
            "{user} {args:?}: {said}"
        );
    }
    let history = mesh.control.history(&id("by-hand"), 1).await.expect("history");
    let by: Vec<(&str, &str)> = history
        .iter()
        .map(|head| (head.record.event.name(), &*head.record.by.instance))
        .collect();
    let expected = ["submitted", "claimed", "started", "completed"].map(|event| (event, "ada"));
    assert_eq!(by, expected);
    let first = history.first().and_then(|head| head.record.envelope.clone());
    assert_eq!(first.expect("an envelope").from.as_deref(), Some("ada"));
}
