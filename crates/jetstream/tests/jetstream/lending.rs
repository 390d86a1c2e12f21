//! Lending a child more: its parent's record, the child's, and that it is paid; and who pays when the lender has died.

use std::time::Duration;

use baton_envelope::budget::{Amount, Amounts, Borrower, MeterName, TopUp};
use baton_envelope::{
    Author, Budget, Child, Children, Draft, Envelope, Event, IntentId, JoinRule, Json, Role, Snapshot, Stamp, WaitSpec,
    act,
};
use baton_jetstream::{Clock as _, ControllerMesh, Mesh, NoArchive, Sweeper, SystemClock, ToSweep};
use baton_testkit::records;

use crate::support::{TestServer, agent, mesh_with_research, operator, version};

fn tokens(count: u64) -> Amounts {
    Amounts::NONE.with(MeterName::Tokens, Amount::whole(count))
}

/// A parent with 1,000 tokens, which waits for a child with 100 that is parked for want of more.
struct Family {
    server: TestServer,
    mesh: Mesh,
    parent: IntentId,
    child: IntentId,
}

impl Family {
    async fn parked() -> Self {
        let server = TestServer::start().await;
        let mesh = mesh_with_research(&server).await;
        let parent: IntentId = "order".parse().unwrap();
        let child = IntentId::of_child(&parent, 1, "calls", 0);
        let family = Self {
            server,
            mesh,
            parent,
            child,
        };
        let envelope = |intent: &IntentId, allotted: Budget| {
            let mut envelope = Envelope::first(SystemClock.envelope_id(), intent.clone(), agent(), Json::null());
            envelope.budget = Some(Box::new(allotted));
            envelope
        };
        let root = envelope(&family.parent, Budget::of(&tokens(1_000)));
        let (head, seq) = family
            .put(
                &family.parent,
                act::submit(SystemClock.now(), version("1.0.0"), root),
                0,
            )
            .await;
        let (head, seq) = family.put(&family.parent, act::start(&head, "w-1").unwrap(), seq).await;
        let lent = Child {
            budget: Some(Box::new(tokens(100))),
            ..Child::new(Json::null())
        };
        let children = Children {
            to: Some(agent()),
            ..Children::new(vec![lent], JoinRule::Collect)
        };
        let calls = act::suspend(&head, &[WaitSpec::for_children("calls", children)]).unwrap();
        let (waits, _) = family.put(&family.parent, calls, seq).await;

        let mut work = envelope(&family.child, waits.child_budget("calls", 0).unwrap());
        (work.hop, work.parent) = (2, Some(family.parent.clone()));
        let begun = act::submit_child(SystemClock.now(), version("1.0.0"), work, &waits.path);
        let (head, seq) = family.put(&family.child, begun, 0).await;
        let (head, seq) = family.put(&family.child, act::start(&head, "w-2").unwrap(), seq).await;
        let Err(act::NotHeld::Refused(refused)) = act::hold(&head, "w-2", "call", tokens(300)) else {
            panic!("it fits");
        };
        let parked = act::exhausted(&head, &refused).unwrap();
        family.put(&family.child, parked, seq).await;
        family
    }

    async fn put(&self, intent: &IntentId, draft: Draft, after: u64) -> (Snapshot, u64) {
        let stamp = Stamp {
            id: SystemClock.record_id(),
            at: SystemClock.now(),
            by: Author::of(Role::Controller, "test"),
        };
        let record = draft.seal(intent.clone(), after, stamp);
        let seq = records::put(self.server.url(), &record, after).await;
        (record.snapshot.seen_at(seq), seq)
    }

    async fn head(&self, intent: &IntentId) -> (Snapshot, u64) {
        let head = self.mesh.head(intent).await.unwrap().unwrap();
        (head.record.snapshot.clone(), head.seq)
    }

    /// What is allotted, lent and available.
    async fn numbers(&self, intent: &IntentId) -> [u64; 3] {
        let (head, _) = self.head(intent).await;
        let budget = head.budget.unwrap();
        [budget.allotted(), budget.lent(), budget.available()]
            .map(|amounts| amounts.get(MeterName::Tokens).to_string().parse().unwrap())
    }

