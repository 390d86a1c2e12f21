//! Who listens where nothing of a role must arrive: the account of the controllers, and the inboxes of everybody.

use baton_testkit::{Client, Headers, Subscriber, TestServer};
use futures::{FutureExt as _, StreamExt as _};

use super::attempts::{EVIL, TARGETS};
use super::roles::{ROLES, Role};
use super::{SOON, processed};

/// Marks the end of what was sent.
const FENCE: &str = "mesh.abuse.fence";

pub(super) struct Spy {
    control: Client,
    /// What everybody in the account of the controllers could hear.
    mesh: Vec<Subscriber>,
    /// Inboxes of others.
    inboxes: Vec<(Client, Subscriber)>,
}

impl Spy {
    pub(super) async fn start(server: &TestServer) -> Self {
        let control = server.client_as("controller").await;
        let mut mesh = Vec::new();
        // Both ways to listen: an answer that does not reach a wildcard may reach a full name.
        for subject in [
            "mesh.>",
            "reply.>",
            "mesh.load",
            "mesh.alarm",
            "_INBOX_controller.abuse",
        ] {
            mesh.push(control.subscribe(subject).await.expect("subscribed"));
        }
        processed(&control).await;
        let mut inboxes = Vec::new();
        for role in ROLES {
            let client = server.client_as(role.user).await;
            let inbox = format!("_INBOX_{}.abuse", role.user);
            let subscriber = client.subscribe(inbox).await.expect("subscribed");
            processed(&client).await;
            inboxes.push((client, subscriber));
        }
        Self { control, mesh, inboxes }
    }

    /// Waits for an alarm that says this.
    pub(super) async fn until_alarmed(&mut self, says: &str) {
        let alarms = self.mesh.first_mut().expect("mesh.>");
        let found = async {
            while let Some(message) = alarms.next().await {
                let said = String::from_utf8_lossy(&message.payload);
                if *message.subject == *"mesh.alarm" && said.contains(says) {
                    break;
                }
            }
        };
        tokio::time::timeout(SOON, found).await.expect("an alarm");
    }

    /// What arrived that must not.
    pub(super) async fn heard(&mut self, role: &Role) -> Vec<String> {
        self.control.publish(FENCE, "".into()).await.expect("published");
        processed(&self.control).await;
        let mut heard = Vec::new();
        let wildcard = self.mesh.first_mut().expect("mesh.>");
        let is_one = |subject: &str| TARGETS.iter().any(|target| target == subject);
        loop {
            let message = wildcard.next().await.expect("the fence");
            if *message.subject == *FENCE {
                break;
            }
            let subject = message.subject.as_str();
            let is_target = !subject.starts_with("mesh.ledger.") && is_one(subject) && !SHARED.contains(&subject);
            if (is_target && !role.may(subject) && !role.has_sent(subject, &message.payload))
                || (SHARED.contains(&subject) && is_smuggled(&message.payload, message.headers.as_ref()))
            {
                heard.push(format!("{subject}: {}", String::from_utf8_lossy(&message.payload)));
            }
        }
        for others in self.mesh.iter_mut().skip(1) {
            while let Some(Some(message)) = others.next().now_or_never() {
                if is_smuggled(&message.payload, message.headers.as_ref()) {
                    let said = String::from_utf8_lossy(&message.payload).into_owned();
                    heard.push(format!("{}: {said}", message.subject));
                }
            }
        }
        for (client, inbox) in &mut self.inboxes {
            processed(client).await;
            while let Some(Some(message)) = inbox.next().now_or_never() {
                if *message.subject != *format!("_INBOX_{}.abuse", role.user) {
                    heard.push(format!("{}: {:?}", message.subject, message.payload));
                }
            }
        }
        heard
    }
}

/// What controllers send, too.
const SHARED: &[&str] = &["mesh.load", "mesh.alarm"];

/// Whether it is the body of an attempt, or an answer or a trace of the server: controllers' own messages are none of these.
fn is_smuggled(payload: &[u8], headers: Option<&Headers>) -> bool {
    let text = String::from_utf8_lossy(payload);
    let is_read =
        headers.is_some_and(|headers| headers.get("Nats-Stream").is_some() || headers.get("Status").is_some());
    let of_server = ["\"stream\":\"MESH", "\"type\":\"io.nats", "\"events\":["];
    is_read || text.is_empty() || text == EVIL || of_server.iter().any(|part| text.contains(part))
}
