//! Memories that outlive a tree: by the command, and by a hop, whose writes are done once whatever happens to it.

use baton_agent::{Agent, AgentBuilder, Fault, Handler, Hop, KeptMemory, Kind, Memory, Outcome, RetryPolicy, View};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, assert_legal, count};
use baton_e2e::gated::{result, result_as};
use baton_envelope::context::{self, SpaceMemory, SpaceWrite};
use baton_envelope::{Json, Timestamp};
use baton_jetstream::Mesh;
use serde_json::{Value, json};

use crate::nats_cli::{Run, run};

async fn memory(mesh: &TestMesh, arguments: &[&str]) -> Run {
    run(mesh.baton(&[&["memory"][..], arguments].concat())).await
}

async fn memory_json(mesh: &TestMesh, arguments: &[&str]) -> Value {
    let arguments = [arguments, &["--output", "json"]].concat();
    memory(mesh, &arguments).await.exits(0).json()
}

/// Writes over whatever is there, as somebody else.
async fn write(mesh: &Mesh, name: &str, id: &str, content: &str, over: Option<u64>) -> u64 {
    let memory = context::Memory::new(id.parse().expect("an id"), Kind::Fact, content.as_bytes());
    let written = SpaceWrite {
        write: format!("{id}-{}-{}", content.len(), over.unwrap_or(0)),
        by: "bea@desk".to_owned(),
        at: Timestamp::from_unix_millis(1),
    };
    let record = SpaceMemory::new(name.parse().expect("a space"), memory, content.as_bytes(), written);
    let kept = mesh
        .put_memory(record.expect("in bounds"), over)
        .await
        .expect("written");
    kept.revision
}

async fn newest(mesh: &Mesh, name: &str, id: &str) -> KeptMemory {
    let (name, id) = (name.parse().expect("a space"), id.parse().expect("an id"));
    let found = mesh.space_memory(&name, &id).await.expect("read");
    found.expect("it is there")
}

async fn revisions(mesh: &Mesh, name: &str, id: &str) -> usize {
    let (name, id) = (name.parse().expect("a space"), id.parse().expect("an id"));
    mesh.space_history(&name, &id).await.expect("read").memories.len()
}

/// The options of a decision that is added, and of what goes over it.
const DECISION: [&str; 6] = ["--id", "retries", "--kind", "decision", "--title", "Retries"];