    /// The `topped_up` of an intent: whether each is lent to a child, whether it says that one is paid, and why.
    async fn topped(&self, intent: &IntentId) -> Vec<(bool, bool, Option<String>)> {
        let history = self.mesh.history(intent, 1).await.unwrap();
        let topped = history.into_iter().filter(|head| head.record.event == Event::ToppedUp);
        topped
            .map(|head| {
                let top_up = head.record.top_up.as_deref().unwrap();
                (top_up.lent_to.is_some(), top_up.paid, head.record.note.clone())
            })
            .collect()
    }

    async fn is_lent(&self, why: &str) {
        assert_eq!(self.numbers(&self.parent).await, [1_000, 400, 600]);
        assert_eq!(self.numbers(&self.child).await, [400, 0, 400]);
        let why = || Some(why.to_owned());
        assert_eq!(
            self.topped(&self.parent).await,
            [(true, false, why()), (true, true, None)]
        );
        assert_eq!(self.topped(&self.child).await, [(false, false, why())]);
        let (parent, _) = self.head(&self.parent).await;
        assert!(!parent.owes_top_ups());
    }

    async fn sweep(&self) -> usize {
        let mesh = ControllerMesh::of(&self.mesh);
        let mut sweeper = Sweeper::new(&mesh, Author::of(Role::Controller, "sweeper"), Duration::from_secs(60));
        let suspects = ToSweep {
            all: false,
            owing: vec![self.parent.clone()],
            odd: std::collections::HashSet::new(),
        };
        let end = mesh.ledger_end().await.unwrap();
        sweeper.sweep(suspects, &end, &NoArchive).await.unwrap().topped_up
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_is_lent_more_by_its_parent_once_for_each_request() {
    let family = Family::parked().await;
    let more = TopUp::new("m-1", tokens(300));
    let lent = family
        .mesh
        .top_up(&family.child, &more, "long", &operator())
        .await
        .unwrap();
    assert_eq!(lent.lent_by.as_ref(), Some(&family.parent));
    assert_eq!(lent.budget.allotted(), tokens(400));
    assert!(lent.seq.is_some());
    family.is_lent("long").await;
    let again = family
        .mesh
        .top_up(&family.child, &more, "long", &operator())
        .await
        .unwrap();
    assert_eq!((again.seq, again.budget.allotted()), (None, tokens(400)));
    assert_eq!(family.sweep().await, 0, "nothing is owed");
    family.is_lent("long").await;
    // More than the parent has: nothing is written, and the way out is said.
    let (_, before) = family.head(&family.parent).await;
    let beyond = TopUp::new("m-2", tokens(601));
    let refused = family
        .mesh
        .top_up(&family.child, &beyond, "long", &operator())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "WRONG_STATUS");
    let said = refused.to_string();
    assert!(
        said.contains("600 tokens left") && said.contains("baton budget top-up order"),
        "{said}"
    );
    assert_eq!(family.head(&family.parent).await.1, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lender_that_died_owes_a_child_the_sweeper_pays_once() {
    let family = Family::parked().await;
    let (head, seq) = family.head(&family.parent).await;
    let (child, _) = family.head(&family.child).await;
    let to = Borrower {
        parent: &family.parent,
        child: &family.child,
        snapshot: &child,
    };
    let lent = act::lend_more(&head, to, TopUp::new("m-1", tokens(300)), "long")
        .unwrap()
        .unwrap();
    // It dies before the second record.
    let (owes, _) = family.put(&family.parent, lent, seq).await;
    assert_eq!(family.numbers(&family.child).await, [100, 0, 100]);
    assert_eq!(family.sweep().await, 1);
    family.is_lent("long").await;
    assert_eq!(family.sweep().await, 0);
    // One that dies before the third: the child has it, and gets it once.
    let (head, seq) = family.head(&family.parent).await;
    let mut as_before = act::paid_lent(&owes, &family.parent, &owes.debts(&family.parent))
        .unwrap()
        .unwrap();
    as_before.snapshot = owes;
    assert_eq!(head.budget, as_before.snapshot.budget);
    family.put(&family.parent, as_before, seq).await;
    assert_eq!(family.sweep().await, 1);
    assert_eq!(family.numbers(&family.child).await, [400, 0, 400]);
    assert_eq!(family.topped(&family.child).await.len(), 1);
}
