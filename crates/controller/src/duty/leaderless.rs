//! Whether any controller leads, as one that does not lead sees it. Alarms are the leader's business, so that there is no leader
//! somebody else has to say.

use std::time::Duration;

use baton_envelope::control::MeshAlarm;
use baton_envelope::{Timestamp, codes};

use crate::context::Context;
use crate::duty::told::Told;

/// How long there may be no leader before that is said: longer than one takes to run out and another to follow.
const LEADERLESS: Duration = Duration::from_secs(15);
/// In how many looks in a row: a process that was frozen, or has just been connected again, has not read who leads yet.
const LOOKS: u32 = 2;
/// How long the server may take to answer. A controller that does not reach it knows nothing of the others.
const PATIENCE: Duration = Duration::from_secs(2);

/// Watches whether any controller leads.
#[derive(Debug, Default)]
pub(super) struct LeaderWatch {
    looks: u32,
    log: Told,
    /// Since when nobody leads, once that was published.
    alarm: Option<Timestamp>,
}

impl LeaderWatch {
    /// Looks once.
    pub(super) async fn look(&mut self, cx: &Context) {
        let silent = cx.leadership.leaderless_for();
        if silent < LEADERLESS {
            self.looks = 0;
            self.end(cx).await;
            return;
        }
        if !matches!(tokio::time::timeout(PATIENCE, cx.mesh.flush()).await, Ok(Ok(()))) {
            self.looks = 0;
            return;
        }
        self.looks += 1;
        if self.looks >= LOOKS {
            self.begin(cx, silent).await;
        }
    }

    async fn begin(&mut self, cx: &Context, silent: Duration) {
        let bucket = cx.mesh.subjects().control_bucket();
        if self.log.is_due() {
            let remedy = "the bucket that says who leads cannot be read or written: `baton doctor` says more";
            tracing::error!(
                seconds = silent.as_secs(),
                code = codes::NO_LEADER,
                bucket,
                remedy,
                "no controller leads: sweeps, rollouts, drains and the archive stand still"
            );
        }
        if self.alarm.is_none() {
            let since = cx.mesh.now().minus(silent);
            let alarm = MeshAlarm {
                code: codes::NO_LEADER.to_owned(),
                since,
                ended: None,
                message: format!(
                    "controller {} has known of no leader for {} s: sweeps, rollouts, drains and the archive stand still",
                    cx.config.instance,
                    silent.as_secs()
                ),
                ways_out: vec!["baton doctor".to_owned()],
            };
            self.alarm = publish(cx, &alarm).await.then_some(since);
        }
    }

    async fn end(&mut self, cx: &Context) {
        if self.log.end() {
            tracing::warn!("a controller leads again");
        }
        if let Some(since) = self.alarm {
            let alarm = MeshAlarm {
                code: codes::NO_LEADER.to_owned(),
                since,
                ended: Some(cx.mesh.now()),
                message: format!("a controller leads again, as controller {} sees it", cx.config.instance),
                ways_out: Vec::new(),
            };
            if publish(cx, &alarm).await {
                self.alarm = None;
            }
        }
    }
}

/// Publishes an alarm; tells whether the server has it.
async fn publish(cx: &Context, alarm: &MeshAlarm) -> bool {
    let Ok(body) = serde_json::to_vec(alarm) else {
        return false;
    };
    let published = async {
        cx.mesh.publish_plain(cx.mesh.subjects().alarm(), body.into()).await?;
        cx.mesh.flush().await
    };
    match tokio::time::timeout(PATIENCE, published).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            tracing::debug!(%error, "cannot publish an alarm");
            false
        }
        Err(_) => false,
    }
}
