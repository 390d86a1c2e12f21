//! Moves open work from one version to another.

use std::time::Duration;

use baton_envelope::codes;
use baton_envelope::control::{ControlError, MoveIntents, MoveView, MovedView};
use baton_envelope::rollout::{self, Act};
use baton_envelope::{AgentName, AgentVersion, Author, Cause, IntentId, Role, Route, VersionState};
use baton_jetstream::{Error, Moved};
use futures::StreamExt as _;
use tokio::time::Instant;

use crate::context::Context;

/// How long the projection may take to catch up before the list of work to move is read.
const CATCH_UP: Duration = Duration::from_secs(10);
/// How many intents to move at the same time.
const AT_ONCE: usize = 16;

/// How long one hold on a version lasts while its work moves. If this controller dies, the version's workers go on
/// after that.
const HOLD: Duration = Duration::from_secs(60);

/// Records in the route that the version is held back, so that the leader does not resume it, and pauses it.
async fn hold_back(cx: &Context, agent: &AgentName, from: &AgentVersion, by: &str) -> Result<(), Error> {
    let act = Act::new(by, cx.mesh.now());
    let until = act.at.plus(HOLD);
    cx.decide(agent, |present| {
        rollout::moving(present, from, Some(until), &act).map(Some)
    })
    .await?;
    cx.mesh.pause_version(agent, from).await.map(drop)
}

/// Ends the hold. The leader resumes a draining version if it still has work, and any other version if this is cut off.
async fn end_hold(cx: &Context, agent: &AgentName, from: &AgentVersion, act: &Act) -> Result<(), Error> {
    let route = cx
        .decide(agent, |present| rollout::moving(present, from, None, act).map(Some))
        .await?;
    cx.pause_or_resume(&route).await
}

/// Refuses a version that cannot take the work.
fn check(route: &Route, from: &AgentVersion, to: &AgentVersion) -> Result<(), ControlError> {
    let agent = &route.agent;
    match route.state(to) {
        None => {
            let message = format!("no worker of {agent}@{to} was ever heard of");
            let fix = "start a worker of it, or correct --to";
            Err(ControlError::new(codes::UNKNOWN_VERSION, message, fix))
        }
        Some(state @ (VersionState::Drained | VersionState::Retired | VersionState::Quarantined)) => {
            let message = format!("{agent}@{to} is {state}, and takes no work");
            let fix = format!("name another version with --to; {} is active", route.active);
            Err(ControlError::new(codes::WRONG_STATE, message, fix))
        }
        Some(_) if from == to => {
            let message = "--from and --to are the same version";
            Err(ControlError::new(codes::SAME_VERSION, message, "name another"))
        }
        Some(_) => Ok(()),
    }
}

type Way<'a> = (&'a AgentName, &'a AgentVersion, &'a AgentVersion);

/// The status of an intent, if it is one of those that are wanted.
async fn wanted_status(cx: &Context, intent: &IntentId, wanted: Option<&str>) -> Result<Option<String>, Error> {
    let head = cx.mesh.must_find(intent).await?;
    let present = &head.record.snapshot.status;
    Ok(wanted
        .is_none_or(|wanted| present.name() == wanted)
        .then(|| present.to_string()))
}

async fn would_move(
    cx: &Context,
    intent: &IntentId,
    wanted: Option<&str>,
    cause: &Cause,
) -> Result<Option<(String, String)>, Error> {
    let status = wanted_status(cx, intent, wanted).await?;
    Ok(status.map(|status| (status, format!("would be moved ({cause})"))))
}

async fn move_one(
    cx: &Context,
    intent: &IntentId,
    wanted: Option<&str>,
    (agent, from, to): Way<'_>,
    author: &Author,
) -> Result<Option<(String, String)>, Error> {
    if wanted_status(cx, intent, wanted).await?.is_none() {
        return Ok(None);
    }
    match cx.mesh.move_intent(intent, agent, from, to, author).await? {
        Moved::Done {
            status, what, taken, ..
        } => {
            cx.tell_taken(taken.as_ref()).await;
            Ok(Some((status, what.to_owned())))
        }
        Moved::NotThere => Ok(None),
    }
}

pub(super) async fn carry(cx: &Context, asked: MoveIntents) -> Result<MoveView, Error> {
    let MoveIntents {
        agent,
        from,
        to,
        status,
        dry_run,
        by,
    } = asked;
    let route = cx.route(&agent).await?;
    check(&route, &from, &to)?;
    // Workers of the old version must get none of this work from now on: they run a new ticket without reading the
    // ledger. Work that a worker already has is fenced out.
    let is_paused = route.state(&from).is_some_and(|state| state.is_paused()) || route.pause_of(&from).is_some();
    // Work may stand before a version that nobody has heard of: an old writer put it there. Then nobody takes it meanwhile.
    let is_known = route.state(&from).is_some();
    let resumes = !dry_run && !is_paused && is_known;
    if resumes {
        hold_back(cx, &agent, &from, &by).await?;
    }
    let mut held_since = Instant::now();
    cx.projection.caught_up(CATCH_UP).await?;
    let mut view = MoveView {
        agent: agent.clone(),
        from: from.clone(),
        to: to.clone(),
        dry_run,
        moved: Vec::new(),
        failed: Vec::new(),
    };
    let author = Author::of(Role::Operator, by.clone());
    let candidates = cx.projection.held(&agent, &from).await?;
    if candidates.is_empty() && !is_known {
        rollout::known(&route, &from)?;
    }
    let work = futures::stream::iter(candidates).map(|(intent, cause)| {
        let way = (&agent, &from, &to);
        let (author, wanted) = (&author, status.as_deref());
        async move {
            let moved = match dry_run {
                true => would_move(cx, &intent, wanted, &cause).await,
                false => move_one(cx, &intent, wanted, way, author).await,
            };
            (intent, moved)
        }
    });
    let mut work = std::pin::pin!(work.buffered(AT_ONCE));
    while let Some((intent, moved)) = work.next().await {
        if resumes && held_since.elapsed() > HOLD / 2 {
            hold_back(cx, &agent, &from, &by).await?;
            held_since = Instant::now();
        }
        match moved {
            Ok(Some((status, detail))) => view.moved.push(MovedView { intent, status, detail }),
            Ok(None) => {}
            Err(error) => view.failed.push(MovedView {
                intent,
                status: String::new(),
                detail: error.to_string(),
            }),
        }
    }
    // Nobody else removes the old tickets before the version resumes; without workers nobody does at all.
    if !dry_run {
        cx.mesh.drop_superseded(&agent, &from).await?;
    }
    if resumes {
        let act = Act::new(by, cx.mesh.now()).because(format!("{} intents went to {to}", view.moved.len()));
        end_hold(cx, &agent, &from, &act).await?;
    }
    tracing::info!(%agent, %from, %to, moved = view.moved.len(), failed = view.failed.len(), dry_run, "moved");
    Ok(view)
}
