//! A seed in a mesh that signs: the checker verifies every record and every checkpoint, and finds what was edited.

mod hold;

use anyhow::{Context as _, Result, ensure};
use baton_checker::{Evidence, Message, check};

use self::hold::hold;

#[test]
fn a_signed_seed_holds_and_edits_of_what_it_left_are_found() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let keep = folder.path().to_str().context("a path")?;
    let args = [
        "--seed",
        "5",
        "--minutes",
        "0.2",
        "--rate",
        "20",
        "--signed",
        "--keep",
        keep,
    ];
    hold(&args)?;
    let evidence = Evidence::read(&folder.path().join("seed-5-servers-1"))?;
    let verdict = check(&evidence);
    let counts = &verdict.counts;
    ensure!(verdict.holds(), "{:?}", verdict.violations);
    ensure!(counts.signed == counts.records && counts.void == 0, "{counts:?}");
    ensure!(counts.checkpoints > 1 && counts.archived > 0, "{counts:?}");

    // Its body, its subject and its signature.
    let is_record = |message: &&mut Message| message.stream.ends_with("_LEDGER") && message.body.is_some();
    let edits: [&dyn Fn(&mut Message); 3] = [
        &|message| message.body = message.body.take().map(|body| body + " "),
        &|message| message.subject.push('x'),
        &|message| message.headers.retain(|(name, _)| name != "Baton-Signature"),
    ];
    for (number, edit) in edits.into_iter().enumerate() {
        let mut edited = evidence.clone();
        edited
            .messages
            .iter_mut()
            .find(is_record)
            .map(edit)
            .context("a record")?;
        let verdict = check(&edited);
        ensure!(
            verdict.broken().contains("S2"),
            "edit {number}: {:?}",
            verdict.violations
        );
    }
    // A bundle less. A record less is nothing where a bundle has it, too.
    let mut cut = evidence;
    let first = cut
        .messages
        .iter()
        .position(|message| message.stream.ends_with("_ARCHIVE"));
    cut.messages.remove(first.context("a bundle")?);
    ensure!(check(&cut).broken().contains("S2"), "a bundle less");
    Ok(())
}
