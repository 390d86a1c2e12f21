//! A worker behind a proxy, and the classes of the messages on its connection.

use std::collections::{BTreeMap, HashMap};

use baton_agent::{AgentBuilder, RunSummary};
use baton_e2e::TestMesh;
use baton_jetstream::{Mesh, Signing, Target};
use baton_testkit::{Passed, Proxy, Traffic, Way};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::HOPS;

/// The subject for answers; nobody listens there.
pub(super) const ANSWERS: &str = "answers.counting";

/// Requests for the heads of these intents, which do not exist, mark where counting begins and ends.
const MARKS: [&str; 2] = ["counting-begins", "counting-ends"];
const HEAD: &str = "$JS.API.DIRECT.GET.MESH_LEDGER.mesh.ledger.0.";
const RANGE: &str = "$JS.API.DIRECT.GET.MESH_LEDGER";
/// What a worker publishes now and then and not for a hop: pulls, heartbeats, the question whether its routes are current, the
/// one with which it makes sure at its end that the server has read all, and how the mesh signs.
const NOW_AND_THEN: [&str; 5] = [
    "$JS.API.CONSUMER.MSG.NEXT.MESH_WORK_",
    "mesh.heartbeat.",
    "$JS.API.DIRECT.GET.KV_MESH_ROUTES",
    "$JS.API.INFO",
    "$JS.API.STREAM.INFO.MESH_LEDGER",
];
/// Whether the archive holds an intent. A claim asks a controller only about a head that is some seconds old, so this
/// depends on time, too.
const QUESTION: &str = "question";
const REPLY: &str = "reply";
/// What it is told now and then: routes, the load of the versions, and whether it is alive.
const TOLD: [&str; 4] = ["mesh.route.", "mesh.load", "mesh.agent.", "$SRV."];

