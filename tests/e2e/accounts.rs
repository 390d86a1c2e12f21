//! A secured mesh: accounts keep the roles apart, controllers make what workers need, and who asks is what the server says.

mod answers;
mod by_hand;
mod capable;
mod caps;
mod spaces;
mod together;

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use baton_agent::{Agent, Fault, Handler, Hop, Outcome};
use baton_controller::{Controller, ControllerConfig};
use baton_e2e::accounts::{OPERATOR, VIEWER, connect_as, layout, target};
use baton_e2e::baton;
use baton_envelope::control::{AboutAgent, LiftQuarantine, ListAgents, RolloutAct};
use baton_envelope::control::{ListDecisions, PauseRollout, QuarantineVersion, VersionAct, WhoAmI};
use baton_envelope::{AgentName, Author, Event, IntentId, Json, Record, Status};
use baton_jetstream::{Error, Filter, Mesh};
use baton_testkit::{Headers, TestServer, eventually};
use tokio::task::JoinHandle;
use tokio::time::Instant;

const SOON: Duration = Duration::from_secs(30);

/// A controller, and both agents, each in an account of its own.
pub(super) struct Secured {
    pub(super) server: TestServer,
    pub(super) control: Mesh,
    /// How many hops research has run.
    runs: Arc<AtomicU32>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Secured {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

struct Research(Arc<AtomicU32>);

impl Handler for Research {
    type Input = Json;

    async fn handle(&self, _: &mut Hop, payload: Json) -> Result<Outcome, Fault> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Outcome::hand_off("code", &payload)
    }
}

struct Code;

impl Handler for Code {
    type Input = Json;

    async fn handle(&self, _: &mut Hop, payload: Json) -> Result<Outcome, Fault> {
        Outcome::complete(&format!("done: {}", payload.get()))
    }
}

fn secured() -> ControllerConfig {
    ControllerConfig {
        secured: true,
        instance: "c1".to_owned(),
        ..ControllerConfig::default()
    }
}

impl Secured {
    pub(super) async fn start() -> Self {
        Self::start_with(secured()).await
    }

    async fn start_with(config: ControllerConfig) -> Self {
        let server = TestServer::builder().config(&layout()).start().await;
        Self::start_on(server, config).await
    }

