//! The client and the workers of a run, and the run until somebody dies.

use std::sync::Arc;
use std::time::Duration;

use baton_jetstream::Mesh;
use baton_testkit::Proxy;
use futures::future::LocalBoxFuture;

use super::moment::{Moment, Writes, kinds};
use super::process::{Process, Stage};
use super::{Pattern, Run, Victim, WRITES};
use crate::hurry::hurry;

/// How long after the end of the client's work the fatal write may come: a sweep, and what a leader repeats.
const LATE: Duration = Duration::from_secs(15);

/// What became of the victim.
pub(super) enum Fate {
    /// Its fatal write is with the server, and this is what the client still has to do.
    Died(Option<Driving>),
    /// It did not write that, and all is done.
    Survived,
}

/// The client at work.
pub(super) type Driving = LocalBoxFuture<'static, ()>;

/// Drives until the fatal write of a process has gone to the server.
pub(super) async fn until_fatal(run: &Run, proxy: &Proxy, mut driving: Driving) -> Fate {
    let mut fatal = std::pin::pin!(proxy.fatal_write());
    tokio::select! {
        () = &mut fatal => Fate::Died(Some(driving)),
        () = &mut driving => match tokio::time::timeout(LATE, fatal).await {
            Ok(()) => Fate::Died(None),
            Err(_) => {
                println!("{}: only {} writes, and nobody died", run.intent(), proxy.writes().len());
                Fate::Survived
            }
        },
    }
}

/// The client and the workers of a run.
pub(super) struct Cast {
    client: (Process, Mesh),
    pub(super) workers: Vec<Process>,
}

impl Cast {
    /// Starts all, and waits until the agents take work. The worker in this place, if there is one, is a process of its own.
    pub(super) async fn start<P: Pattern>(pattern: &Arc<P>, stage: &Stage, run: &Run, apart: Option<usize>) -> Self {
        let client = Process::client(stage.url()).await;
        let mut workers = Vec::new();
        for (place, role) in P::ROLES.iter().enumerate() {
            workers.push(if apart == Some(place) {
                let mut worker = Process::place(stage.url()).await;
                worker.start_apart::<P>(run, Victim::Worker(place));
                worker
            } else {
                Process::worker(stage.url(), pattern.agent(run, role)).await
            });
        }
        for role in P::ROLES {
            let name = run.agent(role);
            stage.mesh.until_version_is(&name, "1.0.0", "active").await;
        }
        let cast = Self { client, workers };
        for proxy in cast.proxies() {
            proxy.count_writes(&WRITES);
        }
        cast
    }

    pub(super) fn proxies(&self) -> impl Iterator<Item = &Proxy> {
        [&self.client.0]
            .into_iter()
            .chain(&self.workers)
            .map(|process| &process.proxy)
    }

    fn proxy(&self, victim: Victim) -> &Proxy {
        match victim {
            Victim::Worker(place) => self.workers.get(place).map(|process| &process.proxy),
            Victim::Client | Victim::Controller => None,
        }
        .unwrap_or(&self.client.0.proxy)
    }

    /// Lets one of these die at a moment.
    pub(super) fn doom(&self, moment: &Moment) {
        self.proxy(moment.victim).die_after(&WRITES, moment.is_last_of());
    }

    pub(super) fn writes(&self) -> Writes {
        let mut writes = Writes::from([(Victim::Client, kinds(&self.client.0.proxy.writes()))]);
        for (place, worker) in self.workers.iter().enumerate() {
            writes.insert(Victim::Worker(place), kinds(&worker.proxy.writes()));
        }
        writes
    }

    pub(super) fn drive<P: Pattern>(&self, pattern: &Arc<P>, run: &Run) -> Driving {
        let (pattern, run, client) = (Arc::clone(pattern), run.clone(), self.client.1.clone());
        Box::pin(async move { pattern.drive(&client, &run).await })
    }

    /// Puts another worker in the place of one that is gone.
    pub(super) async fn replace<P: Pattern>(&mut self, pattern: &Arc<P>, stage: &Stage, run: &Run, place: usize) {
        let role = P::ROLES.get(place).expect("a role");
        hurry(&stage.mesh, &format!("MESH_WORK_{}", run.agent(role))).await;
        let worker = Process::worker(stage.url(), pattern.agent(run, role)).await;
        worker.proxy.count_writes(&WRITES);
        self.workers.insert(place, worker);
    }

    /// Drives until one of these dies, puts another in its place, and drives on; gives whether it died.
    pub(super) async fn let_die<P: Pattern>(
        &mut self,
        pattern: &Arc<P>,
        stage: &Stage,
        run: &Run,
        victim: Victim,
        driving: Driving,
    ) -> bool {
        let Fate::Died(mut driving) = until_fatal(run, self.proxy(victim), driving).await else {
            return false;
        };
        if let Victim::Worker(place) = victim {
            drop(self.workers.remove(place));
            self.replace(pattern, stage, run, place).await;
        } else if driving.is_some() {
            self.client = Process::client(stage.url()).await;
            driving = Some(self.drive(pattern, run));
        }
        if let Some(driving) = driving {
            driving.await;
        }
        true
    }
}
