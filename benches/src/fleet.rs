//! W9: how many may follow the routes of one server: what they cost at rest, how fast a change reaches the last of them, and
//! how they come back when the server does.
//!
//! Each follower has a connection of its own. A thousand of them share a process, because the machine that measures is small;
//! the server cannot tell.

use std::collections::HashMap;
use std::ffi::OsString;
use std::time::Duration;

use baton_agent::shutdown_signal;
use baton_envelope::control::{PromoteRollout, RolloutAct, SetRoute, StartRollout, VersionAct};
use baton_envelope::{AgentName, AgentVersion, Bands, Margins, Percent, Route};
use baton_jetstream::{ControllerMesh, Error, Mesh, RouteFollower, Target};
use futures::StreamExt as _;
use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::error::BenchError;
use crate::meter::{Spent, memory_mb};
use crate::options::{Only, Options};
use crate::report::{Fact, Report, Target as Bound};
use crate::run::Say;
use crate::site::{ServerSetup, Site};
use crate::stats::{count, median, percentile};
use crate::workload::Workload;

/// The namespace that a controller takes by itself.
const NAMESPACE: &str = "mesh";
/// Agents of the mesh, each with a route.
const AGENTS: usize = 50;
/// Followers in one process.
const IN_A_PROCESS: usize = 1_000;
/// Connections that a process makes at a time.
const AT_ONCE: usize = 32;
/// Open files that a server and a process of followers need besides those of connections.
const OTHER_FILES: u64 = 500;
/// Changes that are timed.
const CHANGES: usize = 20;
/// Pause between them.
const BETWEEN: Duration = Duration::from_millis(500);
/// How long processes are looked at while nothing happens.
const REST: Duration = Duration::from_secs(30);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// A change reaches every follower within a second, up to this many.
const PROMPT_UP_TO: usize = 1_000;
const PROMPT: Bound = Bound::AtMost(1_000.0);

/// What a process of followers says, a line each.
#[derive(Debug, Serialize, Deserialize)]
enum Said {
    /// All of them follow.
    Ready,
    /// All of them have this revision, and when each of them had, in nanoseconds of the machine's monotonic clock.
    Reached { revision: u64, at: Vec<u64> },
}

/// The clock that all processes of a machine share, in nanoseconds.
fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or(0) * 1_000_000_000 + nanos.unwrap_or(0)
}

/// Runs a process of followers that [`measure`] starts, until it is told to stop.
pub(crate) async fn follow(url: &str, followers: usize) -> Result<(), BenchError> {
    raise_file_limit(followers)?;
    let (moved, mut moves) = mpsc::unbounded_channel();
    let one = |_| {
        let moved = moved.clone();
        async move {
            let mesh = Target::at(url).connect().await?;
            let following = mesh.follow_routes().await?;
            Ok::<_, BenchError>(tokio::spawn(watch(mesh, following, moved)))
        }
    };
    let mut starting = futures::stream::iter(0..followers).map(one).buffer_unordered(AT_ONCE);
    // Kept: a task that is dropped goes on, and one whose handle is here can be seen to have ended.
    let mut tasks = Vec::with_capacity(followers);
    while let Some(started) = starting.next().await {
        tasks.push(started?);
    }
    tell(&Said::Ready)?;
    let mut reached: HashMap<u64, Vec<u64>> = HashMap::new();
    let collect = async {
        while let Some((revision, time)) = moves.recv().await {
            let at = reached.entry(revision).or_default();
            at.push(time);
            if at.len() == followers {
                let at = reached.remove(&revision).unwrap_or_default();
                tell(&Said::Reached { revision, at })?;
            }
        }
        Ok(())
    };
    tokio::select! {
        ended = collect => ended,
        () = shutdown_signal() => Ok(()),
    }
}

/// Says of each revision when this follower had it.
async fn watch(mesh: Mesh, mut following: RouteFollower, moved: mpsc::UnboundedSender<(u64, u64)>) {
    // The connection lives as long as this.
    let _mesh = mesh;
    let mut had = following.revision();
    while let Some(has) = following.changed().await {
        let time = now();
        for revision in had + 1..=has {
            if moved.send((revision, time)).is_err() {
                return;
            }
        }
        had = has;
    }
}

