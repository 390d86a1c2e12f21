//! Calls, fan-outs, itineraries, undo and channels where roles are kept apart: by accounts of the server, and by signatures.

mod impostors;

use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use baton_agent::{Agent, Call, Calls, Fault, Handler, Hop, Joined, Json, Outcome, Wait};
use baton_controller::{Controller, ControllerConfig};
use baton_e2e::accounts::{OPERATOR, VIEWER, connect_as, layout};
use baton_e2e::baton;
use baton_e2e::chaos::{assert_legal, events};
use baton_e2e::gated::{id, result, result_as, said};
use baton_envelope::control::{ChannelAct, SubscribeAgent, UnsubscribeAgent};
use baton_envelope::{IntentId, RECEIVERS, Role, Signatures};
use baton_jetstream::{ChannelMessage, Error, Head, Limits, Mesh, Signing, Target};
use baton_testkit::{Keys, TestServer, eventually};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// How long anything may take on a slow machine.
const SOON: Duration = Duration::from_secs(120);

/// Does what its payload says. `call` and `fan` ask `code` twice, `tell` tells both of them, `next` hands on, `trip` books two things and fails, `wait` books them
/// and waits for a signal. Anything else it completes.
struct Research;

impl Handler for Research {
    type Input = String;

    async fn handle(&self, hop: &mut Hop, work: String) -> Result<Outcome, Fault> {
        let calls = || -> Result<Vec<Call>, Fault> {
            ["otters", "rivers"]
                .iter()
                .map(|word| Call::new("code", word))
                .collect()
        };
        match work.as_str() {
            "call" => {
                let joined = hop.join(Calls::of(calls()?).named("ask")).await?;
                let said: Vec<String> = joined.children().iter().map(said).collect();
                Outcome::complete(&said.join(" "))
            }
            "fan" => Outcome::fan_out(Calls::of(calls()?)).then("code"),
            "tell" => Outcome::broadcast("news", "snow"),
            "next" => Outcome::next("on"),
            "trip" | "wait" => {
                for booked in ["flight", "hotel"] {
                    let book = || async { Ok::<_, Fault>(booked.to_owned()) };
                    hop.step_undoable(booked, book, "code", |booked| format!("undo {booked}"))
                        .await?;
                }
                if work == "wait" {
                    drop(hop.wait(Wait::signal("go")).await?);
                }
                Err(Fault::terminal("NO_WAY", "none is left"))
            }
            _ => Outcome::complete(&work),
        }
    }
}

/// Says in capitals what it is told, counts what a call came to, and notes what it takes back.
struct Code(Arc<Mutex<Vec<String>>>);

impl Handler for Code {
    type Input = Json;

    async fn handle(&self, _: &mut Hop, work: Json) -> Result<Outcome, Fault> {
        let Ok(text) = work.read::<String>() else {
            let joined: Joined = work.read().map_err(|error| Fault::terminal("ODD", error.to_string()))?;
            return Outcome::complete(&format!("{} came", joined.completed().count()));
        };
        if let Some(thing) = text.strip_prefix("undo ") {
            self.0.lock().expect("the log").push(thing.to_owned());
        }
        Outcome::complete(&text.to_uppercase())
    }
}

