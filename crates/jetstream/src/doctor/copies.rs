//! Whether each stream and bucket has as many copies as the mesh should keep, and whether they are current.

use baton_envelope::control::CopiesView;

use super::{Finding, Level};
use crate::error::Error;
use crate::server::Mesh;

pub(super) async fn copies(mesh: &Mesh) -> Finding {
    match mesh.copies().await {
        Ok(view) => judge(&view),
        Err(Error::NoStream(_)) => Finding::new("copies", Level::Ok, "there is no ledger yet", ""),
        Err(error) => {
            let remedy = "run as a user who may list streams, as the operator of config/nats/secure.conf";
            Finding::new("copies", Level::Warning, error.to_string(), remedy)
        }
    }
}

fn judge(view: &CopiesView) -> Finding {
    let wanted = view.replicas.max(usual(view));
    // One that does not answer is a finding of its own.
    let told = || view.streams.iter().filter(|one| one.problem.is_none());
    let other = told().filter(|one| one.copies != wanted);
    let other: Vec<String> = other
        .map(|one| format!("{} keeps {}", one.stream, one.copies))
        .collect();
    if !other.is_empty() {
        let found = format!(
            "each stream should keep {wanted}, as the ledger or most of them do: {}",
            other.join(", ")
        );
        return Finding::new(
            "copies",
            Level::Warning,
            found,
            format!("`baton mesh replicas {wanted}`"),
        );
    }
    let late = told().filter(|one| one.current < wanted);
    let late: Vec<String> = late
        .map(|one| format!("{} of {wanted} of {}", one.current, one.stream))
        .collect();
    if !late.is_empty() {
        let found = format!("not all are current: {}", late.join(", "));
        let remedy = "start the servers of the cluster that are down; a copy that is behind catches up by itself";
        return Finding::new("copies", Level::Warning, found, remedy);
    }
    let found = format!("every stream and bucket keeps {wanted}");
    Finding::new("copies", Level::Ok, found, "")
}

/// How many copies most streams keep; the larger number where as many keep another one. The ledger alone does not say what the
/// mesh should have when somebody edited that.
fn usual(view: &CopiesView) -> u32 {
    let keep = |copies: u32| view.streams.iter().filter(|one| one.copies == copies).count();
    let numbers = view.streams.iter().map(|one| one.copies);
    numbers.max_by_key(|copies| (keep(*copies), *copies)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use baton_envelope::control::StreamCopies;

    use super::*;

    #[test]
    fn a_stream_with_fewer_copies_is_named_with_the_command_that_raises_it() {
        let stream = |stream: &str, copies, current| StreamCopies {
            stream: stream.to_owned(),
            copies,
            current,
            problem: None,
        };
        let judged = |streams: Vec<StreamCopies>| {
            let replicas = streams[0].copies;
            judge(&CopiesView { replicas, streams })
        };
        let half = judged(vec![stream("MESH_LEDGER", 3, 1), stream("A", 1, 1), stream("B", 1, 1)]);
        assert_eq!(half.remedy, "`baton mesh replicas 3`", "the ledger comes first");
        let edited = judged(vec![stream("MESH_LEDGER", 1, 1), stream("A", 3, 3), stream("B", 3, 3)]);
        assert!(edited.found.contains("MESH_LEDGER keeps 1"), "{edited:?}");
        assert_eq!(edited.remedy, "`baton mesh replicas 3`");
        let fewer = judged(vec![stream("MESH_LEDGER", 3, 2), stream("MESH_INTAKE", 1, 1)]);
        assert_eq!(fewer.level, Level::Warning);
        assert!(fewer.found.contains("MESH_INTAKE keeps 1"), "{fewer:?}");
        assert_eq!(fewer.remedy, "`baton mesh replicas 3`");
        let late = judged(vec![stream("MESH_LEDGER", 3, 2)]);
        assert!(late.found.contains("2 of 3 of MESH_LEDGER"), "{late:?}");
        assert_eq!(judged(vec![stream("MESH_LEDGER", 3, 3)]).level, Level::Ok);
    }
}
