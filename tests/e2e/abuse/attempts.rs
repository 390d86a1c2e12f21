//! The attempts: where to, and by which way.

use std::sync::LazyLock;

use baton_testkit::{Client, Headers};
use futures::{FutureExt as _, StreamExt as _};

use super::roles::{Ask, Role};
use super::{claims, processed};

/// The body of a record that a worker wrote: a question that puts a version aside.
pub(super) const EVIL: &str = r#"{"agent":"code","version":"1.0.0","by":"abuse-mark"}"#;

/// Where nothing of a role must arrive, unless the role may: what stands here, and every question that changes something.
pub(super) static TARGETS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let asked = claims::changing().into_iter().map(|(subject, _)| subject);
    SUBJECTS
        .iter()
        .map(|subject| (*subject).to_owned())
        .chain(asked)
        .collect()
});

const SUBJECTS: &[&str] = &[
    // The API of JetStream.
    "$JS.API.STREAM.CREATE.ABUSE",
    "$JS.API.STREAM.UPDATE.MESH_LEDGER",
    "$JS.API.STREAM.DELETE.MESH_LEDGER",
    "$JS.API.STREAM.PURGE.MESH_LEDGER",
    "$JS.API.STREAM.PURGE.MESH_WORK_code",
    "$JS.API.STREAM.DELETE.KV_MESH_ROUTES",
    "$JS.API.STREAM.MSG.DELETE.MESH_LEDGER",
    "$JS.API.STREAM.SNAPSHOT.MESH_LEDGER",
    "$JS.API.STREAM.RESTORE.ABUSE",
    "$JS.API.CONSUMER.CREATE.MESH_LEDGER",
    "$JS.API.CONSUMER.CREATE.MESH_LEDGER.abuse",
    "$JS.API.CONSUMER.CREATE.KV_MESH_ROUTES.abuse.$KV.MESH_ROUTES.>",
    "$JS.API.CONSUMER.DURABLE.CREATE.MESH_WORK_code.abuse",
    "$JS.API.CONSUMER.DELETE.MESH_WORK_code.1_0_0_p4-7",
    "$JS.API.CONSUMER.DELETE.MESH_WORK_research.1_0_0_p4-7",
    "$JS.API.CONSUMER.PAUSE.MESH_WORK_code.1_0_0_p4-7",
    "$JS.API.CONSUMER.MSG.NEXT.MESH_WORK_code.1_0_0_p4-7",
    "$JS.API.ACCOUNT.PURGE.MESH",
    // Acks in both forms, and one that looks like another agent's.
    "$JS.ACK.MESH_WORK_code.1_0_0_p4-7.1.1.1.1.0",
    "$JS.ACK._.znJdjy7f.MESH_WORK_code.1_0_0_p4-7.1.1.1.1.0.0",
    "$JS.ACK.MESH_WORK_code.1_0_0_p4-7.MESH_WORK_research.1.1.1.0",
    // What is stored.
    "mesh.ledger.0.order-shop",
    "mesh.ledger.0.abuse",
    "mesh.work.code.1_0_0.p5",
    "mesh.archive.code",
    "mesh.archive.-",
    "mesh.audit.checkpoint",
    "mesh.context.order-shop.abuse",
    "$JS.API.STREAM.PURGE.MESH_CONTEXT",
    "$JS.API.STREAM.MSG.DELETE.MESH_CONTEXT",
    "$JS.API.STREAM.UPDATE.MESH_CONTEXT",
    "mesh.context-archive.order-shop.abuse",
    "$JS.API.STREAM.PURGE.MESH_CONTEXT_ARCHIVE",
    "$JS.API.STREAM.MSG.DELETE.MESH_CONTEXT_ARCHIVE",
    "$JS.API.STREAM.UPDATE.MESH_CONTEXT_ARCHIVE",
    "mesh.memory.code.abuse",
    "mesh.memory.abuse.abuse",
    "$JS.API.STREAM.PURGE.MESH_MEMORY",
    "$JS.API.STREAM.MSG.DELETE.MESH_MEMORY",
    "$JS.API.STREAM.UPDATE.MESH_MEMORY",
    "$KV.MESH_ROUTES.code",
    "$KV.MESH_ROUTES.abuse",
    "$KV.MESH_CONTROL.leader",
    "$KV.MESH_CONTROL.abuse",
    "$KV.MESH_AGENTS.abuse",
    "$KV.MESH_SCHEDULES.abuse",
    "$KV.MESH_BREAKERS.code.1_0_0",
    "$JS.API.STREAM.PURGE.KV_MESH_BREAKERS",
    "mesh.intent.code",
    "mesh.ask.code",
    "mesh.from.shop.ask.nobody",
    "mesh.capability.abuse",
    "mesh.capability.tests",
    "mesh.channel.abuse",
    "mesh.channel.news",
    "mesh.from.shop.capability.abuse",
    "mesh.from.shop.capability.tests",
    "mesh.from.research.capability.tests",
    "mesh.from.shop.intent.nobody",
    "mesh.from.max.intent.nobody",
    "mesh.from.max.signal.order-shop.go",
    "mesh.signal.order-shop.go",
    // Nobody decides as another, nor as nobody in particular.
    "mesh.decide.ada.order-shop.1.gate.approve",
    "mesh.decide.bea.order-shop.1.gate.approve",
    "mesh.decide.max.order-shop.1.gate.approve",
    "mesh.decide.-.order-shop.1.gate.approve",
    "mesh.from.max.decide.max.order-shop.1.gate.approve",
    "mesh.from.max.decide.ada.order-shop.1.gate.approve",
    // What is heard.
    "mesh.heartbeat.code.6_6_6.abuse",
    "mesh.heartbeat.abuse.6_6_6.abuse",
    "mesh.agent.code.6_6_6.abuse",
    "mesh.replay.code.abuse",
    "mesh.event.abuse",
    "mesh.route.code",
    "mesh.load",
    "mesh.alarm",
    "reply.other.1",
    "mesh.from.shop.channel.abuse",
    "mesh.from.research.channel.news",
    // The account of the server itself.
    "$SYS.REQ.SERVER.PING.VARZ",
    "$SYS.REQ.CLAIMS.UPDATE",
    "$SYS.REQ.ACCOUNT.MESH.CONNZ",
    // Inboxes of others.
    "_INBOX_controller.abuse",
    "_INBOX_vic.abuse",
    "_INBOX_ada.abuse",
    "_INBOX_code.abuse",
];