/// Two revisions of a memory, the second of which is pinned.
async fn two_revisions(mesh: &TestMesh) -> (u64, u64) {
    let added = memory_json(
        mesh,
        &[&["add", "house-rules", "Retry with jitter."], &DECISION[..]].concat(),
    )
    .await;
    assert_eq!(
        (&added["id"], &added["kind"], &added["pinned"]),
        (&json!("retries"), &json!("decision"), &json!(false))
    );
    let first = added["revision"].as_u64().expect("a revision");
    let expect = first.to_string();
    let over = ["--id", "retries", "--expect", &expect, "--pin"];
    let second = memory_json(
        mesh,
        &[&["add", "house-rules", "Retry five times."], &over[..]].concat(),
    )
    .await;
    (first, second["revision"].as_u64().expect("a revision"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_is_added_and_a_change_names_what_it_goes_over() {
    let mesh = TestMesh::start().await;
    let said = memory(&mesh, &["list", "house-rules"]).await.exits(0).stdout;
    assert!(said.contains("space house-rules has no memories"), "{said}");
    let (first, second) = two_revisions(&mesh).await;
    let generated = memory_json(&mesh, &["add", "house-rules", "Ships are named by otters."]).await;
    assert!(generated["id"].as_str().is_some_and(|id| id.len() == 36), "{generated}");
    let taken = memory(&mesh, &["add", "house-rules", "Never retry.", "--id", "retries"]).await;
    taken.exits(4).says(&[
        "MEMORY_CHANGED",
        &format!("is there already, at revision {second}"),
        &format!("--expect {second} writes over that"),
    ]);
    let expect = first.to_string();
    let late = ["--id", "retries", "--expect", &expect, "--output", "json"];
    let late = memory(&mesh, &[&["add", "house-rules", "Never retry."], &late[..]].concat()).await;
    let error: Value = serde_json::from_str(&late.exits(4).stderr).expect("JSON");
    assert_eq!(
        (&error["code"], &error["exit"]),
        (&json!("MEMORY_CHANGED"), &json!(4)),
        "{error}"
    );
    let said = error["error"].as_str().expect("a sentence");
    assert!(said.contains(&format!("is at revision {second}")), "{said}");
    memory(&mesh, &["forget", "house-rules", "retries", "--expect", &expect])
        .await
        .exits(4)
        .says(&["MEMORY_CHANGED"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_is_shown_to_a_person_to_a_file_and_to_a_program() {
    let mesh = TestMesh::start().await;
    let (first, _) = two_revisions(&mesh).await;
    let expect = first.to_string();
    let said = memory(&mesh, &["show", "house-rules", "retries"]).await.exits(0).stdout;
    assert!(
        said.contains("Retry five times.") && said.contains("fact, pinned"),
        "{said}"
    );
    let raw = memory(&mesh, &["show", "house-rules", "retries", "--raw"])
        .await
        .exits(0)
        .stdout;
    assert_eq!(raw, "Retry five times.");
    let before = memory_json(&mesh, &["show", "house-rules", "retries", "--revision", &expect]).await;
    assert_eq!(
        (&before["content"], &before["title"]),
        (&json!("Retry with jitter."), &json!("Retries"))
    );
    let listed = memory_json(&mesh, &["list", "house-rules", "--pinned"]).await;
    let listed = listed["memories"].as_array().expect("a list");
    assert_eq!(
        (listed.len(), &listed[0]["id"], &listed[0]["content"]),
        (1, &json!("retries"), &Value::Null)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_memory_is_pinned_and_forgotten_and_its_history_says_by_whom() {
    let mesh = TestMesh::start().await;
    two_revisions(&mesh).await;
    let unpinned = memory_json(&mesh, &["unpin", "house-rules", "retries"]).await;
    let third = unpinned["revision"].as_u64().expect("a revision");
    let again = memory_json(&mesh, &["unpin", "house-rules", "retries"]).await;
    assert_eq!(again["revision"], third, "it is so already");
    memory(&mesh, &["pin", "house-rules", "retries"]).await.exits(0);
    memory(&mesh, &["forget", "house-rules", "retries"]).await.exits(0);
    for act in ["show", "pin", "unpin", "forget"] {
        memory(&mesh, &[act, "house-rules", "retries"])
            .await
            .exits(3)
            .says(&["NOT_FOUND", "there is no memory \"retries\" in space \"house-rules\""]);
    }
    let history = memory_json(&mesh, &["history", "house-rules", "retries"]).await;
    let rows = history["revisions"].as_array().expect("a list");
    let what: Vec<&str> = rows.iter().filter_map(|row| row["what"].as_str()).collect();
    assert_eq!(what, ["written", "written", "unpinned", "pinned", "forgotten"]);
    assert!(
        rows.iter()
            .all(|row| row["by"].as_str().is_some_and(|by| by.contains('@'))),
        "{history}"
    );
    let said = memory(&mesh, &["history", "house-rules", "retries"])
        .await
        .exits(0)
        .stdout;
    assert!(said.contains("forgotten") && said.contains("REVISION"), "{said}");
    let all = memory(&mesh, &["list", "house-rules", "--all"]).await.exits(0).stdout;
    let row = all.lines().find(|line| line.starts_with("retries"));
    assert!(row.is_some_and(|row| row.contains("forgotten")), "{all}");
    let rest = memory(&mesh, &["list", "house-rules"]).await.exits(0).stdout;
    assert!(!rest.contains("retries"), "{rest}");
    // Its id is free.
    memory(&mesh, &["add", "house-rules", "Retry once.", "--id", "retries"])
        .await
        .exits(0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_is_named_with_its_value_and_the_fix() {
    let mesh = TestMesh::start().await;
    let dir = tempfile::TempDir::new().expect("a folder");
    let large = dir.path().join("large");
    std::fs::write(&large, vec![b'x'; context::SPACE_CONTENT + 1]).expect("written");
    let large = format!("@{}", large.display());
    for (arguments, parts) in [
        (&["add", "House", "x"][..], &["House", "1 to 63 characters"][..]),
        (
            &["add", "house", "x", "--id", "a.b"],
            &["memory key \"a.b\" is not valid"],
        ),
        (
            &["add", "house", "x", "--kind", "two words"],
            &["`kind` \"two words\" is no kind", "BAD_MEMORY"],
        ),
        (&["add", "house", "x", "--title", "a\nb"], &["`title`", "BAD_MEMORY"]),
        (
            &["add", "house", "x", "--relevance", "1001"],
            &["relevance 1001 is out of range"],
        ),
        (&["add", "house", "x", "--expect", "7"], &["--id"]),
        (
            &["add", "house", &large],
            &["`content` \"262145 bytes\" is too large; give at most 262144 bytes"],
        ),
        (&["show", "house", "*"], &["memory key \"*\" is not valid"]),
    ] {
        memory(&mesh, arguments).await.exits(2).says(parts);
    }
    // What a person reads of others moves no cursor, and what nobody can read is named.
    write(&mesh.mesh, "house", "odd", "a\u{1b}[2Jb", None).await;
    let said = memory(&mesh, &["show", "house", "odd"]).await.exits(0).stdout;
    assert!(!said.contains('\u{1b}'), "{said:?}");
    let client = mesh.server.client().await;
    let stored = client.request("mesh.memory.house.junk", "no memory".into()).await;
    stored.expect("stored");
    let listed = memory(&mesh, &["list", "house"]).await.exits(0);
    assert!(
        listed.stdout.contains("odd") && listed.stderr.contains("\"junk\" cannot be read"),
        "{listed:?}"
    );
    let explained = run(mesh.baton(&["explain", "MEMORY_CHANGED"])).await.exits(0).stdout;
    assert!(explained.contains("baton memory show"), "{explained}");
}

/// Adds a letter to what the journal has, and ends in its third attempt.
struct Keeper;

impl Handler for Keeper {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        let journal = hop.space("journal")?;
        let before = journal.get("seen").await?;
        let text = before.as_ref().and_then(|kept| kept.record.text()).unwrap_or_default();
        let memory = Memory::new("seen", Kind::Log, format!("{text}x"));
        let revision = match &before {
            Some(kept) => journal.put_over(hop, memory, kept.revision).await?,
            None => journal.put(hop, memory).await?,
        };
        if hop.attempt() < 3 {
            return Err(Fault::retry("once more"));
        }
        Outcome::complete(&revision)
    }
}

fn at_once(builder: AgentBuilder) -> AgentBuilder {
    builder.retry(RetryPolicy {
        unit: std::time::Duration::from_millis(20),
        ..RetryPolicy::default()
    })
}

fn keeper() -> AgentBuilder {
    at_once(Agent::builder("keeper", "1.0.0").expect("agent").handler(Keeper))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_of_a_hop_is_done_once_in_all_of_its_attempts() {
    let mesh = TestMesh::start().await;
    let worker = Running::start(mesh.server.url(), keeper()).await;
    mesh.until_version_is("keeper", "1.0.0", "active").await;
    let first = mesh.submit("first", "keeper", "{}").await;
    let head = mesh.until(&first, "completed", SOON).await;
    let kept = newest(&mesh.mesh, "journal", "seen").await;
    assert_eq!(
        (kept.record.text(), kept.revision),
        (Some("x"), result_as::<u64>(&head))
    );
    assert_eq!(kept.record.by, "keeper@1.0.0");
    let history = mesh.history_of(&first).await;
    assert_legal(&history);
    assert_eq!((count(&history, "retry_scheduled"), count(&history, "step")), (2, 1));
    let step = history
        .iter()
        .find_map(|head| head.record.step.as_ref())
        .expect("a step");
    assert_eq!(step.name, "space:journal:seen");
    // The next work writes over it, once.
    let second = mesh.submit("second", "keeper", "{}").await;
    mesh.until(&second, "completed", SOON).await;
    assert_eq!(newest(&mesh.mesh, "journal", "seen").await.record.text(), Some("xx"));
    assert_eq!(revisions(&mesh.mesh, "journal", "seen").await, 2);
    worker.stop().await;
}

/// A worker died between its write and the record of it, and somebody has gone over the write since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_could_not_be_recorded_is_found_again() {
    let mesh = TestMesh::start().await;
    let early = Running::start(mesh.server.url(), keeper()).await;
    mesh.until_version_is("keeper", "1.0.0", "active").await;
    early.stop().await;
    let intent = mesh.submit("order-42", "keeper", "{}").await;
    let head = mesh.head_of(&intent).await;
    let envelope = head.record.envelope.expect("an envelope");
    let memory = context::Memory::new("seen".parse().expect("an id"), Kind::Log, b"x");
    let written = SpaceWrite {
        write: format!("{}:space:journal:seen", envelope.id),
        by: "keeper@1.0.0".to_owned(),
        at: Timestamp::from_unix_millis(1),
    };
    let record = SpaceMemory::new("journal".parse().expect("a space"), memory, b"x", written).expect("in bounds");
    let own = mesh.mesh.put_memory(record, None).await.expect("written").revision;
    let over = write(&mesh.mesh, "journal", "seen", "xb", Some(own)).await;
    let worker = Running::start(mesh.server.url(), keeper()).await;
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(result_as::<u64>(&head), own, "its own write");
    let kept = newest(&mesh.mesh, "journal", "seen").await;
    assert_eq!(
        (kept.record.text(), kept.revision),
        (Some("xb"), over),
        "and nothing more"
    );
    worker.stop().await;
}

/// Reads, is overtaken in its first attempt, and writes over what it has read.
struct Overtaken(Mesh);

impl Handler for Overtaken {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        let house = hop.space("house")?;
        let before = house.get("rule").await?.expect("it is there");
        if hop.attempt() == 1 {
            write(&self.0, "house", "rule", "one two", Some(before.revision)).await;
        }
        let text = format!("{} three", before.record.text().unwrap_or_default());
        house
            .put_over(hop, Memory::new("rule", Kind::Fact, text), before.revision)
            .await?;
        Outcome::complete("written")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hop_that_is_overtaken_reads_again_and_loses_nothing() {
    let mesh = TestMesh::start().await;
    write(&mesh.mesh, "house", "rule", "one", None).await;
    let builder = Agent::builder("late", "1.0.0").expect("agent");
    let builder = at_once(builder.handler(Overtaken(mesh.mesh.clone())));
    let worker = Running::start(mesh.server.url(), builder).await;
    mesh.until_version_is("late", "1.0.0", "active").await;
    let intent = mesh.submit("order-42", "late", "{}").await;
    mesh.until(&intent, "completed", SOON).await;
    let history = mesh.history_of(&intent).await;
    let refused = history.iter().find_map(|head| head.record.snapshot.error.as_ref());
    assert_eq!(refused.map(|error| error.code.as_str()), Some("MEMORY_CHANGED"));
    let kept = newest(&mesh.mesh, "house", "rule").await;
    assert_eq!(kept.record.text(), Some("one two three"));
    worker.stop().await;
}

/// Takes the pinned memories of a space over into its tree, and says in the next hop what its view has.
struct Taker;

impl Handler for Taker {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        if hop.number() == 2 {
            return Outcome::complete(hop.context().await?.text());
        }
        let house = hop.space("house")?;
        let rules = hop.step("rules", || house.list()).await?;
        for rule in rules
            .iter()
            .filter(|rule| rule.record.memory.as_ref().is_some_and(|memory| memory.pinned))
        {
            let id = rule.id().as_str();
            let kept = hop.step(&format!("rule:{id}"), || house.get(id)).await?;
            if let Some(memory) = kept.as_ref().and_then(Memory::of_space) {
                hop.remember(memory).await?;
            }
        }
        Ok(Outcome::hand_off("taker", &json!({}))?.with_context(View::trim()))
    }
}

fn taker(version: &str) -> AgentBuilder {
    Agent::builder("taker", version).expect("agent").handler(Taker)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_hop_takes_over_from_a_space_is_in_the_views_after_it_as_it_was_then() {
    let mesh = TestMesh::start().await;
    for arguments in [
        &[
            "add",
            "house",
            "Never retry a payment.",
            "--id",
            "payments",
            "--title",
            "Payments",
            "--pin",
        ][..],
        &["add", "house", "Otters are fast.", "--id", "otters"],
    ] {
        memory(&mesh, arguments).await.exits(0);
    }
    let worker = Running::start(mesh.server.url(), taker("1.0.0")).await;
    mesh.until_version_is("taker", "1.0.0", "active").await;
    let intent = mesh.submit("order-42", "taker", "{}").await;
    let head = mesh.until(&intent, "completed", SOON).await;
    let text = result(&head);
    assert!(
        text.contains("Never retry a payment.") && !text.contains("Otters"),
        "{text}"
    );
    let shown = run(mesh.baton(&["context", "show", "order-42"])).await.exits(0).stdout;
    assert!(shown.contains("payments") && shown.contains("full (pinned)"), "{shown}");
    // The tree has what it took over, whatever becomes of the space.
    memory(&mesh, &["forget", "house", "payments"]).await.exits(0);
    let shown = run(mesh.baton(&["context", "show", "order-42"])).await.exits(0).stdout;
    assert!(shown.contains("Never retry a payment."), "{shown}");
    worker.stop().await;
}

/// Fails once after it has looked at its view, hands on to itself, and completes with the views of both hops.
struct Ruled;

impl Handler for Ruled {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, before: Json) -> Result<Outcome, Fault> {
        let text = hop.context().await?.text().to_owned();
        if hop.attempt() == 1 {
            return Err(Fault::retry("once more"));
        }
        match hop.number() {
            1 => Outcome::hand_off("ruled", &text),
            _ => Outcome::complete(&json!([before, text])),
        }
    }
}

fn ruled(version: &str) -> AgentBuilder {
    let builder = Agent::builder("ruled", version).expect("agent").handler(Ruled);
    at_once(builder.space("house".parse().expect("a space")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pinned_in_the_spaces_of_an_agent_is_in_its_views_and_in_a_replay() {
    let mesh = TestMesh::start().await;
    let pinned = memory_json(
        &mesh,
        &["add", "house", "Never retry a payment.", "--id", "payments", "--pin"],
    )
    .await;
    memory(&mesh, &["add", "house", "Otters are fast.", "--id", "otters"])
        .await
        .exits(0);
    let old = Running::start(mesh.server.url(), ruled("1.0.0")).await;
    mesh.until_version_is("ruled", "1.0.0", "active").await;
    let intent = mesh.submit("order-42", "ruled", "{}").await;
    let head = mesh.until(&intent, "completed", SOON).await;
    let views: Vec<String> = result_as(&head);
    for view in &views {
        assert!(
            view.contains("Never retry a payment.") && !view.contains("Otters"),
            "{view}"
        );
    }
    let history = mesh.history_of(&intent).await;
    assert_legal(&history);
    let steps = history.iter().filter_map(|head| head.record.step.as_ref());
    let steps: Vec<&str> = steps.map(|step| step.name.as_str()).collect();
    // The second hop has it from the first one.
    assert_eq!(steps, ["space:house", "memory:payments", "space:house"]);
    // The envelope says which revision it is.
    let mut envelopes = history.iter().filter_map(|head| head.record.envelope.as_ref());
    let last = envelopes.next_back().expect("an envelope");
    assert_eq!(
        (last.memory[0].key.as_str(), last.memory[0].revision),
        ("payments", pinned["revision"].as_u64())
    );
    // Whatever becomes of the space, a replay is given what the hop was given.
    memory(&mesh, &["forget", "house", "payments"]).await.exits(0);
    let new = Running::start(mesh.server.url(), ruled("2.0.0")).await;
    mesh.until_version_is("ruled", "2.0.0", "ready").await;
    let plan = run(mesh.baton(&["rollout", "plan", "ruled", "2.0.0", "--replay", "5", "--output", "json"]))
        .await
        .exits(0)
        .json();
    let replay = &plan["replay"];
    assert_eq!(replay["replayed"], replay["same"], "{plan}");
    assert!(replay["replayed"].as_u64().is_some_and(|count| count > 0), "{plan}");
    for worker in [old, new] {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_has_what_is_pinned_in_the_spaces_of_its_agent() {
    let (mesh, dir) = (TestMesh::start().await, tempfile::TempDir::new().expect("a folder"));
    memory(
        &mesh,
        &["add", "house", "Never retry a payment.", "--id", "payments", "--pin"],
    )
    .await
    .exits(0);
    let program = "import json, sys\ntold = json.load(sys.stdin)\n\
                   print(json.dumps({\"outcome\": \"complete\", \"result\": told[\"context\"][\"text\"]}))\n";
    std::fs::write(dir.path().join("ruled.py"), program).expect("written");
    let exec = format!("python3 {}", dir.path().join("ruled.py").display());
    let _worker = crate::nats_cli::worker(
        &mesh,
        dir.path(),
        "ruled",
        &["--exec", &exec, "--json", "--space", "house"],
    )
    .await;
    let intent = mesh.submit("order-42", "ruled", "{}").await;
    let head = mesh.until(&intent, "completed", SOON).await;
    assert!(result(&head).contains("Never retry a payment."), "{}", result(&head));
}

/// Reads the rule in a step, writes one of its own, and completes with the rule.
struct Reader;

impl Handler for Reader {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        let house = hop.space("house")?;
        let rule = hop.step("rule", || house.get("rule")).await?;
        let id = format!("of-{}", hop.intent());
        house.put(hop, Memory::new(id, Kind::Observation, "read")).await?;
        let text = rule.as_ref().and_then(|kept| kept.record.text());
        Outcome::complete(&text)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_reads_what_the_hop_read_and_writes_nothing() {
    let mesh = TestMesh::start().await;
    let reader = |version: &str| Agent::builder("code", version).expect("agent").handler(Reader);
    let first = write(&mesh.mesh, "house", "rule", "as it was", None).await;
    let old = Running::start(mesh.server.url(), reader("1.0.0")).await;
    mesh.until_version_is("code", "1.0.0", "active").await;
    let intent = mesh.submit("order-42", "code", "{}").await;
    let head = mesh.until(&intent, "completed", SOON).await;
    assert_eq!(result(&head), "as it was");
    write(&mesh.mesh, "house", "rule", "as it is", Some(first)).await;
    let new = Running::start(mesh.server.url(), reader("2.0.0")).await;
    mesh.until_version_is("code", "2.0.0", "ready").await;
    let before = mesh.stream_state("MESH_MEMORY").await;
    let plan = run(mesh.baton(&["rollout", "plan", "code", "2.0.0", "--replay", "5", "--output", "json"]))
        .await
        .exits(0)
        .json();
    assert_eq!(
        (&plan["replay"]["replayed"], &plan["replay"]["same"]),
        (&json!(1), &json!(1)),
        "{plan}"
    );
    let after = mesh.stream_state("MESH_MEMORY").await;
    assert_eq!(after["last_seq"], before["last_seq"]);
    for worker in [old, new] {
        worker.stop().await;
    }
}