/// A mesh with a controller and both agents, each with a login or a key of its own.
struct Guarded {
    server: TestServer,
    keys: Option<Keys>,
    control: Mesh,
    /// Whoever asks for work.
    shop: Mesh,
    undone: Arc<Mutex<Vec<String>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Guarded {
    /// By accounts, as `baton access` makes them.
    async fn secured() -> Self {
        let server = TestServer::builder().config(&layout()).start().await;
        let control = connect_as(&server, "controller").await;
        let (research, code) = (connect_as(&server, "research").await, connect_as(&server, "code").await);
        let shop = connect_as(&server, "shop").await;
        let config = ControllerConfig {
            secured: true,
            ..ControllerConfig::default()
        };
        Self::start((server, None), (control, shop), [research, code], config).await
    }

    /// By keys.
    async fn signed() -> Self {
        let (server, keys) = (TestServer::start().await, Keys::of_agents(&["research", "code"]));
        let signatures = Signatures::Accept;
        let connect = async |whose: &str| {
            let target = Target {
                signing: Signing {
                    signatures,
                    key: Some(keys.file(whose)),
                    trust: Some(keys.trust()),
                },
                ..Target::at(server.url())
            };
            target.connect().await.expect("connect")
        };
        let meshes = (connect("controller").await, connect("client").await);
        let agents = [connect("research").await, connect("code").await];
        let config = ControllerConfig {
            limits: Limits {
                signatures,
                ..Limits::default()
            },
            checkpoint_interval: Duration::from_millis(200),
            ..ControllerConfig::default()
        };
        Self::start((server, Some(keys)), meshes, agents, config).await
    }

    async fn start(
        (server, keys): (TestServer, Option<Keys>),
        (control, shop): (Mesh, Mesh),
        [research, code]: [Mesh; 2],
        config: ControllerConfig,
    ) -> Self {
        let undone = Arc::default();
        let controller = Controller::new(control.clone(), config);
        let mut tasks = vec![tokio::spawn(async move {
            controller.run_until(std::future::pending()).await.expect("controller");
        })];
        let builder = |name: &str| Agent::builder(name, "1.0.0").expect("agent").channel("news");
        let agents = [
            (research, builder("research").handler(Research).compensates()),
            (code, builder("code").handler(Code(Arc::clone(&undone)))),
        ];
        for (mesh, builder) in agents {
            tasks.push(tokio::spawn(async move {
                let worker = builder.bind(&mesh).await.expect("bound");
                worker.run_until(std::future::pending()).await.expect("works");
            }));
        }
        eventually("both agents have their routes", SOON, async || {
            match control.all_routes().await {
                Ok(routes) if routes.len() == 2 => Ok(()),
                Ok(routes) => Err(format!("{} routes", routes.len())),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
        Self {
            server,
            keys,
            control,
            shop,
            undone,
            tasks,
        }
    }

    /// Asks `research` for work.
    async fn ask(&self, intent: &str, headers: &[(&str, &str)], work: &str) {
        let own = [("Baton-Intent", intent)];
        let all = own.iter().chain(headers);
        let all = all
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let sent = self
            .shop
            .publish_raw("mesh.intent.research".to_owned(), all, work.to_owned().into());
        sent.await.expect("taken in");
    }

    async fn until(&self, intent: &IntentId, status: &str) -> Head {
        eventually(&format!("{intent} is {status}"), SOON, async || {
            match self.control.last_record(intent).await {
                Ok(Some(head)) if head.record.snapshot.status.name() == status => Ok(head),
                Ok(head) => Err(format!(
                    "{:?}",
                    head.map(|head| (head.record.snapshot.status, head.record.error))
                )),
                Err(error) => Err(error.to_string()),
            }
        })
        .await
    }

    async fn history(&self, intent: &IntentId) -> Vec<Head> {
        self.control.history(intent, 1).await.expect("a history")
    }

    fn undone(&self) -> Vec<String> {
        std::mem::take(&mut *self.undone.lock().expect("the log"))
    }

    /// A `baton` of one of the users of a secured mesh, or of whoever reads a signed one.
    async fn baton(&self, user: &str, args: &[&str]) -> Output {
        let mut command: Command = baton();
        command.args(args).env("BATON_SERVER", self.server.url());
        match &self.keys {
            None => {
                command.env("BATON_USER", user).env("BATON_PASSWORD", user);
                command.env("BATON_INBOX_PREFIX", format!("_INBOX_{user}"));
            }
            Some(keys) => {
                command.env("BATON_CONNECTION__SIGNATURES", "accept");
                command.env("BATON_CONNECTION__TRUST", keys.trust());
            }
        }
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        output.expect("it ends").expect("baton runs")
    }
}

fn message(intent: &str, channel: &str) -> ChannelMessage {
    ChannelMessage {
        channel: channel.parse().expect("channel"),
        intent: id(intent),
        body: "snow".into(),
        kind: None,
        receivers: Vec::new(),
        headers: Vec::new(),
    }
}

/// The intent of a message that two receivers have done, as its result says.
#[track_caller]
fn both_completed(head: &Head) -> String {
    let told: Value = result_as(head);
    assert_eq!(
        (&told["receivers"], &told["completed"]),
        (&json!(2), &json!(2)),
        "{told}"
    );
    told["intent"].as_str().expect("an id").to_owned()
}

/// One of each, from its submit to its end.
async fn all_patterns(mesh: &Guarded) {
    mesh.ask("called", &[], "call").await;
    let head = mesh.until(&id("called"), "completed").await;
    assert_eq!(result(&head), "OTTERS RIVERS");
    assert_legal(&mesh.history(&id("called")).await);
    let child = mesh.history(&IntentId::of_child(&id("called"), 1, "ask", 1)).await;
    assert_legal(&child);
    let first = &child[0].record;
    // No worker may write for another agent.
    assert_eq!(first.by.role, Role::Controller);
    let from = first.envelope.as_ref().and_then(|envelope| envelope.from.as_deref());
    assert_eq!(from, Some("research@1.0.0"));

    mesh.ask("fanned", &[], "fan").await;
    assert_eq!(result(&mesh.until(&id("fanned"), "completed").await), "2 came");

    mesh.ask("told", &[], "tell").await;
    let told = mesh.until(&id("told"), "completed").await;
    assert_eq!(both_completed(&told), id("told").as_str());
    for index in 0..2 {
        let copy = mesh
            .history(&IntentId::of_child(&id("told"), 1, RECEIVERS, index))
            .await;
        assert_legal(&copy);
        assert_eq!(copy[0].record.by.role, Role::Controller);
    }

    mesh.ask("listed", &[("Baton-Itinerary", "code")], "next").await;
    assert_eq!(result(&mesh.until(&id("listed"), "completed").await), "ON");

    mesh.ask("undone", &[], "trip").await;
    mesh.until(&id("undone"), "failed").await;
    assert_eq!(mesh.undone(), ["hotel", "flight"]);
    let history = mesh.history(&id("undone")).await;
    assert_legal(&history);
    let undo: Vec<&str> = events(&history)
        .into_iter()
        .filter(|event| event.starts_with("compensat"))
        .collect();
    assert_eq!(undo.first().zip(undo.last()), Some((&"compensating", &"compensated")));

    mesh.shop
        .publish_to_channel(message("news-1", "news"))
        .await
        .expect("stored");
    let root = mesh.until(&id("news-1"), "completed").await;
    assert_eq!(both_completed(&root), "news-1");
    for index in 0..2 {
        assert_legal(
            &mesh
                .history(&IntentId::of_child(&id("news-1"), 0, RECEIVERS, index))
                .await,
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_patterns_work_between_accounts_and_a_channel_is_for_those_who_may() {
    let mesh = Guarded::secured().await;
    all_patterns(&mesh).await;
    let from = async |root: &str| {
        let first = mesh.history(&id(root)).await.swap_remove(0).record;
        first.broadcast.and_then(|sent| sent.from)
    };
    assert_eq!(
        from("news-1").await.as_deref(),
        Some("shop"),
        "who published is what the server says"
    );

    // Of its own channels alone; a worker and a viewer of none.
    let research = connect_as(&mesh.server, "research").await;
    for (who, refused) in [("another channel", &mesh.shop), ("a worker", &research)] {
        let channel = if who == "a worker" { "news" } else { "weather" };
        let sent = refused.publish_to_channel(message("refused", channel)).await;
        let Err(Error::Denied { what }) = sent else {
            panic!("{who}: {sent:?}")
        };
        assert!(what.contains(&format!("mesh.channel.{channel}")), "{what}");
    }
    // Whoever may publish on a channel may not ask anybody for that.
    let ada = connect_as(&mesh.server, OPERATOR).await;
    let taken_off = ChannelAct {
        channel: "news".parse().expect("channel"),
        agent: "code".parse().expect("agent"),
        by: "ada".to_owned(),
        reason: None,
    };
    ada.ask_controller(&UnsubscribeAgent(taken_off.clone()))
        .await
        .expect("ada may");
    let named = ChannelMessage {
        receivers: vec!["code".parse().expect("agent")],
        ..message("news-2", "news")
    };
    mesh.shop.publish_to_channel(named).await.expect("stored");
    let refused = mesh
        .until(&id("news-2"), "rejected")
        .await
        .record
        .error
        .expect("a reason");
    assert_eq!(refused.code, "UNKNOWN_RECEIVER", "{}", refused.message);
    ada.ask_controller(&SubscribeAgent(taken_off)).await.expect("ada may");

    let send = ["send", "--channel", "news", "rain", "--id", "by-ada", "--wait"];
    let refused = mesh.baton(VIEWER, &send).await;
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    assert!(mesh.control.last_record(&id("by-ada")).await.expect("read").is_none());
    let sent = mesh.baton(OPERATOR, &send).await;
    assert_eq!(sent.status.code(), Some(0), "{sent:?}");
    let status = mesh.baton(VIEWER, &["channels", "status", "by-ada"]).await;
    assert!(
        String::from_utf8_lossy(&status.stdout).contains("completed"),
        "{status:?}"
    );
    assert_eq!(from("by-ada").await.as_deref(), Some("ada"));

    // What an operator cancels so is undone.
    mesh.ask("taken-back", &[], "wait").await;
    mesh.until(&id("taken-back"), "waiting").await;
    let cancel = [
        "intents",
        "cancel",
        "taken-back",
        "--undo",
        "--reason",
        "no longer wanted",
    ];
    let refused = mesh.baton(VIEWER, &cancel).await;
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    let done = mesh.baton(OPERATOR, &cancel).await;
    assert_eq!(done.status.code(), Some(0), "{done:?}");
    mesh.until(&id("taken-back"), "cancelled").await;
    assert_eq!(mesh.undone(), ["hotel", "flight"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_patterns_work_where_records_are_signed_and_all_of_it_verifies() {
    let mesh = Guarded::signed().await;
    all_patterns(&mesh).await;
    let last = mesh.until(&id("news-1"), "completed").await.seq;
    let told = eventually("a checkpoint covers the last record", SOON, async || {
        let output = mesh.baton("", &["audit", "verify", "--all", "--output", "json"]).await;
        let report: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {output:?}"))?;
        let is_covered = output.status.success() && report["covered_through"].as_u64() >= Some(last);
        is_covered.then(|| report.clone()).ok_or(report.to_string())
    })
    .await;
    assert_eq!(
        (&told["problems"], &told["unsigned"]),
        (&json!([]), &json!(0)),
        "{told}"
    );
}