/// Each target that the role may not write to answers that nobody is there.
pub(super) async fn directly(client: &Client, role: &Role) -> usize {
    let mut count = 0;
    for target in TARGETS.iter().filter(|target| !role.may(target)) {
        for body in ["", EVIL] {
            count += 1;
            if role.is_heard_at_home(target) {
                client.publish(target.clone(), body.into()).await.expect("sent");
                continue;
            }
            let answer = client.request(target.clone(), body.into()).await;
            let said = match answer {
                Ok(answer) => String::from_utf8_lossy(&answer.payload).into_owned(),
                Err(error) => error.to_string(),
            };
            assert!(said.contains("no responders"), "{} to {target}: {said}", role.user);
        }
    }
    processed(client).await;
    count
}

/// The answer to what the role may ask is to go to a target.
pub(super) async fn by_redirection(client: &Client, role: &Role, ask: &Ask) -> usize {
    let mut count = 0;
    let (headers, body) = (ask.headers.clone(), ask.body.clone());
    let answered = client
        .request_with_headers(ask.subject.clone(), headers, body.into())
        .await;
    assert!(answered.is_ok(), "{} asks {}: {answered:?}", role.user, ask.subject);
    let literals = role.literals();
    let targets = TARGETS.iter().cloned().chain(literals);
    for target in targets.filter(|target| !role.writes(target)) {
        let (subject, headers, body) = (ask.subject.clone(), ask.headers.clone(), ask.body.clone());
        let sent = client.publish_with_reply_and_headers(subject, target, headers, body.into());
        sent.await.expect("sent");
        count += 1;
    }
    processed(client).await;
    count
}

/// What the server tells of the way of a message is to go to a target.
pub(super) async fn by_trace(client: &Client, role: &Role, ask: &Ask) -> usize {
    let mut count = 0;
    for target in TARGETS.iter().filter(|target| !role.writes(target)) {
        let mut headers: Headers = ask.headers.clone();
        headers.insert("Nats-Trace-Dest", target.as_str());
        let sent = client.publish_with_headers(ask.subject.clone(), headers, ask.body.clone().into());
        sent.await.expect("sent");
        count += 1;
    }
    processed(client).await;
    count
}

/// What the role may not hear, it does not hear.
pub(super) async fn by_listening(client: &Client, control: &Client, role: &Role) -> usize {
    let heard_by_controllers = [
        "mesh.from.shop.secret",
        "mesh.work.code.secret",
        "mesh.control.secret.secret",
        "mesh.heartbeat.code.secret",
        "_INBOX_controller.secret",
        "reply.other.secret",
    ];
    let mut listening = Vec::new();
    for subject in [
        ">",
        "mesh.>",
        "*.>",
        "$JS.>",
        "$SYS.>",
        "_INBOX_controller.>",
        "reply.>",
        "reply.other.>",
    ]
    .into_iter()
    .chain(heard_by_controllers)
    {
        listening.push(client.subscribe(subject).await.expect("sent"));
    }
    processed(client).await;
    for subject in heard_by_controllers {
        control.publish(subject, "secret".into()).await.expect("sent");
    }
    processed(control).await;
    processed(client).await;
    for subscriber in &mut listening {
        if let Some(Some(message)) = subscriber.next().now_or_never() {
            panic!("{} hears {}: {:?}", role.user, message.subject, message.payload);
        }
    }
    listening.len()
}

/// What goes one way keeps the reply subject that its sender gave it: no controller may answer it.
pub(super) async fn by_heartbeat(client: &Client) -> usize {
    for target in TARGETS.iter() {
        let sent = client.publish_with_reply("mesh.heartbeat.research.1_0_0.abuse", target.clone(), EVIL.into());
        sent.await.expect("sent");
    }
    processed(client).await;
    TARGETS.len()
}
