//! Schedules at the scale that is promised: a hundred that fire each second for a minute, while controllers die.

use std::time::Duration;

use baton_e2e::firing::{Scale, each_firing_once};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_schedules_a_second_fire_once_while_controllers_die() {
    let scale = Scale {
        schedules: 100,
        seconds: 75,
        between: Duration::from_secs(5),
    };
    let found = each_firing_once(scale).await;
    println!("{found:?}");
    assert!(found.firings >= 100 * 60, "{found:?}");
    assert!(found.deaths >= 5, "{found:?}");
}
