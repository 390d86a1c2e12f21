//! What an upgrade has left to raise, and whether this process shares the settings of the mesh.

use baton_envelope::Signatures;

use super::{Finding, Level};
use crate::error::Error;
use crate::server::{Limits, Mesh, Plan, TOPOLOGY, left};

/// What a leader has still to raise.
pub(super) struct Raises {
    pub(super) findings: Vec<Finding>,
    /// The streams and consumers that are not at the newest topology: what they lack is no drift.
    pub(super) subjects: Vec<String>,
}

pub(super) async fn raises(mesh: &Mesh, limits: Limits) -> Raises {
    let (plans, older) = match mesh.left_to_raise(limits).await {
        Ok(found) => found,
        Err(denied @ Error::Denied { .. }) => {
            let finding = Finding::new("topology", Level::Ok, format!("not told: {denied}"), "");
            return Raises {
                findings: vec![finding],
                subjects: Vec::new(),
            };
        }
        Err(error) => {
            let remedy = "run it as a user that may list streams, such as the operator of config/nats/secure.conf";
            let finding = Finding::new("topology", Level::Warning, error.to_string(), remedy);
            return Raises {
                findings: vec![finding],
                subjects: Vec::new(),
            };
        }
    };
    let subjects = plans.iter().map(Plan::subject).collect();
    let start = "start a controller of this build: the leading one raises it within a minute";
    let (numbers, changes): (Vec<_>, Vec<_>) = plans
        .iter()
        .partition(|plan| plan.changes.is_empty() && plan.waits.is_none());
    let mut findings: Vec<Finding> = changes
        .into_iter()
        .map(|plan| {
            let remedy = match plan.waits {
                Some(_) => format!(
                    "upgrade every controller; those of earlier builds follow as {}",
                    older.join(", ")
                ),
                None => start.to_owned(),
            };
            let check = format!("topology of {}", plan.subject());
            Finding::new(check, Level::Warning, left(plan, older.len()), remedy)
        })
        .collect();
    // Each agent has a stream, and each version has consumers: one line for all of them.
    if !numbers.is_empty() {
        let found = format!(
            "{} streams and consumers are not marked with topology {TOPOLOGY} yet",
            numbers.len()
        );
        findings.push(Finding::new("topology", Level::Warning, found, start));
    } else if findings.is_empty() {
        findings.push(Finding::new(
            "topology",
            Level::Ok,
            format!("nothing is left to raise to {TOPOLOGY}"),
            "",
        ));
    }
    Raises { findings, subjects }
}

/// Whether this process would start with what it is configured with.
pub(super) async fn settings(mesh: &Mesh, limits: Limits) -> Result<Finding, Error> {
    const CHECK: &str = "shared settings";
    let Some(shared) = mesh.shared_settings().await? else {
        return Ok(Finding::new(CHECK, Level::Ok, "there is no ledger yet", ""));
    };
    if let Err(error) = shared.agrees(limits, |setting| format!("`connection.{setting}`")) {
        let remedy = "give every process of a mesh the same settings: see docs/operations.md, Upgrading Baton";
        return Ok(Finding::new(CHECK, Level::Problem, error.to_string(), remedy));
    }
    let copies = shared.replicas();
    Ok(if copies == limits.replicas {
        Finding::new(CHECK, Level::Ok, format!("as configured here, replicas {copies}"), "")
    } else {
        let found = format!(
            "the ledger keeps {copies} copies, and `connection.replicas` says {}",
            limits.replicas
        );
        let remedy = format!(
            "the mesh's number holds: configure the same everywhere, or change it with `baton mesh replicas {}`",
            limits.replicas
        );
        Finding::new(CHECK, Level::Warning, found, remedy)
    })
}

/// Whether records are signed. Nothing where neither the mesh nor this process does it.
pub(super) async fn signatures(mesh: &Mesh) -> Result<Option<Finding>, Error> {
    const CHECK: &str = "signatures";
    let Some(shared) = mesh.shared_settings().await? else {
        return Ok(None);
    };
    let (found, since) = shared.signatures();
    let Some(proofs) = mesh.proofs() else {
        let remedy = "set `connection.signatures` and `connection.trust`, as docs/operations.md, Signed records, says";
        let text = format!("the mesh is at \"{}\", and this process verifies nothing", found.name());
        let is_signed = found != Signatures::Off;
        return Ok(is_signed.then(|| Finding::new(CHECK, Level::Warning, text, remedy)));
    };
    let (keys, own) = (proofs.rules().grants.all().len(), proofs.own());
    let text = format!("the mesh is at \"{}\", {keys} keys are trusted here", found.name());
    Ok(Some(match found {
        Signatures::Require => Finding::new(CHECK, Level::Ok, format!("{text}, required after sequence {since}"), ""),
        _ if own == found => Finding::new(CHECK, Level::Ok, text, ""),
        Signatures::Off | Signatures::Accept => {
            let text = format!("{text}, and `connection.signatures` says \"{}\"", own.name());
            let remedy =
                "start the controllers with it: the leading one raises the mesh, and its log says what that waits for";
            Finding::new(CHECK, Level::Warning, text, remedy)
        }
    }))
}
