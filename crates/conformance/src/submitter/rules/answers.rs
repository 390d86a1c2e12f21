//! What a program that waits tells of the end.

use std::time::Duration;

use crate::fault::{Fault, expect};
use crate::submitter::desk::Desk;
use crate::submitter::ending::{End, Play};
use crate::submitter::job::Job;
use crate::submitter::rules::routing::SOON;

/// A result that no program prints by chance.
const RESULT: &str = r#"{"answer":"otters, 42"}"#;
/// How long the program is asked to wait for what does not come.
const NEVER: Duration = Duration::from_secs(2);

pub(super) async fn tells_the_result(desk: &Desk) -> Result<(), Fault> {
    let trial = desk
        .run(&Job::of("1").wait(SOON), Play::End(End::Completed(RESULT)))
        .await?;
    expect(
        trial.run.is_good() && trial.run.printed() == RESULT,
        format!("exit code 0, and {RESULT} on stdout"),
        trial.run.in_words(),
    )
}

pub(super) async fn tells_the_failure(desk: &Desk) -> Result<(), Fault> {
    let ends = [
        ("failed", End::Failed("TOO_BIG"), "TOO_BIG"),
        ("rejected", End::Rejected("NOT_MINE"), "NOT_MINE"),
    ];
    for (status, end, code) in ends {
        let trial = desk.run(&Job::of("1").wait(SOON), Play::End(end)).await?;
        expect(
            trial.run.has_failed() && trial.run.says(code),
            format!("an exit code other than 0, and the code {code}, of an intent that was {status}"),
            trial.run.in_words(),
        )?;
    }
    Ok(())
}

pub(super) async fn tells_of_silence(desk: &Desk) -> Result<(), Fault> {
    let lost = desk
        .run(&Job::of("1").wait(NEVER), Play::EndSilently(End::Completed(RESULT)))
        .await?;
    let from_ledger = lost.run.is_good() && lost.run.printed() == RESULT;
    expect(
        from_ledger || lost.run.has_failed(),
        "the result, read from the ledger, or an exit code other than 0: the answer was lost",
        lost.run.in_words(),
    )?;
    let silent = desk.run(&Job::of("1").wait(NEVER), Play::Route).await?;
    expect(
        silent.run.has_failed(),
        format!("an exit code other than 0 after {} s without an end", NEVER.as_secs()),
        silent.run.in_words(),
    )
}