#[expect(clippy::print_stdout, reason = "the pipe to the process that measures")]
fn tell(said: &Said) -> Result<(), BenchError> {
    let line = serde_json::to_string(said).map_err(BenchError::Line)?;
    println!("{line}");
    Ok(())
}

/// Raises the limit of open files as far as this user may, for this process and those that it starts.
fn raise_file_limit(connections: usize) -> Result<(), BenchError> {
    let mut limit = getrlimit(Resource::Nofile);
    let needed = u64::try_from(connections)
        .unwrap_or(u64::MAX)
        .saturating_add(OTHER_FILES);
    if let Some(most) = limit.maximum.filter(|most| *most < needed) {
        return Err(BenchError::FewFiles { needed, most });
    }
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).map_err(|error| BenchError::io("raising the limit of open files")(error.into()))
}

/// Measures followers of the routes on one server.
pub(crate) async fn measure(options: &Options, setup: &ServerSetup, say: Say<'_>) -> Result<Vec<Report>, BenchError> {
    if options.only == Some(Only::Floor) {
        return Ok(Vec::new());
    }
    let followers = options.followers();
    raise_file_limit(followers)?;
    let mut site = Site::start(setup, "1s", options.tickets()).await?;
    let mesh = site.connect(NAMESPACE).await?;
    mesh.ensure_topology(mesh.limits()).await?;
    let mut controller = crate::memory::controller(&site.url(), options)?;
    say(&format!("w9: {AGENTS} agents"));
    for number in 0..AGENTS {
        let (agent, [first, second]) = (agent(number)?, versions()?);
        // Both are in the route, so that either can be rolled out.
        set(&mesh, &agent, &second).await?;
        set(&mesh, &agent, &first).await?;
        mesh.ensure_agent(&agent, &second, Bands::default()).await?;
    }
    let mut report = Report::new(Workload::W9, format!("{followers} followers"), "", "");
    let server = site.pid().unwrap_or_default();
    let mut add = |what: &str, value: Option<f64>, unit| report.facts.push(Fact::new(what, value, unit));
    let before = memory_mb(server);
    add("server without followers", before, "MB");

    say(&format!("w9: {followers} followers connect"));
    let (started, spent) = (Instant::now(), site.spent());
    let mut fleet = Fleet::start(&site, options, followers).await?;
    add("until all follow", Some(started.elapsed().as_secs_f64()), "s");
    add(
        "server CPU until all follow",
        seconds(site.spent().since(spent).server),
        "s",
    );

    say("w9: at rest");
    report
        .facts
        .extend(at_rest([("server", server), ("controller", controller.pid())]).await);
    let mut add = |what: &str, value: Option<f64>, unit| report.facts.push(Fact::new(what, value, unit));
    let grown = memory_mb(server)
        .zip(before)
        .map(|(now, before)| (now - before) * 1e3 / count(followers as u64));
    add("server, each follower", grown, "kB");
    add(
        "client, each follower",
        fleet.memory_mb().map(|mb| mb * 1e3 / count(followers as u64)),
        "kB",
    );

    say(&format!("w9: {CHANGES} changes"));
    report.facts.extend(changes(&mesh, &mut fleet, followers).await?);

    say("w9: the server is killed and started");
    report.facts.extend(restart(&mut site, &mut fleet).await?);
    report.facts.push(Fact::new(
        "controller after the restart",
        memory_mb(controller.pid()),
        "MB",
    ));
    controller.kill().map_err(BenchError::io("ending the controller"))?;
    Ok(vec![report])
}

/// What processes cost while nothing happens.
async fn at_rest(processes: [(&str, u32); 2]) -> Vec<Fact> {
    let spent = || processes.map(|(_, pid)| Spent::until_now(Some(pid)).server);
    let from = spent();
    tokio::time::sleep(REST).await;
    let spans = processes.into_iter().zip(from.into_iter().zip(spent()));
    let facts = spans.map(|((name, pid), (from, to))| {
        let share = from
            .zip(to)
            .map(|(from, to)| (to - from).as_secs_f64() / REST.as_secs_f64() * 100.0);
        [
            Fact::new(format!("{name} at rest"), memory_mb(pid), "MB"),
            Fact::new(format!("{name} CPU at rest"), share, "% of a core"),
        ]
    });
    facts.flatten().collect()
}

