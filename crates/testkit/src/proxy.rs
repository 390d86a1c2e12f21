//! A TCP proxy between a client and a server that delays, cuts, stalls, loses and doubles chosen messages, lets a client die
//! or stalls it after one of its writes, and listens.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::acks::{Acks, Listener};
use crate::fuse::{End, Fuse, Write};
use crate::protocol::{Kind, Operations};
use crate::traffic::{Recorder, Traffic};

/// Bytes in flight per direction before the sender is made to wait.
const WINDOW: usize = 1024 * 1024;

/// Stands between clients and one server. Clear text only.
///
/// Faults apply to connections that are open as well as to new ones. Dropped, it closes every connection.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    faults: watch::Sender<Faults>,
    dropped: Arc<AtomicUsize>,
    fuse: Arc<Fuse>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone, Default)]
struct Faults {
    link: Link,
    delay: Duration,
    /// Publishes to subjects that start with one of these never reach the server.
    lost: Vec<String>,
    /// Messages on subjects that start with one of these never reach a client.
    unheard: Vec<String>,
    /// Messages on subjects that start with one of these reach a client twice.
    doubled: Vec<String>,
}

/// Who is told what passes.
#[derive(Debug, Clone, Default)]
struct Ears {
    acks: Option<Acks>,
    traffic: Option<Traffic>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Link {
    #[default]
    Up,
    /// Connections are closed, new ones too.
    Cut,
    /// Connections stay open and nothing passes.
    Stalled,
}

impl Proxy {
    /// Starts a proxy in front of the server at `url` (`nats://host:port`).
    ///
    /// # Panics
    /// When no port can be listened on.
    pub async fn start(url: &str) -> Self {
        Self::start_with(url, Ears::default()).await
    }

    /// As [`start`](Self::start), and writes down what the server acknowledges. One list may serve many proxies.
    ///
    /// # Panics
    /// When no port can be listened on.
    pub async fn listening(url: &str, acks: &Acks) -> Self {
        let acks = Some(acks.clone());
        Self::start_with(url, Ears { acks, traffic: None }).await
    }

    /// As [`start`](Self::start), and writes down every message that passes. One record may serve many proxies.
    ///
    /// # Panics
    /// When no port can be listened on.
    pub async fn recording(url: &str, traffic: &Traffic) -> Self {
        let traffic = Some(traffic.clone());
        Self::start_with(url, Ears { acks: None, traffic }).await
    }

    async fn start_with(url: &str, ears: Ears) -> Self {
        let target = url.trim_start_matches("nats://").to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let faults = watch::Sender::new(Faults::default());
        let dropped = Arc::new(AtomicUsize::new(0));
        let fuse = Arc::new(Fuse::default());
        let shared = Shared {
            faults: faults.clone(),
            dropped: Arc::clone(&dropped),
            fuse: Arc::clone(&fuse),
            ears,
        };
        let task = tokio::spawn(accept(listener, target, shared));
        Self {
            url: format!("nats://127.0.0.1:{port}"),
            faults,
            dropped,
            fuse,
            task,
        }
    }

    /// URL for clients.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A client connected through the proxy, which reconnects for ever and quickly.
    ///
    /// # Panics
    /// When no connection comes about.
    pub async fn client(&self) -> async_nats::Client {
        crate::server::connect(&self.url).await
    }

    /// Delivers everything this much later, in both directions; zero ends it. Bytes under way keep their time.
    pub fn delay(&self, delay: Duration) {
        self.faults.send_modify(|faults| faults.delay = delay);
    }

    /// Closes every connection and every new one, until [`heal`](Self::heal).
    pub fn cut(&self) {
        self.faults.send_modify(|faults| faults.link = Link::Cut);
    }

    /// Lets nothing pass and keeps connections open, as a lost network does, until [`heal`](Self::heal).
    pub fn stall(&self) {
        self.faults.send_modify(|faults| faults.link = Link::Stalled);
    }

    /// Ends a cut or a stall; what was stalled is delivered. Delays and lost publishes stay as they are.
    pub fn heal(&self) {
        self.faults.send_modify(|faults| faults.link = Link::Up);
    }

