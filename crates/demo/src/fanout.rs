//! The fan-out scenario: a question is split over five searchers, one process of which is killed while it works. The report is
//! written when three have found something; nobody waits for the others.

use std::path::{Path, PathBuf};
use std::time::Duration;

use baton_agent::{Call, Calls, Fault, Handler, Hop, Joined, Outcome, Wait};
use baton_envelope::{Event, IntentId, Json};
use baton_jetstream::{Head, Mesh};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::agents::{Part, append};
use crate::check::{Verdict, judge};
use crate::error::DemoError;
use crate::harness::{Harness, Histories, LOOK, START};

/// The agents.
pub(crate) const SPLITTER: &str = "splitter";
pub(crate) const SEARCHER: &str = "searcher";
pub(crate) const REPORTER: &str = "reporter";

/// Over how many a question is split, how many of them are enough, and how many find anything.
const SPLIT: u32 = 5;
const ENOUGH: u32 = 3;
/// The name of the call.
const CALL: &str = "research";
/// How long a search takes: long enough to be killed in it.
const SEARCH: Duration = Duration::from_millis(1500);
/// How long everything may take after the kill: the server waits for the dead worker first.
const END: Duration = Duration::from_secs(120);

/// The settings of the scenario.
#[derive(Debug, Clone)]
pub struct FanoutPlan {
    /// The number of questions.
    pub intents: usize,
    /// This program.
    pub exe: PathBuf,
    /// Whether to keep the folder with the server's data and the logs.
    pub keep: bool,
}

/// The judgement.
#[derive(Debug, Clone, Serialize)]
pub struct FanoutVerdict {
    /// Of the questions, as in the other scenarios.
    #[serde(flatten)]
    pub common: Verdict,
    /// Searches that were asked for.
    pub asked: usize,
    /// Searches that completed.
    pub found: usize,
    /// Searches that nobody waited for any more, and that were cancelled.
    pub cancelled: usize,
    /// Questions whose report has three results or more, each the one of its own search, in their order.
    pub joined: usize,
    /// Commits of searches beyond one per hop, records that may not follow, and recorded steps that ran again.
    pub faults_of_searches: usize,
}

/// The result of the scenario.
#[derive(Debug)]
pub struct FanoutReport {
    /// The judgement.
    pub verdict: FanoutVerdict,
    /// The history of the first question.
    pub example: Vec<Head>,
    /// The folder, if it was kept.
    pub folder: Option<PathBuf>,
}

impl FanoutVerdict {
    /// Whether each question was split once, went on once with the results of its own searches, and nothing was left over.
    pub fn is_good(&self) -> bool {
        let all = self.common.submitted;
        self.common.is_good()
            && self.common.redeliveries > 0
            && self.joined == all
            && self.asked == all * SPLIT as usize
            && self.found == all * ENOUGH as usize
            && self.found + self.cancelled == self.asked
            && self.faults_of_searches == 0
    }
}

/// Runs the scenario; `say` receives a line for each thing that happens.
///
/// # Errors
/// When a process or the server cannot be started, or something that the scenario waits for does not happen.
pub async fn run_fanout(plan: &FanoutPlan, say: &(dyn Fn(&str) + Sync)) -> Result<FanoutReport, DemoError> {
    let harness = Harness::open(&plan.exe, say).await?;
    let controller = harness.controller("controller")?;
    let agents = [harness.agent(&Part::of(SPLITTER))?, harness.agent(&Part::of(REPORTER))?];
    let mut searcher = harness.agent(&Part::of(SEARCHER))?;
    harness.wait_for_route_of(&[SPLITTER, SEARCHER, REPORTER]).await?;
    let started = Instant::now();
    let intents = harness.submit(SPLITTER, questions(plan.intents)?).await?;
    say(&format!(
        "{} questions, each split over {SPLIT} searches; {ENOUGH} results are enough",
        intents.len()
    ));

    until_searching(&harness).await?;
    searcher
        .kill()
        .map_err(|error| DemoError::io("a process cannot be killed", error))?;
    say("the searcher killed with SIGKILL in the middle of its searches");
    let second = harness.agent(&Part::of(SEARCHER))?;
    say("another searcher started: it takes over what the dead one had");

    let until = Instant::now() + END;
    harness.until_over(&intents, until).await?;
    let seconds = started.elapsed().as_secs_f64();
    let searches: Vec<IntentId> = intents.iter().flat_map(searches_of).collect();
    until_closed(&harness.mesh, &searches, until).await?;
    let (questions, searches) = (harness.histories(intents).await?, harness.histories(searches).await?);
    let verdict = verdict(&questions, &searches, &harness.effects()?, seconds);
    let example = questions.into_iter().next().map(|(_, history)| history);
    drop((agents, second, controller));
    let folder = harness.close(plan.keep || !verdict.is_good());
    Ok(FanoutReport {
        verdict,
        example: example.unwrap_or_default(),
        folder,
    })
}

fn searches_of(question: &IntentId) -> impl Iterator<Item = IntentId> {
    let question = question.clone();
    (0..SPLIT).map(move |index| IntentId::of_child(&question, 1, CALL, index))
}

