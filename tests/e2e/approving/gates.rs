//! Approvals before a hop, for agents that know nothing of them.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_asks_before_programs_that_know_nothing_of_it() {
    let mesh = TestMesh::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let line = r#"echo '{"outcome":"hand_off","to":"shout","payload":"otters"}'"#;
    let first = worker(&mesh, dir.path(), "draft", &["--exec", line, "--json"]).await;
    let second = worker(&mesh, dir.path(), "shout", &["--exec", "tr a-z A-Z"]).await;
    let third = worker(
        &mesh,
        dir.path(),
        "quiet",
        &["--exec", "tr A-Z a-z", "--approver", "ada"],
    )
    .await;

    // For this intent alone.
    run(mesh.baton(&[
        "send",
        "draft",
        "1",
        "--id",
        "once",
        "--gate",
        "shout",
        "--approver",
        "ada",
    ]))
    .await
    .exits(0);
    let head = mesh.until(&id("once"), "waiting", SOON).await;
    assert_eq!(
        (
            head.record.snapshot.hop,
            head.record.snapshot.agent.expect("an agent").as_str()
        ),
        (2, "shout")
    );
    decide(&mesh, "mesh.decide.ada.once.2.gate.approve", "").await;
    assert_eq!(result(&mesh.until(&id("once"), "completed", SOON).await), "OTTERS");
    run(mesh.baton(&["send", "shout", "free", "--id", "free"]))
        .await
        .exits(0);
    assert_eq!(result(&mesh.until(&id("free"), "completed", SOON).await), "FREE");

    // By the policy of an agent.
    for (name, verb, status) in [("yes", "approve", "completed"), ("no", "reject", "rejected")] {
        run(mesh.baton(&["send", "quiet", "LOUD", "--id", name])).await.exits(0);
        mesh.until(&id(name), "waiting", SOON).await;
        approvals(&mesh, &[verb, name, "--as", "ada"]).await.exits(0);
        let head = mesh.until(&id(name), status, SOON).await;
        let code = head.record.snapshot.error.as_ref().map(|error| error.code.as_str());
        assert_eq!(code, (verb == "reject").then_some("NOT_APPROVED"));
    }

    // Nobody would be asked by a misspelt name.
    let typo = run(mesh.baton(&["send", "draft", "1", "--gate", "shot", "--approver", "ada"])).await;
    typo.exits(3).says(&["UNKNOWN_AGENT", "shot", "shout"]);
    drop((first, second, third));
}

/// Whoever sends is kept out by four eyes, with and without a name in the environment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_with_four_eyes_keeps_out_whoever_sent_it_and_its_end_says_who_was_silent() {
    let mesh = TestMesh::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let shout = worker(&mesh, dir.path(), "shout", &["--exec", "tr a-z A-Z"]).await;
    let line = "send shout loud --gate shout --approver ada --approver eve --four-eyes --id";
    for (name, user) in [("of-eve", Some("eve")), ("of-somebody", None)] {
        let words: Vec<&str> = line.split(' ').chain([name]).collect();
        let mut command = mesh.baton(&words);
        command.env_remove("USER").env_remove("LOGNAME");
        if let Some(user) = user {
            command.env("USER", user);
        }
        run(command).await.exits(0);
        let head = mesh.until(&id(name), "waiting", SOON).await;
        let ballot = head.record.snapshot.waits.into_iter().find_map(|wait| wait.ballot);
        let barred: Vec<String> = ballot
            .expect("a ballot")
            .barred
            .iter()
            .map(ToString::to_string)
            .collect();
        let sent = mesh.history_of(&id(name)).await.remove(0).record.by.instance;
        let (sender, _) = sent.split_once('@').expect("a user at a host");
        assert_eq!(barred, [sender]);
        assert_eq!(sender == "eve", user.is_some());
        assert_ne!(sender, "cli", "a person, and not the program");
    }
    approvals(&mesh, &["approve", "of-eve", "--as", "eve"])
        .await
        .exits(4)
        .says(&["NOT_ENTITLED", "four eyes"]);
    approvals(&mesh, &["approve", "of-eve", "--as", "ada"]).await.exits(0);
    mesh.until(&id("of-eve"), "completed", SOON).await;

    let within = "send shout loud --gate shout --approver ada --approve-within 300ms --id late";
    run(mesh.baton(&within.split(' ').collect::<Vec<_>>())).await.exits(0);
    let head = mesh.until(&id("late"), "rejected", SOON).await;
    let error = head.record.snapshot.error.expect("an error");
    assert_eq!(error.code, "NOT_APPROVED");
    assert!(
        error.message.contains("nobody of ada decided within 300ms"),
        "{}",
        error.message
    );
    drop(shout);
}

async fn policy(mesh: &TestMesh, arguments: &[&str]) -> Run {
    let mut all = vec!["agents", "policy", "shout"];
    all.extend(arguments);
    run(mesh.baton(&all)).await
}

/// The waits that an intent has open.
fn asked_of(head: &Head) -> Vec<&str> {
    head.record
        .snapshot
        .waits
        .iter()
        .map(|wait| wait.name.as_str())
        .collect()
}

