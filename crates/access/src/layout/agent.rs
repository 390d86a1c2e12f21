//! An agent: takes its own tickets, commits to the ledger, writes tickets for whomever it hands off to.

use std::collections::BTreeSet;

use baton_envelope::{AgentName, SpaceName};

use super::names::Names;
use super::{Grant, Plan};
use crate::role::Right::{
    AsksControllers, Decides, FollowsRoutes, ReadsArchive, ReadsLedger, ReadsMemories, ReadsObjects, SeesTopology,
    SpeaksForItself, SpendsOfItsCap, TakesTickets, WritesMemories, WritesObjects, WritesRecords, WritesTickets,
};

/// What the workers of an agent may do. They make no stream and no consumer: controllers do, when they hear of a new version.
pub(super) fn grant(plan: &mut Plan, names: &Names, (agent, spaces): (&AgentName, &[SpaceName])) {
    let mesh = names.account();
    let others: BTreeSet<&str> = spaces.iter().map(SpaceName::as_str).collect();
    let others = others.into_iter().filter(|space| *space != agent.as_str());
    let others = others.map(|space| Grant::asks(WritesMemories, names.of(&format!("memory.{space}.*"))));
    for grant in from_mesh(names, agent).into_iter().chain(others) {
        plan.grant(&mesh, agent.as_str(), grant);
    }
    for grant in to_mesh(names, agent) {
        plan.grant(agent.as_str(), &mesh, grant);
    }
}

fn from_mesh(names: &Names, agent: &AgentName) -> Vec<Grant> {
    let subjects = &names.subjects;
    let (ledger, work) = (subjects.ledger_stream(), subjects.work_stream(agent));
    let (archive, context) = (subjects.archive_stream(), subjects.context_stream());
    let memory = subjects.memory_stream();
    let routes = subjects.routes_bucket();
    let routes_stream = Names::bucket(&routes);
    let mut grants = vec![Grant::asks(SeesTopology, names.api("INFO"))];
    let streams = [
        subjects.intake_stream(),
        ledger.clone(),
        routes_stream.clone(),
        Names::bucket(&subjects.agents_bucket()),
        Names::bucket(&subjects.control_bucket()),
        archive.clone(),
        context.clone(),
        memory.clone(),
        work.clone(),
    ];
    grants.extend(streams.map(|stream| Grant::asks(SeesTopology, names.api(&format!("STREAM.INFO.{stream}")))));
    let [ack, long_ack] = names.acks(agent);
    grants.extend([
        // Its tickets.
        Grant::asks(TakesTickets, names.api(&format!("CONSUMER.INFO.{work}.*"))),
        Grant::asks_for_many(TakesTickets, names.api(&format!("CONSUMER.MSG.NEXT.{work}.*"))),
        Grant::asks(TakesTickets, ack),
        Grant::asks(TakesTickets, long_ack),
        // Whether its consumers were removed: what the next ones deliver may have been delivered before.
        Grant::stream(TakesTickets, format!("$JS.EVENT.ADVISORY.CONSUMER.DELETED.{work}.*")),
        Grant::stream(TakesTickets, format!("$JS.EVENT.ADVISORY.STREAM.DELETED.{work}")),
        // The ledger: with one copy, and from its leader with several.
        Grant::asks_for_many(ReadsLedger, names.api(&format!("DIRECT.GET.{ledger}"))),
        Grant::asks(
            ReadsLedger,
            names.api(&format!("DIRECT.GET.{ledger}.{}", names.of("ledger.0.*"))),
        ),
        Grant::asks(ReadsLedger, names.api(&format!("STREAM.MSG.GET.{ledger}"))),
        Grant::asks(WritesRecords, names.of("ledger.0.*")),
        Grant::asks(WritesTickets, names.of("work.*.*.*")),
        // Routes: all of them, one, and the leader's word.
        Grant::asks_for_many(FollowsRoutes, names.api(&format!("DIRECT.GET.{routes_stream}"))),
        Grant::asks(
            FollowsRoutes,
            names.api(&format!("DIRECT.GET.{routes_stream}.$KV.{routes}.*")),
        ),
        Grant::asks(FollowsRoutes, names.api(&format!("STREAM.MSG.GET.{routes_stream}"))),
        Grant::stream(FollowsRoutes, subjects.route_all()),
        Grant::stream(FollowsRoutes, subjects.load()),
        // What a hop has asked others for, where they are closed and archived by now.
        Grant::asks_for_many(ReadsArchive, names.api(&format!("DIRECT.GET.{archive}"))),
        // Payloads and results that are objects: the server limits the reads of one by its subject, and not those of several.
        Grant::asks_for_many(ReadsObjects, names.api(&format!("DIRECT.GET.{context}"))),
        Grant::asks(
            ReadsObjects,
            names.api(&format!("DIRECT.GET.{context}.{}", names.of("context.*.*"))),
        ),
        Grant::asks(ReadsObjects, names.api(&format!("STREAM.MSG.GET.{context}"))),
        Grant::asks(WritesObjects, names.of("context.*.*")),
        // Memories that outlive intents: it reads every space, and writes in that of its own name, and in those that it is given.
        Grant::asks_for_many(ReadsMemories, names.api(&format!("DIRECT.GET.{memory}"))),
        Grant::asks(
            ReadsMemories,
            names.api(&format!("DIRECT.GET.{memory}.{}", names.of("memory.*.*"))),
        ),
        Grant::asks(ReadsMemories, names.api(&format!("STREAM.MSG.GET.{memory}"))),
        Grant::asks(WritesMemories, names.of(&format!("memory.{agent}.*"))),
        // Its handlers may tell an intent something; the server puts its name before that.
        Grant::asks(Decides, names.of(&format!("from.{agent}.signal.*.*"))).under(names.of("signal.*.*")),
        // With a wildcard, as everything that changes something; the server says who asks, and it spends of the cap of its own
        // agent alone.
        Grant::asks(SpendsOfItsCap, subjects.control("caps.*")).named(),
        // Whether an old ticket is of an intent that is closed and archived.
        Grant::asks(AsksControllers, subjects.control("archive.find")),
        // It may read every space, so it may search them.
        Grant::asks(AsksControllers, subjects.control("memory.search")),
    ]);
    grants
}

fn to_mesh(names: &Names, agent: &AgentName) -> Vec<Grant> {
    vec![
        Grant::stream(SpeaksForItself, names.of(&format!("heartbeat.{agent}.*.*"))),
        Grant::asks(SpeaksForItself, names.of(&format!("agent.{agent}.*.*"))),
        Grant::asks(SpeaksForItself, names.of(&format!("replay.{agent}.*"))),
        Grant::asks_for_many(SpeaksForItself, "$SRV.>".to_owned()),
    ]
}
