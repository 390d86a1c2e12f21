//! A stand-in that greets as an old server, for tests of the version check only.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::protocol::{Kind, Operation, Operations};

/// A TCP server that claims an old version and answers a handshake.
///
/// It exists to show that Baton refuses a server that is too old, and for nothing else: it stores, routes and
/// delivers nothing, and tells every request that nobody listens.
#[derive(Debug)]
pub struct FakeServer {
    url: String,
    task: JoinHandle<()>,
}

impl FakeServer {
    /// Greets as version 2.9.10, which Debian 12 ships.
    ///
    /// # Panics
    /// When no port can be listened on.
    pub async fn old() -> Self {
        Self::with_version("2.9.10").await
    }

    /// Greets as the given version.
    ///
    /// # Panics
    /// When no port can be listened on.
    pub async fn with_version(version: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let greeting = format!(
            "INFO {{\"server_id\":\"FAKE\",\"server_name\":\"fake\",\"version\":\"{version}\",\"go\":\"go1.19\",\
             \"host\":\"127.0.0.1\",\"port\":{port},\"headers\":true,\"max_payload\":1048576,\"proto\":1,\
             \"client_id\":1,\"jetstream\":true}}\r\n"
        );
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, greeting.clone()));
            }
        });
        Self {
            url: format!("nats://127.0.0.1:{port}"),
            task,
        }
    }

    /// URL for clients.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves one client until either side closes.
async fn serve(mut stream: TcpStream, greeting: String) -> std::io::Result<()> {
    stream.write_all(greeting.as_bytes()).await?;
    let mut operations = Operations::default();
    let mut subscriptions = Vec::new();
    let mut part = vec![0; 16 * 1024];
    loop {
        let count = stream.read(&mut part).await?;
        if count == 0 {
            return Ok(());
        }
        operations.feed(&part[..count]);
        while let Some(operation) = operations.next() {
            if let Some(answer) = answer(operation, &mut subscriptions) {
                stream.write_all(answer.as_bytes()).await?;
            }
        }
    }
}

fn answer(operation: Operation, subscriptions: &mut Vec<(String, String)>) -> Option<String> {
    match operation.kind {
        Kind::Ping => Some("PONG\r\n".to_owned()),
        Kind::Subscribe { subject, id } => {
            subscriptions.push((subject, id));
            None
        }
        // A request would otherwise wait for its whole timeout: tell it, as a real server does, that nobody listens.
        Kind::Publish { reply: Some(reply), .. } => {
            let matches = |subject: &str| reply.starts_with(subject.trim_end_matches(['*', '>']));
            let (_, id) = subscriptions.iter().find(|(subject, _)| matches(subject))?;
            Some(format!("HMSG {reply} {id} 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"))
        }
        Kind::Publish { reply: None, .. } | Kind::Message { .. } | Kind::Other => None,
    }
}
