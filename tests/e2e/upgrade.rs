//! An agent is upgraded while it works: both scenarios of `baton demo upgrade`, and rollouts whose controllers are
//! killed.
//!
//! The normal run takes four seeds of the latter. More of them, over some minutes:
//! `BATON_SEEDS=20 cargo test -p baton-cli --test e2e -- a_rollout_outlives --nocapture`.

use std::path::PathBuf;
use std::time::Duration;

use baton_demo::{Upgrade, UpgradePlan, run_upgrade};
use baton_envelope::Margins;
use futures::StreamExt as _;

/// How many seeds the normal run takes.
const SEEDS: u64 = 4;
/// How many rollouts run at the same time.
const AT_ONCE: usize = 4;

/// A short scenario: few intents, and little evidence for a step.
fn short() -> UpgradePlan {
    let binary = PathBuf::from(baton_e2e::baton().get_program());
    UpgradePlan {
        rate: 20,
        hold: Duration::from_secs(1),
        margins: Margins {
            min_hops: Some(5),
            // Many processes share this machine, so the duration of an attempt says nothing about its version.
            latency_floor_ms: Some(5_000.0),
            ..Margins::default()
        },
        after: Duration::from_secs(1),
        ..UpgradePlan::new(binary)
    }
}

async fn run(name: &str, plan: &UpgradePlan) -> Upgrade {
    let lines = std::sync::Mutex::new(Vec::new());
    let say = |line: &str| lines.lock().expect("lines").push(line.to_owned());
    let report = run_upgrade(plan, &say).await;
    let lines = lines.lock().expect("lines").join("\n");
    let report = report.unwrap_or_else(|error| panic!("{name}: {error:?}\n{lines}"));
    let (verdict, folder) = (report.verdict, report.folder);
    assert!(verdict.is_good(), "{name}: {verdict:#?}\n{lines}\nkept: {folder:?}");
    println!(
        "{name}: {} intents, {} kills, {:.1} s, drained after {:?} s",
        verdict.submitted, verdict.kills, verdict.seconds, verdict.drained_after
    );
    verdict
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_is_ramped_up_by_evidence_while_work_comes_in() {
    let verdict = run("good", &short()).await;
    assert_eq!((verdict.end.as_str(), verdict.parked), ("promoted", 0));
    assert_eq!(verdict.completed, verdict.submitted);
    assert!(verdict.routed >= verdict.submitted, "{verdict:#?}");
    let shares: Vec<u8> = verdict.steps.iter().map(|step| step.share).collect();
    assert_eq!(shares, [10, 25, 50, 100]);
    assert!(verdict.drained_after.is_some_and(|after| after < 10.0), "{verdict:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_version_is_rolled_back_by_evidence_and_loses_nothing() {
    let plan = UpgradePlan {
        bad: true,
        rate: 50,
        ..short()
    };
    // With the evidence of a real step: after five attempts a flaw of one in five may not have shown yet.
    let plan = UpgradePlan {
        margins: Margins {
            min_hops: None,
            ..plan.margins
        },
        ..plan
    };
    let verdict = run("bad", &plan).await;
    assert_eq!(verdict.end, "rolled_back");
    assert!(
        verdict.reason.contains("attempts of 2.0.0 failed"),
        "{}",
        verdict.reason
    );
    assert!(verdict.retries > 0, "{verdict:#?}");
    assert_eq!(verdict.completed + verdict.parked, verdict.submitted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollout_outlives_all_of_its_controllers() {
    let wanted = std::env::var("BATON_SEEDS").ok();
    let seeds = wanted.map_or(SEEDS, |count| count.parse().expect("BATON_SEEDS is a number"));
    rollouts_with_kills(1..=seeds).await;
}

/// Kills every controller at two or three moments of a rollout. The verdict checks that each step was taken once and in
/// order, that the old version was drained, and that nothing was lost or doubled.
async fn rollouts_with_kills(seeds: impl IntoIterator<Item = u64>) {
    let base = short();
    let runs = futures::stream::iter(seeds).map(|seed| {
        let kills = moments(seed);
        let plan = UpgradePlan {
            kills: kills.clone(),
            ..base.clone()
        };
        async move {
            let verdict = run(&format!("seed {seed}, killed after {kills:?}"), &plan).await;
            assert!(verdict.kills > 0, "seed {seed}: no kill hit the rollout: {verdict:#?}");
            assert_eq!((verdict.end.as_str(), verdict.parked), ("promoted", 0));
            verdict.kills
        }
    });
    let kills: Vec<usize> = runs.buffer_unordered(AT_ONCE).collect().await;
    // The last kills of a short rollout may come after its end.
    assert!(kills.iter().sum::<usize>() >= 2 * kills.len(), "{kills:?}");
}

/// Two or three waits: the first kill hits one of the steps; the later ones come before, while or after another
/// controller takes the lead.
fn moments(seed: u64) -> Vec<Duration> {
    let mut random = SplitMix(seed);
    let count = 2 + random.below(2);
    let mut moments = vec![Duration::from_millis(random.below(5_000))];
    moments.extend((1..count).map(|_| Duration::from_millis(500 + random.below(9_500))));
    moments
}

/// Random numbers that are the same on every machine (Steele, Lea and Flood 2014).
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}