fn verdict(questions: &Histories, searches: &Histories, effects: &str, seconds: f64) -> FanoutVerdict {
    let of_searches = judge(searches, effects);
    let ended_as = |state: &str| {
        let is_it = |history: &Vec<Head>| {
            history
                .last()
                .is_some_and(|head| head.record.snapshot.status.name() == state)
        };
        searches.iter().filter(|(_, history)| is_it(history)).count()
    };
    let common = Verdict {
        kills: 1,
        seconds,
        // A question is claimed by whoever goes on with it: only searches are taken over from the dead.
        redeliveries: of_searches.redeliveries,
        ..judge(questions, effects)
    };
    FanoutVerdict {
        common,
        asked: searches.iter().filter(|(_, history)| !history.is_empty()).count(),
        found: ended_as("completed"),
        cancelled: ended_as("cancelled"),
        joined: questions
            .iter()
            .filter(|(question, history)| is_joined(question, history))
            .count(),
        faults_of_searches: of_searches.duplicate_commits + of_searches.illegal_records + of_searches.repeated_steps,
    }
}

/// Whether a question went on once, and its reporter got the ends of exactly its own searches, in their order.
fn is_joined(question: &IntentId, history: &[Head]) -> bool {
    let of = |event: &Event| {
        history
            .iter()
            .filter(|head| head.record.event == *event)
            .collect::<Vec<_>>()
    };
    let (asked, resumed, handed) = (of(&Event::FannedOut), of(&Event::Resumed), of(&Event::HandedOff));
    let ([_], [_], [handed]) = (asked.as_slice(), resumed.as_slice(), handed.as_slice()) else {
        return false;
    };
    let payload = handed
        .record
        .envelope
        .as_ref()
        .map(|envelope| envelope.payload.read::<Joined>());
    let Some(Ok(joined)) = payload else { return false };
    let ids: Vec<&IntentId> = joined.children().iter().map(|child| child.id()).collect();
    let own: Vec<IntentId> = searches_of(question).collect();
    let is_own = |child: &baton_agent::Called| {
        child
            .result::<String>()
            .is_ok_and(|said| said.ends_with(&source(child.index())))
    };
    ids == own.iter().collect::<Vec<_>>()
        && joined.completed().count() >= ENOUGH as usize
        && joined.completed().all(is_own)
}

fn questions(count: usize) -> Result<Vec<(IntentId, Json)>, DemoError> {
    let question = |n| {
        let intent = format!("question-{n}").parse().map_err(baton_jetstream::Error::from)?;
        Ok((intent, Json::string(&format!("question {n}"))))
    };
    (1..=count).map(question).collect()
}

/// Waits until a searcher is in the middle of a search.
async fn until_searching(harness: &Harness) -> Result<(), DemoError> {
    let until = Instant::now() + START;
    while !harness.effects()?.lines().any(|line| line.contains(" open ")) {
        if Instant::now() > until {
            return Err(DemoError::Stuck("no search has begun".to_owned()));
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Waits until each search has come to an end.
async fn until_closed(mesh: &Mesh, searches: &[IntentId], until: Instant) -> Result<(), DemoError> {
    for search in searches {
        loop {
            let head = mesh.head(search).await?;
            if head.is_some_and(|head| head.record.snapshot.status.is_terminal()) {
                break;
            }
            if Instant::now() > until {
                return Err(DemoError::Stuck(format!("search {search} has not ended")));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(())
}

/// What one searcher is asked.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Search {
    question: String,
    number: u32,
}

fn source(number: u32) -> String {
    format!("source {number}")
}

/// Splits a question, and does not come back.
pub(crate) struct Splitter {
    pub(crate) effects: PathBuf,
    pub(crate) instance: String,
}

impl Handler for Splitter {
    type Input = String;

    async fn handle(&self, hop: &mut Hop, question: String) -> Result<Outcome, Fault> {
        let line = format!("{} {} split {}", hop.intent(), hop.number(), self.instance);
        hop.step("split", || async { note(&self.effects, &line) }).await?;
        let calls: Result<Vec<Call>, Fault> = (0..SPLIT)
            .map(|number| {
                let question = question.clone();
                Call::new(SEARCHER, &Search { question, number })
            })
            .collect();
        Outcome::fan_out(Calls::of(calls?).named(CALL).at_least(ENOUGH)).then(REPORTER)
    }
}

/// Looks into one source; every second has to be written to, and never answers.
pub(crate) struct Searcher {
    pub(crate) effects: PathBuf,
    pub(crate) instance: String,
}

impl Handler for Searcher {
    type Input = Search;

    async fn handle(&self, hop: &mut Hop, search: Search) -> Result<Outcome, Fault> {
        let place = format!("{} {}", hop.intent(), hop.number());
        let line = |step: &str| format!("{place} {step} {}", self.instance);
        hop.step("open", || async { note(&self.effects, &line("open")) })
            .await?;
        if search.number % 2 == 1 {
            hop.wait(Wait::signal("answer")).await?;
        }
        let read = hop.step("read", || async {
            tokio::time::sleep(SEARCH).await;
            note(&self.effects, &line("read"))
        });
        read.await?;
        Outcome::complete(&format!("{} by {}", search.question, source(search.number)))
    }
}

/// Writes down what was found.
pub(crate) struct Reporter;

impl Handler for Reporter {
    type Input = Joined;

    async fn handle(&self, _: &mut Hop, joined: Joined) -> Result<Outcome, Fault> {
        let found: Result<Vec<String>, Fault> = joined.completed().map(|child| child.result()).collect();
        Outcome::complete(&found?)
    }
}

fn note(effects: &Path, line: &str) -> Result<(), Fault> {
    Ok(append(effects, line)?)
}
