//! The control API over the wire: every question of the list is known, and what is not is refused with a code.

use baton_envelope::codes;
use baton_envelope::control::{ControlError, Reply, VERBS};
use baton_testkit::Client;
use serde::de::IgnoredAny;

use crate::support::*;

async fn ask(client: &Client, verb: &str, body: &'static str) -> String {
    let reply = client.request(format!("mesh.control.{verb}"), body.into()).await;
    String::from_utf8(reply.unwrap().payload.to_vec()).unwrap()
}

fn refusal(reply: &str) -> Option<ControlError> {
    match serde_json::from_str::<Reply<IgnoredAny>>(reply).unwrap() {
        Reply::Ok(_) => None,
        Reply::Error(refused) => Some(refused),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_verb_is_known_and_any_other_is_refused_with_its_own_code() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let controller = Running::start(&mesh, quiet("a"));
    let client = server.client().await;
    eventually("a controller answers", PATIENCE, async || {
        let asked = mesh.ask_controller(&baton_envelope::control::ShowArchive {}).await;
        asked.map(drop).map_err(|error| error.to_string())
    })
    .await;
    for &verb in VERBS {
        let reply = ask(&client, verb, "").await;
        let known = refusal(&reply).is_none_or(|refused| !refused.is_unknown_verb(verb));
        assert!(known, "{verb}: {reply}");
    }
    assert_eq!(
        ask(&client, "intents.unheard", "{}").await,
        r#"{"error":{"code":"UNKNOWN_VERB","message":"there is nothing to ask as \"intents.unheard\"","fix":""}}"#
    );
    let unreadable = refusal(&ask(&client, "agents.retire", "[1").await).expect("a refusal");
    assert_eq!(unreadable.code, codes::BAD_REQUEST);
    assert!(unreadable.message.starts_with("agents.retire: "), "{unreadable:?}");
    controller.stop().await;
}
