//! What must hold in every state, and what must occur in some.

use baton_envelope::{Status, WaitOutcome, next, owes_resume};
use stateright::Property;

use super::Waiting;
use super::scene::{Doing, Scene, Wrong, id_of};

/// Every property. The names begin with their invariant.
pub(crate) fn all() -> Vec<Property<Waiting>> {
    vec![
        Property::always("P1 a wait ends once", |_, scene: &Scene| ends_once(scene)),
        Property::always("P1 a signal that is there wins over a time", |_, scene: &Scene| {
            scene.wrong != Some(Wrong::TimeBeforeSignal)
        }),
        Property::always("P2 a signal is told once and taken once", |_, scene: &Scene| {
            told_once(scene)
        }),
        Property::always("P2 no signal is both taken and a dead letter", |_, scene: &Scene| {
            (0..scene.sent).all(|number| !(scene.dead.contains(&number) && taken(scene, number) > 0))
        }),
        Property::always(
            "P1, P2 from every quiet state all is told",
            |model: &Waiting, scene: &Scene| {
                let mut calm = Vec::new();
                model.calm(scene, &mut calm);
                // What is wrong is reported as what it is.
                !calm.is_empty() || scene.wrong.is_some() || rests(scene)
            },
        ),
        Property::always("I4 every history is legal", |_, scene: &Scene| is_legal(scene)),
        Property::always("I5 no ticket is taken for another's copy", |_, scene: &Scene| {
            scene.wrong != Some(Wrong::TicketDropped)
        }),
        Property::always("I6 a hop does the same again", |_, scene: &Scene| {
            scene.wrong != Some(Wrong::StepChanged)
        }),
        Property::sometimes("the intent completes", |_, scene: &Scene| {
            scene.head().0.snapshot.status == Status::Completed
        }),
    ]
}

fn ends_once(scene: &Scene) -> bool {
    let mut seen = Vec::new();
    let of = scene
        .ledger
        .iter()
        .flat_map(|rec| rec.results.iter().map(|result| (rec.snapshot.hop, &result.name)));
    for ended in of {
        if seen.contains(&ended) {
            return false;
        }
        seen.push(ended);
    }
    true
}

/// The sequences of the records of a signal.
fn told(scene: &Scene, number: u8) -> Vec<u64> {
    let id = id_of(number);
    let records = (1_u64..).zip(&scene.ledger);
    let of = records.filter(|(_, rec)| rec.signal.as_ref().is_some_and(|signal| signal.id == id));
    of.map(|(seq, _)| seq).collect()
}

/// How many waits have taken a signal.
fn taken(scene: &Scene, number: u8) -> usize {
    let told = told(scene, number);
    let results = scene.ledger.iter().flat_map(|rec| &rec.results);
    let signalled = results.filter(|result| result.outcome == WaitOutcome::Signalled);
    signalled
        .filter(|result| result.seq.is_some_and(|seq| told.contains(&seq)))
        .count()
}

fn told_once(scene: &Scene) -> bool {
    (0..scene.sent).all(|number| told(scene, number).len() <= 1 && taken(scene, number) <= 1)
}

fn is_legal(scene: &Scene) -> bool {
    let mut before = None;
    scene.ledger.iter().all(|rec| {
        let is_next = next(before, &rec.event).as_ref() == Ok(&rec.snapshot.status);
        before = Some(&rec.snapshot.status);
        is_next
    })
}

/// Whether nothing is missing where nothing more happens by itself: the intent has ended or waits for what has not come, and
/// each signal was taken, is unread in an open intent, or is a dead letter.
fn rests(scene: &Scene) -> bool {
    let (head, _) = scene.head();
    let snapshot = &head.snapshot;
    let is_open = !snapshot.status.is_terminal();
    let is_idle = scene.everyone().all(|(_, doing)| *doing == Doing::Idle);
    let rests = !is_open || (matches!(snapshot.status, Status::Waiting { .. }) && !owes_resume(snapshot));
    let all_told = (0..scene.sent).all(|number| {
        let is_unread = snapshot.signals.iter().any(|signal| signal.id == id_of(number));
        taken(scene, number) == 1 || (is_unread && is_open) || scene.dead.contains(&number)
    });
    is_idle && rests && all_told
}