/// Waits until this worker has heard what an operator said: work that it gets is treated so.
async fn until_asked(mesh: &TestMesh, name: &str, is_asked: bool) {
    let mut tries = 0;
    eventually("the worker has heard of it", SOON, async || {
        tries += 1;
        let intent = format!("{name}-{tries}");
        run(mesh.baton(&["send", "shout", "otters", "--id", &intent]))
            .await
            .exits(0);
        let status = eventually("it stands", SOON, async || {
            let status = mesh.head_of(&id(&intent)).await.record.snapshot.status;
            let stands = ["waiting", "completed"].contains(&status.name());
            stands
                .then(|| status.name().to_owned())
                .ok_or_else(|| status.to_string())
        })
        .await;
        ((status == "waiting") == is_asked).then_some(()).ok_or(status)
    })
    .await;
}

/// Fails if a gate needs a restart of the worker, if an intent that brings a gate of its own asks for less, or if what was asked
/// is forgotten with the gate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sets_and_clears_a_gate_while_the_worker_runs() {
    let mesh = TestMesh::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let shout = worker(&mesh, dir.path(), "shout", &["--exec", "tr a-z A-Z"]).await;
    until_asked(&mesh, "before", false).await;

    policy(&mesh, &["--approver", "ada", "--reason", "an audit"])
        .await
        .exits(0);
    let shown = policy(&mesh, &[]).await.exits(0).stdout;
    assert!(shown.contains("gate") && shown.contains("ada"), "{shown}");
    let shown = policy(&mesh, &["--output", "json"]).await.exits(0).json();
    assert_eq!(shown["in_force"]["gate"]["who"][0], "ada");
    until_asked(&mesh, "gated", true).await;
    for (name, verb, status) in [("yes", "approve", "completed"), ("no", "reject", "rejected")] {
        run(mesh.baton(&["send", "shout", "otters", "--id", name]))
            .await
            .exits(0);
        let head = mesh.until(&id(name), "waiting", SOON).await;
        assert_eq!(asked_of(&head), ["agent-gate"]);
        approvals(&mesh, &[verb, name, "--as", "ada"]).await.exits(0);
        let head = mesh.until(&id(name), status, SOON).await;
        let code = head.record.snapshot.error.as_ref().map(|error| error.code.as_str());
        assert_eq!(code, (verb == "reject").then_some("NOT_APPROVED"));
    }

    // An intent may ask for more, and not for less.
    run(mesh.baton(&[
        "send",
        "shout",
        "otters",
        "--id",
        "both",
        "--gate",
        "shout",
        "--approver",
        "eve",
    ]))
    .await
    .exits(0);
    mesh.until(&id("both"), "waiting", SOON).await;
    approvals(&mesh, &["approve", "both", "--as", "eve"])
        .await
        .exits(4)
        .says(&["NOT_ENTITLED"]);
    approvals(&mesh, &["approve", "both", "--as", "ada"]).await.exits(0);
    eventually("the intent asks, too", SOON, async || {
        let head = mesh.head_of(&id("both")).await;
        let is_asked = asked_of(&head) == ["gate"];
        is_asked.then_some(()).ok_or_else(|| format!("{:?}", asked_of(&head)))
    })
    .await;
    approvals(&mesh, &["approve", "both", "--as", "eve"]).await.exits(0);
    assert_eq!(result(&mesh.until(&id("both"), "completed", SOON).await), "OTTERS");

    // What is asked stands when the gate is taken away.
    for name in ["stands", "denied"] {
        run(mesh.baton(&["send", "shout", "otters", "--id", name]))
            .await
            .exits(0);
        mesh.until(&id(name), "waiting", SOON).await;
    }
    policy(&mesh, &["--no-gate"]).await.exits(0);
    let shown = policy(&mesh, &["--output", "json"]).await.exits(0).json();
    assert_eq!(shown["in_force"]["gate"], Value::Null);
    until_asked(&mesh, "free", false).await;
    approvals(&mesh, &["reject", "denied", "--as", "ada"]).await.exits(0);
    mesh.until(&id("denied"), "rejected", SOON).await;
    approvals(&mesh, &["approve", "stands", "--as", "ada"]).await.exits(0);
    assert_eq!(result(&mesh.until(&id("stands"), "completed", SOON).await), "OTTERS");

    let history = run(mesh.baton(&["rollout", "history", "shout"])).await.exits(0).stdout;
    assert!(history.contains("an audit"), "{history}");
    drop(shout);
}

/// A worker that would begin without asking.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gate_is_refused_where_somebody_would_begin_without_asking() {
    let mesh = TestMesh::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let old = worker(
        &mesh,
        dir.path(),
        "shout",
        &["--exec", "tr a-z A-Z", "--protocol", "1.0.0-1.5.0"],
    )
    .await;
    policy(&mesh, &["--approver", "ada"])
        .await
        .exits(4)
        .says(&["WRONG_STATE", "1.5.0", "without asking"]);
    policy(&mesh, &["--approver", "ada", "--quorum", "2"])
        .await
        .exits(2)
        .says(&["--quorum 2"]);
    policy(&mesh, &["--approver", "ada", "--no-gate"]).await.exits(2);
    run(mesh.baton(&["agents", "add", "reviewer", "--manual"]))
        .await
        .exits(0);
    mesh.until_version_is("reviewer", "1.0.0", "active").await;
    run(mesh.baton(&["agents", "policy", "reviewer", "--gate"]))
        .await
        .exits(4)
        .says(&["WRONG_STATE", "by hand"]);
    drop(old);
}
