//! What a controller tells of its rounds.

use baton_controller::{Controller, RoundOutcome};
use tokio::sync::oneshot;

use crate::support::{PATIENCE, TestServer, eventually, mesh_with_research, quiet};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_counts_its_rounds() {
    let server = TestServer::start().await;
    let mesh = mesh_with_research(&server).await;
    let controller = Controller::new(mesh.clone(), quiet("a"));
    let stats = controller.stats();
    assert!(stats.rounds().is_empty(), "it does not lead yet");
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(controller.run_until(async {
        stopped.await.ok();
    }));
    // The sweep, of which these settings have one a year, has not begun.
    let names = [
        "acceptance",
        "alarms",
        "archive",
        "breakers",
        "caps",
        "checkpoint",
        "children",
        "clocks",
        "consumers",
        "drains",
        "hands",
        "kills",
        "limits",
        "load",
        "mend",
        "misrouted",
        "objects",
        "observe",
        "raise",
        "readiness",
        "rollouts",
        "schedules",
        "tidy",
        "timers",
        "turns",
        "unique_keys",
        "unreadable",
    ];
    eventually("each round ends well", PATIENCE, async || {
        let rounds = stats.rounds();
        let well: Vec<&str> = rounds
            .iter()
            .filter(|(_, round)| round.ok > 0)
            .map(|(name, _)| *name)
            .collect();
        (well == names).then_some(()).ok_or_else(|| format!("{rounds:?}"))
    })
    .await;
    let observed = stats.rounds().remove("observe").unwrap();
    let last = observed.last.unwrap();
    assert_eq!((last.outcome, last.why), (RoundOutcome::Ok, None));
    assert!(last.took <= observed.took && last.at <= mesh.now());
    // An id that comes with another body is counted.
    assert_eq!(stats.conflicts(), 0);
    for body in [&b"1"[..], b"1", b"2"] {
        let headers = vec![("Baton-Intent".to_owned(), "order-1".to_owned())];
        mesh.publish_raw("mesh.intent.research".to_owned(), headers, body.into())
            .await
            .unwrap();
    }
    eventually("the conflict is counted", PATIENCE, async || match stats.conflicts() {
        1 => Ok(()),
        count => Err(count.to_string()),
    })
    .await;
    stop.send(()).unwrap();
    running.await.unwrap().unwrap();
    assert!(stats.rounds().values().all(|round| round.running_since.is_none()));
}
