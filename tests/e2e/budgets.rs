//! Budgets from end to end: a hop holds before it calls, is refused before it calls, and is charged where nobody can say; who tops
//! up, what goes on by itself, and that children share what their root has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use baton_agent::{Agent, AgentBuilder, Amounts, Call, Calls, Fault, Handler, Hop, Json, Outcome};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, TAKEOVER, assert_legal, events};
use baton_e2e::gated::{id, result};
use baton_envelope::budget::{MeterName, TopUp};
use baton_envelope::{Author, Budget, Event, IntentId, Role, Snapshot, codes};
use baton_jetstream::Head;
use baton_testkit::Proxy;
use serde_json::{Value, json};

use crate::nats_cli::{Run, publish, run, worker};

/// Calls a model once for each number of its payload: it holds so many tokens, and a thousandth of a unit of cost for each.
struct Writer {
    /// What all calls took, in tokens.
    paid: Arc<AtomicU64>,
    /// How much of what it holds a call takes, in percent.
    takes: u64,
}

impl Handler for Writer {
    type Input = Vec<u64>;

    async fn handle(&self, hop: &mut Hop, calls: Vec<u64>) -> Result<Outcome, Fault> {
        for (number, most) in calls.into_iter().enumerate() {
            let (paid, takes) = (Arc::clone(&self.paid), self.takes);
            let cost = format!("0.{:03}", most % 1_000);
            let held = Amounts::tokens(most).cost(&cost);
            hop.spend(&format!("call-{number}"), held, |permit| async move {
                let took = most * takes / 100;
                paid.fetch_add(took, Ordering::Relaxed);
                permit.spent(Amounts::tokens(took));
                Ok::<_, Fault>(took)
            })
            .await?;
        }
        Outcome::complete(&"written")
    }
}

fn writer(takes: u64) -> (AgentBuilder, Arc<AtomicU64>) {
    let paid = Arc::new(AtomicU64::new(0));
    let handler = Writer {
        paid: Arc::clone(&paid),
        takes,
    };
    (Agent::builder("writer", "1.0.0").expect("agent").handler(handler), paid)
}

async fn started(takes: u64) -> (TestMesh, Running, Arc<AtomicU64>) {
    let mesh = TestMesh::start().await;
    let (builder, paid) = writer(takes);
    let running = Running::start(mesh.server.url(), builder).await;
    mesh.until_version_is("writer", "1.0.0", "active").await;
    (mesh, running, paid)
}

async fn baton(mesh: &TestMesh, args: &[&str]) -> Run {
    run(mesh.baton(args)).await
}

fn budget(snapshot: &Snapshot) -> &Budget {
    snapshot.budget.as_deref().expect("a budget")
}

/// Allotted, spent, held, lent and available tokens.
fn tokens(snapshot: &Snapshot) -> [String; 5] {
    let budget = budget(snapshot);
    let all = [
        budget.allotted(),
        budget.spent(),
        budget.held(),
        budget.lent(),
        budget.available(),
    ];
    all.map(|amounts| amounts.get(MeterName::Tokens).to_string())
}

