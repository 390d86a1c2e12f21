//! A person or a script as the agent: work without tickets, taken and ended step by step with `baton work`.

use std::time::Duration;

use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, assert_legal, events};
use baton_e2e::gated::{Gate, agent_of, id, result, teller};
use baton_envelope::{Event, IntentId};
use baton_jetstream::Head;
use baton_testkit::{ProcessGuard, eventually};
use serde_json::Value;
use tempfile::TempDir;

/// Runs a command; gives the exit code and all that it said.
async fn run(mesh: &TestMesh, line: &[&str]) -> (i32, String) {
    let out = mesh.run_baton(line).await;
    let said = [out.stdout, out.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (out.status.code().expect("no signal"), said.concat())
}

async fn runs(mesh: &TestMesh, line: &[&str]) -> String {
    let (exit, said) = run(mesh, line).await;
    assert_eq!(exit, 0, "{line:?}: {said}");
    said
}

/// The JSON document that a command prints.
async fn json(mesh: &TestMesh, line: &[&str]) -> Value {
    let line = [line, &["--output", "json"]].concat();
    let out = mesh.run_baton(&line).await;
    assert!(out.status.success(), "{line:?}: {out:?}");
    serde_json::from_slice(&out.stdout).expect("JSON")
}

/// A mesh with the manual agent `reviewer`.
async fn with_reviewer() -> TestMesh {
    let mesh = TestMesh::start().await;
    runs(
        &mesh,
        &["agents", "add", "reviewer", "--manual", "--capability", "review"],
    )
    .await;
    mesh.until_version_is("reviewer", "1.0.0", "active").await;
    mesh
}

/// How many messages the work stream of an agent has.
async fn tickets(mesh: &TestMesh, agent: &str) -> u64 {
    let state = mesh.stream_state(&format!("MESH_WORK_{agent}")).await;
    state["messages"].as_u64().expect("a number")
}

/// Submits work to an agent with the command, and waits until it stands there.
async fn sent(mesh: &TestMesh, agent: &str, name: &str) -> IntentId {
    runs(mesh, &["send", agent, "read this", "--id", name]).await;
    id(name)
}

fn worker(mesh: &TestMesh, dir: &TempDir, agent: &str, more: &[&str]) -> ProcessGuard {
    let line = [&["worker", "--agent", agent, "--version", "1.0.0"], more].concat();
    ProcessGuard::spawn(agent, mesh.baton(&line), dir.path())
}

async fn head_is_by_hand(mesh: &TestMesh, intent: &IntentId) -> Head {
    eventually("the work is done by hand", SOON, async || {
        let head = mesh.head_of(intent).await;
        match head.record.snapshot.is_by_hand() {
            true => Ok(head),
            false => Err(format!("{:?}", head.record.event)),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_of_programs_and_a_person_completes_and_tells_who_did_what() {
    let mesh = with_reviewer().await;
    let dir = TempDir::new().expect("a folder");
    let draft = r#"echo '{"outcome":"hand_off","to":"reviewer","payload":{"task":"read the draft"}}'"#;
    let _draft = worker(&mesh, &dir, "draft", &["--json", "--exec", draft]);
    let _publish = worker(&mesh, &dir, "publish", &["--exec", "tr a-z A-Z"]);
    for agent in ["draft", "publish"] {
        mesh.until_version_is(agent, "1.0.0", "active").await;
    }
    runs(
        &mesh,
        &["send", "draft", "otters", "--id", "order-1", "--priority", "8"],
    )
    .await;
    let intent = id("order-1");
    mesh.until_events(&intent, &Event::HandedOff, 1, SOON).await;
    assert_eq!(agent_of(&mesh.head_of(&intent).await), "reviewer");
    assert_eq!(tickets(&mesh, "reviewer").await, 0, "nobody pulls what is done by hand");

    let list = json(&mesh, &["work", "list", "--agent", "reviewer"]).await;
    let only = &list["work"][0];
    let shown = ["intent", "status", "from", "agent", "task", "priority"].map(|field| only[field].clone());
    let expected = serde_json::json!(["order-1", "pending", "draft@1.0.0", "reviewer", "read the draft", 8]);
    assert_eq!(Value::from(shown.to_vec()), expected);

    let taken = json(
        &mesh,
        &["work", "take", "--agent", "reviewer", "--as", "ada", "--estimate", "2h"],
    )
    .await;
    assert_eq!(taken["payload"]["task"], "read the draft");
    assert_eq!(
        (&taken["work"]["holder"], &taken["work"]["estimate_ms"]),
        (&"ada".into(), &7_200_000.into())
    );
    runs(&mesh, &["work", "start", "order-1", "--as", "ada"]).await;
    runs(
        &mesh,
        &["work", "progress", "order-1", "--as", "ada", "--note", "half way"],
    )
    .await;
    let onward = [
        "work",
        "hand-off",
        "order-1",
        "--as",
        "ada",
        "--to",
        "publish",
        "--payload",
        "fine",
        "--note",
        "read",
    ];
    runs(&mesh, &onward).await;
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(result(&head), "FINE");

    let history = mesh.history_of(&intent).await;
    assert_legal(&history);
    let by_ada: Vec<&str> = history
        .iter()
        .filter(|head| head.record.by.instance == "ada")
        .map(|head| head.record.event.name())
        .collect();
    assert_eq!(by_ada, ["claimed", "started", "progress", "handed_off"]);
    let path = head.record.snapshot.path.iter().map(|one| one.agent.to_string());
    assert_eq!(path.collect::<Vec<_>>(), ["draft", "reviewer", "publish"]);
    assert!(head.record.snapshot.manual.is_none(), "workers did the last hop");
    assert!(
        json(&mesh, &["work", "list"]).await["work"]
            .as_array()
            .expect("a list")
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_is_the_oldest_of_the_most_urgent_and_can_be_given_back() {
    let mesh = with_reviewer().await;
    for (name, priority) in [("a", "5"), ("b", "9"), ("c", "9")] {
        runs(&mesh, &["send", "reviewer", "x", "--id", name, "--priority", priority]).await;
    }
    let mut took = Vec::new();
    for _ in 0..3 {
        let taken = json(&mesh, &["work", "take", "--as", "ada"]).await;
        took.push(taken["work"]["intent"].as_str().expect("an id").to_owned());
    }
    assert_eq!(took, ["b", "c", "a"]);
    let (exit, said) = run(&mesh, &["work", "take", "--agent", "reviewer"]).await;
    assert_eq!(exit, 3, "{said}");
    for act in ["take", "list"] {
        let (exit, said) = run(&mesh, &["work", act, "--agent", "reviwer"]).await;
        assert_eq!(exit, 3, "{said}");
        assert!(said.contains("UNKNOWN_AGENT") && said.contains("reviewer"), "{said}");
    }
    let (exit, said) = run(&mesh, &["work", "accept", "b", "--as", "bea"]).await;
    assert_eq!(exit, 4, "{said}");
    assert!(said.contains("ada has it"), "{said}");

    // Another person may not go on with it, and may give it back for whoever is away.
    let before = mesh.head_of(&id("b")).await.seq;
    let (exit, said) = run(&mesh, &["work", "complete", "b", "--as", "bea"]).await;
    assert_eq!(exit, 4, "{said}");
    assert!(said.contains("ada has it"), "{said}");
    assert_eq!(mesh.head_of(&id("b")).await.seq, before);
    runs(
        &mesh,
        &["work", "release", "b", "--as", "bea", "--reason", "ada is away"],
    )
    .await;
    let head = mesh.until(&id("b"), "pending", SOON).await;
    assert_eq!(head.record.note.as_deref(), Some("ada is away"));
    let taken = json(&mesh, &["work", "take", "--as", "bea"]).await;
    assert_eq!(taken["work"]["intent"], "b");
    runs(
        &mesh,
        &["work", "complete", "b", "--as", "bea", "--result", r#"{"ok":true}"#],
    )
    .await;
    assert_eq!(
        mesh.events_of(&id("b")).await,
        ["submitted", "claimed", "released", "claimed", "started", "completed"]
    );

    // What is taken for a time comes back by itself.
    runs(&mesh, &["work", "release", "c", "--reason", "later", "--as", "ada"]).await;
    runs(&mesh, &["work", "accept", "c", "--as", "ada", "--within", "1s"]).await;
    mesh.until_events(&id("c"), &Event::Released, 2, SOON).await;
    let head = mesh.head_of(&id("c")).await;
    assert_eq!(
        (&head.record.snapshot.holder, head.record.by.role.name()),
        (&None, "controller")
    );
}

/// Every step, as a person types it.
fn steps(intent: &str) -> [(&'static str, Vec<String>); 8] {
    let line = |words: &str| {
        words
            .split(' ')
            .map(|word| word.replace("ID", intent))
            .collect::<Vec<_>>()
    };
    [
        ("accepted", line("work accept ID --as ada")),
        ("in_progress", line("work start ID --as ada")),
        ("in_progress", line("work progress ID --note x --as ada")),
        ("completed", line("work complete ID --as ada")),
        ("rejected", line("work reject ID --reason x --as ada")),
        ("failed", line("work fail ID --reason x --as ada")),
        ("pending", line("work hand-off ID --to reviewer --as ada")),
        ("pending", line("work release ID --reason x --as ada")),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_illegal_step_is_refused_with_both_states_and_changes_nothing() {
    let mesh = with_reviewer().await;
    // How an intent gets to each status, and which steps are legal there.
    let ways: [(&str, &[usize], &[usize]); 6] = [
        ("pending", &[], &[0, 4]),
        ("accepted", &[0], &[1, 3, 5, 6, 7]),
        ("in_progress", &[0, 1], &[2, 3, 5, 6, 7]),
        ("completed", &[0, 3], &[]),
        ("rejected", &[4], &[]),
        ("failed", &[0, 5], &[]),
    ];
    for (status, way, legal) in ways {
        let intent = sent(&mesh, "reviewer", &format!("stands-{status}")).await;
        for step in way {
            let (_, line) = &steps(intent.as_str())[*step];
            runs(&mesh, &line.iter().map(String::as_str).collect::<Vec<_>>()).await;
        }
        let head = mesh.until(&intent, status, SOON).await;
        for (place, (leads_to, line)) in steps(intent.as_str()).into_iter().enumerate() {
            if legal.contains(&place) {
                continue;
            }
            let (exit, said) = run(&mesh, &line.iter().map(String::as_str).collect::<Vec<_>>()).await;
            assert_eq!(exit, 4, "{line:?} of {status}: {said}");
            assert!(
                said.contains(&format!("is {status}")) && said.contains(leads_to),
                "{line:?} of {status}: {said}"
            );
            assert_eq!(
                mesh.head_of(&intent).await.seq,
                head.seq,
                "{line:?} of {status} wrote something"
            );
        }
        // A legal one is not refused because of the illegal ones before.
        for place in legal {
            let name = format!("{status}-{place}");
            let other = sent(&mesh, "reviewer", &name).await;
            for step in way.iter().chain([place]) {
                let (_, line) = &steps(other.as_str())[*step];
                runs(&mesh, &line.iter().map(String::as_str).collect::<Vec<_>>()).await;
            }
        }
    }

    // Work for workers is not done by hand.
    let gate = Gate::shut();
    let code = Running::start(mesh.server.url(), teller("code", "1.0.0", &gate)).await;
    mesh.until_version_is("code", "1.0.0", "active").await;
    let held = sent(&mesh, "code", "held").await;
    mesh.until(&held, "in_progress", SOON).await;
    let (exit, said) = run(&mesh, &["work", "complete", "held", "--as", "ada"]).await;
    assert_eq!(exit, 4, "{said}");
    assert!(said.contains("workers of code@1.0.0"), "{said}");
    let (exit, said) = run(&mesh, &["work", "accept", "ghost"]).await;
    assert_eq!(exit, 3, "{said}");
    gate.lift();
    mesh.until(&held, "completed", SOON).await;
    code.stop().await;
}

/// Takes a step as anything does that can speak to the server: a request whose body is JSON.
async fn asked(mesh: &TestMesh, step: &str, body: Value) -> Value {
    let client = mesh.server.client().await;
    let subject = format!("mesh.control.work.{step}");
    let reply = client
        .request(subject, body.to_string().into())
        .await
        .expect("an answer");
    serde_json::from_slice(&reply.payload).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_is_declined_and_done_by_bare_requests() {
    let mesh = with_reviewer().await;
    let declined = sent(&mesh, "reviewer", "declined").await;
    let body = serde_json::json!({"intent": "declined", "reason": "not my subject", "by": "ada"});
    let answer = asked(&mesh, "reject", body.clone()).await;
    let head = mesh.until(&declined, "rejected", SOON).await;
    let step = [&answer["ok"]["was"], &answer["ok"]["status"], &answer["ok"]["seq"]];
    assert_eq!(
        step,
        [&Value::from("pending"), &"rejected(BY_HAND)".into(), &head.seq.into()],
        "{answer}"
    );
    let error = head.record.snapshot.error.as_ref().expect("an error");
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("BY_HAND", "not my subject")
    );
    let by = &head.record.by;
    assert_eq!((by.role.name(), by.instance.as_str()), ("worker", "ada"));
    assert_legal(&mesh.history_of(&declined).await);
    assert_eq!(tickets(&mesh, "reviewer").await, 0);

    // Once more: it is over. And what somebody has taken is not declined, but failed.
    let answer = asked(&mesh, "reject", body).await;
    assert_eq!(answer["error"]["code"], "WRONG_STATUS", "{answer}");
    assert_eq!(mesh.head_of(&declined).await.seq, head.seq);
    let taken = sent(&mesh, "reviewer", "taken").await;
    let answer = asked(&mesh, "accept", serde_json::json!({"intent": "taken", "by": "ada"})).await;
    assert!(answer["ok"].is_object(), "{answer}");
    let body = serde_json::json!({"intent": "taken", "reason": "too much", "code": "TOO_MUCH", "by": "ada"});
    let answer = asked(&mesh, "reject", body.clone()).await;
    let message = answer["error"]["message"].as_str().expect("a message");
    assert!(message.contains("accepted") && message.contains("rejected"), "{answer}");
    mesh.until(&taken, "accepted", SOON).await;
    let answer = asked(&mesh, "fail", body).await;
    assert_eq!(answer["ok"]["status"], "failed(TOO_MUCH)", "{answer}");
    let head = mesh.until(&taken, "failed", SOON).await;
    assert_eq!(head.record.snapshot.error.as_ref().expect("an error").code, "TOO_MUCH");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_of_an_older_sender_goes_and_its_work_waits_for_a_person() {
    let mesh = with_reviewer().await;
    // As a sender before 1.4 writes it: the record does not say that it is done by hand, and its ticket is there.
    let intent = mesh
        .submitted_for("1.0.0", mesh.envelope("older", "reviewer", "1"), true)
        .await;
    let head = head_is_by_hand(&mesh, &intent).await;
    assert_eq!(head.record.event, Event::Rerouted);
    eventually("its ticket is gone", SOON, async || {
        match tickets(&mesh, "reviewer").await {
            0 => Ok(()),
            count => Err(format!("{count}")),
        }
    })
    .await;
    runs(&mesh, &["work", "take", "--as", "ada"]).await;
    runs(&mesh, &["work", "complete", "older", "--as", "ada", "--result", "done"]).await;
    let history = mesh.history_of(&intent).await;
    assert_legal(&history);
    assert_eq!(
        events(&history),
        ["submitted", "rerouted", "claimed", "started", "completed"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_come_later_get_what_is_pending_and_what_a_person_has_stays() {
    let mesh = with_reviewer().await;
    let (held, waits) = (
        sent(&mesh, "reviewer", "held").await,
        sent(&mesh, "reviewer", "waits").await,
    );
    runs(&mesh, &["work", "accept", "held", "--as", "ada"]).await;
    let worker = Running::start(mesh.server.url(), teller("reviewer", "1.0.0", &Gate::open())).await;
    mesh.until(&waits, "completed", SOON).await;
    assert_eq!(mesh.head_of(&held).await.record.snapshot.holder.as_deref(), Some("ada"));
    runs(&mesh, &["work", "complete", "held", "--as", "ada"]).await;
    assert_legal(&mesh.history_of(&waits).await);

    // While it has a worker it is not worked by hand; afterwards it may be, and what is queued then loses its ticket.
    let (exit, said) = run(&mesh, &["agents", "add", "reviewer", "--manual"]).await;
    assert_eq!(exit, 4, "{said}");
    assert!(said.contains("1 live workers"), "{said}");
    worker.stop().await;
    let queued = sent(&mesh, "reviewer", "queued").await;
    assert_eq!(tickets(&mesh, "reviewer").await, 1);
    eventually("its worker is gone", SOON, async || {
        match run(&mesh, &["agents", "add", "reviewer", "--manual"]).await {
            (0, _) => Ok(()),
            (_, said) => Err(said),
        }
    })
    .await;
    head_is_by_hand(&mesh, &queued).await;

    // And back, by a word.
    runs(&mesh, &["agents", "add", "reviewer", "--no-manual"]).await;
    eventually("its ticket is there", SOON, async || {
        match tickets(&mesh, "reviewer").await {
            1 => Ok(()),
            count => Err(format!("{count}")),
        }
    })
    .await;
    let worker = Running::start(mesh.server.url(), teller("reviewer", "1.0.0", &Gate::open())).await;
    mesh.until(&queued, "completed", SOON).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_manual_version_drains_when_people_have_ended_its_work() {
    let mesh = with_reviewer().await;
    let intent = sent(&mesh, "reviewer", "old").await;
    let second = [
        "agents",
        "add",
        "reviewer",
        "--manual",
        "--version",
        "2.0.0",
        "--capability",
        "review",
    ];
    runs(&mesh, &second).await;
    runs(&mesh, &["rollout", "start", "reviewer", "2.0.0", "--at-once"]).await;
    mesh.until_version_is("reviewer", "1.0.0", "draining").await;
    let said = runs(&mesh, &["rollout", "status", "reviewer"]).await;
    assert!(said.contains("by_hand"), "{said}");
    runs(&mesh, &["work", "accept", "old", "--as", "ada"]).await;
    runs(
        &mesh,
        &[
            "work", "fail", "old", "--as", "ada", "--reason", "no", "--code", "NOT_MINE",
        ],
    )
    .await;
    let head = mesh.until(&intent, "failed", SOON).await;
    assert_eq!(
        head.record.snapshot.error.as_ref().map(|error| error.code.as_str()),
        Some("NOT_MINE")
    );
    mesh.until_version_is("reviewer", "1.0.0", "drained").await;
    let new = sent(&mesh, "reviewer", "new").await;
    let version = mesh.head_of(&new).await.record.snapshot.version;
    assert_eq!(version.map(|version| version.to_string()).as_deref(), Some("2.0.0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_in_words_goes_to_whoever_can_do_it() {
    let mesh = with_reviewer().await;
    let create = |task: &'static str, more: &'static [&'static str]| {
        let line = [
            &["work", "create", "--from", "ada", "--task", task, "--priority", "8"],
            more,
        ]
        .concat();
        let mesh = &mesh;
        async move { run(mesh, &line).await }
    };
    let (exit, said) = create(
        "please review the draft",
        &["--task-context", r#"{"pages":3}"#, "--id", "t-1"],
    )
    .await;
    assert_eq!(exit, 0, "{said}");
    let head = mesh.until(&id("t-1"), "pending", SOON).await;
    assert_eq!(agent_of(&head), "reviewer");
    assert_eq!(
        (
            head.record.snapshot.priority.get(),
            head.record.snapshot.kind.as_deref()
        ),
        (8, Some("task"))
    );
    let taken = json(&mesh, &["work", "take", "--as", "bea"]).await;
    assert_eq!(
        taken["payload"],
        serde_json::json!({"task": "please review the draft", "context": {"pages": 3}})
    );
    assert_eq!(taken["work"]["from"], "ada");

    let (exit, said) = create("make coffee", &[]).await;
    assert_eq!(exit, 3, "{said}");
    assert!(said.contains("make coffee") && said.contains("--to"), "{said}");
    let (exit, said) = create("make coffee", &["--to", "reviewer", "--id", "t-2"]).await;
    assert_eq!(exit, 0, "{said}");
    let (exit, said) = create("make coffee", &["--when-none", "any", "--id", "t-3"]).await;
    assert_eq!(
        (exit, agent_of(&mesh.head_of(&id("t-3")).await).as_str()),
        (0, "reviewer"),
        "{said}"
    );
    let (exit, said) = create("make coffee", &["--when-none", "hold", "--id", "t-4"]).await;
    assert_eq!(exit, 0, "{said}");
    runs(&mesh, &["agents", "add", "barista", "--manual", "--capability", "task"]).await;
    let head = mesh.until(&id("t-4"), "pending", Duration::from_secs(30)).await;
    assert_eq!(agent_of(&head), "barista");
}

/// A person is no worker: work that waits for one is no reason for an alarm.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_by_hand_raises_no_alarm_of_missing_workers() {
    let mesh = with_reviewer().await;
    sent(&mesh, "reviewer", "by-hand").await;
    let gate = Gate::shut();
    let absent = Running::start(mesh.server.url(), teller("absent", "1.0.0", &gate)).await;
    mesh.until_version_is("absent", "1.0.0", "active").await;
    absent.stop().await;
    sent(&mesh, "absent", "by-nobody").await;
    let alarms = async || -> Vec<(String, String)> {
        let shown = json(&mesh, &["agents", "list"]).await;
        let agents = shown["agents"].as_array().cloned().unwrap_or_default();
        let of = |agent: &Value| {
            let (name, alarms) = (agent["agent"].clone(), agent["alarms"].as_array().cloned());
            let alarms = alarms.unwrap_or_default().into_iter();
            alarms
                .map(move |alarm| (name.clone(), alarm["code"].clone()))
                .collect::<Vec<_>>()
        };
        let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
        let found = agents.iter().flat_map(of);
        found.map(|(name, code)| (text(name), text(code))).collect()
    };
    // The one that came later has its alarm, so the one that came first would have had it.
    eventually("the agent without workers has its alarm", SOON * 3, async || {
        let found = alarms().await;
        let wanted = ("absent".to_owned(), "WORK_WITHOUT_WORKERS".to_owned());
        found.contains(&wanted).then_some(()).ok_or(format!("{found:?}"))
    })
    .await;
    let found = alarms().await;
    assert!(found.iter().all(|(agent, _)| agent != "reviewer"), "{found:?}");
}
