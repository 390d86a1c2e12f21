//! Carries out a schedule. A fault locks the part that it disturbs: two faults at one part come one after the other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use baton_checker::Journal as Line;
use baton_testkit::{Proxy, limit_stream};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::TaskTracker;

use crate::journal::{Journal, now_ms};
use crate::schedule::{Fault, Part, Planned};
use crate::stage::{Disk, Member, Stage, WorkerSeat};

/// How long a process may take to stop: the grace of its hops, their release, and the last flush.
const STOP: Duration = Duration::from_secs(25);
/// How many more messages a full stream accepts.
const ROOM: i64 = 20;
/// For a stop to count as clean, nothing may have gone wrong for this long before it: the ack wait, and a little.
const CALM: Duration = Duration::from_secs(15);

/// Carries out faults on a stage.
#[derive(Debug, Clone)]
pub struct Disturber {
    stage: Arc<Stage>,
    journal: Arc<Journal>,
}

impl Disturber {
    /// A disturber of this stage.
    #[must_use]
    pub fn new(stage: Arc<Stage>, journal: Arc<Journal>) -> Self {
        Self { stage, journal }
    }

    /// Carries out a schedule, and returns when the last fault is over. Returns the number of faults of each kind.
    ///
    /// # Errors
    /// When a fault cannot be carried out.
    pub async fn run(&self, schedule: Vec<Planned>) -> Result<BTreeMap<&'static str, usize>> {
        let started = Instant::now();
        let tracker = TaskTracker::new();
        let mut under_way = Vec::new();
        let mut counts = BTreeMap::new();
        for planned in schedule {
            sleep_until(started + planned.at).await;
            *counts.entry(planned.fault.kind()).or_default() += 1;
            let this = self.clone();
            // Policy: an error ends the run, once the others are over.
            under_way.push(tracker.spawn(async move {
                this.journal.note(planned.to_string())?;
                let done = Box::pin(this.one(&planned)).await;
                this.journal.note(format!("over: {:?}", planned.fault))?;
                done.with_context(|| planned.to_string())
            }));
        }
        for fault in under_way {
            fault.await.context("a fault")??;
        }
        Ok(counts)
    }

    async fn one(&self, planned: &Planned) -> Result<()> {
        let lasts = planned.lasts;
        match &planned.fault {
            Fault::Kill(Part::Server(index)) => self.server(*index, lasts, How::Kill).await,
            Fault::Stop(Part::Server(index)) => self.server(*index, lasts, How::Stop).await,
            Fault::Freeze(Part::Server(index)) => self.server(*index, lasts, How::Freeze).await,
            Fault::Kill(Part::Controller(index)) => self.controller(*index, lasts, How::Kill).await,
            Fault::Stop(Part::Controller(index)) => self.controller(*index, lasts, How::Stop).await,
            Fault::Freeze(Part::Controller(index)) => self.controller(*index, lasts, How::Freeze).await,
            Fault::Kill(Part::Worker(index)) => self.worker(*index, lasts, How::Kill).await,
            Fault::Stop(Part::Worker(index)) => self.worker(*index, lasts, How::Stop).await,
            Fault::Freeze(Part::Worker(index)) => self.worker(*index, lasts, How::Freeze).await,
            Fault::Cut(index) => self.network(*index, lasts, Proxy::cut, Proxy::heal).await,
            Fault::Stall(index) => self.network(*index, lasts, Proxy::stall, Proxy::heal).await,
            Fault::Delay(index, by) => {
                let by = Duration::from_millis(*by);
                let delay = |proxy: &Proxy| proxy.delay(by);
                self.network(*index, lasts, delay, |proxy: &Proxy| proxy.delay(Duration::ZERO))
                    .await
            }
            Fault::DropAcks(index) => {
                let drop_acks = |proxy: &Proxy| proxy.drop_publishes("$JS.ACK.");
                self.network(*index, lasts, drop_acks, Proxy::pass_publishes).await
            }
            Fault::Clock(index, off) => self.clock(*index, lasts, *off).await,
            Fault::FullStream(name) => self.full_stream(name, lasts).await,
            Fault::FullDisk => self.full_disk(lasts).await,
        }
    }

    async fn server(&self, index: usize, lasts: Duration, how: How) -> Result<()> {
        // Of three servers, one at a time: with two gone, nothing is promised.
        let all = self.stage.server_locks.first().context("no server")?;
        let _held = all.lock().await;
        let server = self.stage.servers.get(index);
        self.stage.server_in_trouble();
        match how {
            How::Kill => server.kill().await,
            How::Stop => server.terminate().await,
            How::Freeze => server.pause(),
        }
        sleep(lasts).await;
        match how {
            How::Kill | How::Stop => server.restart().await,
            How::Freeze => server.resume(),
        }
        self.stage.server_in_trouble();
        Ok(())
    }

    async fn controller(&self, index: usize, lasts: Duration, how: How) -> Result<()> {
        let seat = self.stage.controllers.get(index).context("no controller")?;
        let mut member = seat.lock().await;
        disturb(&mut member, lasts, how).await;
        match how {
            How::Kill | How::Stop => self.stage.launch_controller(&mut member),
            How::Freeze => Ok(()),
        }
    }

    async fn worker(&self, index: usize, lasts: Duration, how: How) -> Result<()> {
        let seat = self.seat(index)?;
        let mut member = seat.member.lock().await;
        if how == How::Stop {
            self.stop_worker(seat, &mut member).await?;
            sleep(lasts).await;
            return self.stage.launch_worker(seat, &mut member);
        }
        seat.in_trouble();
        let from_ms = now_ms();
        if how == How::Kill {
            if let Some(mut process) = member.process.take() {
                process.kill();
            }
            let at_ms = now_ms();
            self.journal.write(&Line::Killed {
                instance: member.instance.clone(),
                at_ms,
            })?;
        }
        disturb(&mut member, lasts, how).await;
        if how == How::Freeze {
            self.out_of_reach(seat, from_ms)?;
        }
        seat.in_trouble();
        match how {
            How::Kill | How::Stop => self.stage.launch_worker(seat, &mut member),
            How::Freeze => Ok(()),
        }
    }

    /// Tells a worker to stop, waits for its end, and notes whether the stop was clean.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub async fn stop_worker(&self, seat: &WorkerSeat, member: &mut Member) -> Result<()> {
        let from_ms = now_ms();
        let began_calm = self.stage.was_calm(seat, CALM);
        let started = Instant::now();
        let ended = orderly(member).await;
        let calm = began_calm && self.stage.was_calm(seat, CALM + started.elapsed());
        self.journal.write(&Line::Stopped {
            instance: member.instance.clone(),
            from_ms,
            until_ms: now_ms(),
            clean: ended && calm,
        })
    }

    async fn network(
        &self,
        index: usize,
        lasts: Duration,
        disturb: impl Fn(&Proxy) + Send,
        heal: impl Fn(&Proxy) + Send,
    ) -> Result<()> {
        let seat = self.seat(index)?;
        seat.in_trouble();
        let from_ms = now_ms();
        seat.proxies.iter().for_each(disturb);
        let until = Instant::now() + lasts;
        while Instant::now() < until {
            seat.in_trouble();
            sleep(Duration::from_millis(250).min(until - Instant::now())).await;
        }
        seat.proxies.iter().for_each(heal);
        seat.in_trouble();
        self.out_of_reach(seat, from_ms)
    }

    /// Notes that a worker was out of reach until now.
    fn out_of_reach(&self, seat: &WorkerSeat, from_ms: i64) -> Result<()> {
        self.journal.write(&Line::OutOfReach {
            worker: seat.token.clone(),
            from_ms,
            until_ms: now_ms(),
        })
    }

    async fn clock(&self, index: usize, lasts: Duration, off: i64) -> Result<()> {
        let seat = self.seat(index)?;
        std::fs::write(&seat.clock, (off * 1_000).to_string())?;
        sleep(lasts).await;
        std::fs::write(&seat.clock, "0")?;
        Ok(())
    }

    async fn full_stream(&self, name: &str, lasts: Duration) -> Result<()> {
        let name = format!("MESH_{name}");
        self.stage.server_in_trouble();
        self.limit(&name, Some(ROOM)).await?;
        sleep(lasts).await;
        self.limit(&name, None).await?;
        self.stage.server_in_trouble();
        Ok(())
    }

    /// Limits a stream as soon as the server accepts it; the server may be down now.
    async fn limit(&self, name: &str, more: Option<i64>) -> Result<()> {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            let limited = timeout(Duration::from_secs(5), limit_stream(&self.stage.client, name, more));
            match limited.await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) if Instant::now() > until => anyhow::bail!("{name} cannot be limited: {error}"),
                Err(_) if Instant::now() > until => anyhow::bail!("{name} cannot be limited in time"),
                Ok(Err(_)) | Err(_) => sleep(Duration::from_millis(200)).await,
            }
        }
    }

    async fn full_disk(&self, lasts: Duration) -> Result<()> {
        let Some(Disk::Small(disk)) = &self.stage.disk else {
            return self.journal.note("skipped: this run has no small disk");
        };
        let all = self.stage.server_locks.first().context("no server")?;
        let _held = all.lock().await;
        self.stage.server_in_trouble();
        disk.fill().context("filling the disk")?;
        sleep(lasts).await;
        disk.free().context("freeing the disk")?;
        // A server that ran out of space disables JetStream until it is restarted.
        let server = self.stage.servers.get(0);
        server.terminate().await;
        server.restart().await;
        self.stage.server_in_trouble();
        Ok(())
    }

    fn seat(&self, index: usize) -> Result<&Arc<WorkerSeat>> {
        self.stage.workers.get(index).context("no worker")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Kill,
    Stop,
    Freeze,
}

/// Kills, stops or freezes a process, and returns when the disturbance is over.
async fn disturb(member: &mut Member, lasts: Duration, how: How) {
    match how {
        How::Kill => {
            if let Some(mut process) = member.process.take() {
                process.kill();
            }
            sleep(lasts).await;
        }
        How::Stop => {
            orderly(member).await;
            sleep(lasts).await;
        }
        How::Freeze => {
            if let Some(process) = &mut member.process
                && process.try_wait().is_none()
            {
                process.pause();
                sleep(lasts).await;
                process.resume();
            }
        }
    }
}

/// Stops a process in good order; returns whether it exited by itself.
async fn orderly(member: &mut Member) -> bool {
    let Some(mut process) = member.process.take() else {
        return false;
    };
    if process.try_wait().is_some() {
        return false;
    }
    process.terminate();
    let until = Instant::now() + STOP;
    loop {
        if let Some(status) = process.try_wait() {
            return status.success();
        }
        if Instant::now() > until {
            process.kill();
            return false;
        }
        sleep(Duration::from_millis(20)).await;
    }
}
