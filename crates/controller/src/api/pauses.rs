//! Stops work, and lets it go on: of one intent, and of an agent or one of its versions.

use baton_envelope::control::{
    AgentAct, ChangedView, KillAgent, KillView, PauseAgent, PauseIntent, ResumeAgent, ResumeIntent, RetryIntent,
};
use baton_envelope::rollout::{Act, kill_work, pause_work, resume_work};
use baton_envelope::{Author, IntentId, Role, Route};
use baton_jetstream::{Changed, Error};

use crate::context::Context;
use crate::kills::{self, Killed};

pub(super) async fn pause(cx: &Context, asked: PauseIntent) -> Result<ChangedView, Error> {
    let PauseIntent { intent, reason, by } = asked;
    let changed = cx
        .mesh
        .pause_intent(&intent, &reason, &Author::of(Role::Operator, by))
        .await?;
    cx.tell_taken(changed.taken.as_ref()).await;
    if let Some(taken) = &changed.taken {
        cx.drop_ticket(&taken.agent, &taken.version, &intent).await;
    }
    Ok(view(intent, changed))
}

pub(super) async fn resume(cx: &Context, asked: ResumeIntent) -> Result<ChangedView, Error> {
    let ResumeIntent { intent, reason, by } = asked;
    let author = Author::of(Role::Operator, by);
    let changed = cx.mesh.resume_intent(&intent, reason.as_deref(), &author).await?;
    Ok(view(intent, changed))
}

pub(super) async fn retry(cx: &Context, asked: RetryIntent) -> Result<ChangedView, Error> {
    let RetryIntent { intent, reason, by } = asked;
    let author = Author::of(Role::Operator, by);
    let changed = cx.mesh.retry_intent(&intent, reason.as_deref(), &author).await?;
    Ok(view(intent, changed))
}

fn view(intent: IntentId, changed: Changed) -> ChangedView {
    let Changed {
        was, now, version, seq, ..
    } = changed;
    ChangedView {
        intent,
        was,
        now,
        version,
        seq,
    }
}

pub(super) async fn pause_agent(cx: &Context, PauseAgent(asked): PauseAgent) -> Result<Route, Error> {
    let act = act(cx, &asked);
    let AgentAct { agent, version, .. } = asked;
    let decided = cx.decide(&agent, |present| pause_work(present, version.as_ref(), &act).map(Some));
    let route = decided.await?;
    cx.pause_or_resume(&route).await?;
    Ok(route)
}

/// Lets work go on. A kill that somebody left unfinished is finished first: what ran before it must not commit now.
pub(super) async fn resume_agent(cx: &Context, ResumeAgent(asked): ResumeAgent) -> Result<Route, Error> {
    let act = act(cx, &asked);
    let AgentAct { agent, version, .. } = asked;
    for killing in cx.route(&agent).await?.kills() {
        kills::finish(
            cx,
            &agent,
            killing.as_ref(),
            &cx.act().because("what ran is fenced out"),
        )
        .await?;
    }
    let decided = cx.decide(&agent, |present| resume_work(present, version.as_ref(), &act).map(Some));
    let route = decided.await?;
    cx.pause_or_resume(&route).await?;
    Ok(route)
}

/// Orders a kill, and carries it out. Should this controller die, the leader goes on.
pub(super) async fn kill_agent(cx: &Context, KillAgent(asked): KillAgent) -> Result<KillView, Error> {
    let act = act(cx, &asked);
    let AgentAct { agent, version, .. } = asked;
    cx.decide(&agent, |present| kill_work(present, version.as_ref(), &act))
        .await?;
    let done = cx.act().because("what ran is fenced out");
    let Killed { fenced, workers } = kills::finish(cx, &agent, version.as_ref(), &done).await?;
    Ok(KillView {
        agent,
        version,
        fenced,
        workers,
    })
}

fn act(cx: &Context, asked: &AgentAct) -> Act {
    Act {
        reason: asked.reason.clone(),
        ..Act::new(asked.by.clone(), cx.mesh.now())
    }
}
