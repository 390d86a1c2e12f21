//! What a role may not do, the server refuses, or Baton does: each role × each thing that it must not do, and after each group
//! of attempts a digest of the whole mesh is what it was.
//!
//! The table of what a role *may* is written here by hand and not taken from the layout: a grant too many must be found.

mod attempts;
mod claims;
mod digest;
mod roles;
mod spy;

use std::time::Duration;

use baton_testkit::{Client, Headers, eventually};

use crate::accounts::Secured;
use digest::Digest;
use roles::{CONTROLLER, ROLES, Role, Seed};
use spy::Spy;

const SOON: Duration = Duration::from_secs(30);

/// A secured mesh in which something happened, its digest, and who listens for what gets through.
struct Target {
    mesh: Secured,
    control: Client,
    before: Digest,
    spy: Spy,
}

/// The same message once more is answered and not stored: so an attempt can have an answer sent, and leaves nothing.
fn again(user: &str, subject: &str) -> Headers {
    let what = subject.split('.').nth(1).unwrap_or_default();
    let mut headers = Headers::new();
    headers.insert("Nats-Msg-Id", format!("abuse-{user}-{what}"));
    headers
}

/// Stores what a role may have stored.
async fn store(mesh: &Secured, (user, subject, body): Seed) {
    let mut headers = again(user, subject);
    if subject.contains(".intent.") {
        headers.insert("Baton-Intent", format!("order-{user}"));
    }
    let client = mesh.server.client_as(user).await;
    let stored = client.request_with_headers(subject, headers, body.into()).await;
    let stored = String::from_utf8_lossy(&stored.expect("an answer").payload).into_owned();
    assert!(stored.contains("\"seq\""), "{user} to {subject}: {stored}");
}

/// The server has read all that the client wrote, and the client has what the server sent before: nobody is there to answer,
/// and the server says so in the order of the connection. A flush of the client waits for neither.
async fn processed(client: &Client) {
    let answered = client.request("abuse.fence", "".into()).await;
    let said = answered.expect_err("nobody is there").to_string();
    assert!(said.contains("no responders"), "{said}");
}

impl Target {
    async fn start() -> Self {
        let mesh = Secured::start().await;
        let mut spy = Spy::start(&mesh.server).await;
        let (work, rest): (Vec<Seed>, Vec<Seed>) = roles::SEEDS.iter().partition(|seed| seed.1.contains(".intent."));
        for seed in work {
            store(&mesh, seed).await;
            mesh.completed(&format!("order-{}", seed.0).parse().expect("id")).await;
        }
        // What comes after the end of the work, or for nobody, becomes a dead letter.
        for seed in rest {
            store(&mesh, seed).await;
        }
        let control = mesh.server.client_as("controller").await;
        // A worker cannot be kept from writing a record on any intent. It is told of.
        spy.until_alarmed("intent/evil cannot be read").await;
        let mut last = Digest::default();
        mesh.until_intake_has(0).await;
        let (code, version) = ("code".parse().expect("name"), "1.0.0".parse().expect("version"));
        eventually("no ticket is left", SOON, async || {
            match mesh.control.queued_tickets(&code, &version).await {
                Ok(left) if left.is_empty() => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
        eventually("the mesh is at rest", SOON, async || {
            let now = digest::of(&control).await;
            let changed = std::mem::replace(&mut last, now).differences(&last);
            if changed.is_empty() {
                Ok(())
            } else {
                Err(changed.join("\n"))
            }
        })
        .await;
        // The work itself was heard, too.
        spy.heard(&CONTROLLER).await;
        Self {
            mesh,
            control,
            before: last,
            spy,
        }
    }

    /// Nothing is different, and nobody heard what was not for them.
    async fn is_untouched(&mut self, role: &Role, after: &str) {
        let changed = self.before.differences(&digest::of(&self.control).await);
        assert!(changed.is_empty(), "{} by {after}:\n{}", role.user, changed.join("\n"));
        let heard = self.spy.heard(role).await;
        assert!(heard.is_empty(), "{} by {after}:\n{}", role.user, heard.join("\n"));
    }

    /// A publisher that takes the id of another's intent changes nothing of that.
    async fn leaves_the_intents_of_others(&self) {
        let shop = self.mesh.server.client_as("shop").await;
        let mut headers = Headers::new();
        headers.insert("Baton-Intent", "order-ada");
        let sent = shop.request_with_headers("mesh.intent.research", headers, "weasels".into());
        sent.await.expect("taken in");
        self.mesh.until_intake_has(0).await;
        let changed = self.before.differences(&digest::of(&self.control).await);
        let is_another = |change: &&String| change.starts_with("last of mesh.ledger.0.order-ada:");
        assert_eq!(changed.iter().find(is_another), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_role_may_not_do_leaves_the_mesh_as_it_was() {
    let mut target = Target::start().await;
    let mut count = 0;
    for role in ROLES {
        let client = target.mesh.server.client_as(role.user).await;
        count += attempts::directly(&client, role).await;
        target.is_untouched(role, "publishing itself").await;
        for ask in role.asks() {
            count += attempts::by_redirection(&client, role, &ask).await;
            target
                .is_untouched(role, &format!("the answer of {}", ask.subject))
                .await;
            count += attempts::by_trace(&client, role, &ask).await;
            target
                .is_untouched(role, &format!("the trace of {}", ask.subject))
                .await;
        }
        count += attempts::by_listening(&client, &target.control, role).await;
        target.is_untouched(role, "listening").await;
        count += claims::by_header(&client, role).await;
        target.is_untouched(role, "a header").await;
        count += claims::as_another(&client, role).await;
        target.is_untouched(role, "a name of another").await;
        if role.user == "research" {
            count += attempts::by_heartbeat(&client).await;
            target.is_untouched(role, "the reply subject of a heartbeat").await;
        }
    }
    count += claims::as_nobody(&target.control).await;
    target.is_untouched(&CONTROLLER, "asking as nobody").await;
    target.leaves_the_intents_of_others().await;
    println!("{count} attempts on {}", target.control.server_info().version);
    assert!(count > 1_000, "{count}");
}
