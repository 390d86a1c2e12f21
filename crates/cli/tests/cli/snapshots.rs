//! Snapshots of what each command prints on a mesh that is at work, as text and as JSON, with its exit code.
//!
//! One mesh goes through its life: a server without a mesh, a mesh without agents, work that completes, fails, is parked,
//! rejected, handed off, a rollout with all of its acts. A changed message shows as a change of a file in `snapshots/`:
//! `INSTA_UPDATE=always cargo test -p baton-cli --test cli snapshots` writes them anew, and the diff is for the review.
//! What is not here prints figures that were measured: `demo`, `bench`; and `completions`, which is made of the help.

use baton_testkit::Headers;

use crate::scene::Scene;
use crate::{snapshots_schedules, snapshots_versions};

/// Takes a step that is recorded, notes something, and hands off; in its first attempt it fails after the step.
const RELAY: &str = r#"
echo '{"step":"plan","result":{"parts":2}}'
if [ "$BATON_ATTEMPT" = 1 ]; then echo "no luck" >&2; exit 75; fi
echo '{"progress":"half way"}'
echo '{"outcome":"hand_off","to":"echo","payload":"from the relay","note":"passed on"}'
"#;

#[tokio::test(flavor = "multi_thread")]
async fn every_command_on_a_mesh_at_work() {
    let mut scene = Scene::start().await;
    without_a_mesh(&mut scene).await;
    // What fails here again and again is meant to, and is not held back.
    let mut controller = scene.bench.command(&["controller"]);
    controller.env("BATON_CONTROLLER__BREAKER_AFTER", "0");
    let _controller = baton_testkit::ProcessGuard::spawn("controller", controller, scene.bench.home.path());
    without_agents(&mut scene).await;
    // Each takes longer than the time after which a hop is shown as started: so each has that record.
    let _workers = [
        scene
            .worker("echo", "1.0.0", &["--exec", "sleep 1; cat", "--capability", "text"])
            .await,
        scene
            .worker(
                "judge",
                "1.0.0",
                &["--exec", "sleep 1; echo 'not my table' >&2; exit 65"],
            )
            .await,
        scene
            .worker("flaky", "1.0.0", &["--exec", "sleep 1; exit 75", "--max-attempts", "1"])
            .await,
        scene.worker("relay", "1.0.0", &["--json", "--exec", RELAY]).await,
        scene
            .worker(
                "slow",
                "1.0.0",
                &["--exec", "while [ ! -e \"$HOME/go\" ]; do sleep 0.05; done; cat"],
            )
            .await,
    ];
    sending(&mut scene).await;
    intents(&mut scene).await;
    dead(&mut scene).await;
    snapshots_versions::at_work(&mut scene).await;
    snapshots_schedules::at_work(&mut scene).await;
    by_hand(&mut scene).await;
}

async fn by_hand(scene: &mut Scene) {
    for line in [
        "agents add reviewer --manual --capability review",
        "work list",
        "work take --agent reviewer",
        "work create --from bea --to reviewer --task 'read chapter 3' --priority 8 --id chapter",
        "work create --from bea --task 'review chapter 4, please' --id chapter-4 --output json",
        "work create --from bea --task 'make coffee'",
    ] {
        scene.tell(line).await;
    }
    scene
        .tell_both(&[
            "work list",
            "work list --agent reviewer --limit 1",
            "work list --agent echo",
        ])
        .await;
    for line in [
        "work take --agent reviewer --estimate 2h --as ada",
        "work accept chapter-4 --as ada --output json",
        "work accept chapter --as ada",
        "work progress chapter --note 'half of it' --as ada",
        "work start chapter --as ada",
        "work progress chapter --note 'half of it' --as ada",
        "work complete chapter --as bob",
        "work complete chapter --result '{\"ok\":true}' --as ada",
        "work complete chapter --as ada --output json",
        "work hand-off chapter-4 --to echo --payload done --as ada",
        "work reject nowhere --reason 'not mine'",
    ] {
        scene.tell(line).await;
    }
    scene.is("by-hand");
}

async fn without_a_mesh(scene: &mut Scene) {
    scene.transcript = scene.blank().without_amounts();
    scene
        .tell_both(&[
            "intents list",
            "intents get order-1",
            "dead list",
            "send echo hello",
            "route list",
            "agents list",
            "rollout status code",
            "archive status",
            "doctor",
        ])
        .await;
    scene.is("mesh-is-not-there");
}