/// Changes one route after the other, and times each until the last follower has it.
async fn changes(mesh: &Mesh, fleet: &mut Fleet, followers: usize) -> Result<Vec<Fact>, BenchError> {
    let (mut middle, mut last, mut answered) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..CHANGES {
        let (agent, [_, second]) = (agent(number)?, versions()?);
        start_rollout(mesh, &agent, &second, number).await?;
        let began = now();
        promote(mesh, &agent).await?;
        answered.push(millis(now() - began));
        // What the controller writes for a change may be more than one revision: the last one counts.
        let revision = mesh.route(&agent).await?.map_or(0, |(_, revision)| revision);
        let times = fleet.until(revision, began).await?;
        middle.push(millis_of(percentile(&times, 50)));
        last.push(millis_of(percentile(&times, 100)));
        tokio::time::sleep(BETWEEN).await;
    }
    let slowest = Fact::new(
        "promotion at the last follower, slowest",
        last.iter().copied().reduce(f64::max),
        "ms",
    );
    let slowest = if followers <= PROMPT_UP_TO {
        slowest.aiming(PROMPT)
    } else {
        slowest
    };
    Ok(vec![
        Fact::new("promotion answered, median", Some(median(&answered)), "ms"),
        Fact::new(
            "promotion at half of the followers, median",
            Some(median(&middle)),
            "ms",
        ),
        Fact::new("promotion at the last follower, median", Some(median(&last)), "ms"),
        slowest,
    ])
}

/// Kills the server, starts it, and changes a route as soon as it answers: most followers are not back then.
async fn restart(site: &mut Site, fleet: &mut Fleet) -> Result<Vec<Fact>, BenchError> {
    site.restart()?;
    let (began, spent) = (now(), Spent::until_now(site.pid()));
    let (agent, [_, second]) = (agent(AGENTS - 1)?, versions()?);
    // A connection of before might come back as late as any other, and a new one waits among ten thousand.
    let until = Instant::now() + PATIENCE;
    let mesh = loop {
        match site.connect(NAMESPACE).await {
            Ok(mesh) => break ControllerMesh::of(&mesh),
            Err(error) if Instant::now() > until => return Err(error),
            Err(_) => {}
        }
    };
    let change = mesh.change_route(&agent, |present| {
        let next = |route: &Route| Route {
            active: second.clone(),
            updated_by: "bench".to_owned(),
            ..route.clone()
        };
        Ok(present.map(next))
    });
    let Some((_, revision)) = change.await? else {
        return Err(BenchError::Broken("an agent has no route".to_owned()));
    };
    let changed = now() - began;
    let times = fleet.until(revision, began).await?;
    let cpu = seconds(Spent::until_now(site.pid()).since(spent).server);
    Ok(vec![
        Fact::new("restart, until a change is stored", Some(millis(changed)), "ms"),
        Fact::new(
            "restart, half of the followers have it",
            Some(millis_of(percentile(&times, 50))),
            "ms",
        ),
        Fact::new(
            "restart, the last follower has it",
            Some(millis_of(percentile(&times, 100))),
            "ms",
        ),
        Fact::new("restart, server CPU until then", cpu, "s"),
        Fact::new("server after the restart", site.pid().and_then(memory_mb), "MB"),
    ])
}

async fn set(mesh: &Mesh, agent: &AgentName, version: &AgentVersion) -> Result<(), BenchError> {
    let asked = VersionAct {
        agent: agent.clone(),
        version: version.clone(),
        by: "bench".to_owned(),
        reason: None,
    };
    mesh.ask_controller(&SetRoute(asked)).await?;
    Ok(())
}