/// How many messages of each class were counted.
#[derive(Debug)]
pub(super) struct Counts(BTreeMap<&'static str, usize>);

impl Counts {
    /// Checks that each hop cost exactly these messages, and no others.
    #[track_caller]
    pub(super) fn are(&self, per_hop: &[(&'static str, usize)]) {
        let mut expected: BTreeMap<_, _> = per_hop.iter().map(|(class, count)| (*class, count * HOPS)).collect();
        // Only on a slow machine, and only about a head that was read.
        let questions = self.0.get(QUESTION).copied().unwrap_or(0);
        if questions > 0 {
            assert!(
                questions <= expected.get("head read").copied().unwrap_or(0),
                "{questions} questions"
            );
            expected.extend([(QUESTION, questions), (REPLY, questions)]);
        }
        assert_eq!(self.0, expected, "counted on the left, over {HOPS} hops");
    }
}

/// A worker in this process whose every message is recorded.
pub(super) struct Metered {
    mesh: Mesh,
    traffic: Traffic,
    stop: oneshot::Sender<()>,
    task: JoinHandle<RunSummary>,
    _proxy: Proxy,
}

impl Metered {
    /// Binds the agent on its own connection, and counts from its first pull on.
    pub(super) async fn start(mesh: &TestMesh, builder: AgentBuilder) -> Self {
        Self::start_signing(mesh, builder, Signing::default()).await
    }

    /// As [`Metered::start`], for a worker that signs.
    pub(super) async fn start_signing(mesh: &TestMesh, builder: AgentBuilder, signing: Signing) -> Self {
        let traffic = Traffic::default();
        let proxy = Proxy::recording(mesh.server.url(), &traffic).await;
        let target = Target {
            signing,
            ..Target::at(proxy.url())
        };
        let mesh = target.connect().await.expect("connect");
        let worker = builder.bind(&mesh).await.expect("bind");
        mark(&mesh, MARKS[0]).await;
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let stopped = async move {
                if stopped.await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            worker.run_until(stopped).await.expect("worker")
        });
        Self {
            mesh,
            traffic,
            stop,
            task,
            _proxy: proxy,
        }
    }

    /// Lets the worker finish, and counts. Everything that it published has passed the proxy by then, since an answer
    /// on the same connection has come back.
    pub(super) async fn stop(self) -> Counts {
        self.stop.send(()).expect("the worker has ended by itself");
        let summary = self.task.await.expect("the worker's task");
        assert_eq!(summary.handed_back, 0, "hops were still running");
        mark(&self.mesh, MARKS[1]).await;
        Counts(counted(&self.traffic.take()))
    }
}

/// Leaves a mark in the traffic, and waits until the server has read all that was sent before.
async fn mark(mesh: &Mesh, name: &str) {
    mesh.publish_plain(format!("{HEAD}{name}"), Vec::new().into())
        .await
        .expect("sent");
    mesh.flush().await.expect("an answer");
}

/// Assigns each message to its class, and counts those between the two marks.
fn counted(passed: &[Passed]) -> BTreeMap<&'static str, usize> {
    let mut counts = BTreeMap::new();
    // The class that messages on these subjects answer; `None` for what no hop requested.
    let mut answers: HashMap<&str, Option<&'static str>> = HashMap::new();
    let mut answered = Vec::new();
    for message in passed {
        if message.subject.starts_with("$JS.API.CONSUMER.CREATE.") {
            answered.push(deliver_subject(message));
        }
    }
    answers.extend(answered.iter().map(|subject| (subject.as_str(), None)));
    let mut counting = false;
    for message in passed {
        if message.subject.strip_prefix(HEAD) == Some(MARKS[0]) {
            counting = true;
        }
        let (class, answer) = match message.way {
            Way::Sent => sent(message, &answers, counting),
            Way::Received => received(message, &answers),
        };
        if let Some(reply) = &message.reply {
            answers.insert(reply, answer);
        }
        if let (true, Some(class)) = (counting, class) {
            *counts.entry(class).or_default() += 1;
        }
    }
    assert!(counting, "the first mark was not seen");
    counts
}

/// The class of a message from the worker, and that of its answer.
fn sent(
    message: &Passed,
    answers: &HashMap<&str, Option<&'static str>>,
    counting: bool,
) -> (Option<&'static str>, Option<&'static str>) {
    let subject = message.subject.as_str();
    if let Some(intent) = subject.strip_prefix(HEAD) {
        let is_mark = MARKS.contains(&intent);
        return if is_mark {
            (None, None)
        } else {
            (Some("head read"), Some("head"))
        };
    }
    match subject {
        RANGE => (Some("range read"), Some("range")),
        ANSWERS => (Some("answer"), None),
        _ if subject.starts_with("mesh.ledger.") => (Some("record"), Some("record stored")),
        _ if subject.starts_with("mesh.work.") => (Some("ticket"), Some("ticket stored")),
        "mesh.control.archive.find" => (Some(QUESTION), Some(REPLY)),
        _ if subject.starts_with("$JS.ACK.") => match &message.body {
            body if body.starts_with(b"+ACK") => (Some("ack"), None),
            body if body.starts_with(b"-NAK") => (Some("nak"), None),
            body if body.starts_with(b"+WPI") => (Some("extension"), None),
            body => panic!("an acknowledgement of its own kind: {body:?}"),
        },
        _ => {
            let is_known = NOW_AND_THEN.iter().any(|prefix| subject.starts_with(prefix));
            let is_reply = answers.get(subject) == Some(&None);
            assert!(!counting || is_known || is_reply, "what is this for? {message:?}");
            (None, None)
        }
    }
}

/// The class of a message to the worker, and that of what it answers.
fn received(
    message: &Passed,
    answers: &HashMap<&str, Option<&'static str>>,
) -> (Option<&'static str>, Option<&'static str>) {
    let subject = message.subject.as_str();
    if subject.starts_with("mesh.work.") {
        return (Some("delivery"), None);
    }
    if let Some(class) = answers.get(subject) {
        return (*class, None);
    }
    let is_known = TOLD.iter().any(|prefix| subject.starts_with(prefix));
    assert!(is_known, "nobody asked for this: {message:?}");
    (None, None)
}

/// The delivery subject of the consumer that a request creates; empty for a pull consumer.
fn deliver_subject(request: &Passed) -> String {
    let asked: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    asked["config"]["deliver_subject"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}
