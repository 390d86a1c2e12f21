//! `baton schedules add`: a new schedule.

use baton_envelope::control::AddSchedule;
use baton_envelope::schedule::{Missed, Overlap};
use baton_envelope::{AgentName, Body, Priority, ScheduleName, Timestamp};
use baton_jetstream::{Clock as _, SystemClock};
use clap::{ArgGroup, Args, ValueEnum};

use super::show;
use crate::app::App;
use crate::commands::payload;
use crate::error::CliError;
use crate::parse::{self, Span};
use crate::who;

/// `baton schedules add`.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("times").required(true))]
pub(crate) struct AddArgs {
    /// Its name, which no other schedule has.
    name: ScheduleName,
    /// The agent that gets the work.
    #[arg(long)]
    agent: AgentName,
    /// When it fires: minute, hour, day of the month, month, day of the week, with the second before them if there are six.
    #[arg(long, value_name = "EXPR", group = "times")]
    cron: Option<String>,
    /// The time zone of the expression, such as Europe/Berlin [default: UTC].
    #[arg(long, value_name = "ZONE", requires = "cron")]
    tz: Option<String>,
    /// When it fires: again and again after this time, from now on.
    #[arg(long, value_name = "DURATION", group = "times")]
    every: Option<Span>,
    /// The payload: text or JSON, @FILE, or - for stdin.
    #[arg(long, value_name = "PAYLOAD")]
    payload: String,
    /// Kind of the work, such as invoice.extract.v1.
    #[arg(long)]
    kind: Option<String>,
    /// How urgent the work is: 1 to 10, where 10 is most urgent [default: 5].
    #[arg(long, value_name = "N", value_parser = parse::priority)]
    priority: Option<Priority>,
    /// Put each firing off by up to this, so that not all fire at once.
    #[arg(long, value_name = "DURATION")]
    jitter: Option<Span>,
    /// When it ends: a time such as 2026-11-21T05:00:00Z, or a duration from now such as 90d.
    #[arg(long, value_name = "WHEN", value_parser = parse::deadline)]
    until: Option<String>,
    /// What becomes of firings that are a minute late, because no controller ran [default: once].
    #[arg(long, value_enum, value_name = "POLICY")]
    missed: Option<MissedArg>,
    /// What becomes of a firing while the last one's intent is open [default: allow].
    #[arg(long, value_enum, value_name = "POLICY")]
    overlap: Option<OverlapArg>,
    /// How long after its time the work of a firing must be done.
    #[arg(long, value_name = "DURATION")]
    deadline: Option<Span>,
}

/// What becomes of missed firings.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum MissedArg {
    /// The last of them is made, late.
    Once,
    /// None of them is made.
    Skip,
    /// Each of them is made, late.
    All,
}

/// What becomes of firings that overlap.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum OverlapArg {
    /// It is made all the same.
    Allow,
    /// It is left out.
    Skip,
}

/// Adds it.
pub(crate) async fn run(args: AddArgs, app: &App) -> Result<(), CliError> {
    // Before connecting: what is wrong with the arguments does not depend on a server.
    let Body { json, encoding } = Body::of_bytes(&payload::read(Some(&args.payload), &app.output)?);
    let until = args.until.as_deref();
    let until = until.and_then(|text| Timestamp::parse_or_after(text, SystemClock.now()).ok());
    let millis = |span: Option<Span>| span.map(|span| u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX));
    let question = AddSchedule {
        name: args.name,
        agent: args.agent,
        cron: args.cron,
        tz: args.tz,
        every_ms: millis(args.every),
        jitter_ms: millis(args.jitter).unwrap_or_default(),
        until,
        missed: match args.missed {
            Some(MissedArg::Skip) => Missed::Skip,
            Some(MissedArg::All) => Missed::All,
            Some(MissedArg::Once) | None => Missed::Once,
        },
        overlap: match args.overlap {
            Some(OverlapArg::Skip) => Overlap::Skip,
            Some(OverlapArg::Allow) | None => Overlap::Allow,
        },
        kind: args.kind,
        priority: args.priority.unwrap_or_default(),
        deadline_ms: millis(args.deadline),
        payload: json,
        payload_encoding: encoding,
        by: who::person(),
    };
    let mesh = app.connect().await?;
    let view = mesh.ask_controller(&question).await?;
    app.output.show(&view, || show::text(&view))
}
