//! Following the routes without a consumer: the server sends each change on to a plain subject, a gap in the sequences shows
//! what was lost, and what cannot be known to be current is proved or read through.

use std::time::Duration;

use async_nats::{Message, Subscriber};
use futures::StreamExt as _;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::error::Error;
use crate::server::{Freshness, Mesh, RouteTable, Stored, Taken};

/// Over how long the followers of a server that comes back spread their questions. A route that is used is proved sooner.
const SPREAD: Duration = Duration::from_secs(5);
/// How often changes are asked for where the server does not send them on.
const POLL: Duration = Duration::from_secs(1);
/// How often to read how many copies the mesh keeps: a person changes that once a year.
const COPIES: Duration = Duration::from_secs(60);
/// The longest pause between attempts to follow routes that cannot be followed.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Keeps the local table of routes in step with the bucket, for as long as it lives.
#[derive(Debug)]
pub struct RouteFollower {
    task: tokio::task::JoinHandle<((), (), ())>,
    table: RouteTable,
    moves: watch::Receiver<u64>,
}

impl RouteFollower {
    /// The revision up to which the table has every change; 0 while it has none.
    pub fn revision(&self) -> u64 {
        *self.moves.borrow()
    }

    /// Waits for a change, and gives the revision that the table has then; `None` when nobody follows any more. Changes
    /// that come at once are given as one.
    pub async fn changed(&mut self) -> Option<u64> {
        self.moves.changed().await.ok()?;
        Some(*self.moves.borrow_and_update())
    }
}

impl Drop for RouteFollower {
    fn drop(&mut self) {
        self.task.abort();
        self.table.unfollow();
    }
}

impl Mesh {
    /// Follows the routes bucket for as long as the returned value lives. It takes no consumer: any number of processes may.
    ///
    /// # Errors
    /// When the bucket is missing.
    pub async fn follow_routes(&self) -> Result<RouteFollower, Error> {
        let facts = self.bucket_facts(&self.subjects().routes_bucket()).await?;
        // Before the bucket is read: the server takes both in order, so that no change falls between them.
        let changes = self.client().subscribe(self.subjects().route_all()).await;
        let changes = changes.map_err(|error| Error::api("subscribe", error))?;
        let table = self.routes().clone();
        table.follow(facts.copies);
        table.set_untold(!facts.is_republished);
        let (follower, listener, reader) = (self.clone(), self.clone(), self.clone());
        let connections = self.connections();
        let following = async move { follower.follow_changes(changes, connections).await };
        let task = tokio::spawn(async move { tokio::join!(following, listener.follow_load(), reader.follow_copies()) });
        let moves = table.moves();
        let mut follower = RouteFollower { task, table, moves };
        // Where it fails routes are read one by one until it works.
        self.catch_up().await;
        follower.moves.mark_unchanged();
        Ok(follower)
    }

    /// Reads again and again how many copies the mesh keeps, and with the answer what time it is at the server.
    async fn follow_copies(&self) {
        loop {
            tokio::time::sleep(COPIES - COPIES / 4 + self.spread(COPIES / 2)).await;
            if let Err(error) = self.learn_copies().await {
                tracing::debug!(%error, "how many copies the mesh keeps cannot be read");
            }
        }
    }

    async fn follow_changes(&self, mut changes: Subscriber, mut connections: watch::Receiver<u64>) {
        connections.borrow_and_update();
        let table = self.routes();
        let mut due = table.is_untold().then(|| Instant::now() + POLL);
        loop {
            tokio::select! {
                message = changes.next() => {
                    let Some(message) = message else { return };
                    if self.take_change(message) == Some(Taken::Gap) {
                        due = Some(Instant::now());
                    }
                }
                changed = connections.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    // What was sent on meanwhile is lost, and so may a permission be that was missing.
                    table.doubt();
                    due = Some(Instant::now() + self.spread(SPREAD));
                }
                () = table.wanted().notified() => match table.failures() {
                    0 if table.freshness(self.moment()) != Freshness::Fresh => due = Some(Instant::now()),
                    // Proved meanwhile, by whoever needed it at once.
                    0 if table.is_untold() => due = due.or(Some(Instant::now() + POLL)),
                    0 => {}
                    failures => due = due.or(Some(Instant::now() + pause_after(failures))),
                },
                () = sleep_until(due) => {
                    due = match self.catch_up().await {
                        true => table.is_untold().then(|| Instant::now() + POLL),
                        false => Some(Instant::now() + pause_after(table.failures())),
                    };
                }
            }
        }
    }

    /// Takes a message that the server sent on; `None` for one that anybody else published.
    fn take_change(&self, message: Message) -> Option<Taken> {
        let stored = Stored::of_direct(message.headers, message.payload);
        let bucket = format!("$KV.{}.", self.subjects().routes_bucket());
        if stored.seq == 0 || !stored.subject.starts_with(&bucket) {
            tracing::warn!(subject = %message.subject, "a route that no bucket sent on is dropped");
            return None;
        }
        if self.routes().set_untold(false) {
            tracing::debug!("the server sends routes on");
        }
        Some(self.routes().take(self.route_change(stored)))
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn pause_after(failures: u32) -> Duration {
    let pause = Duration::from_secs(1) * 2_u32.saturating_pow(failures.saturating_sub(1).min(10));
    pause.min(LONGEST_PAUSE)
}
