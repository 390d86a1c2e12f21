//! The screen: stands between the NATS client and the server, in this process, and mends messages that the client cannot
//! read ([why](../../../../docs/design/022-poison.md)).
//!
//! Anyone may publish a message whose head or subject is no text, and the server delivers it as it is. The client then
//! drops its connection, or panics, each time it gets that message. With the screen it gets a message that says in
//! `Baton-Malformed` what was wrong, and whoever reads it decides what becomes of it.
//!
//! The client connects to the screen on the loopback interface; the screen keeps the addresses of the servers and does
//! TLS. A connection that does not know the screen's secret is closed: the screen may hold a client certificate.

mod dial;
mod frames;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub use dial::Tls;
use dial::{Servers, Upstream, Wire};
use frames::Frames;

/// Read and written at a time.
const BUFFER: usize = 64 * 1024;
/// The longest line with which a client begins.
const LONGEST_CONNECT: u64 = 1 << 20;
/// How long a listener that cannot accept pauses.
const PAUSE: Duration = Duration::from_millis(50);

/// A screen; it closes when it is dropped. Connections that are open then end when the client closes them.
#[derive(Debug)]
pub(crate) struct Screen {
    shared: Arc<Shared>,
    port: u16,
    listening: JoinHandle<()>,
}

struct Shared {
    servers: Servers,
    /// Stands after the name of the connection, and is taken off again.
    secret: String,
    /// A connection that was made before the client asked for one.
    ready: Mutex<Option<Upstream>>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("servers", &self.servers)
            .finish_non_exhaustive()
    }
}

impl Screen {
    /// A screen before these servers.
    ///
    /// # Errors
    /// When an address cannot be read, or there is no port on the loopback interface.
    pub(crate) async fn new(url: &str, tls: Tls) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            servers: Servers::parse(url, tls)?,
            secret: format!("#{:032x}", rand::random::<u128>()),
            ready: Mutex::default(),
        });
        let listening = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            shared,
            port,
            listening,
        })
    }

    /// Makes a connection to a server, for the next one that the client asks for.
    ///
    /// # Errors
    /// When no server answers.
    pub(crate) async fn reach(&self) -> io::Result<()> {
        let upstream = self.shared.servers.dial().await?;
        *self.shared.ready.lock().unwrap_or_else(PoisonError::into_inner) = Some(upstream);
        Ok(())
    }

    /// The address that the client connects to.
    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The name that the client gives its connection, so that the screen knows it.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{name}{}", self.shared.secret)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                // Ends when the client closes its side, or the server.
                drop(tokio::spawn(serve(client, Arc::clone(&shared))));
            }
            Err(error) => {
                tracing::debug!(%error, "no connection could be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn serve(client: TcpStream, shared: Arc<Shared>) {
    if let Err(error) = relay(client, &shared).await {
        tracing::debug!(%error, "a connection to nats-server ended");
    }
}

async fn relay(client: TcpStream, shared: &Shared) -> io::Result<()> {
    client.set_nodelay(true)?;
    let ready = shared.ready.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Upstream { wire, read } = match ready {
        Some(upstream) => upstream,
        None => shared.servers.dial().await?,
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = tokio::io::split(wire);
    // Whichever side closes first, the other is closed by dropping it. What a client wrote before it closed is sent on.
    tokio::select! {
        ended = requests(from_client, to_server, shared) => ended,
        ended = answers(from_server, to_client, read, shared) => ended,
    }
}

/// What the client sends: as it is, but for the secret.
async fn requests(
    client: OwnedReadHalf,
    mut server: tokio::io::WriteHalf<Box<dyn Wire>>,
    shared: &Shared,
) -> io::Result<()> {
    let mut client = BufReader::with_capacity(BUFFER, client);
    let mut line = Vec::new();
    (&mut client).take(LONGEST_CONNECT).read_until(b'\n', &mut line).await?;
    let connect = without_secret(&line, &shared.secret).ok_or(io::ErrorKind::PermissionDenied)?;
    server.write_all(&connect).await?;
    tokio::io::copy_buf(&mut client, &mut server).await?;
    server.shutdown().await
}

/// The line `CONNECT {...}` with the name that the server shall see; `None` from whoever is not the client.
fn without_secret(line: &[u8], secret: &str) -> Option<Vec<u8>> {
    let document = line.strip_prefix(b"CONNECT ")?;
    let mut connect: Value = serde_json::from_slice(document).ok()?;
    let name = connect.get_mut("name")?;
    let known = name.as_str()?.strip_suffix(secret)?.to_owned();
    *name = Value::String(known);
    Some(format!("CONNECT {connect}\r\n").into_bytes())
}

/// What the server sends, mended.
async fn answers(
    mut server: tokio::io::ReadHalf<Box<dyn Wire>>,
    mut client: OwnedWriteHalf,
    read: Vec<u8>,
    shared: &Shared,
) -> io::Result<()> {
    let (mut frames, mut seen) = (Frames::default(), 0);
    let (mut buffer, mut out) = (vec![0; BUFFER], Vec::with_capacity(BUFFER));
    frames.feed(&read, &mut out);
    loop {
        if let Some(urls) = frames.discovered.take() {
            shared.servers.discovered(&urls);
        }
        if frames.mended > seen {
            tracing::debug!(messages = frames.mended - seen, "malformed messages were mended");
            seen = frames.mended;
        }
        client.write_all(&out).await?;
        out.clear();
        out.shrink_to(4 * BUFFER);
        let count = server.read(&mut buffer).await?;
        if count == 0 {
            return client.shutdown().await;
        }
        frames.feed(buffer.get(..count).unwrap_or_default(), &mut out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_knows_the_secret_gets_through_and_the_server_does_not_see_it() {
        let line = b"CONNECT {\"name\":\"baton#s3\",\"headers\":true}\r\n";
        let sent = without_secret(line, "#s3").expect("known");
        let document: Value = serde_json::from_slice(sent.strip_prefix(b"CONNECT ").expect("CONNECT")).expect("JSON");
        assert_eq!(document, serde_json::json!({"name": "baton", "headers": true}));
        for foreign in [
            &b"CONNECT {\"name\":\"baton\"}\r\n"[..],
            b"CONNECT {}\r\n",
            b"PING\r\n",
            b"",
        ] {
            assert_eq!(without_secret(foreign, "#s3"), None);
        }
    }
}
