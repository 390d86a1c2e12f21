//! The sequential test, measured: simulated rollouts in which the new version is the old one, and in which it is worse.

use baton_envelope::*;

use crate::samples::{NOW, version};

/// A small generator with a fixed seed, so that a run can be repeated (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A log-normal time in milliseconds, by Box and Muller.
    fn latency(&mut self, median: f64) -> f64 {
        let (u, v) = (self.next().max(1e-12), self.next());
        median * (0.6 * (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()).exp()
    }
}

/// What one version does: how often it fails, how long it takes.
#[derive(Clone, Copy)]
struct Build {
    fails: f64,
    median_ms: f64,
}

#[derive(Default, Clone)]
struct Seen {
    failed: u64,
    times: Vec<f64>,
}

impl Seen {
    fn tally(&self, slow_over: Option<f64>) -> Tally {
        let mut sorted = self.times.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |permille: usize| sorted.get(sorted.len().saturating_sub(1) * permille / 1000).copied();
        Tally {
            hops: self.times.len() as u64,
            retryable: self.failed,
            slow: slow_over.map_or(0, |limit| {
                self.times.iter().filter(|time| **time > limit).count() as u64
            }),
            p50_ms: at(500),
            p95_ms: at(950),
            p99_ms: at(990),
            ..Tally::default()
        }
    }
}

enum End {
    Promoted,
    RolledBack { hops: u64 },
    Undecided,
}

/// One rollout: 2,000 hops a step at most, judged after every ten, as a controller does several times a second.
fn simulate(random: &mut Random, old: Build, new: Build) -> End {
    let mut rollout = crate::samples::full_rollout();
    rollout.steps = [10, 25, 50, 100]
        .map(|share| Percent::new(share).expect("percent"))
        .to_vec();
    (rollout.step, rollout.phase, rollout.margins, rollout.hold_seconds) = (0, Phase::Ramping, Margins::default(), 0);
    (rollout.from, rollout.to) = (version("1.0.0"), version("2.0.0"));
    let mut all = [Seen::default(), Seen::default()];
    let mut step = all.clone();
    for hop in 1..=8_000_u32 {
        let side = usize::from(random.next() * 100.0 < f64::from(rollout.share().get()));
        let build = [old, new][side];
        let (failed, time) = (random.next() < build.fails, random.latency(build.median_ms));
        for seen in [&mut all[side], &mut step[side]] {
            seen.failed += u64::from(failed);
            seen.times.push(time);
        }
        if hop % 10 != 0 {
            continue;
        }
        let limit = all[0].tally(None).p95_ms.map(|p95| rollout.margins.p95_limit_ms(p95));
        let [old, new] = [&all[0], &all[1]].map(|seen| seen.tally(limit));
        let [old_step, new_step] = [&step[0], &step[1]].map(|seen| seen.tally(limit));
        match rollout::judge(&rollout, &old, &new, &old_step, &new_step, NOW) {
            Verdict::Hold(_) => {}
            Verdict::Advance(_) if rollout.next_share() == Percent::ALL => return End::Promoted,
            Verdict::Advance(_) => {
                rollout.step += 1;
                step = [Seen::default(), Seen::default()];
            }
            Verdict::RollBack(_) => return End::RolledBack { hops: new.hops },
        }
    }
    End::Undecided
}

/// How many of `runs` rollouts were rolled back, how many promoted, and the hops of the new version at the rollbacks.
fn run(seed: u64, runs: u32, old: Build, new: Build) -> (u32, u32, Vec<u64>) {
    let mut random = Random(seed);
    let (mut back, mut promoted, mut hops) = (0, 0, Vec::new());
    for _ in 0..runs {
        match simulate(&mut random, old, new) {
            End::Promoted => promoted += 1,
            End::RolledBack { hops: seen } => {
                back += 1;
                hops.push(seen);
            }
            End::Undecided => {}
        }
    }
    hops.sort_unstable();
    (back, promoted, hops)
}

#[test]
fn a_good_version_is_rolled_back_in_less_than_one_in_a_hundred_rollouts() {
    let (mut rollouts, mut false_alarms) = (0, 0);
    for (seed, fails) in [(1, 0.0), (2, 0.01), (3, 0.05), (4, 0.2)] {
        for median_ms in [2.0, 200.0] {
            let build = Build { fails, median_ms };
            let (back, promoted, _) = run(seed, 60, build, build);
            println!(
                "A/A at {:>4.1} % failures, median {median_ms} ms: {back} of 60 rolled back, {promoted} promoted",
                fails * 100.0
            );
            rollouts += 60;
            false_alarms += back;
            assert!(promoted >= 54, "a good version is not held back: {promoted} of 60");
        }
    }
    let rate = f64::from(false_alarms) / f64::from(rollouts);
    println!(
        "{false_alarms} of {rollouts} A/A rollouts rolled back: {:.2} % (built for at most {:.2} %)",
        rate * 100.0,
        rollout::FALSE_ALARM * 100.0
    );
    assert!(rate < 0.01, "{false_alarms} of {rollouts}");
}

#[test]
fn a_version_that_fails_a_fifth_of_its_hops_is_rolled_back_before_its_200th() {
    for (seed, old) in [(5, 0.0), (6, 0.01)] {
        let good = Build {
            fails: old,
            median_ms: 20.0,
        };
        let (back, _, hops) = run(seed, 60, good, Build { fails: 0.2, ..good });
        println!(
            "20 % against {:.0} %: rolled back after {:?} hops in the median, {:?} at most",
            old * 100.0,
            hops.get(hops.len() / 2),
            hops.last()
        );
        assert_eq!(back, 60);
        assert!(hops.last().is_some_and(|most| *most < 200), "{hops:?}");
    }
}

#[test]
fn a_version_that_is_twice_as_slow_is_rolled_back() {
    let good = Build {
        fails: 0.0,
        median_ms: 100.0,
    };
    let (back, promoted, hops) = run(
        8,
        60,
        good,
        Build {
            median_ms: 250.0,
            ..good
        },
    );
    println!(
        "2.5 times as slow: {back} rolled back, after {:?} hops in the median",
        hops.get(hops.len() / 2)
    );
    assert_eq!((back, promoted), (60, 0));
}

#[test]
fn without_enough_evidence_a_step_is_not_taken() {
    let mut rollout = crate::samples::full_rollout();
    (rollout.phase, rollout.margins, rollout.hold_seconds) = (Phase::Ramping, Margins::default(), 120);
    let none = Tally::default();
    let few = Tally { hops: 49, ..none };
    let enough = Tally { hops: 50, ..none };
    let judge = |rollout: &Rollout, new: &Tally, now| rollout::judge(rollout, &none, new, &none, new, now);
    assert!(matches!(judge(&rollout, &few, NOW), Verdict::Hold(text) if text.contains("49 of 50")));
    assert!(matches!(judge(&rollout, &enough, NOW), Verdict::Hold(text) if text.contains("120 s")));
    let later = NOW.plus(std::time::Duration::from_secs(120));
    assert!(matches!(judge(&rollout, &enough, later), Verdict::Advance(_)));
    rollout.phase = Phase::Paused;
    assert!(matches!(judge(&rollout, &enough, later), Verdict::Hold(_)));
    let failing = Tally {
        retryable: 40,
        ..enough
    };
    let base = Tally { hops: 400, ..none };
    let verdict = rollout::judge(&rollout, &base, &failing, &base, &failing, later);
    assert!(
        matches!(verdict, Verdict::RollBack(_)),
        "a paused rollout is still rolled back: {verdict:?}"
    );
}
