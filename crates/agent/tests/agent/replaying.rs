//! A replay runs the handler on a hop of the past and writes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use baton_agent::{Agent, ExecHandler, ExecMode, Fault, Handler, Hop, Json, Outcome};
use baton_envelope::IntentId;
use baton_jetstream::{ControllerMesh, Error, Mesh, ReplayAnswer, ReplayRequest};

use crate::support::{TestServer, agent, completed, mesh, start, submit, version};

/// Two steps that count how often they run, and a handoff.
struct Counting {
    effects: Arc<AtomicU32>,
}

impl Handler for Counting {
    type Input = String;

    async fn handle(&self, hop: &mut Hop, text: String) -> Result<Outcome, Fault> {
        let effect = || async {
            self.effects.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Fault>(text.to_uppercase())
        };
        hop.progress("at it").await?;
        let first = hop.step("first", effect).await?;
        let second = hop.step("second", effect).await?;
        Outcome::complete(&format!("{first} {second}"))
    }
}

/// What is recorded of an intent's first hop, as a request.
async fn recorded(mesh: &Mesh, intent: &IntentId) -> ReplayRequest {
    let history = mesh.history(intent, 1).await.unwrap();
    let steps = history.iter().filter_map(|head| head.record.step.clone());
    ReplayRequest {
        envelope: *history[0].record.envelope.clone().unwrap(),
        attempt: 1,
        steps: steps.map(|step| (step.name, step.result)).collect(),
        waits: Default::default(),
    }
}

async fn replay(mesh: &Mesh, request: &ReplayRequest) -> ReplayAnswer {
    ControllerMesh::of(mesh)
        .replay(&agent(), &version(), request)
        .await
        .unwrap()
}

#[tokio::test]
async fn recorded_steps_answer_and_no_other_is_run() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let effects = Arc::new(AtomicU32::new(0));
    let handler = Counting {
        effects: Arc::clone(&effects),
    };
    let nobody = ReplayRequest {
        envelope: baton_envelope::Envelope::first(
            mesh.clock().envelope_id(),
            "x".parse().unwrap(),
            agent(),
            Json::null(),
        ),
        attempt: 1,
        steps: BTreeMap::new(),
        waits: Default::default(),
    };
    let gone = ControllerMesh::of(&mesh).replay(&agent(), &version(), &nobody).await;
    assert!(matches!(gone, Err(Error::NoWorker { .. })));
    let worker = start(&server, Agent::builder("shout", "1.0.0").unwrap().handler(handler)).await;
    let intent = submit(&mesh, "order").await;
    completed(&mesh, &intent, Duration::from_secs(10)).await;
    assert_eq!(effects.load(Ordering::Relaxed), 2);
    let request = recorded(&mesh, &intent).await;
    let before = mesh.history(&intent, 1).await.unwrap().len();

    let same = replay(&mesh, &request).await;
    assert_eq!((same.outcome.as_str(), same.new_steps), ("complete", Vec::new()));
    assert_eq!(same.result, Some(Json::string("OTTERS OTTERS")));

    let mut fewer = request.clone();
    fewer.steps.remove("second");
    let stopped = replay(&mesh, &fewer).await;
    assert_eq!(
        (stopped.outcome.as_str(), stopped.new_steps),
        ("new_step", vec!["second".to_owned()])
    );
    assert_eq!(stopped.code.as_deref(), Some("NEW_STEP"));

    let mut foreign = request.clone();
    foreign.envelope.to = "other".parse().unwrap();
    assert_eq!(replay(&mesh, &foreign).await.outcome, "refused");
    let mut unreadable = request.clone();
    unreadable.envelope.payload = Json::parse("[1]").unwrap();
    let failed = replay(&mesh, &unreadable).await;
    assert_eq!(
        (failed.outcome.as_str(), failed.code.as_deref()),
        ("fail", Some("BAD_PAYLOAD"))
    );

    assert_eq!(effects.load(Ordering::Relaxed), 2, "no effect was repeated");
    assert_eq!(
        mesh.history(&intent, 1).await.unwrap().len(),
        before,
        "nothing was written"
    );
    worker.abort();
}

#[tokio::test]
async fn a_program_in_json_mode_is_told_that_it_is_a_replay() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    // It tells whether it was told; the step that it writes all the same must not be recorded.
    let program = r#"read -r told
        case "$told" in *'"replay":true'*) replay=yes;; *) replay=no;; esac
        echo '{"progress": "at it"}'
        echo '{"step": "a", "result": 1}'
        echo "{\"outcome\": \"hand_off\", \"to\": \"next\", \"kind\": \"k\", \"payload\": \"$replay$BATON_REPLAY\"}""#;
    let handler = ExecHandler::shell(program, ExecMode::Json);
    let _worker = start(&server, Agent::builder("shout", "1.0.0").unwrap().handler(handler)).await;
    ControllerMesh::of(&mesh)
        .set_route(&"next".parse().unwrap(), &version(), "test", true)
        .await
        .unwrap();
    let intent = submit(&mesh, "order").await;
    let request = crate::support::eventually("handed off", Duration::from_secs(10), async || {
        let history = mesh.history(&intent, 1).await.map_err(|error| error.to_string())?;
        let last = history.last().ok_or("none")?;
        match last.record.event.name() {
            "handed_off" => Ok(recorded(&mesh, &intent).await),
            other => Err(other.to_owned()),
        }
    })
    .await;
    let before = mesh.history(&intent, 1).await.unwrap();
    let live = before.last().unwrap().record.envelope.clone().unwrap();
    assert_eq!(live.payload, Json::string("no"));
    assert_eq!(request.steps.len(), 1);

    let same = replay(&mesh, &request).await;
    assert_eq!((same.outcome.as_str(), same.to.as_deref()), ("hand_off", Some("next")));
    assert_eq!(
        (same.kind.as_deref(), same.payload),
        (Some("k"), Some(Json::string("yes1")))
    );
    assert_eq!(same.new_steps, [""; 0]);
    let without = ReplayRequest {
        steps: BTreeMap::new(),
        ..request
    };
    assert_eq!(replay(&mesh, &without).await.new_steps, ["a"]);
    assert_eq!(
        mesh.history(&intent, 1).await.unwrap().len(),
        before.len(),
        "nothing was written"
    );
}

#[tokio::test]
async fn a_program_in_plain_mode_is_not_replayed() {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let ran = server.dir().join("ran");
    let handler = ExecHandler::shell(format!("echo x >> {}", ran.display()), ExecMode::Plain);
    let _worker = start(&server, Agent::builder("shout", "1.0.0").unwrap().handler(handler)).await;
    let intent = submit(&mesh, "order").await;
    completed(&mesh, &intent, Duration::from_secs(10)).await;
    let answer = replay(&mesh, &recorded(&mesh, &intent).await).await;
    assert_eq!(
        (answer.outcome.as_str(), answer.code.as_deref()),
        ("refused", Some("REPLAY_UNSUPPORTED"))
    );
    assert!(answer.message.unwrap().contains("JSON mode"));
    assert_eq!(
        std::fs::read_to_string(&ran).unwrap(),
        "x\n",
        "the program did not run again"
    );
}
