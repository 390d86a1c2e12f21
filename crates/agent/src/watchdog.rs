//! Keeps deliveries and heartbeats when the worker's own tasks cannot: a handler that blocks its thread blocks the task
//! that would extend its delivery, and as many of them as the runtime has threads block everything.
//!
//! A thread of its own looks once a second for deliveries that nobody has extended in time. It extends them over a second
//! connection, which it opens for that, and says which handler is at fault.
//!
//! It also looks for polls that last. The thread that a handler blocks may be the one that waited for the sockets, and
//! tokio lets no other take its place before a task wakes one: all of the worker would stand still, with threads that have
//! nothing to do. So the watchdog wakes one.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use baton_envelope::{Declaration, IntentId};
use baton_jetstream::{ACK_WAIT, Error, WorkerMesh};
use tokio::runtime::{Handle, Runtime};
use tokio::time::Instant;

use crate::held::AllHeld;

/// How often it looks.
const LOOK: Duration = Duration::from_secs(1);
/// A delivery that nobody has extended for so long is late: it is extended every third of the ack wait, and there must be
/// time left to open a connection.
const LATE: Duration = Duration::from_secs(ACK_WAIT.as_secs() / 2);
/// How many looks find the same poll before its handler counts as one that blocks. At fewer a machine under load would be
/// taken for such a handler.
const BLOCKS: u32 = 3;
/// How long one rescue may take.
const RESCUE_TIME: Duration = Duration::from_secs(4);
/// How long the second connection is kept when nothing needs it.
const IDLE: Duration = Duration::from_secs(60);

/// What the watchdog says of the worker when the worker cannot.
#[derive(Debug)]
pub(crate) struct Beats {
    declaration: Declaration,
    busy: Arc<AtomicU32>,
    /// When the next one is late; `None` while the worker does not beat.
    late_at: Mutex<Option<Instant>>,
}

impl Beats {
    pub(crate) fn new(declaration: Declaration, busy: Arc<AtomicU32>) -> Self {
        Self {
            declaration,
            busy,
            late_at: Mutex::new(None),
        }
    }

    /// The next heartbeat is expected before this time, or none any more.
    pub(crate) fn expect(&self, before: Option<Instant>) {
        *self.late_at.lock().unwrap_or_else(PoisonError::into_inner) = before;
    }

    fn is_late(&self) -> bool {
        let late_at = self.late_at.lock().unwrap_or_else(PoisonError::into_inner);
        late_at.is_some_and(|at| at < Instant::now())
    }

    async fn beat(&self, mesh: &WorkerMesh) -> Result<(), Error> {
        let mut declaration = self.declaration.clone();
        declaration.busy = self.busy.load(Ordering::Relaxed);
        stamp(&mut declaration, mesh);
        mesh.beat(&declaration).await
    }
}

/// Writes into a declaration when it is made, and by how much the clock of this machine is off, if it is.
pub(crate) fn stamp(declaration: &mut Declaration, mesh: &WorkerMesh) {
    declaration.at = mesh.now();
    declaration.clock_ahead_ms = mesh.clock_ahead_ms();
    declaration.host = match declaration.clock_ahead_ms {
        0 => String::new(),
        _ => rustix::system::uname().nodename().to_string_lossy().into_owned(),
    };
}

/// A thread that looks after the deliveries of a worker, for as long as this lives.
#[derive(Debug)]
pub(crate) struct Watchdog {
    /// The thread ends when this is dropped.
    _alive: Sender<()>,
}

impl Watchdog {
    /// Starts it, from within the runtime of the worker.
    pub(crate) fn start(mesh: WorkerMesh, held: Arc<AllHeld>, beats: Arc<Beats>) -> io::Result<Self> {
        let (alive, ended) = channel();
        let mut watch = Watch {
            mesh,
            held,
            beats,
            worker: Handle::current(),
            second: None,
            needed_at: Instant::now(),
            told: HashSet::new(),
            told_late: false,
        };
        std::thread::Builder::new()
            .name("baton-watchdog".to_owned())
            .spawn(move || {
                while ended.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                    watch.look();
                }
            })?;
        Ok(Self { _alive: alive })
    }
}

struct Watch {
    mesh: WorkerMesh,
    held: Arc<AllHeld>,
    beats: Arc<Beats>,
    /// The runtime of the worker.
    worker: Handle,
    /// The second connection, and the runtime that it lives on.
    second: Option<(Runtime, WorkerMesh)>,
    needed_at: Instant,
    /// The intents whose handlers were complained of.
    told: HashSet<IntentId>,
    /// Whether late deliveries were complained of.
    told_late: bool,
}

impl Watch {
    fn look(&mut self) {
        self.wake();
        let late = self.held.late(LATE);
        let misses_beat = self.beats.is_late();
        if late.is_empty() && !misses_beat {
            if self.needed_at.elapsed() > IDLE {
                self.told.clear();
                self.told_late = false;
                if let Some((runtime, mesh)) = self.second.take() {
                    drop(mesh);
                    runtime.shutdown_background();
                }
            }
            return;
        }
        self.needed_at = Instant::now();
        if !late.is_empty() && !self.told_late {
            self.told_late = true;
            tracing::warn!(
                deliveries = late.len(),
                "deliveries were not extended for {} s, and are kept from outside: a handler blocks its thread, or this process \
                 gets too little of the processor",
                LATE.as_secs()
            );
        }
        if let Err(error) = self.open() {
            tracing::error!(%error, "deliveries cannot be kept, and other workers will get them");
            return;
        }
        let Some((runtime, second)) = &self.second else { return };
        let beats = &self.beats;
        let rescue = async {
            for held in &late {
                held.extend_through(second).await;
            }
            if misses_beat {
                beats.beat(second).await?;
            }
            second.flush().await
        };
        match runtime.block_on(async { tokio::time::timeout(RESCUE_TIME, rescue).await }) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "deliveries cannot be kept, and other workers will get them"),
            Err(_) => tracing::error!("deliveries cannot be kept in time, and other workers will get them"),
        }
    }

    /// Has the runtime of the worker go on while a handler blocks one of its threads, and says which one does.
    fn wake(&mut self) {
        let lasting = self.held.lasting_polls();
        if lasting.is_empty() {
            return;
        }
        // A task from outside wakes a thread that is free, and that one then waits for the sockets.
        drop(self.worker.spawn(async {}));
        for (intent, _) in lasting.into_iter().filter(|(_, looks)| *looks >= BLOCKS) {
            if self.told.insert(intent.clone()) {
                self.needed_at = Instant::now();
                tracing::warn!(
                    %intent,
                    "the handler has blocked its thread for more than {} s; its delivery is kept, but it hears of no deadline \
                     and no stop: run what blocks in tokio::task::spawn_blocking",
                    (LOOK * (BLOCKS - 1)).as_secs()
                );
            }
            if self.held.seen_blocking() {
                tracing::warn!("from now on hops are polled with block_in_place, which costs time");
            }
        }
    }

    fn open(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        if self.second.is_some() {
            return Ok(());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("baton-rescue")
            .enable_all()
            .build()?;
        let mesh = runtime
            .block_on(async { tokio::time::timeout(RESCUE_TIME, self.mesh.beside("baton watchdog")).await })??;
        self.second = Some((runtime, WorkerMesh::of(&mesh)));
        Ok(())
    }
}