    async fn start_on(server: TestServer, config: ControllerConfig) -> Self {
        let control = connect_as(&server, "controller").await;
        let mut this = Self {
            server,
            control,
            runs: Arc::default(),
            tasks: Vec::new(),
        };
        // The workers come first: nothing of the mesh is there, and they may make none of it.
        let research = connect_as(&this.server, "research").await;
        let code = connect_as(&this.server, "code").await;
        let counted = Research(Arc::clone(&this.runs));
        this.tasks.push(tokio::spawn(async move {
            let agent = Agent::builder("research", "1.0.0").expect("agent").handler(counted);
            let worker = agent.bind(&research).await.expect("research waits and is bound");
            worker.run_until(std::future::pending()).await.expect("research works");
        }));
        this.tasks.push(tokio::spawn(async move {
            let agent = Agent::builder("code", "1.0.0").expect("agent").handler(Code);
            let worker = agent.bind(&code).await.expect("code waits and is bound");
            worker.run_until(std::future::pending()).await.expect("code works");
        }));
        let controller = Controller::new(this.control.clone(), config);
        this.tasks.push(tokio::spawn(async move {
            controller.run_until(std::future::pending()).await.expect("controller");
        }));
        eventually("both agents have their routes", SOON, async || {
            match this.control.all_routes().await {
                Ok(routes) if routes.len() == 2 => Ok(()),
                Ok(routes) => Err(format!("{} routes", routes.len())),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
        this
    }

    /// A `baton` of one of the users: its exit code, what it printed, and how long it took.
    pub(super) async fn baton(&self, user: &str, args: &[&str]) -> (Option<i32>, String, Duration) {
        let mut command = baton();
        command.args(args).env("BATON_SERVER", self.server.url());
        command.env("BATON_USER", user).env("BATON_PASSWORD", user);
        command.env("BATON_INBOX_PREFIX", format!("_INBOX_{user}"));
        command.stdin(Stdio::null());
        let started = Instant::now();
        let out = tokio::task::spawn_blocking(move || command.output().expect("baton runs")).await;
        let out = out.expect("it ends");
        let said = [out.stdout, out.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (out.status.code(), said.concat(), started.elapsed())
    }

    pub(super) async fn completed(&self, intent: &IntentId) -> baton_jetstream::Head {
        eventually(&format!("{intent} is completed"), SOON, async || {
            match self.control.head(intent).await {
                Ok(Some(head)) if head.record.snapshot.status.name() == "completed" => Ok(head),
                Ok(head) => Err(format!("{:?}", head.map(|head| head.record.snapshot.status))),
                Err(error) => Err(error.to_string()),
            }
        })
        .await
    }

    pub(super) async fn until_intake_has(&self, count: u64) {
        eventually(
            &format!("{count} messages are in the intake"),
            SOON,
            async || match self.control.intake_waiting().await {
                Ok(waiting) if waiting == count => Ok(()),
                other => Err(format!("{other:?}")),
            },
        )
        .await;
    }
}

fn id(text: &str) -> IntentId {
    text.parse().expect("id")
}

fn research() -> AgentName {
    "research".parse().expect("name")
}

fn act(by: &str) -> VersionAct {
    VersionAct {
        agent: research(),
        version: "1.0.0".parse().expect("version"),
        by: by.to_owned(),
        reason: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_goes_from_publisher_to_agent_to_agent_and_its_origin_is_what_the_server_says() {
    let mesh = Secured::start().await;
    let shop = connect_as(&mesh.server, "shop").await;
    let headers = vec![("Baton-Intent".to_owned(), "order-1".to_owned())];
    shop.publish_raw("mesh.intent.research".to_owned(), headers, "otters".into())
        .await
        .expect("taken in");
    let head = mesh.completed(&id("order-1")).await;
    let result = head
        .record
        .snapshot
        .result
        .as_ref()
        .map(|result| result.get().to_owned());
    assert_eq!(result.as_deref(), Some("\"done: \\\"otters\\\"\""));
    let history = mesh.control.history(&id("order-1"), 1).await.expect("history");
    let first = &history.first().expect("submitted").record;
    let from = first.envelope.as_ref().and_then(|envelope| envelope.from.as_deref());
    assert_eq!((from, &*first.by.instance), (Some("shop"), "shop"));

    // What the body of a whole envelope says of its sender counts for nothing.
    let mut envelope = baton_envelope::Envelope::first(
        shop.clock().envelope_id(),
        id("order-2"),
        research(),
        Json::string("otters"),
    );
    envelope.from = Some("ada".to_owned());
    let body = serde_json::to_vec(&envelope).expect("JSON");
    let headers = vec![("Baton-Protocol".to_owned(), "1.2.0".to_owned())];
    shop.publish_raw("mesh.intent.research".to_owned(), headers, body.into())
        .await
        .expect("taken in");
    mesh.completed(&id("order-2")).await;
    let history = mesh.control.history(&id("order-2"), 1).await.expect("history");
    let first = history.first().and_then(|head| head.record.envelope.as_ref());
    assert_eq!(first.and_then(|envelope| envelope.from.as_deref()), Some("shop"));

    // An agent that it may not ask is named as such, and at once.
    let started = Instant::now();
    let refused = shop
        .publish_raw("mesh.intent.code".to_owned(), Vec::new(), "x".into())
        .await;
    let Err(Error::Denied { what }) = refused else {
        panic!("{refused:?}")
    };
    assert!(what.contains("mesh.intent.code"), "{what}");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_acts_through_the_controllers_alone() {
    let mesh = Secured::start().await;
    let (exit, said, _) = mesh
        .baton(OPERATOR, &["send", "research", "hello", "--id", "order-3", "--wait"])
        .await;
    assert_eq!((exit, said.contains("done:")), (Some(0), true), "{said}");
    let history = mesh.control.history(&id("order-3"), 1).await.expect("history");
    let first = &history.first().expect("submitted").record;
    let from = first.envelope.as_ref().and_then(|envelope| envelope.from.as_deref());
    assert_eq!((from, &*first.by.instance), (Some("ada"), "ada"));
    let (exit, said, _) = mesh
        .baton(OPERATOR, &["send", "research", "hello", "--id", "order-3"])
        .await;
    assert_eq!(
        (exit, said.contains("was submitted before, with the same work")),
        (Some(0), true),
        "{said}"
    );
    let (exit, said, _) = mesh
        .baton(OPERATOR, &["send", "research", "other", "--id", "order-3"])
        .await;
    assert_eq!((exit, said.contains("CONFLICT")), (Some(4), true), "{said}");

    for args in [
        &["agents", "list"][..],
        &["intents", "list"],
        &["intents", "get", "order-3"],
        &["route", "list"],
        &["dead", "list"],
        &["rollout", "status", "research"],
        &["doctor"],
    ] {
        for user in [OPERATOR, VIEWER] {
            let (exit, said, _) = mesh.baton(user, args).await;
            assert_eq!(exit, Some(0), "{user} {args:?}: {said}");
        }
    }
    // What is rejected is published again, in the name of whoever sent it.
    let (exit, said, _) = mesh.baton(OPERATOR, &["send", "nobody", "x"]).await;
    assert_eq!((exit, said.contains("UNKNOWN_AGENT")), (Some(3), true), "{said}");
    let shop = connect_as(&mesh.server, "shop").await;
    let headers = [("Baton-Intent", "order-4"), ("Baton-Priority", "99")];
    let headers = headers
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    shop.publish_raw("mesh.intent.research".to_owned(), headers, "x".into())
        .await
        .expect("taken in");
    eventually("it is rejected", SOON, async || {
        match mesh.control.head(&id("order-4")).await {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let (exit, said, _) = mesh.baton(OPERATOR, &["dead", "redrive", "order-4"]).await;
    assert_eq!((exit, said.contains("published again as")), (Some(0), true), "{said}");
    let filter = Filter {
        statuses: vec!["rejected".to_owned()],
        ..Filter::default()
    };
    eventually("the second is rejected as well", SOON, async || {
        let listed = mesh
            .control
            .list(&filter)
            .await
            .map_err(|error| error.to_string())?
            .heads;
        let of_shop = listed.iter().filter(|head| {
            head.record
                .raw
                .as_ref()
                .is_some_and(|raw| raw.subject == "mesh.from.shop.intent.research")
        });
        match of_shop.count() {
            2 => Ok(()),
            count => Err(format!("{count}")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "one mesh, step by step")]
async fn who_asks_for_a_change_is_what_the_server_says_or_is_refused() {
    let mesh = Secured::start().await;
    let ada = connect_as(&mesh.server, OPERATOR).await;
    let me = ada
        .ask_controller(&WhoAmI {
            by: Some("root".to_owned()),
        })
        .await
        .expect("an answer");
    assert_eq!((me.by.as_deref(), me.secured), (Some("ada"), true));
    ada.ask_controller(&QuarantineVersion(act("root")))
        .await
        .expect("ada may");
    let about = ListDecisions(AboutAgent::one(research()));
    let history = ada.ask_controller(&about).await.expect("the history");
    let last = history.decisions.last().map(|one| &one.decision).expect("a decision");
    assert_eq!(last.by, "ada");
    ada.ask_controller(&LiftQuarantine(act("root"))).await.expect("ada may");

    // A header of her own, in any spelling, does not make her somebody else.
    let client = mesh.server.client_as(OPERATOR).await;
    let body = serde_json::to_vec(&QuarantineVersion(act("root"))).expect("JSON");
    let forged = r#"{"acc":"PE_root","user":"root"}"#;
    for (name, refused) in [
        ("Nats-Request-Info", false),
        ("nats-request-info", true),
        ("NATS-REQUEST-INFO", true),
    ] {
        let mut headers = Headers::new();
        headers.insert(name, forged);
        let subject = "mesh.control.agents.quarantine";
        let answer = client.request_with_headers(subject, headers, body.clone().into()).await;
        let answer = String::from_utf8_lossy(&answer.expect("an answer").payload).into_owned();
        assert_eq!(answer.contains("NO_IDENTITY"), refused, "{name}: {answer}");
        if !refused {
            let history = ada.ask_controller(&about).await.expect("the history");
            let last = history.decisions.last().map(|one| &one.decision).expect("a decision");
            assert_eq!(last.by, "ada");
            ada.ask_controller(&LiftQuarantine(act("x"))).await.expect("ada may");
        }
    }

    // In the account of the mesh nobody is anybody.
    let refused = mesh.control.ask_controller(&QuarantineVersion(act("ada"))).await;
    let Err(Error::Control(refused)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(refused.code, "NO_IDENTITY");
    assert!(
        mesh.control
            .ask_controller(&WhoAmI::default())
            .await
            .expect("an answer")
            .by
            .is_none()
    );

    // A viewer may not, and hears so at once.
    let vic = connect_as(&mesh.server, VIEWER).await;
    let pause = PauseRollout(RolloutAct {
        agent: research(),
        by: "ada".to_owned(),
        take_over: true,
        reason: None,
        to_end: false,
    });
    let started = Instant::now();
    let refused = vic.ask_controller(&pause).await;
    let Err(Error::Denied { what }) = refused else {
        panic!("{refused:?}")
    };
    assert!(what.contains("mesh.control.rollout.pause"), "{what}");
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    for args in [
        &["rollout", "pause", "research"][..],
        &["send", "research", "x", "--wait"],
        &["agents", "quarantine", "research", "1.0.0", "--reason", "x"],
    ] {
        let (exit, said, took) = mesh.baton(VIEWER, args).await;
        assert_eq!(
            (exit, said.contains("PERMISSION_DENIED")),
            (Some(4), true),
            "{args:?}: {said}"
        );
        assert!(
            said.contains("mesh.control.") && took < Duration::from_secs(5),
            "{took:?}: {said}"
        );
    }
    assert_eq!(
        mesh.control.list(&Filter::default()).await.expect("listed").heads.len(),
        0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_of_an_open_mesh_does_not_run_in_a_secured_one() {
    let mesh = Secured::start().await;
    eventually("the mesh says that it is secured", SOON, async || {
        match mesh.control.shared_settings().await {
            Ok(Some(shared)) if shared.is_secured() => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let second = target(&mesh.server, "controller").connect().await.expect("connected");
    let open = Controller::new(second, ControllerConfig::default());
    let ended = tokio::time::timeout(SOON, open.run_until(std::future::pending()))
        .await
        .expect("it ends");
    let said = ended.expect_err("refused").to_string();
    assert!(said.contains("baton.secured"), "{said}");
}

/// The ticket of a record, as only whoever made it can write it: put there by an agent of the same mesh.
async fn put_ticket(mesh: &Secured, of: &Record, seq: u64, subject: &str) {
    let client = mesh.server.client_as("code").await;
    let mut headers = Headers::new();
    headers.insert("Baton-Intent", of.intent.as_str());
    headers.insert("Baton-Ledger-Sequence", seq.to_string());
    let body = serde_json::to_vec(of).expect("JSON");
    let stored = client
        .request_with_headers(subject.to_owned(), headers, body.into())
        .await;
    let stored = String::from_utf8_lossy(&stored.expect("an acknowledgement").payload).into_owned();
    assert!(stored.contains("\"seq\""), "{stored}");
}

/// A record that no ledger has, of an intent that nobody submitted: it puts work before research.
async fn invented(mesh: &Secured, like: &IntentId) -> Record {
    let history = mesh.control.history(like, 1).await.expect("history");
    let mut record = history.first().expect("submitted").record.clone();
    record.intent = id("invented");
    record.id = mesh.control.record_id();
    let envelope = record.envelope.as_mut().expect("an envelope");
    envelope.intent = id("invented");
    envelope.id = mesh.control.clock().envelope_id();
    record.at = mesh.control.now();
    record.snapshot.envelope = Some(envelope.id);
    record
}

async fn until_alarmed(mesh: &Secured, agent: &str, code: &str) {
    let asked = ListAgents(AboutAgent::one(agent.parse().expect("name")));
    eventually(&format!("{code} is told"), SOON, async || {
        let view = mesh
            .control
            .ask_controller(&asked)
            .await
            .map_err(|error| error.to_string())?;
        let alarms: Vec<String> = view
            .agents
            .into_iter()
            .flat_map(|agent| agent.alarms)
            .map(|alarm| alarm.code)
            .collect();
        if alarms.iter().any(|there| there == code) {
            Ok(())
        } else {
            Err(format!("{alarms:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_that_no_record_owes_runs_in_no_secured_mesh() {
    for config in [secured(), ControllerConfig::default()] {
        let is_secured = config.secured;
        let mesh = Secured::start_with(config).await;
        let shop = connect_as(&mesh.server, "shop").await;
        let headers = vec![("Baton-Intent".to_owned(), "order-1".to_owned())];
        shop.publish_raw("mesh.intent.research".to_owned(), headers, "otters".into())
            .await
            .expect("taken in");
        let done = mesh.completed(&id("order-1")).await;
        assert_eq!(mesh.runs.load(Ordering::SeqCst), 1);

        let subject = "mesh.work.research.1_0_0.p5";
        let forged = invented(&mesh, &id("order-1")).await;
        put_ticket(&mesh, &forged, done.seq + 1, subject).await;
        let version = "1.0.0".parse().expect("version");
        eventually("the ticket is gone", SOON, async || {
            let left = mesh.control.queued_tickets(&research(), &version).await;
            match left.map_err(|error| error.to_string())?.len() {
                0 => Ok(()),
                left => Err(format!("{left} left")),
            }
        })
        .await;
        // An open mesh believes its tickets: what runs there cannot commit, and that is all.
        let expected = if is_secured { 1 } else { 2 };
        assert_eq!(mesh.runs.load(Ordering::SeqCst), expected, "secured: {is_secured}");
        assert!(mesh.control.head(&id("invented")).await.expect("read").is_none());
        if is_secured {
            until_alarmed(&mesh, "research", "TICKETS_WITHOUT_RECORD").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_in_the_name_of_another_agent_is_alarmed() {
    let mesh = Secured::start().await;
    let ada = connect_as(&mesh.server, OPERATOR).await;
    // So that the work waits.
    ada.ask_controller(&QuarantineVersion(act("x"))).await.expect("ada may");
    let shop = connect_as(&mesh.server, "shop").await;
    let headers = [("Baton-Intent", "order-1"), ("Baton-Max-Hops", "3")];
    let headers = headers
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    shop.publish_raw("mesh.intent.research".to_owned(), headers, "otters".into())
        .await
        .expect("taken in");
    let head = eventually("it is submitted", SOON, async || {
        match mesh.control.head(&id("order-1")).await {
            Ok(Some(head)) => Ok(head),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let mut record = head.record.clone();
    record.id = mesh.control.record_id();
    record.event = Event::Completed;
    record.envelope = None;
    record.snapshot.status = Status::Completed;
    record.by = Author::worker("code".parse().expect("name"), "1.0.0".parse().expect("version"), "w9");
    let client = mesh.server.client_as("code").await;
    let mut headers = Headers::new();
    headers.insert("Nats-Expected-Last-Subject-Sequence", head.seq.to_string());
    let body = serde_json::to_vec(&record).expect("JSON");
    let stored = client
        .request_with_headers("mesh.ledger.0.order-1", headers, body.into())
        .await;
    let stored = String::from_utf8_lossy(&stored.expect("an acknowledgement").payload).into_owned();
    assert!(stored.contains("\"seq\""), "the server takes it: {stored}");
    until_alarmed(&mesh, "research", "RECORD_OUT_OF_TURN").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acks_in_the_longer_form_arrive_as_well() {
    let flags = "feature_flags { js_ack_fc_v2: true }\n";
    let server = TestServer::builder().config(&layout()).config(flags).start().await;
    let mesh = Secured::start_on(server, secured()).await;
    let shop = connect_as(&mesh.server, "shop").await;
    let headers = vec![("Baton-Intent".to_owned(), "order-1".to_owned())];
    shop.publish_raw("mesh.intent.research".to_owned(), headers, "otters".into())
        .await
        .expect("taken in");
    mesh.completed(&id("order-1")).await;
    // Less than the ack wait of ten seconds: nothing is delivered twice.
    eventually("everything is acked", Duration::from_secs(8), async || {
        let version = "1.0.0".parse().expect("version");
        let mut left = mesh.control.intake_waiting().await.map_err(|error| error.to_string())?;
        for agent in ["research", "code"] {
            let agent = agent.parse().expect("name");
            let tickets = mesh.control.queued_tickets(&agent, &version).await;
            left += tickets.map_err(|error| error.to_string())?.len() as u64;
        }
        if left == 0 { Ok(()) } else { Err(format!("{left} left")) }
    })
    .await;
    assert_eq!(mesh.runs.load(Ordering::SeqCst), 1);
}
