//! The part of the snapshots that is about schedules.

use crate::scene::Scene;

/// From none to none, by each act.
pub(super) async fn at_work(scene: &mut Scene) {
    scene.transcript = scene.blank();
    scene.tell_both(&["schedules list", "schedules show yearly"]).await;
    for line in [
        "schedules add yearly --agent echo --cron '0 0 1 1 *' --tz Europe/Berlin --payload '{\"pages\": [1, 2]}' --jitter 5m \
         --kind a.b.v1 --priority 7 --deadline 2h --until 2200-01-01T00:00:00Z --missed skip --overlap skip",
        "schedules add often --agent echo --every 1h --payload hello --output json",
        "schedules add often --agent echo --every 1h --payload hello",
        "schedules add never --agent echo --cron '0 0 30 2 *' --payload hello",
        "schedules add never --agent echo --cron '0 0 30 2 *' --payload hello --output json",
        "schedules add never --agent echo --cron '0 0 * *' --payload hello",
        "schedules add never --agent echo --cron '0 0 * * *' --tz Mars/Olympus --payload hello",
        "schedules add never --agent echo --every 0s --payload hello",
        "schedules add never --agent nobody --every 1h --payload hello",
        "schedules add never --agent echo --payload hello",
    ] {
        scene.tell(line).await;
    }
    scene
        .tell_both(&["schedules list", "schedules show yearly", "schedules next yearly 3"])
        .await;
    scene.tell("schedules run-now often").await;
    scene
        .until("it is completed", "schedules show often", |document| {
            document["status"] == "completed"
        })
        .await;
    scene.tell_both(&["schedules show often"]).await;
    for line in [
        "schedules backfill yearly 2024-12-31T00:00:00Z 2025-12-31T00:00:00Z",
        "schedules backfill yearly 2024-12-31T00:00:00Z 2026-01-01T00:00:00Z",
        "schedules backfill yearly 2024-12-31T00:00:00Z 2026-01-01T00:00:00Z --output json",
        "schedules backfill yearly 2025-02-01T00:00:00Z 2025-03-01T00:00:00Z",
        "schedules backfill yearly 2025-02-01T00:00:00Z 2025-01-01T00:00:00Z",
        "schedules pause often",
        "schedules pause often --output json",
        "schedules list",
        "schedules resume often",
        "schedules resume often --output json",
        "schedules remove often",
        "schedules remove often",
        "schedules remove yearly --output json",
    ] {
        scene.tell(line).await;
    }
    scene.is("schedules");
}
