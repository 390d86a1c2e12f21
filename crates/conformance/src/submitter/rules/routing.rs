//! Where work goes.

use std::time::Duration;

use baton_envelope::{IntentId, canary_bucket, codes};

use crate::fault::{Fault, expect};
use crate::submitter::arrival::{Arrival, Way, list};
use crate::submitter::desk::{ACTIVE, Desk, OTHER};
use crate::submitter::ending::Play;
use crate::submitter::job::{Job, NOBODY};

/// How long the program is asked to wait for what comes at once.
pub(super) const SOON: Duration = Duration::from_secs(5);

pub(super) async fn meets_no_agent(desk: &Desk) -> Result<(), Fault> {
    let trial = desk.run(&Job::of("1").to(NOBODY).wait(SOON), Play::Route).await?;
    let record = trial.arrivals.iter().find(|arrival| arrival.way == Way::Record);
    expect(record.is_none(), "no record", list(&trial.arrivals))?;
    expect(
        trial.run.has_failed(),
        "an exit code other than 0",
        trial.run.in_words(),
    )?;
    // A router has said so.
    let is_told = trial.arrivals.is_empty() || trial.run.says(codes::UNKNOWN_AGENT);
    expect(
        is_told,
        format!("the code {}, on stdout or stderr", codes::UNKNOWN_AGENT),
        trial.run.in_words(),
    )
}

fn goes_to(arrival: &Arrival, version: &str) -> Result<(), Fault> {
    let found = arrival.at("/snapshot/version").as_str().unwrap_or("none");
    expect(found == version, format!("version {version}"), found)
}

pub(super) async fn follows_the_route(desk: &Desk) -> Result<(), Fault> {
    desk.writes_records().await?;
    for version in [OTHER, ACTIVE] {
        desk.write_route(version, None).await?;
        goes_to(&desk.submitted(&Job::of("1")).await?, version)?;
    }
    Ok(())
}

pub(super) async fn follows_the_canary(desk: &Desk) -> Result<(), Fault> {
    desk.writes_records().await?;
    let id = desk.new_id("canary");
    // Two chains, one on either side of the half.
    for is_canary in [true, false] {
        let found = (0..1000).map(|number| format!("{id}-{number}")).find(|id| {
            let root = id.parse::<IntentId>();
            root.is_ok_and(|root| (canary_bucket(&root) < 50) == is_canary)
        });
        desk.write_route(ACTIVE, Some(50)).await?;
        let arrival = desk.submitted(&Job::of("1").intent(&found.unwrap_or_default())).await;
        desk.write_route(ACTIVE, None).await?;
        goes_to(&arrival?, if is_canary { OTHER } else { ACTIVE })?;
    }
    Ok(())
}