async fn without_agents(scene: &mut Scene) {
    scene.transcript = scene.blank().without_amounts();
    scene
        .until("the controller answers", "archive status", |document| {
            document["enabled"] == true
        })
        .await;
    scene
        .tell_both(&[
            "intents list",
            "intents get order-1",
            "intents watch order-1",
            "dead list",
            "dead show order-1",
            "dead redrive order-1",
            "dead redrive --all",
            "send echo hello",
            "send hello --capability text",
            "route list",
            "route explain echo",
            "route explain --capability text",
            "agents list",
            "agents describe echo",
            "agents quarantine echo 1.0.0",
            "agents retire echo 1.0.0",
            "rollout plan echo 1.0.0",
            "rollout start echo 1.0.0",
            "rollout status echo",
            "rollout history echo",
            "archive status",
            "mesh replicas",
            "mesh replicas 3",
            "mesh replicas 1",
            "doctor",
        ])
        .await;
    scene.is("mesh-is-empty");
}

async fn sending(scene: &mut Scene) {
    let large = scene.bench.home.path().join("large");
    std::fs::write(&large, "x".repeat((64 << 20) + 1)).unwrap();
    let large = large.display();
    // How large a record is depends on the number of the process that wrote it.
    scene.transcript = scene.blank().without_amounts();
    for line in [
        "send echo hello --id order-1 --wait",
        "send echo hello --id order-1",
        "send echo hello --id order-1 --output json",
        "send echo hello --id order-1 --wait --output json",
        "send echo 'other work' --id order-1",
        "send echo 'other work' --id order-1 --output json",
        "send judge x --id failed --wait",
        "send judge x --id failed --wait --output json",
        "send flaky x --id parked --wait",
        "send flaky x --id parked --wait --output json",
        "send relay x --id relayed --priority 7 --kind a.b.v1 --wait",
        "send hello --capability text --id able --wait",
        "send hello --capability haskell --capability text",
        "send hello --capability haskell --when-none hold --id held",
        "send hello --capability haskell --when-none hold --id held-2 --output json",
        "send nobody hello",
        "send nobody hello --output json",
        "send echo hello --pin echo=3.0.0",
        &format!("send echo @{large}"),
        &format!("send echo @{large} --output json"),
        "send slow hello --id slow --wait --timeout 3s",
        "send slow hello --id slow --wait --timeout 3s --output json",
    ] {
        scene.tell(line).await;
    }
    std::fs::write(scene.bench.home.path().join("go"), "").unwrap();
    scene.until_status("slow", "completed").await;
    // Without an id of one's own.
    for line in ["send echo hello", "send echo hello --output json"] {
        scene.tell(line).await;
        scene.until_nothing_is_open().await;
    }
    scene.is("send");
}

async fn intents(scene: &mut Scene) {
    scene
        .tell_both(&[
            "intents list",
            "intents list --status failed --status parked",
            "intents list --agent relay",
            "intents list --limit 1",
            "intents list --status waiting",
            "intents get order-1",
            "intents get relayed",
            "intents get parked",
            "intents get nowhere",
            "intents watch relayed",
            "intents watch nowhere",
        ])
        .await;
    scene.is("intents");
}

async fn dead(scene: &mut Scene) {
    let client = scene.bench.server.client().await;
    for id in ["raw-1", "raw-2"] {
        let mut headers = Headers::new();
        headers.insert("Baton-Intent", id);
        let sent = client.publish_with_headers("mesh.intent.nobody", headers, "some work".into());
        sent.await.unwrap();
        client.flush().await.unwrap();
        scene.until_status(id, "rejected").await;
    }
    scene
        .tell_both(&[
            "dead list",
            "dead list --agent flaky",
            "dead list --agent nobody",
            "dead list --limit 1",
            "dead show parked",
            "dead show raw-1",
            "dead show order-1",
        ])
        .await;
    for line in ["dead redrive order-1", "dead redrive order-1 nowhere"] {
        scene.tell(line).await;
    }
    // What is published again becomes an intent of its own a moment later.
    let mut intents = scene.intents().await;
    for line in ["dead redrive raw-1", "dead redrive raw-2 --output json"] {
        scene.tell(line).await;
        intents += 1;
        scene
            .until("it is an intent", "intents list", |document| {
                document["matched"] == intents
            })
            .await;
    }
    for line in [
        "dead redrive parked --max-hops 20",
        "dead redrive parked --output json",
        "dead redrive --all",
    ] {
        scene.until_nothing_is_open().await;
        scene.tell(line).await;
    }
    scene.until_nothing_is_open().await;
    scene.is("dead");
}
