//! The API: answers operators' questions. Any controller answers, because a decision is a compare-and-set on the route.

mod agents;
mod approvals;
mod archive;
mod cancel;
mod caps;
mod channels;
mod copies;
mod explain;
mod handlers;
mod identity;
mod memories;
mod moves;
mod pauses;
mod policy;
mod preflight;
mod refusal;
mod repair;
mod replays;
mod restart;
mod rollouts;
mod schedules;
mod submits;
mod work;

use std::sync::LazyLock;

use baton_envelope::control;
use baton_jetstream::control::ControlRequest;

use crate::api::handlers::Handlers;
use crate::backoff::Backoff;
use crate::context::Context;
use crate::duty::Duty;

/// Answers questions until the controller stops.
#[derive(Debug)]
pub(crate) struct Api;

impl Duty for Api {
    const NAME: &'static str = "api";

    async fn run(self, cx: Context) {
        cx.until_stopped(listen(&cx)).await;
    }
}

async fn listen(cx: &Context) {
    let mut backoff = Backoff::for_server();
    loop {
        match cx.mesh.serve_control().await {
            Ok(mut requests) => {
                backoff.reset();
                while let Some(request) = requests.next().await {
                    let (of, kill) = (cx.clone(), cx.stops.kill.clone());
                    // A task of its own, so that a large move does not delay a rollback. If a move is cut off, it may
                    // leave a version paused; the leader resumes it.
                    cx.stops
                        .tracker
                        .spawn(async move { kill.run_until_cancelled(Box::pin(answer(of, request))).await });
                }
            }
            Err(error) => tracing::warn!(%error, "cannot listen for questions, trying again"),
        }
        backoff.wait(&cx.mesh).await;
    }
}

async fn answer(cx: Context, request: ControlRequest) {
    HANDLERS.answer(&cx, request).await;
}

/// Built once: it is the same for every controller and never changes.
static HANDLERS: LazyLock<Handlers> = LazyLock::new(handlers);

/// The handler of each question, in the order of [`VERBS`](control::VERBS).
fn handlers() -> Handlers {
    Handlers::default()
        .on::<control::ListAgents>(agents::list)
        .on::<control::QuarantineVersion>(agents::quarantine)
        .on::<control::LiftQuarantine>(agents::lift)
        .on::<control::RetireVersion>(agents::retire)
        .on::<control::ForgetVersion>(agents::forget)
        .on::<control::SetRoute>(agents::set_route)
        .on::<control::SetPinning>(agents::set_pinning)
        .on::<control::ExplainRoute>(explain::explain)
        .on::<control::FindArchived>(archive::find)
        .on::<control::ListArchived>(archive::list)
        .on::<control::ShowArchive>(archive::status)
        .on::<control::PlanRollout>(preflight::plan)
        .on::<control::StartRollout>(rollouts::start)
        .on::<control::ShowRollout>(rollouts::status)
        .on::<control::PromoteRollout>(rollouts::promote)
        .on::<control::PauseRollout>(rollouts::pause)
        .on::<control::ResumeRollout>(rollouts::resume)
        .on::<control::AbortRollout>(rollouts::abort)
        .on::<control::RollBack>(rollouts::rollback)
        .on::<control::ListDecisions>(rollouts::history)
        .on::<control::MoveIntents>(moves::carry)
        .on::<control::CancelIntent>(cancel::cancel)
        .on::<control::ShowCopies>(copies::show)
        .on::<control::SetReplicas>(copies::set)
        .on::<control::SubmitIntent>(submits::submit)
        .on::<control::RedriveIntent>(submits::redrive)
        .on::<control::TopUpIntent>(submits::top_up)
        .on::<control::WhoAmI>(identity::whoami)
        .on::<control::ListUnreadable>(repair::list)
        .on::<control::Repair>(repair::repair)
        .on::<control::AssignSeat>(approvals::assign)
        .on::<control::OverrideApproval>(approvals::override_approval)
        .on::<control::PauseIntent>(pauses::pause)
        .on::<control::ResumeIntent>(pauses::resume)
        .on::<control::RetryIntent>(pauses::retry)
        .on::<control::RestartIntent>(restart::restart)
        .on::<control::PauseAgent>(pauses::pause_agent)
        .on::<control::ResumeAgent>(pauses::resume_agent)
        .on::<control::KillAgent>(pauses::kill_agent)
        .on::<control::ListSchedules>(schedules::list)
        .on::<control::ShowSchedule>(schedules::show)
        .on::<control::AddSchedule>(schedules::add)
        .on::<control::PauseSchedule>(schedules::pause)
        .on::<control::ResumeSchedule>(schedules::resume)
        .on::<control::RemoveSchedule>(schedules::remove)
        .on::<control::RunSchedule>(schedules::run)
        .on::<control::BackfillSchedule>(schedules::backfill)
        .on::<control::SubmitUnique>(submits::submit_unique)
        .on::<control::SetLimits>(agents::set_limits)
        .on::<control::AddVersion>(agents::add)
        .on::<control::ListWork>(work::list)
        .on::<control::TakeWork>(work::take)
        .on::<control::AcceptWork>(work::accept)
        .on::<control::StartWork>(work::start)
        .on::<control::NoteWork>(work::progress)
        .on::<control::CompleteWork>(work::complete)
        .on::<control::RejectWork>(work::reject)
        .on::<control::FailWork>(work::fail)
        .on::<control::HandOffWork>(work::hand_off)
        .on::<control::ReleaseWork>(work::release)
        .on::<control::SetPolicy>(policy::set)
        .on::<control::SetBreaker>(policy::set_breaker)
        .on::<control::ListChannels>(channels::list)
        .on::<control::ShowChannel>(channels::show)
        .on::<control::SubscribeAgent>(channels::subscribe)
        .on::<control::UnsubscribeAgent>(channels::unsubscribe)
        .on::<control::ShowBroadcast>(channels::status)
        .on::<control::UndoIntent>(cancel::undo)
        .on::<control::SetCap>(caps::set)
        .on::<control::SpendCap>(caps::spend)
        .on::<control::SearchMemories>(memories::search)
}

#[cfg(test)]
mod tests {
    use baton_envelope::control::VERBS;

    #[test]
    fn every_question_has_its_handler() {
        assert_eq!(super::handlers().verbs(), VERBS);
    }
}
