//! A TCP proxy between a client and a server that delays, cuts, stalls, loses chosen messages, and listens.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use crate::acks::{Acks, Listener};
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
        let task = tokio::spawn(accept(listener, target, faults.clone(), Arc::clone(&dropped), ears));
        Self {
            url: format!("nats://127.0.0.1:{port}"),
            faults,
            dropped,
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

async fn accept(
    listener: TcpListener,
    target: String,
    faults: watch::Sender<Faults>,
    dropped: Arc<AtomicUsize>,
    ears: Ears,
) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(connection(
            client,
            target.clone(),
            faults.subscribe(),
            Arc::clone(&dropped),
            ears.clone(),
        ));
    }
}

async fn connection(
    client: TcpStream,
    target: String,
    faults: watch::Receiver<Faults>,
    dropped: Arc<AtomicUsize>,
    ears: Ears,
) {
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
    let mut loser = Filter {
        operations: Operations::default(),
        faults: faults.clone(),
        dropped: Arc::clone(&dropped),
        traffic: ears.traffic.clone(),
    };
    let mut deafener = Filter {
        operations: Operations::default(),
        faults: faults.clone(),
        dropped,
        traffic: None,
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
    tokio::select! {
        () = pump(from_client, to_server, faults.clone(), |bytes: &[u8]| loser.pass(bytes)) => {}
        () = pump(from_server, to_client, faults, heard) => {}
        _ = cut.wait_for(|faults| faults.link == Link::Cut) => {}
    }
}

/// Moves bytes one way until either end closes.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut faults: watch::Receiver<Faults>,
    mut pass: impl FnMut(&[u8]) -> Bytes,
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

/// Takes lost messages out of what one side sends, and tells of the others.
#[derive(Debug)]
struct Filter {
    operations: Operations,
    faults: watch::Receiver<Faults>,
    dropped: Arc<AtomicUsize>,
    traffic: Option<Traffic>,
}

impl Filter {
    fn pass(&mut self, bytes: &[u8]) -> Bytes {
        self.operations.feed(bytes);
        let mut passed = Vec::with_capacity(bytes.len());
        while let Some(operation) = self.operations.next() {
            if self.loses(&operation.kind) {
                self.dropped.fetch_add(1, Ordering::SeqCst);
            } else {
                if let Some(traffic) = &self.traffic {
                    traffic.sent(&operation);
                }
                passed.extend_from_slice(&operation.bytes);
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
}