    /// Loses every publish of a client to a subject with this prefix: `$JS.ACK.` loses acknowledgements.
    pub fn drop_publishes(&self, prefix: &str) {
        self.faults.send_modify(|faults| faults.lost.push(prefix.to_owned()));
    }

    /// Passes all publishes again.
    pub fn pass_publishes(&self) {
        self.faults.send_modify(|faults| faults.lost.clear());
    }

    /// Loses every message of the server on a subject with this prefix, and leaves the connection open.
    pub fn drop_deliveries(&self, prefix: &str) {
        self.faults.send_modify(|faults| faults.unheard.push(prefix.to_owned()));
    }

    /// Passes all messages of the server again.
    pub fn pass_deliveries(&self) {
        self.faults.send_modify(|faults| faults.unheard.clear());
    }

    /// Delivers every message of the server on a subject with this prefix twice, one copy right behind the other.
    pub fn double_deliveries(&self, prefix: &str) {
        self.faults.send_modify(|faults| faults.doubled.push(prefix.to_owned()));
    }

    /// Counts publishes to subjects with these prefixes from now on.
    pub fn count_writes(&self, prefixes: &[&str]) {
        self.fuse.set(prefixes, None);
    }

    /// As [`count_writes`](Self::count_writes), and lets the clients die right after the fatal one, which is the last of those
    /// that `is_fatal` is shown: it reaches the server, its answer and everything else is lost on every connection, for good.
    pub fn die_after(&self, prefixes: &[&str], is_fatal: impl Fn(&[Write]) -> bool + Send + Sync + 'static) {
        self.fuse.set(prefixes, Some((End::Death, Box::new(is_fatal))));
    }

    /// As [`die_after`](Self::die_after), and loses nothing: from the fatal write on nothing passes until
    /// [`heal`](Self::heal). So whoever stops a process knows what it has not heard yet.
    pub fn stall_after(&self, prefixes: &[&str], is_fatal: impl Fn(&[Write]) -> bool + Send + Sync + 'static) {
        self.fuse.set(prefixes, Some((End::Stall, Box::new(is_fatal))));
    }

    /// The publishes that were counted.
    #[must_use]
    pub fn writes(&self) -> Vec<Write> {
        self.fuse.writes()
    }

    /// Waits until the fatal write has gone to the server.
    pub async fn fatal_write(&self) {
        self.fuse.blown().await;
    }

    /// Number of publishes and messages lost so far.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.dropped.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The task owns every connection.
        self.task.abort();
    }
}

/// What the connections of a proxy share.
#[derive(Debug, Clone)]
struct Shared {
    faults: watch::Sender<Faults>,
    dropped: Arc<AtomicUsize>,
    fuse: Arc<Fuse>,
    ears: Ears,
}

async fn accept(listener: TcpListener, target: String, shared: Shared) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(connection(client, target.clone(), shared.clone()));
    }
}

async fn connection(client: TcpStream, target: String, shared: Shared) {
    let Shared {
        faults,
        dropped,
        fuse,
        ears,
    } = shared;
    let link = faults;
    let faults = link.subscribe();
    if faults.borrow().link == Link::Cut {
        return;
    }
    // A server that is down looks to the client like one that closes at once.
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    // Small operations must not wait for each other's acknowledgement; a failure costs only speed.
    let _slower = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut cut = faults.clone();
    let lit = Arc::new(AtomicBool::new(false));
    let mut loser = Filter {
        operations: Operations::default(),
        faults: faults.clone(),
        dropped: Arc::clone(&dropped),
        traffic: ears.traffic.clone(),
        fuse: Arc::clone(&fuse),
        lit: Arc::clone(&lit),
    };
    let mut deafener = Filter {
        operations: Operations::default(),
        faults: faults.clone(),
        dropped,
        traffic: None,
        fuse: Arc::clone(&fuse),
        lit: Arc::default(),
    };
    let mut listener = ears.acks.map(Listener::new);
    let mut recorder = ears.traffic.map(Recorder::new);
    let heard = |bytes: &[u8]| {
        let bytes = deafener.pass(bytes);
        if let Some(listener) = &mut listener {
            listener.feed(&bytes);
        }
        if let Some(recorder) = &mut recorder {
            recorder.feed(&bytes);
        }
        bytes
    };
    // The fatal write is with the server before its client is told dead. Both directions are pumped by this task, so that no
    // answer comes between.
    let flushed = || {
        if lit.swap(false, Ordering::SeqCst) {
            if fuse.end() == Some(End::Stall) {
                link.send_modify(|faults| faults.link = Link::Stalled);
            }
            fuse.blow();
        }
    };
    tokio::select! {
        () = pump(from_client, to_server, faults.clone(), |bytes: &[u8]| loser.pass(bytes), flushed) => {}
        () = pump(from_server, to_client, faults, heard, || {}) => {}
        _ = cut.wait_for(|faults| faults.link == Link::Cut) => {}
    }
}