fn with_hold<'h>(history: &'h [Head], step: &str) -> Option<&'h Head> {
    let is_hold = |head: &&Head| head.record.hold.as_ref().is_some_and(|hold| hold.step == step);
    history.iter().find(is_hold)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hop_holds_before_each_call_and_accounts_with_its_result() {
    let (mesh, running, paid) = started(50).await;
    let sent = [
        "send",
        "writer",
        "[400, 100]",
        "--id",
        "order",
        "--budget-tokens",
        "1000",
        "--budget-cost",
        "1.25",
        "--wait",
    ];
    baton(&mesh, &sent).await.exits(0);
    let order = id("order");
    let history = mesh.history_of(&order).await;
    // The first hold stands in the record that says that the hop is at work: one record more for each call after it.
    assert_eq!(
        events(&history),
        ["submitted", "started", "step", "progress", "step", "completed"]
    );
    assert_legal(&history);
    let held = &with_hold(&history, "call-0").expect("a hold").record.snapshot;
    assert_eq!(tokens(held), ["1000", "0", "400", "0", "600"]);
    let held = &with_hold(&history, "call-1").expect("a hold").record.snapshot;
    assert_eq!(tokens(held), ["1000", "200", "100", "0", "700"]);
    let last = &history.last().expect("an end").record.snapshot;
    assert_eq!(tokens(last), ["1000", "250", "0", "0", "750"]);
    // The call named no cost, so what was held of it is all spent.
    assert_eq!(budget(last).spent().get(MeterName::Cost).to_string(), "0.5");
    assert_eq!(paid.load(Ordering::Relaxed), 250);
    let shown = baton(&mesh, &["intents", "get", "order"]).await.exits(0).stdout;
    assert!(
        shown.contains("1000 tokens and 1.25 of cost allotted, 250 tokens and 0.5 of cost spent"),
        "{shown}"
    );
    for said in ["holds 400 tokens and 0.4 of cost for call-0", "spent 200 tokens"] {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    running.stop().await;
}

async fn refuses_top_ups_that_mean_nothing(mesh: &TestMesh) {
    let refused = ["budget", "top-up", "order", "--cost", "1", "--reason", "more"];
    baton(mesh, &refused)
        .await
        .exits(4)
        .says(&["WRONG_STATUS", "does not bound cost"]);
    baton(
        mesh,
        &["budget", "top-up", "order", "--tokens", "-1", "--reason", "more"],
    )
    .await
    .exits(2);
    baton(
        mesh,
        &["budget", "top-up", "ghost", "--tokens", "1", "--reason", "more"],
    )
    .await
    .exits(3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_is_refused_before_the_call_and_goes_on_by_itself_once_it_fits() {
    let (mesh, running, paid) = started(100).await;
    baton(
        &mesh,
        &[
            "send",
            "writer",
            "[700, 400]",
            "--id",
            "order",
            "--budget-tokens",
            "1000",
        ],
    )
    .await
    .exits(0);
    let order = id("order");
    let parked = mesh.until(&order, "parked", SOON).await.record;
    assert_eq!(parked.snapshot.status.to_string(), "parked(BUDGET)");
    let said = parked.error.expect("an error").message;
    assert!(
        said.contains("step \"call-1\" needs 400 tokens") && said.contains("300 tokens are available"),
        "{said}"
    );
    assert_eq!(paid.load(Ordering::Relaxed), 700, "nothing was called");

    let shown = baton(&mesh, &["budget", "show", "order", "--output", "json"])
        .await
        .exits(0)
        .json();
    assert_eq!(shown["intents"][0]["available"]["tokens"], json!(300));
    assert_eq!(shown["intents"][0]["budget"]["need"]["tokens"], json!(400));
    refuses_top_ups_that_mean_nothing(&mesh).await;

    // Too little: it stays where it is, and what it may spend is told.
    let top_up = |tokens: &'static str, request: &'static str| {
        [
            "budget",
            "top-up",
            "order",
            "--tokens",
            tokens,
            "--reason",
            "the long one",
            "--request",
            request,
        ]
    };
    let told = baton(&mesh, &top_up("50", "one")).await.exits(0).stdout;
    assert!(told.contains("350 tokens available"), "{told}");
    let again = baton(&mesh, &top_up("50", "one")).await.exits(0).stdout;
    assert!(again.contains("by this request before"), "{again}");
    assert_eq!(
        mesh.head_of(&order).await.record.snapshot.status.to_string(),
        "parked(BUDGET)"
    );
    baton(&mesh, &top_up("50", "two")).await.exits(0);

    let head = mesh.until(&order, "completed", SOON).await;
    assert_eq!(result(&head), "written");
    assert_eq!(tokens(&head.record.snapshot), ["1100", "1100", "0", "0", "0"]);
    assert_eq!(paid.load(Ordering::Relaxed), 1_100, "the first call was not made again");
    let history = mesh.history_of(&order).await;
    assert_legal(&history);
    let topped: Vec<Option<&str>> = history
        .iter()
        .filter(|head| head.record.event == Event::ToppedUp)
        .map(|head| head.record.note.as_deref())
        .collect();
    assert_eq!(topped, [Some("the long one"), Some("the long one")]);
    baton(&mesh, &top_up("50", "three"))
        .await
        .exits(4)
        .says(&["it has ended"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_budget_may_have_the_intent_fail_and_an_overrun_holds_nothing_more() {
    let (mesh, running, paid) = started(150).await;
    let sent = [
        "send",
        "writer",
        "[100, 1]",
        "--id",
        "order",
        "--budget-tokens",
        "1000",
        "--on-exhausted-budget",
        "fail",
        "--wait",
    ];
    let failed = baton(&mesh, &sent).await.exits(1);
    assert!(failed.stderr.contains(codes::BUDGET), "{failed:?}");
    let head = mesh.head_of(&id("order")).await.record;
    assert_eq!(head.snapshot.status.to_string(), "failed(BUDGET)");
    assert_eq!(
        budget(&head.snapshot).overrun().get(MeterName::Tokens).to_string(),
        "50"
    );
    assert_eq!(paid.load(Ordering::Relaxed), 150);
    let explained = baton(&mesh, &["explain", "BUDGET"]).await.exits(0).stdout;
    assert!(explained.contains("baton budget top-up"), "{explained}");
    running.stop().await;
}

/// Holds, pays, and never hears the end of it in its first epoch.
struct Cut(Arc<tokio::sync::Notify>);

impl Handler for Cut {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        let (first, called) = (hop.attempt() == 1, Arc::clone(&self.0));
        hop.spend("call", Amounts::tokens(400), |permit| async move {
            if first {
                called.notify_one();
                std::future::pending::<()>().await;
            }
            permit.spent(Amounts::tokens(100));
            Ok::<_, Fault>(1)
        })
        .await?;
        Outcome::complete(&"written")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_worker_held_that_is_cut_off_in_its_call_is_charged_by_the_next() {
    let mesh = TestMesh::start().await;
    let proxy = Proxy::start(mesh.server.url()).await;
    let called = Arc::new(tokio::sync::Notify::new());
    let agent = || {
        Agent::builder("writer", "1.0.0")
            .expect("agent")
            .handler(Cut(Arc::clone(&called)))
    };
    let first = Running::start(proxy.url(), agent()).await;
    mesh.until_version_is("writer", "1.0.0", "active").await;
    baton(
        &mesh,
        &["send", "writer", "1", "--id", "order", "--budget-tokens", "1000"],
    )
    .await
    .exits(0);
    called.notified().await;
    proxy.cut();
    let second = Running::start(mesh.server.url(), agent()).await;
    let head = mesh.until(&id("order"), "completed", TAKEOVER).await;
    assert_eq!(tokens(&head.record.snapshot), ["1000", "500", "0", "0", "500"]);
    let history = mesh.history_of(&id("order")).await;
    assert_legal(&history);
    let claimed = history
        .iter()
        .find(|head| head.record.event == Event::Claimed)
        .expect("a takeover");
    let assumed = claimed.record.assumed.as_deref().map(ToString::to_string);
    assert_eq!(assumed.as_deref(), Some("400 tokens"));
    second.stop().await;
    drop(first);
}

/// Spends the share of each child by half a unit a call, until it is refused.
struct Helper {
    paid: Arc<AtomicU64>,
}

impl Handler for Helper {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        let mut calls = 0;
        loop {
            let paid = Arc::clone(&self.paid);
            let name = format!("call-{calls}");
            let spent = hop.spend(&name, Amounts::new().cost("0.1"), |_| async move {
                paid.fetch_add(100, Ordering::Relaxed);
                Ok::<_, Fault>(())
            });
            match spent.await {
                Ok(()) => calls += 1,
                Err(fault) if fault.budget_refused().is_some() => return Outcome::complete(&calls),
                Err(fault) => return Err(fault),
            }
        }
    }
}

/// Asks four helpers; what they have left it spends itself.
struct Lead(fn(Vec<Call>) -> Calls);

impl Handler for Lead {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        let calls: Result<Vec<Call>, Fault> = (0..4).map(|number| Call::new("help", &number)).collect();
        let joined = hop.join((self.0)(calls?)).await?;
        let made: Result<Vec<u64>, Fault> = joined.completed().map(|child| child.result()).collect();
        let made = made?.iter().sum::<u64>();
        Outcome::complete(&json!({"made": made, "left": hop.budget().await.map(|budget| budget.available())}))
    }
}

async fn family(asks: fn(Vec<Call>) -> Calls, cost: &str) -> (TestMesh, Vec<Running>, Arc<AtomicU64>, Snapshot) {
    let mesh = TestMesh::start().await;
    let paid = Arc::new(AtomicU64::new(0));
    let helper = Helper {
        paid: Arc::clone(&paid),
    };
    let help = Agent::builder("help", "1.0.0").expect("agent").handler(helper);
    let lead = Agent::builder("lead", "1.0.0").expect("agent").handler(Lead(asks));
    let mut workers = Vec::new();
    for (name, builder) in [("help", help), ("lead", lead)] {
        workers.push(Running::start(mesh.server.url(), builder).await);
        mesh.until_version_is(name, "1.0.0", "active").await;
    }
    baton(&mesh, &["send", "lead", "1", "--id", "order", "--budget-cost", cost])
        .await
        .exits(0);
    let head = mesh.until(&id("order"), "completed", SOON).await;
    (mesh, workers, paid, head.record.snapshot)
}

/// B5, as nodetool#5489 had it: 1.25 were allotted, each child opened an allowance of its own, and 2.00 were spent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_never_spend_more_than_their_root_has_together() {
    let (mesh, workers, paid, root) = family(Calls::of, "1.25").await;
    // An even share is 0.3125: three calls of 0.1 each.
    assert_eq!(paid.load(Ordering::Relaxed), 1_200);
    let spent = budget(&root);
    assert_eq!(spent.spent().get(MeterName::Cost).to_string(), "1.2");
    assert_eq!(spent.available().get(MeterName::Cost).to_string(), "0.05");
    assert!(spent.lent().are_zero() && spent.overrun().are_zero());
    let history = mesh.history_of(&id("order")).await;
    assert_legal(&history);
    let opened = history
        .iter()
        .find(|head| head.record.event == Event::FannedOut)
        .expect("a call");
    let opened = &opened.record.snapshot;
    assert_eq!(opened.children[0].shares.len(), 1, "equal shares are told once");
    assert_eq!(budget(opened).lent().get(MeterName::Cost).to_string(), "1.25");
    for index in 0..4 {
        let child = IntentId::of_child(&id("order"), 1, "calls", index);
        let child = mesh.head_of(&child).await.record.snapshot;
        assert_eq!(budget(&child).allotted().get(MeterName::Cost).to_string(), "0.3125");
        let refused = [
            "budget",
            "top-up",
            &IntentId::of_child(&id("order"), 1, "calls", index).to_string(),
            "--cost",
            "1",
            "--reason",
            "x",
        ]
        .map(str::to_owned);
        let refused: Vec<&str> = refused.iter().map(String::as_str).collect();
        baton(&mesh, &refused).await.exits(4);
    }
    let shown = baton(&mesh, &["budget", "show", "order"]).await.exits(0).stdout;
    assert_eq!(shown.matches("0.3125").count(), 4, "{shown}");
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parent_lends_what_it_says_and_gets_back_what_is_left() {
    let asks: fn(Vec<Call>) -> Calls = |calls| {
        let lent = |(number, call): (usize, Call)| match number {
            0 => call.with_budget(Amounts::new().cost("0.25")),
            1 => call.with_budget(Amounts::new().cost("0")),
            _ => call.with_budget(Amounts::new().cost("0.5")),
        };
        Calls::of(calls.into_iter().enumerate().map(lent))
    };
    let (mesh, workers, paid, root) = family(asks, "2").await;
    assert_eq!(paid.load(Ordering::Relaxed), 200 + 500 + 500);
    assert_eq!(budget(&root).available().get(MeterName::Cost).to_string(), "0.8");
    let result: Value = serde_json::from_str(root.result.expect("a result").get()).expect("JSON");
    assert_eq!(result, json!({"made": 12, "left": {"cost": 0.8}}));
    // What each end said is what its last record says.
    let history = mesh.history_of(&id("order")).await;
    let ends = history
        .iter()
        .flat_map(|head| &head.record.children)
        .flat_map(|done| &done.ends);
    for end in ends {
        let child = IntentId::of_child(&id("order"), 1, "calls", end.index);
        let last = mesh.head_of(&child).await.record.snapshot;
        let spent = end.spent.as_deref().cloned().unwrap_or_default();
        assert_eq!(spent.get(MeterName::Cost), budget(&last).spent().get(MeterName::Cost));
    }
    for worker in workers {
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_is_told_what_it_may_spend_and_says_what_it_has_spent() {
    let mesh = TestMesh::start().await;
    let dir = tempfile::tempdir().expect("a folder");
    let script = r#"read -r told; echo '{"spend": {"tokens": 300, "cost": "0.02"}}'
echo "{\"outcome\": \"complete\", \"cost\": 0.05, \"result\": $(printf '%s' "$told" | sed 's/.*"spend":\({[^}]*}\)}.*/\1/')}}""#;
    let worker = worker(&mesh, dir.path(), "writer", &["--json", "--exec", script]).await;
    let sent = [
        "send",
        "writer",
        "1",
        "--id",
        "order",
        "--budget-tokens",
        "1000",
        "--budget-cost",
        "1",
        "--wait",
    ];
    baton(&mesh, &sent).await.exits(0);
    let head = mesh.head_of(&id("order")).await.record.snapshot;
    assert_eq!(tokens(&head), ["1000", "300", "0", "0", "700"]);
    // The outcome says more cost than the line before: the rest of it counts, and no more.
    assert_eq!(budget(&head).spent().get(MeterName::Cost).to_string(), "0.05");
    let told: Value = serde_json::from_str(head.result.expect("a result").get()).expect("JSON");
    assert_eq!(told, json!({"available": {"tokens": 1000, "cost": 1}}));
    drop(worker);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_raw_intent_has_its_budget_in_headers_and_a_bad_one_is_rejected() {
    let (mesh, running, _) = started(100).await;
    let raw = |id: &'static str, name: &'static str, value: &'static str| [("Baton-Intent", id), (name, value)];
    let subject = "mesh.intent.writer";
    publish(
        &mesh.server,
        subject,
        &raw("good", "Baton-Budget-Tokens", "1000"),
        b"[10]",
    )
    .await;
    let head = mesh.until(&id("good"), "completed", SOON).await;
    assert_eq!(tokens(&head.record.snapshot), ["1000", "10", "0", "0", "990"]);
    for (intent, name, value, said) in [
        ("negative", "Baton-Budget-Tokens", "-1", "negative"),
        ("exponent", "Baton-Budget-Cost", "1e3", "exponent"),
        ("long", "Baton-Budget-Time", "0.0000000001", "9 digits"),
        ("alone", "Baton-Budget-Exhausted", "fail", "nothing without a budget"),
    ] {
        publish(&mesh.server, subject, &raw(intent, name, value), b"[10]").await;
        let rejected = mesh.until(&id(intent), "rejected", SOON).await.record;
        assert_eq!(rejected.snapshot.status.to_string(), "rejected(BAD_HEADER)");
        let error = rejected.error.expect("an error").message;
        assert!(
            error.contains(name) && error.contains(said) && error.contains("fix: "),
            "{error}"
        );
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_of_attempts_counts_and_a_top_up_is_taken_at_any_time() {
    let mesh = TestMesh::start().await;
    let gate = baton_e2e::gated::Gate::shut();
    let running = Running::start(mesh.server.url(), baton_e2e::gated::teller("slow", "1.0.0", &gate)).await;
    mesh.until_version_is("slow", "1.0.0", "active").await;
    let sent = [
        "send",
        "slow",
        "1",
        "--id",
        "order",
        "--budget-time",
        "3600",
        "--budget-tokens",
        "10",
    ];
    baton(&mesh, &sent).await.exits(0);
    mesh.until(&id("order"), "in_progress", SOON).await;
    // Beside a holder that goes on.
    let top_up = TopUp::new(
        "t-1",
        baton_envelope::budget::Amounts::NONE.with(MeterName::Tokens, 5_u64.to_string().parse().expect("an amount")),
    );
    let by = Author::of(Role::Operator, "ada");
    let topped = mesh
        .mesh
        .top_up(&id("order"), &top_up, "more", &by)
        .await
        .expect("topped up");
    assert!(topped.seq.is_some());
    gate.lift();
    let head = mesh.until(&id("order"), "completed", SOON).await.record;
    let (took, spent) = (head.took_ms.expect("a time"), budget(&head.snapshot).spent());
    assert_eq!(
        spent.get(MeterName::Time).to_string(),
        format!("{}", took as f64 / 1_000.0)
    );
    assert_eq!(tokens(&head.snapshot)[0], "15");
    assert_legal(&mesh.history_of(&id("order")).await);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_knows_no_budgets_gets_no_work_with_one() {
    let mesh = TestMesh::start().await;
    let (builder, _) = writer(100);
    let older = "1.6.0".parse().expect("a version");
    let builder = builder.protocol(baton_envelope::ProtocolRange {
        oldest: "1.0.0".parse().expect("a version"),
        newest: older,
    });
    let running = Running::start(mesh.server.url(), builder).await;
    mesh.until_version_is("writer", "1.0.0", "active").await;
    let refused = baton(&mesh, &["send", "writer", "[1]", "--budget-tokens", "10"])
        .await
        .exits(4);
    assert!(refused.stderr.contains("NO_COMMON_PROTOCOL"), "{refused:?}");
    baton(&mesh, &["send", "writer", "[1]", "--wait"]).await.exits(0);
    running.stop().await;
}