/// Starts a rollout that a person takes on, by hand.
async fn start_rollout(
    mesh: &Mesh,
    agent: &AgentName,
    version: &AgentVersion,
    number: usize,
) -> Result<(), BenchError> {
    let asked = StartRollout {
        id: format!("bench-{number}"),
        agent: agent.clone(),
        version: version.clone(),
        steps: vec![Percent::new(10).map_err(BenchError::Broken)?, Percent::ALL],
        hold_seconds: 0,
        auto: false,
        at_once: false,
        // No worker of it lives: the checks would refuse.
        force: true,
        margins: Margins::default(),
        by: "bench".to_owned(),
    };
    mesh.ask_controller(&asked).await?;
    Ok(())
}

/// `baton rollout promote --to-end`: all new work goes to the version.
async fn promote(mesh: &Mesh, agent: &AgentName) -> Result<(), BenchError> {
    let asked = RolloutAct {
        agent: agent.clone(),
        by: "bench".to_owned(),
        take_over: false,
        reason: None,
        to_end: true,
    };
    mesh.ask_controller(&PromoteRollout(asked)).await?;
    Ok(())
}

fn agent(number: usize) -> Result<AgentName, BenchError> {
    let name = format!("agent-{number}").parse().map_err(Error::from)?;
    Ok(name)
}

fn versions() -> Result<[AgentVersion; 2], BenchError> {
    let version = |text: &str| {
        text.parse()
            .map_err(|_| BenchError::Broken(format!("{text} is no version")))
    };
    Ok([version("1.0.0")?, version("2.0.0")?])
}

fn seconds(time: Option<Duration>) -> Option<f64> {
    time.map(|time| time.as_secs_f64())
}

fn millis_of(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn millis(nanos: u64) -> f64 {
    count(nanos) / 1e6
}

/// The processes of followers.
struct Fleet {
    processes: Vec<(Child, Lines<BufReader<ChildStdout>>)>,
}

impl Fleet {
    /// Starts them all, and waits until all follow.
    async fn start(site: &Site, options: &Options, followers: usize) -> Result<Self, BenchError> {
        let mut fleet = Self { processes: Vec::new() };
        let mut left = followers;
        while left > 0 {
            let here = left.min(IN_A_PROCESS);
            left -= here;
            let mut words = options.itself()?;
            words.extend(["--followers-at".into(), site.url().into()]);
            words.extend(["--followers".into(), OsString::from(here.to_string())]);
            let mut words = words.into_iter();
            let mut command = Command::new(words.next().unwrap_or_default());
            command.args(words).env("BATON_LOG", "error").kill_on_drop(true);
            command
                .stdin(std::process::Stdio::null())
                .stdout(std::process::Stdio::piped());
            let mut child = command.spawn().map_err(BenchError::io("starting followers"))?;
            let Some(output) = child.stdout.take() else {
                return Err(BenchError::Broken("a process of followers has no output".to_owned()));
            };
            fleet.processes.push((child, BufReader::new(output).lines()));
        }
        for index in 0..fleet.processes.len() {
            while !matches!(fleet.hear(index).await?, Said::Ready) {}
        }
        Ok(fleet)
    }

    /// When each follower had a revision, counted from `began`, sorted.
    async fn until(&mut self, wanted: u64, began: u64) -> Result<Vec<Duration>, BenchError> {
        let mut times = Vec::new();
        for index in 0..self.processes.len() {
            loop {
                match self.hear(index).await? {
                    Said::Reached { revision, at } if revision == wanted => {
                        times.extend(at.into_iter().map(|at| Duration::from_nanos(at.saturating_sub(began))));
                        break;
                    }
                    Said::Reached { .. } | Said::Ready => {}
                }
            }
        }
        times.sort_unstable();
        Ok(times)
    }

    async fn hear(&mut self, index: usize) -> Result<Said, BenchError> {
        let gone = || BenchError::Broken("a process of followers ended or went silent".to_owned());
        let (_, lines) = self.processes.get_mut(index).ok_or_else(gone)?;
        let line = tokio::time::timeout(PATIENCE, lines.next_line())
            .await
            .map_err(|_| gone())?;
        let line = line
            .map_err(BenchError::io("listening to followers"))?
            .ok_or_else(gone)?;
        serde_json::from_str(&line).map_err(BenchError::Line)
    }

    fn memory_mb(&self) -> Option<f64> {
        let pids = self.processes.iter().filter_map(|(child, _)| child.id());
        pids.map(memory_mb).sum()
    }
}