/// Moves bytes one way until either end closes.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut faults: watch::Receiver<Faults>,
    mut pass: impl FnMut(&[u8]) -> Bytes,
    mut flushed: impl FnMut(),
) {
    let mut part = vec![0; 64 * 1024];
    let mut flight: VecDeque<(Instant, Bytes)> = VecDeque::new();
    let mut size = 0;
    loop {
        let due = flight.front().map(|(due, _)| *due);
        tokio::select! {
            read = from.read(&mut part), if size < WINDOW => {
                let Ok(count @ 1..) = read else { return };
                let bytes = pass(&part[..count]);
                size += bytes.len();
                flight.push_back((Instant::now() + faults.borrow().delay, bytes));
            }
            () = deliverable(due, &mut faults) => {
                if let Some((_, bytes)) = flight.pop_front() {
                    size -= bytes.len();
                    if to.write_all(&bytes).await.is_err() {
                        return;
                    }
                    if flight.is_empty() {
                        flushed();
                    }
                }
            }
        }
    }
}

/// Waits until the oldest bytes are due and the link is not stalled.
async fn deliverable(due: Option<Instant>, faults: &mut watch::Receiver<Faults>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
    if faults.wait_for(|faults| faults.link != Link::Stalled).await.is_err() {
        // The proxy is gone, and this task with it.
        std::future::pending::<()>().await;
    }
}

/// Takes lost messages out of what one side sends, repeats doubled ones, and tells of the others.
#[derive(Debug)]
struct Filter {
    operations: Operations,
    faults: watch::Receiver<Faults>,
    dropped: Arc<AtomicUsize>,
    traffic: Option<Traffic>,
    fuse: Arc<Fuse>,
    /// Whether the fatal write was one of this connection.
    lit: Arc<AtomicBool>,
}

impl Filter {
    fn pass(&mut self, bytes: &[u8]) -> Bytes {
        self.operations.feed(bytes);
        let mut passed = Vec::with_capacity(bytes.len());
        while let Some(operation) = self.operations.next() {
            if self.fuse.kills() || self.loses(&operation.kind) {
                self.dropped.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            if let Some(traffic) = &self.traffic {
                traffic.sent(&operation);
            }
            passed.extend_from_slice(&operation.bytes);
            if self.doubles(&operation.kind) {
                passed.extend_from_slice(&operation.bytes);
            }
            if let Kind::Publish { subject, .. } = &operation.kind
                && self.fuse.burns(subject, || operation.body())
            {
                self.lit.store(true, Ordering::SeqCst);
            }
        }
        passed.into()
    }

    fn loses(&self, kind: &Kind) -> bool {
        let faults = self.faults.borrow();
        let (subject, lost) = match kind {
            Kind::Publish { subject, .. } => (subject, &faults.lost),
            Kind::Message { subject, .. } => (subject, &faults.unheard),
            Kind::Subscribe { .. } | Kind::Ping | Kind::Other => return false,
        };
        lost.iter().any(|prefix| subject.starts_with(prefix.as_str()))
    }

    fn doubles(&self, kind: &Kind) -> bool {
        let Kind::Message { subject, .. } = kind else {
            return false;
        };
        let faults = self.faults.borrow();
        faults.doubled.iter().any(|prefix| subject.starts_with(prefix.as_str()))
    }
}
