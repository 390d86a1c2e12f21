//! Work by capability in a secured mesh: who asks is what the server says, and what no agent can do is held.

use baton_jetstream::Error;
use baton_testkit::eventually;

use super::{OPERATOR, SOON, Secured, VIEWER, connect_as, id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_by_capability_is_held_and_is_that_of_the_account_that_asked() {
    let mesh = Secured::start().await;
    let shop = connect_as(&mesh.server, "shop").await;
    let headers = [("Baton-Intent", "by-shop"), ("Baton-When-None", "hold")];
    let headers = headers
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    shop.publish_raw("mesh.capability.tests".to_owned(), headers.clone(), "otters".into())
        .await
        .expect("taken in");
    // What is not on its list.
    let refused = shop
        .publish_raw("mesh.capability.task".to_owned(), headers, "otters".into())
        .await;
    let Err(Error::Denied { what }) = refused else {
        panic!("{refused:?}")
    };
    assert!(what.contains("mesh.capability.task"), "{what}");

    let send = ["send", "hello", "--capability", "tests", "--when-none", "hold", "--id"];
    let create = [
        "work",
        "create",
        "--from",
        "root",
        "--task",
        "make coffee",
        "--when-none",
        "hold",
        "--id",
    ];
    for (line, intent) in [(&send[..], "by-ada"), (&create[..], "by-hand")] {
        let line = [line, &[intent][..]].concat();
        let (exit, said, _) = mesh.baton(OPERATOR, &line).await;
        assert_eq!((exit, said.contains("is in the intake")), (Some(0), true), "{said}");
        let (exit, said, _) = mesh.baton(VIEWER, &line).await;
        assert_eq!((exit, said.contains("PERMISSION_DENIED")), (Some(4), true), "{said}");
    }
    mesh.until_intake_has(3).await;
    for intent in ["by-shop", "by-ada", "by-hand"] {
        assert!(
            mesh.control.head(&id(intent)).await.expect("read").is_none(),
            "{intent}"
        );
    }

    let able = [
        "agents",
        "add",
        "reviewer",
        "--manual",
        "--capability",
        "tests",
        "--capability",
        "task",
    ];
    let (exit, said, _) = mesh.baton(OPERATOR, &able).await;
    assert_eq!(exit, Some(0), "{said}");
    for (intent, asked_by) in [("by-shop", "shop"), ("by-ada", "ada"), ("by-hand", "ada")] {
        // What is held comes back after a while.
        let history = eventually(&format!("{intent} is submitted"), SOON * 2, async || {
            match mesh.control.history(&id(intent), 1).await {
                Ok(history) if !history.is_empty() => Ok(history),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        let first = &history.first().expect("submitted").record;
        assert_eq!(first.event.name(), "submitted", "{first:?}");
        let envelope = first.envelope.as_ref().expect("an envelope");
        assert_eq!(
            (envelope.to.as_str(), envelope.from.as_deref(), &*first.by.instance),
            ("reviewer", Some(asked_by), asked_by)
        );
    }
    mesh.until_intake_has(0).await;
}
