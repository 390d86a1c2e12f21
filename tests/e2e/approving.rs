//! People decide: by the SDK, by `baton approvals`, by a bare publish, by a gate without code; and the death of everything
//! between.

mod gates;

use std::time::Duration;

use baton_agent::{Agent, AgentBuilder, Approval, Fault, Handler, Hop, Json, Outcome};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, assert_legal};
use baton_e2e::gated::{id, result};
use baton_envelope::people::{Cause, Decision, PeopleAct};
use baton_envelope::{Author, Event, IntentId, Role};
use baton_jetstream::Head;
use baton_testkit::eventually;
use serde_json::Value;

use crate::accounts::Secured;
use crate::nats_cli::{Run, publish, run, worker};

/// Records a step, asks, records another, and completes with the decision.
struct Asker(Approval);

impl Handler for Asker {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        hop.step("before", || async { Ok::<_, Fault>("done".to_owned()) })
            .await?;
        let decision = hop.approve("publish", self.0.clone()).await?;
        hop.step("after", || async { Ok::<_, Fault>("done".to_owned()) })
            .await?;
        Outcome::complete(&decision)
    }
}

fn asker(approval: Approval) -> AgentBuilder {
    Agent::builder("editor", "1.0.0")
        .expect("agent")
        .group("staff", ["ada", "bob", "eve"])
        .handler(Asker(approval))
}

async fn started(mesh: &TestMesh, approval: Approval) -> Running {
    let worker = Running::start(mesh.server.url(), asker(approval)).await;
    mesh.until_version_is("editor", "1.0.0", "active").await;
    worker
}

/// A mesh in which an intent waits for people.
async fn asked(approval: Approval, name: &str) -> (TestMesh, Running, IntentId) {
    let mesh = TestMesh::start().await;
    let worker = started(&mesh, approval).await;
    let intent = id(name);
    mesh.submit_to("editor", &intent).await;
    mesh.until(&intent, "waiting", SOON).await;
    (mesh, worker, intent)
}

async fn approvals(mesh: &TestMesh, arguments: &[&str]) -> Run {
    let mut all = vec!["approvals"];
    all.extend(arguments);
    run(mesh.baton(&all)).await
}

async fn decide(mesh: &TestMesh, subject: &str, body: &str) {
    publish(&mesh.server, subject, &[], body.as_bytes()).await;
}

fn decision(head: &Head) -> Decision {
    head.record
        .snapshot
        .result
        .as_ref()
        .expect("a result")
        .read()
        .expect("a decision")
}

/// What people did, in order: who, what, and the choice.
async fn did(mesh: &TestMesh, intent: &IntentId) -> Vec<(String, PeopleAct, String)> {
    let history = mesh.history_of(intent).await;
    let entries = history.into_iter().filter_map(|head| head.record.people);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    entries
        .map(|entry| (or_dash(entry.by), entry.act, or_dash(entry.choice)))
        .collect()
}

