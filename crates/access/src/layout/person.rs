//! A person with the `baton` command. None writes into a stream, but for objects, which nobody can change, and for memories,
//! of which revisions are kept: what else people change, controllers change for them.

use baton_envelope::AccountName;

use super::names::Names;
use super::{Grant, Plan};
use crate::role::Right::{
    Administers, AsksControllers, Decides, FollowsRoutes, Operates, ReadsLedger, ReadsMemories, ReadsObjects,
    ReadsStore, SeesTopology, Submits, Watches, WritesMemories, WritesObjects,
};
use crate::role::{OPERATED, Role, reading_verbs};

/// What a person may do, by role.
pub(super) fn grant(plan: &mut Plan, names: &Names, person: &AccountName, role: Role) {
    let mut grants = viewer(names);
    if role >= Role::Approver {
        grants.push(own(Decides, names, person, "signal.*.*"));
        // Under the own name alone: who decides is the token of the subject.
        grants.push(own(Decides, names, person, &format!("decide.{person}.*.*.*.*")));
    }
    if role >= Role::Operator {
        grants.push(own(Submits, names, person, "intent.*"));
        grants.push(own(Submits, names, person, "ask.*"));
        grants.push(own(Submits, names, person, "capability.*"));
        grants.push(own(Submits, names, person, "channel.*"));
        // Payloads that are too large for a question to a controller.
        grants.push(Grant::asks(WritesObjects, names.of("context.*.*")));
        grants.push(Grant::asks(WritesMemories, names.of("memory.*.*")));
    }
    match role {
        Role::Viewer | Role::Approver => {
            // By their full names: with a wildcard these would bring the verbs that change something.
            let verbs = reading_verbs().into_iter();
            grants.extend(verbs.map(|verb| Grant::asks(AsksControllers, names.subjects.control(verb)).named()));
        }
        Role::Operator => {
            let groups = OPERATED.iter();
            grants.extend(
                groups.map(|group| Grant::asks(Operates, names.subjects.control(&format!("{group}.*"))).named()),
            );
            // Of the groups that are the admins' alone, what a viewer may ask, too.
            let is_operated = |verb: &&str| verb.split('.').next().is_some_and(|group| OPERATED.contains(&group));
            let verbs = reading_verbs().into_iter().filter(|verb| !is_operated(verb));
            grants.extend(verbs.map(|verb| Grant::asks(AsksControllers, names.subjects.control(verb)).named()));
        }
        Role::Admin => grants.push(Grant::asks(Administers, names.subjects.control("*.*")).named()),
    }
    let mesh = names.account();
    for grant in grants {
        plan.grant(&mesh, person.as_str(), grant);
    }
}

/// What goes into the intake under the person's name.
fn own(right: crate::role::Right, names: &Names, person: &AccountName, what: &str) -> Grant {
    Grant::asks(right, names.of(&format!("from.{person}.{what}"))).under(names.of(what))
}

fn viewer(names: &Names) -> Vec<Grant> {
    let subjects = &names.subjects;
    let ledger = subjects.ledger_stream();
    let stores = [
        subjects.archive_stream(),
        subjects.audit_stream(),
        Names::bucket(&subjects.agents_bucket()),
        Names::bucket(&subjects.control_bucket()),
        Names::bucket(&subjects.schedules_bucket()),
        Names::bucket(&subjects.breakers_bucket()),
    ];
    let routes = subjects.routes_bucket();
    let routes_stream = Names::bucket(&routes);
    let mut grants = vec![
        Grant::asks(SeesTopology, names.api("INFO")),
        Grant::asks(SeesTopology, names.api("STREAM.INFO.*")),
        Grant::asks(SeesTopology, names.api("STREAM.NAMES")),
        Grant::asks(SeesTopology, names.api("STREAM.LIST")),
        Grant::asks(SeesTopology, names.api("CONSUMER.LIST.*")),
        Grant::asks(SeesTopology, names.api("CONSUMER.INFO.*.*")),
        Grant::asks_for_many(ReadsLedger, names.api(&format!("DIRECT.GET.{ledger}"))),
        Grant::asks(
            ReadsLedger,
            names.api(&format!("DIRECT.GET.{ledger}.{}", names.of("ledger.0.*"))),
        ),
        Grant::asks(ReadsLedger, names.api(&format!("STREAM.MSG.GET.{ledger}"))),
        Grant::asks_for_many(FollowsRoutes, names.api(&format!("DIRECT.GET.{routes_stream}"))),
        Grant::asks(
            FollowsRoutes,
            names.api(&format!("DIRECT.GET.{routes_stream}.$KV.{routes}.*")),
        ),
        Grant::asks(FollowsRoutes, names.api(&format!("STREAM.MSG.GET.{routes_stream}"))),
        Grant::stream(FollowsRoutes, subjects.route_all()),
        Grant::stream(FollowsRoutes, subjects.load()),
    ];
    for stream in stores {
        grants.extend([
            Grant::asks_for_many(ReadsStore, names.api(&format!("DIRECT.GET.{stream}"))),
            Grant::asks(ReadsStore, names.api(&format!("DIRECT.GET.{stream}.>"))),
            Grant::asks(ReadsStore, names.api(&format!("STREAM.MSG.GET.{stream}"))),
        ]);
    }
    let (context, memory) = (subjects.context_stream(), subjects.memory_stream());
    // What is read of closed trees; workers need it not.
    let archived = subjects.context_archive_stream();
    grants.extend([
        Grant::asks_for_many(ReadsObjects, names.api(&format!("DIRECT.GET.{context}"))),
        Grant::asks(
            ReadsObjects,
            names.api(&format!("DIRECT.GET.{context}.{}", names.of("context.*.*"))),
        ),
        Grant::asks(ReadsObjects, names.api(&format!("STREAM.MSG.GET.{context}"))),
        Grant::asks(
            ReadsObjects,
            names.api(&format!("DIRECT.GET.{archived}.{}", names.of("context-archive.*.*"))),
        ),
        Grant::asks(ReadsObjects, names.api(&format!("STREAM.MSG.GET.{archived}"))),
        Grant::asks_for_many(ReadsMemories, names.api(&format!("DIRECT.GET.{memory}"))),
        Grant::asks(
            ReadsMemories,
            names.api(&format!("DIRECT.GET.{memory}.{}", names.of("memory.*.*"))),
        ),
        Grant::asks(ReadsMemories, names.api(&format!("STREAM.MSG.GET.{memory}"))),
        Grant::stream(Watches, subjects.event_all()),
        Grant::stream(Watches, subjects.alarm()),
        // Every verb of one word changes nothing; a test holds it.
        Grant::asks(AsksControllers, subjects.control("*")).named(),
    ]);
    grants
}
