//! One run of the program, undisturbed or through an accident, and what it led to.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::arrival::{Arrival, list};
use super::desk::{Desk, LOOK};
use super::ending::Play;
use super::job::Job;
use super::program::{Run, end};
use crate::fault::{Fault, expect};

/// How long what a program published on its way out may take.
const LATE: Duration = Duration::from_millis(500);

/// What one run of the program led to.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) run: Run,
    pub(super) arrivals: Vec<Arrival>,
    /// How much was overheard before.
    pub(super) heard_before: usize,
}

/// Settings of streams that hinder the program, until something has arrived.
#[derive(Debug)]
pub(super) struct Accident {
    pub(super) streams: Vec<String>,
    pub(super) broken: Value,
    pub(super) healed: Value,
    /// What must have arrived.
    pub(super) until: Until,
}

/// When an accident is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// An intent arrived.
    Intent,
    /// A ticket arrived.
    Ticket,
    /// The program ended.
    End,
}

impl Desk {
    /// Runs the program for a job.
    pub(super) async fn run(&self, job: &Job, play: Play) -> Result<Trial, Fault> {
        self.run_through(job, play, None).await
    }

    /// Runs the program for a job through an accident.
    pub(super) async fn run_through(&self, job: &Job, play: Play, accident: Option<Accident>) -> Result<Trial, Fault> {
        let Some(program) = &self.program else {
            return Err(Fault::Skipped("no program was given to try it with".to_owned()));
        };
        if let Some(accident) = &accident {
            self.set(accident, &accident.broken).await?;
        }
        let heard_before = self.overheard.count();
        let (arrived, ticketed) = self.counts().await;
        let running = end(program.start(job)?, job.payload.clone(), self.options.patience);
        tokio::pin!(running);
        let mut accident = accident;
        let run = loop {
            tokio::select! {
                run = &mut running => break run,
                () = tokio::time::sleep(LOOK) => self.collect().await?,
            }
            let (arrivals, tickets) = self.counts().await;
            let is_over = |accident: &Accident| match accident.until {
                Until::Intent => arrivals > arrived,
                Until::Ticket => tickets > ticketed,
                Until::End => false,
            };
            if let Some(over) = accident.take_if(|accident| is_over(accident)) {
                self.set(&over, &over.healed).await?;
            }
            // The judge writes too, so not before that.
            if accident.is_none() {
                self.play(play).await?;
            }
        };
        if let Some(over) = accident {
            self.set(&over, &over.healed).await?;
        }
        let until = Instant::now() + LATE;
        loop {
            self.attend(play).await?;
            if self.counts().await.0 > arrived || !run.is_good() || Instant::now() >= until {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        let mut seen = self.seen.lock().await;
        for arrival in seen.arrivals.iter_mut().skip(arrived) {
            arrival.is_confirmed = run.is_good();
        }
        let arrivals = seen.arrivals.get(arrived..).unwrap_or_default().to_vec();
        drop(seen);
        if run.has_not() {
            expect(
                arrivals.is_empty(),
                "exit code 77 only where nothing was submitted",
                list(&arrivals),
            )?;
            return Err(Fault::Skipped("the program says that it does not have this".to_owned()));
        }
        Ok(Trial {
            run,
            arrivals,
            heard_before,
        })
    }

    /// Runs a job that must be submitted: the one intent that arrived.
    pub(super) async fn submitted(&self, job: &Job) -> Result<Arrival, Fault> {
        let trial = self.run(job, Play::Nothing).await?;
        trial.into_submitted()
    }

    async fn set(&self, accident: &Accident, changes: &Value) -> Result<(), baton_jetstream::Error> {
        for stream in &accident.streams {
            self.hands.change_stream(stream, changes).await?;
        }
        Ok(())
    }
}

impl Trial {
    /// The one intent that arrived, of a run that said that all is well.
    pub(super) fn into_submitted(self) -> Result<Arrival, Fault> {
        expect(self.run.is_good(), "exit code 0: it is submitted", self.run.in_words())?;
        let mut intents: Vec<&str> = self.arrivals.iter().map(|arrival| arrival.intent.as_str()).collect();
        intents.dedup();
        expect(intents.len() == 1, "one intent", list(&self.arrivals))?;
        match self.arrivals.into_iter().next() {
            Some(arrival) => Ok(arrival),
            None => Err(Fault::Skipped("nothing arrived".to_owned())),
        }
    }
}
