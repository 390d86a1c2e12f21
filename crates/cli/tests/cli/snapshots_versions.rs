//! The part of the snapshots that is about versions of an agent: routes, rollouts, drains, quarantine, retirement.

use crate::scene::{Scene, array};
use crate::snapshots_control;

/// Two versions of an agent, from the first look to the end of one of them.
pub(super) async fn at_work(scene: &mut Scene) {
    let takes = ["--exec", "sleep 1; cat", "--capability", "rust"];
    let old = scene.worker("code", "1.0.0", &takes).await;
    let new = scene.worker("code", "2.0.0", &takes).await;
    looked_at(scene).await;
    rolled_out(scene).await;
    scene.stop(old, "1.0.0").await;
    scene.stop(new, "2.0.0").await;
    moved(scene).await;
    snapshots_control::stopped(scene).await;
    set_aside(scene).await;
}

async fn looked_at(scene: &mut Scene) {
    scene.until_load_is_told().await;
    scene
        .tell_both(&[
            "route list",
            "route explain code",
            "route explain code --kind other.kind.v1",
            "route explain code --kind a.b.v1 --intent order-1",
            "route explain --capability text",
            "route explain --capability haskell",
            "route explain nobody",
            "agents list",
            "agents describe code",
            "agents describe nobody",
        ])
        .await;
    for line in [
        "route pinning code chain",
        "route pinning code chain --output json",
        "route pinning code hop",
    ] {
        scene.tell(line).await;
    }
    scene.is("routes-and-agents");
}

async fn rolled_out(scene: &mut Scene) {
    scene
        .tell_both(&[
            "rollout status code",
            "rollout plan code 2.0.0",
            "rollout plan code 1.0.0",
            "rollout plan code 3.0.0",
            "rollout start code 3.0.0",
            "rollout pause code",
            "rollout promote code",
            "rollout abort code",
            "rollout rollback code",
        ])
        .await;
    for line in [
        "rollout start code 2.0.0 --manual --canary 5 --hold 1h",
        "rollout start code 2.0.0",
        "route set code 2.0.0",
        "route list",
        "agents list",
        "rollout status code",
        "rollout status code --output json",
        "rollout pause code --reason lunch",
        "rollout pause code",
        "rollout resume code",
        "rollout promote code",
    ] {
        scene.tell(line).await;
    }
    // What drains next is drained a moment later.
    scene.do_untold("rollout abort code --reason 'the wrong build'").await;
    scene.until_state("code", "2.0.0", "drained").await;
    scene.tell("rollout status code").await;
    scene.do_untold("rollout start code 2.0.0 --at-once").await;
    scene.until_state("code", "1.0.0", "drained").await;
    scene.tell("rollout status code").await;
    scene.do_untold("rollout rollback code --reason 'it is slow'").await;
    scene.until_state("code", "2.0.0", "drained").await;
    scene.tell("rollout status code").await;
    scene.do_untold("rollout start code 2.0.0 --at-once").await;
    scene.until_state("code", "1.0.0", "drained").await;
    for line in [
        "rollout status code",
        "rollout history code",
        "rollout history code --output json",
    ] {
        scene.tell(line).await;
    }
    scene.is("rollouts");
}

/// Work that waits for a version without workers, until it is moved.
async fn moved(scene: &mut Scene) {
    for id in ["waits-1", "waits-2"] {
        scene.tell(&format!("send code x --id {id}")).await;
    }
    scene.do_untold("rollout rollback code").await;
    scene
        .until("the alarm", "agents describe code", |document| {
            array(&document["agents"][0]["alarms"]).count() > 0
        })
        .await;
    scene.transcript = std::mem::take(&mut scene.transcript).without_amounts();
    scene
        .tell_both(&[
            "rollout status code",
            "agents list",
            "agents describe code",
            "doctor",
            "agents retire code 2.0.0",
            "intents move --agent code --from 2.0.0 --to 1.0.0 --dry-run",
            "intents move --agent code --from 2.0.0 --to 3.0.0",
            "intents move --agent code --from 2.0.0 --to 2.0.0",
        ])
        .await;
    for _ in 0..2 {
        scene.tell("intents move --agent code --from 2.0.0 --to 1.0.0").await;
    }
    scene.until_state("code", "2.0.0", "drained").await;
    scene.tell("intents get waits-1").await;
    scene.is("moving");
}

async fn set_aside(scene: &mut Scene) {
    // The leader tells of the move that ended the alarm with its next report.
    scene
        .until("no alarm", "agents describe code", |document| {
            array(&document["agents"][0]["alarms"]).count() == 0
        })
        .await;
    for line in [
        "agents quarantine code 2.0.0 --reason 'it leaks'",
        "agents list",
        "agents quarantine code 2.0.0 --lift --output json",
    ] {
        scene.tell(line).await;
    }
    scene.until_state("code", "2.0.0", "drained").await;
    for line in [
        "agents quarantine code 2.0.0 --lift",
        "agents retire code 1.0.0",
        "agents retire code 2.0.0 --reason 'it is old'",
        "agents retire code 2.0.0",
        "send code x --pin code=2.0.0",
        "dead redrive parked --version 2.0.0",
        "route set code 2.0.0",
        "route set code 4.0.0",
        "route set echo 1.0.0 --output json",
        "archive status",
    ] {
        scene.tell(line).await;
    }
    scene.is("set-aside");
}
