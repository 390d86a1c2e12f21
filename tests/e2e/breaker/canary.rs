//! The breaker of a version that is rolled out: it opens where nobody judges that version, and is left to the evidence else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use baton_e2e::TestMesh;
use baton_e2e::chaos::{Running, SOON};
use baton_e2e::gated::{ids_in, version_of};
use baton_envelope::control::StartRollout;
use baton_envelope::{BreakerState, Phase};
use baton_testkit::eventually;

use super::{AGENT, Controllers, breaker_of, config, fragile_at, until_breaker_of_is};

/// The share of the chains that the canary gets.
const SHARE: u8 = 50;

/// A mesh with a version 1.0.0 that is well and a version 2.0.0 that gets half of the work.
struct Rolling {
    mesh: TestMesh,
    well: Arc<AtomicBool>,
    _workers: [Running; 2],
    _controllers: Controllers,
}

impl Rolling {
    async fn start(auto: bool) -> Self {
        let mesh = TestMesh::start_without_controller().await;
        let controllers = Controllers::start_with(&mesh, 1, config().breaker).await;
        let well = Arc::new(AtomicBool::new(false));
        let old = fragile_at("1.0.0", &Arc::new(AtomicBool::new(true)), &Arc::default());
        let old = Running::start(mesh.server.url(), old).await;
        mesh.until_version_is(AGENT, "1.0.0", "active").await;
        let new = fragile_at("2.0.0", &well, &Arc::default());
        let new = Running::start(mesh.server.url(), new).await;
        mesh.until_version_is(AGENT, "2.0.0", "ready").await;
        let question = StartRollout {
            hold_seconds: 3_600,
            auto,
            by: "test".to_owned(),
            ..mesh.rollout_to(AGENT, "2.0.0", &[u64::from(SHARE)])
        };
        mesh.ask(&question).await.expect("started");
        mesh.until_version_is(AGENT, "2.0.0", "canary").await;
        Self {
            mesh,
            well,
            _workers: [old, new],
            _controllers: controllers,
        }
    }

    /// Work for one of the two versions comes to this end.
    async fn ends(&self, prefix: &str, range: std::ops::Range<u8>, status: &str, of: &str) {
        let intent = ids_in(prefix, range).next().expect("an id");
        self.mesh.submit(intent.as_str(), AGENT, "1").await;
        let head = self.mesh.until(&intent, status, SOON).await;
        assert_eq!(version_of(&head), of, "{intent}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_breaker_of_a_canary_opens_where_a_person_takes_it_on() {
    let rolling = Rolling::start(false).await;
    for number in 0..3 {
        rolling
            .ends(&format!("new-{number}"), 0..SHARE, "parked", "2.0.0")
            .await;
    }
    until_breaker_of_is(&rolling.mesh, "2.0.0", BreakerState::Open).await;
    // The other version has a breaker of its own.
    rolling.ends("old", SHARE..100, "completed", "1.0.0").await;
    rolling.well.store(true, Ordering::SeqCst);
    rolling.ends("probe", 0..SHARE, "completed", "2.0.0").await;
    until_breaker_of_is(&rolling.mesh, "2.0.0", BreakerState::Closed).await;
}

/// Would fail if an open breaker took away the attempts by which the evidence decides: the rollout would hold for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_evidence_alone_decides_about_a_canary_that_it_judges() {
    let rolling = Rolling::start(true).await;
    let mut number = 0;
    let phase = async || {
        let route = rolling
            .mesh
            .mesh
            .route(&AGENT.parse().expect("name"))
            .await
            .expect("read");
        let (route, _) = route.expect("a route");
        route.rollout.map(|rollout| rollout.phase)
    };
    loop {
        // Read first: once it is rolled back nobody judges it any more, and its breaker may open.
        let breaker = breaker_of(&rolling.mesh.mesh, "2.0.0").await;
        if phase().await == Some(Phase::RolledBack) {
            break;
        }
        assert_eq!(breaker, None, "it never opens while the evidence decides");
        assert!(number < 200, "the evidence does not decide: {:?}", phase().await);
        rolling
            .ends(&format!("old-{number}"), SHARE..100, "completed", "1.0.0")
            .await;
        // It goes to the old version once that is rolled back.
        let intent = ids_in(&format!("new-{number}"), 0..SHARE).next().expect("an id");
        rolling.mesh.submit(intent.as_str(), AGENT, "1").await;
        eventually(&format!("{intent} has ended"), SOON, async || {
            let head = rolling.mesh.head_of(&intent).await;
            match head.record.snapshot.status.name() {
                "parked" | "completed" => Ok(()),
                other => Err(other.to_owned()),
            }
        })
        .await;
        number += 1;
    }
    assert!(number > 3, "more than would open a breaker");
}
