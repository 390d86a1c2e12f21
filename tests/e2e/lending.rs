//! Lending a child more, from the command to the ledger: a child that is parked for want of budget goes on, and the equation holds.

use baton_agent::{Agent, Amounts, Call, Fault, Handler, Hop, Json, Outcome};
use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON, TAKEOVER, assert_legal, count, events};
use baton_e2e::gated::{id, result};
use baton_envelope::budget::{Amount, Amounts as Meters, MeterName, TopUp};
use baton_envelope::{Author, Event, IntentId, Role, Snapshot};
use baton_testkit::{Proxy, eventually};

use crate::nats_cli::{Run, run};

/// Spends what it is told in one call.
struct Help;

impl Handler for Help {
    type Input = u64;

    async fn handle(&self, hop: &mut Hop, most: u64) -> Result<Outcome, Fault> {
        hop.spend("call", Amounts::tokens(most), |_| async { Ok::<_, Fault>(()) })
            .await?;
        Outcome::complete(&most)
    }
}

/// Asks two helpers for 400 tokens of work each, and lends them 100.
struct Lead;

impl Handler for Lead {
    type Input = Json;

    async fn handle(&self, hop: &mut Hop, _: Json) -> Result<Outcome, Fault> {
        let call = || Ok::<_, Fault>(Call::new("help", &400)?.with_budget(Amounts::tokens(100)));
        let called = hop.call_all(vec![call()?, call()?]).await?;
        let made: Result<Vec<u64>, Fault> = called.iter().map(|child| child.result()).collect();
        Outcome::complete(&made?.iter().sum::<u64>().to_string())
    }
}

async fn baton(mesh: &TestMesh, args: &[&str]) -> Run {
    run(mesh.baton(args)).await
}

fn child(index: u32) -> IntentId {
    IntentId::of_child(&id("order"), 1, "calls", index)
}

/// A parent with so many tokens whose children are both parked for want of budget.
async fn both_parked(tokens: &str) -> (TestMesh, Vec<Running>) {
    let mesh = TestMesh::start().await;
    let help = Agent::builder("help", "1.0.0").expect("agent").handler(Help);
    let lead = Agent::builder("lead", "1.0.0").expect("agent").handler(Lead);
    let mut workers = Vec::new();
    for (name, builder) in [("help", help), ("lead", lead)] {
        workers.push(Running::start(mesh.server.url(), builder).await);
        mesh.until_version_is(name, "1.0.0", "active").await;
    }
    baton(
        &mesh,
        &["send", "lead", "1", "--id", "order", "--budget-tokens", tokens],
    )
    .await
    .exits(0);
    for index in [0, 1] {
        let parked = mesh.until(&child(index), "parked", SOON).await.record;
        assert_eq!(parked.snapshot.status.to_string(), "parked(BUDGET)");
    }
    (mesh, workers)
}

async fn top_up(mesh: &TestMesh, intent: &IntentId, tokens: &str, request: &str) -> Run {
    let intent = intent.to_string();
    let args = [
        "budget",
        "top-up",
        &intent,
        "--tokens",
        tokens,
        "--reason",
        "the long one",
    ];
    baton(mesh, &[&args[..], &["--request", request]].concat()).await
}

/// Allotted, spent, lent and available.
fn tokens(snapshot: &Snapshot) -> [String; 4] {
    let budget = snapshot.budget.as_deref().expect("a budget");
    [budget.allotted(), budget.spent(), budget.lent(), budget.available()]
        .map(|amounts| amounts.get(MeterName::Tokens).to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_is_parked_for_want_of_budget_is_lent_more_and_completes() {
    let (mesh, workers) = both_parked("600").await;
    let told = top_up(&mesh, &child(0), "300", "one").await.exits(0).stdout;
    assert!(told.contains("lent by its parent order"), "{told}");
    mesh.until(&child(0), "completed", SOON).await;
    // Of 600 its parent has 100 left: too little, and nothing is written.
    let refused = top_up(&mesh, &child(1), "300", "two").await.exits(4);
    for said in ["WRONG_STATUS", "100 tokens left", "baton budget top-up order"] {
        assert!(refused.stderr.contains(said), "{said}: {refused:?}");
    }
    top_up(&mesh, &id("order"), "200", "own").await.exits(0);
    top_up(&mesh, &child(1), "300", "two").await.exits(0);
    let head = mesh.until(&id("order"), "completed", SOON).await;
    assert_eq!(result(&head), "800");
    assert_eq!(tokens(&head.record.snapshot), ["800", "800", "0", "0"]);
    let history = mesh.history_of(&id("order")).await;
    assert_legal(&history);
    let shown = baton(&mesh, &["intents", "get", "order"]).await.exits(0).stdout;
    assert!(shown.contains("300 tokens more"), "{shown}");
    for index in [0, 1] {
        let history = mesh.history_of(&child(index)).await;
        assert_legal(&history);
        assert_eq!(count(&history, "topped_up"), 1, "{:?}", events(&history));
        let topped = history.iter().find(|head| head.record.event == Event::ToppedUp);
        assert_eq!(
            topped.and_then(|head| head.record.note.as_deref()),
            Some("the long one")
        );
        let last = &history.last().expect("a record").record.snapshot;
        assert_eq!(tokens(last), ["400", "400", "0", "0"]);
    }
    let ended = top_up(&mesh, &child(0), "1", "three").await.exits(4);
    assert!(ended.stderr.contains("WRONG_STATUS"), "{ended:?}");
    for worker in workers {
        worker.stop().await;
    }
}

/// Whoever lends dies right after the record of the parent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lender_that_is_killed_owes_the_sweeper_pays() {
    let (mesh, workers) = both_parked("1200").await;
    let proxy = Proxy::start(mesh.server.url()).await;
    let lender = baton_e2e::connect(proxy.url()).await;
    proxy.die_after(&["mesh.ledger."], |writes| writes.len() == 1);
    let more = TopUp::new("one", Meters::NONE.with(MeterName::Tokens, Amount::whole(300)));
    let by = Author::of(Role::Operator, "ada");
    let lent = child(0);
    tokio::select! {
        () = proxy.fatal_write() => {}
        ended = lender.top_up(&lent, &more, "the long one", &by) => panic!("nobody died: {ended:?}"),
    }
    mesh.until(&child(0), "completed", 2 * TAKEOVER).await;
    // 400 spent by the first child, 100 lent to the other.
    eventually("the parent owes nothing", 2 * TAKEOVER, async || {
        let head = mesh.head_of(&id("order")).await.record.snapshot;
        let is_so = !head.owes_top_ups() && tokens(&head) == ["1200", "400", "100", "700"];
        is_so
            .then_some(())
            .ok_or(format!("{:?}, {:?}", tokens(&head), head.children))
    })
    .await;
    let history = mesh.history_of(&child(0)).await;
    assert_eq!(count(&history, "topped_up"), 1, "{:?}", events(&history));
    for worker in workers {
        worker.stop().await;
    }
}