/// Waits for a dead letter with this code that says this.
async fn until_dead(mesh: &TestMesh, code: &str, said: &str) {
    eventually(&format!("a dead letter {code}"), SOON, async || {
        let dead = run(mesh.baton(&["dead", "list", "--output", "json"])).await.json();
        let letters = dead["dead"].as_array().expect("a list").iter();
        let mut errors = letters.map(|letter| &letter["snapshot"]["error"]);
        let is_it = |error: &Value| error["code"] == code && error["message"].to_string().contains(said);
        match errors.any(is_it) {
            true => Ok(()),
            false => Err(dead.to_string()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_decide_through_the_death_of_everything() {
    let approval = Approval::new("May this be published?").who(["group:staff"]).quorum(2);
    let (mut mesh, worker, intent) = asked(approval.clone(), "order-42").await;
    let shown = approvals(&mesh, &["show", "order-42"]).await.exits(0).stdout;
    for part in [
        "May this be published?",
        "ada, bob, eve",
        "2 people",
        "mesh.decide.ada.order-42.1.publish.approve",
    ] {
        assert!(shown.contains(part), "{part:?} is not shown: {shown}");
    }
    worker.stop().await;
    mesh.restart_everything().await;

    // A bare publish, with nothing in it.
    decide(&mesh, "mesh.decide.ada.order-42.1.publish.approve", "").await;
    mesh.until_events(&intent, &Event::Signalled, 1, SOON).await;
    let listed = approvals(&mesh, &["list", "--output", "json"]).await.exits(0).json();
    assert_eq!(listed["approvals"][0]["silent"], serde_json::json!(["bob", "eve"]));
    let done = approvals(
        &mesh,
        &[
            "approve",
            "order-42",
            "--as",
            "eve",
            "--form",
            r#"{"why":"good"}"#,
            "--output",
            "json",
        ],
    )
    .await;
    assert_eq!(done.exits(0).json()["decided"], "approve");

    let late = approvals(&mesh, &["reject", "order-42", "--as", "bob"]).await.exits(4);
    late.says(&["TOO_LATE"]);
    decide(&mesh, "mesh.decide.bob.order-42.1.publish.reject", "").await;
    until_dead(&mesh, "TOO_LATE", "bob decided").await;

    let worker = started(&mesh, approval).await;
    let head = mesh.until(&intent, "completed", SOON).await;
    let decision = decision(&head);
    assert_eq!(
        (decision.choice.as_str(), decision.accepted, &decision.cause),
        ("approve", true, &Cause::Quorum)
    );
    let votes: Vec<(&str, bool)> = decision
        .votes
        .iter()
        .map(|vote| (vote.by.as_str(), vote.at.is_some()))
        .collect();
    assert_eq!(votes, [("ada", true), ("eve", true)]);
    assert_eq!(decision.votes[1].form.get(), r#"{"why":"good"}"#);
    let events = mesh.events_of(&intent).await;
    assert_eq!(
        events,
        [
            "submitted",
            "started",
            "step",
            "waiting",
            "signalled",
            "signalled",
            "resumed",
            "claimed",
            "step",
            "completed"
        ]
    );
    assert_legal(&mesh.history_of(&intent).await);
    let history = run(mesh.baton(&["intents", "get", "order-42"])).await.exits(0).stdout;
    assert!(history.contains("publish: decided approve by ada"), "{history}");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_may_not_decide_is_refused_and_ends_nothing() {
    let (mesh, worker, intent) = asked(Approval::new("Publish?").who(["ada"]), "closed").await;
    let wrong = approvals(&mesh, &["approve", "closed", "--as", "mallory"])
        .await
        .exits(4);
    wrong.says(&["NOT_ENTITLED", "mallory", "ada", "baton dead show"]);
    let nobody = approvals(&mesh, &["approve", "closed", "--as", "-"]).await.exits(4);
    nobody.says(&["NOT_ENTITLED"]);
    let choice = approvals(&mesh, &["answer", "closed", "--as", "ada", "--choice", "maybe"])
        .await
        .exits(4);
    choice.says(&["NO_SUCH_CHOICE", "\"maybe\"", "approve, reject"]);
    // What the body claims counts for nothing.
    decide(&mesh, "mesh.decide.mallory.closed.1.publish.approve", r#"{"by":"ada"}"#).await;
    until_dead(&mesh, "NOT_ENTITLED", "mallory").await;
    // For another wait, a later hop, another intent: nothing is kept for any of them.
    for (subject, code) in [
        ("mesh.decide.ada.closed.1.pay.approve", "NOT_WAITING"),
        ("mesh.decide.ada.closed.2.publish.approve", "NOT_WAITING"),
        ("mesh.decide.ada.nothing.1.publish.approve", "NO_INTENT"),
        ("mesh.decide.ada.closed.x.publish.approve", "BAD_SUBJECT"),
    ] {
        decide(&mesh, subject, "").await;
        until_dead(&mesh, code, "").await;
    }
    // A signal never decides.
    run(mesh.baton(&["signal", "closed", "publish", "approve"]))
        .await
        .exits(0);
    let head = mesh.head_of(&intent).await;
    assert_eq!(head.record.snapshot.status.to_string(), "waiting(human)");
    assert_eq!(did(&mesh, &intent).await, []);
    approvals(&mesh, &["reject", "closed", "--as", "ada"]).await.exits(0);
    let head = mesh.until(&intent, "completed", SOON).await;
    assert!(!decision(&head).accepted);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_is_checked_before_a_decision_counts() {
    let schema =
        Json::parse(r#"{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}"#).expect("JSON");
    let (mesh, worker, intent) = asked(Approval::new("How many?").form(schema), "form").await;
    let broken = approvals(&mesh, &["approve", "form", "--as", "ada", "--form", r#"{"n":"two"}"#])
        .await
        .exits(4);
    broken.says(&["BAD_FORM", "/n"]);
    approvals(&mesh, &["approve", "form", "--as", "-"])
        .await
        .exits(4)
        .says(&["BAD_FORM", "missing"]);
    assert_eq!(did(&mesh, &intent).await, []);
    decide(&mesh, "mesh.decide.-.form.1.publish.approve", r#"{"n":2}"#).await;
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(decision(&head).form().map(Json::get), Some(r#"{"n":2}"#));
    // Whoever declines need not fill it in.
    let declined = id("declined");
    mesh.submit_to("editor", &declined).await;
    mesh.until(&declined, "waiting", SOON).await;
    let shown = approvals(&mesh, &["show", "declined"]).await.exits(0).stdout;
    for line in [
        r#"baton approvals answer declined --as - --choice approve --form '{"n":0}'"#,
        r#"nats pub mesh.decide.-.declined.1.publish.approve '{"n":0}'"#,
    ] {
        assert!(shown.contains(line), "{shown}");
    }
    approvals(&mesh, &["reject", "declined", "--as", "ada"]).await.exits(0);
    assert!(!decision(&mesh.until(&declined, "completed", SOON).await).accepted);
    worker.stop().await;

    // A form that refers elsewhere is refused when it is asked for.
    let bad = Json::parse(r#"{"$ref":"https://example.com/form"}"#).expect("JSON");
    let worker = started(&mesh, Approval::new("How many?").form(bad)).await;
    let intent = id("bad-form");
    mesh.submit_to("editor", &intent).await;
    let head = mesh.until(&intent, "failed", SOON).await;
    assert_eq!(head.record.snapshot.error.expect("an error").code, "BAD_APPROVAL");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_eyes_and_delegation_keep_one_vote_for_one_person() {
    let mesh = TestMesh::start().await;
    let approval = Approval::new("Publish?").who(["group:staff"]).quorum(2).four_eyes();
    let worker = started(&mesh, approval).await;
    let intent = id("eyes");
    let envelope = mesh.envelope("eyes", "editor", "1");
    let submitted = mesh.mesh.submit(envelope, Author::of(Role::Client, "eve@host:7")).await;
    submitted.expect("submitted");
    mesh.until(&intent, "waiting", SOON).await;
    let own = approvals(&mesh, &["approve", "eyes", "--as", "eve"]).await.exits(4);
    own.says(&["NOT_ENTITLED", "eve", "four eyes"]);
    approvals(&mesh, &["approve", "eyes", "--as", "ada"]).await.exits(0);
    let barred = approvals(&mesh, &["delegate", "eyes", "--as", "ada", "--to", "eve"])
        .await
        .exits(4);
    barred.says(&["BAD_DELEGATION", "eve"]);
    let taken = approvals(&mesh, &["delegate", "eyes", "--as", "ada", "--to", "bob"])
        .await
        .exits(4);
    taken.says(&["BAD_DELEGATION", "bob"]);
    // Her vote goes with her seat.
    approvals(&mesh, &["delegate", "eyes", "--as", "ada", "--to", "zoe"])
        .await
        .exits(0);
    approvals(&mesh, &["approve", "eyes", "--as", "bob"]).await.exits(0);
    approvals(&mesh, &["approve", "eyes", "--as", "ada"])
        .await
        .exits(4)
        .says(&["NOT_ENTITLED"]);
    approvals(&mesh, &["approve", "eyes", "--as", "zoe"]).await.exits(0);
    let decision = decision(&mesh.until(&intent, "completed", SOON).await);
    let voters: Vec<&str> = decision.votes.iter().map(|vote| vote.by.as_str()).collect();
    assert_eq!((decision.accepted, voters), (true, vec!["zoe", "bob"]));

    // The submitter of a raw intent is nobody that is known.
    publish(&mesh.server, "mesh.intent.editor", &[("Baton-Intent", "unknown")], b"1").await;
    let head = mesh.until(&id("unknown"), "failed", SOON).await;
    let error = head.record.snapshot.error.expect("an error");
    assert!(
        error.code == "BAD_APPROVAL" && error.message.contains("four_eyes"),
        "{error:?}"
    );
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reminders_and_an_escalation_are_records_and_the_end_is_the_default() {
    let second = Duration::from_secs(1);
    let approval = Approval::new("Publish?")
        .who(["ada"])
        .remind(second)
        .escalate(second * 3 / 2, ["boss"])
        .due(second * 5 / 2);
    let (mesh, worker, intent) = asked(approval, "slow").await;
    let head = mesh.until(&intent, "completed", SOON).await;
    let decision = decision(&head);
    assert_eq!(
        (decision.choice.as_str(), decision.accepted, &decision.cause),
        ("reject", false, &Cause::Due)
    );
    let acts: Vec<PeopleAct> = did(&mesh, &intent).await.into_iter().map(|(_, act, _)| act).collect();
    assert_eq!(
        acts,
        [
            PeopleAct::Reminded,
            PeopleAct::Escalated,
            PeopleAct::Reminded,
            PeopleAct::Expired
        ]
    );
    let history = mesh.history_of(&intent).await;
    let asked_at = history
        .iter()
        .find(|head| head.record.event.name() == "waiting")
        .and_then(|head| head.stored_at);
    for (head, after) in history
        .iter()
        .filter(|head| head.record.people.is_some())
        .zip([1000, 1500, 2000, 2500])
    {
        let took = head.stored_at.expect("stored").since(asked_at.expect("stored"));
        assert!(
            took >= Duration::from_millis(after),
            "{:?} after {took:?}",
            head.record.people
        );
    }
    let to: Vec<Vec<String>> = history
        .into_iter()
        .filter_map(|head| Some(head.record.people?.to))
        .collect();
    assert_eq!(
        to[1..3],
        [vec!["boss".to_owned()], vec!["ada".to_owned(), "boss".to_owned()]]
    );
    decide(&mesh, "mesh.decide.boss.slow.1.publish.approve", "").await;
    until_dead(&mesh, "TOO_LATE", "boss decided").await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decision_of_before_the_end_counts_though_it_is_read_after() {
    let (mesh, worker, intent) = asked(
        Approval::new("Publish?").who(["ada"]).due(Duration::from_secs(4)),
        "in-time",
    )
    .await;
    worker.stop().await;
    // Stored in time, and nobody reads it until the time is over.
    let url = mesh.server.url().to_owned();
    let mut mesh = mesh.without_controller();
    decide(&mesh, "mesh.decide.ada.in-time.1.publish.approve", "").await;
    eventually("the time is over", SOON, async || {
        let head = mesh.head_of(&intent).await;
        let since = head.stored_at.expect("stored");
        match mesh.mesh.now().since(since) > Duration::from_secs(5) {
            true => Ok(()),
            false => Err("not yet".to_owned()),
        }
    })
    .await;
    mesh.restart_everything().await;
    let worker = Running::start(&url, asker(Approval::new("Publish?"))).await;
    let decision = decision(&mesh.until(&intent, "completed", SOON).await);
    assert_eq!((decision.choice.as_str(), &decision.cause), ("approve", &Cause::Quorum));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_assigns_a_seat_and_decides_in_the_place_of_all() {
    let (mesh, worker, intent) = asked(Approval::new("Publish?").who(["ada", "bob"]).quorum(2), "acts").await;
    approvals(&mesh, &["approve", "acts", "--as", "ada"]).await.exits(0);
    approvals(
        &mesh,
        &[
            "assign",
            "acts",
            "--from",
            "ada",
            "--to",
            "zoe",
            "--reason",
            "ada is away",
        ],
    )
    .await
    .exits(0);
    approvals(&mesh, &["assign", "acts", "--from", "ada", "--to", "eve"])
        .await
        .exits(4)
        .says(&["BAD_DELEGATION", "ada"]);
    approvals(&mesh, &["override", "acts", "--choice", "maybe", "--reason", "x"])
        .await
        .exits(4)
        .says(&["NO_SUCH_CHOICE"]);
    approvals(
        &mesh,
        &["override", "acts", "--choice", "approve", "--reason", "nobody is in"],
    )
    .await
    .exits(0);
    let decision = decision(&mesh.until(&intent, "completed", SOON).await);
    assert_eq!(
        (decision.accepted, decision.votes.len(), &decision.cause),
        (true, 0, &Cause::Override)
    );
    let history = mesh.history_of(&intent).await;
    let last = history
        .iter()
        .rfind(|head| head.record.people.is_some())
        .expect("an entry");
    assert_eq!(
        (&last.record.by.role, last.record.note.as_deref()),
        (&Role::Operator, Some("nobody is in"))
    );
    approvals(&mesh, &["override", "acts", "--choice", "approve", "--reason", "x"])
        .await
        .exits(4)
        .says(&["NOT_WAITING"]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_asks_people_by_a_line_of_json() {
    let mesh = TestMesh::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let line = r#"if grep -q '"accepted":true' ; then echo '{"outcome":"complete","result":"published"}'; else echo '{"wait":{"name":"publish","until":"1h","approval":{"title":"Publish?","who":["ada"]}}}'; fi"#;
    let guard = worker(&mesh, dir.path(), "program", &["--exec", line, "--json"]).await;
    let intent = mesh.submit("json", "program", "1").await;
    mesh.until(&intent, "waiting", SOON).await;
    approvals(&mesh, &["approve", "json", "--as", "ada"]).await.exits(0);
    assert_eq!(result(&mesh.until(&intent, "completed", SOON).await), "published");
    drop(guard);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_secured_mesh_a_person_decides_in_the_own_name_and_in_no_other() {
    let mesh = Secured::start().await;
    let sent = [
        "send",
        "research",
        "otters",
        "--id",
        "order-9",
        "--gate",
        "code",
        "--approver",
        "bea",
    ];
    let (code, said, _) = mesh.baton("ada", &sent).await;
    assert_eq!(code, Some(0), "{said}");
    let intent = id("order-9");
    eventually("bea is asked", SOON, async || match mesh.control.head(&intent).await {
        Ok(Some(head)) if head.record.snapshot.status.name() == "waiting" => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    // The server does not let ada speak for bea, whatever she says; in her own name she has no seat.
    let (code, said, _) = mesh
        .baton("ada", &["approvals", "approve", "order-9", "--as", "bea"])
        .await;
    assert!(
        code == Some(4) && said.contains("PERMISSION_DENIED") && said.contains("mesh.decide.bea"),
        "{code:?} {said}"
    );
    let (code, said, _) = mesh.baton("ada", &["approvals", "approve", "order-9"]).await;
    assert!(code == Some(4) && said.contains("NOT_ENTITLED"), "{code:?} {said}");
    let (code, said, _) = mesh.baton("vic", &["approvals", "show", "order-9"]).await;
    assert!(
        code == Some(0) && said.contains("may decide") && said.contains("bea"),
        "{code:?} {said}"
    );
    let (code, said, _) = mesh.baton("bea", &["approvals", "approve", "order-9"]).await;
    assert_eq!(code, Some(0), "{said}");
    mesh.completed(&intent).await;
    let history = mesh.control.history(&intent, 1).await.expect("history");
    let by: Vec<String> = history.into_iter().filter_map(|head| head.record.people?.by).collect();
    assert_eq!(by, ["bea"]);
}
