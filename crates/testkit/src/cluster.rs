//! A cluster of real servers on this machine.

use std::net::TcpListener;
use std::time::Duration;

use async_nats::jetstream;
use baton_embedded::{ClusterOptions, ServerError};

use crate::eventually::eventually;
use crate::server::{TestServer, connect};

/// Time a cluster gets to elect a meta leader; elections take seconds.
const ELECTION: Duration = Duration::from_secs(60);
/// Attempts at finding free cluster ports, which have to be known before any member starts.
const ATTEMPTS: usize = 5;
/// Stream that is created and deleted to see whether the cluster takes writes.
const PROBE: &str = "TESTKIT_READY";

/// Several servers with JetStream, each with its own store; a stream may have as many replicas.
#[derive(Debug)]
pub struct Cluster {
    servers: Vec<TestServer>,
}

impl Cluster {
    /// Starts `size` servers and waits until a stream with `size` replicas can be created.
    ///
    /// # Panics
    /// When the cluster does not come up.
    pub async fn start(size: usize) -> Self {
        for _ in 0..ATTEMPTS {
            match Self::launch(size).await {
                Ok(cluster) => {
                    cluster.wait_ready().await;
                    return cluster;
                }
                // Another process took a port between its choice and its use.
                Err(ServerError::PortTaken { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        panic!("no free cluster ports in {ATTEMPTS} attempts");
    }

    async fn launch(size: usize) -> Result<Self, ServerError> {
        let peers = free_ports(size);
        let starting: Vec<_> = peers
            .iter()
            .enumerate()
            .map(|(index, port)| {
                let cluster = ClusterOptions {
                    name: "testkit".to_owned(),
                    port: *port,
                    peers: peers.clone(),
                    // A client behind a proxy would learn of the other members and walk around it.
                    advertise: false,
                };
                // All at once: a member alone never finds a majority.
                tokio::spawn(
                    TestServer::builder()
                        .name(&format!("n{index}"))
                        .cluster(cluster)
                        .try_start(),
                )
            })
            .collect();
        let mut started = Vec::with_capacity(size);
        for server in starting {
            started.push(server.await.unwrap());
        }
        Ok(Self {
            servers: started.into_iter().collect::<Result<_, _>>()?,
        })
    }

    /// Waits until a stream with a replica on every member can be created, so every member must be running.
    ///
    /// # Panics
    /// When that takes more than a minute.
    pub async fn wait_ready(&self) {
        let context = jetstream::new(self.client().await);
        let replicas = self.servers.len();
        eventually("the cluster takes writes", ELECTION, async || {
            let config = jetstream::stream::Config {
                name: PROBE.to_owned(),
                num_replicas: replicas,
                storage: jetstream::stream::StorageType::Memory,
                ..Default::default()
            };
            context
                .get_or_create_stream(config)
                .await
                .map_err(|error| error.to_string())?;
            context
                .delete_stream(PROBE)
                .await
                .map(drop)
                .map_err(|error| error.to_string())
        })
        .await;
    }

    /// Number of members.
    #[must_use]
    pub fn size(&self) -> usize {
        self.servers.len()
    }

    /// The member with this index.
    ///
    /// # Panics
    /// When there is no such member.
    #[must_use]
    pub fn server(&self, index: usize) -> &TestServer {
        &self.servers[index]
    }

    /// URLs of every member, separated by commas as clients take them.
    #[must_use]
    pub fn urls(&self) -> String {
        self.servers.iter().map(TestServer::url).collect::<Vec<_>>().join(",")
    }

    /// A client that may use any member.
    ///
    /// # Panics
    /// When no connection comes about.
    pub async fn client(&self) -> async_nats::Client {
        connect(&self.urls()).await
    }

    /// Index of the member that leads the stream, when there is a leader now.
    ///
    /// # Panics
    /// When the stream cannot be asked about.
    pub async fn stream_leader(&self, stream: &str) -> Option<usize> {
        let context = jetstream::new(self.client().await);
        let stream = context.get_stream(stream).await.unwrap();
        let leader = stream.cached_info().cluster.as_ref()?.leader.as_ref()?;
        leader.strip_prefix('n')?.parse().ok()
    }

    /// Kills a member (`kill -9`).
    ///
    /// # Panics
    /// When there is no such member.
    pub async fn kill(&self, index: usize) {
        self.servers[index].kill().await;
    }

    /// Starts a member again on its store and ports.
    ///
    /// # Panics
    /// When there is no such member or it does not start.
    pub async fn restart(&self, index: usize) {
        self.servers[index].restart().await;
    }

    /// Freezes a member.
    ///
    /// # Panics
    /// When there is no such member or it is not running.
    pub fn pause(&self, index: usize) {
        self.servers[index].pause();
    }

    /// Thaws a member.
    ///
    /// # Panics
    /// When there is no such member or it is not running.
    pub fn resume(&self, index: usize) {
        self.servers[index].resume();
    }
}

/// Distinct ports that are free now: all are held until the last is chosen.
fn free_ports(count: usize) -> Vec<u16> {
    let held: Vec<_> = (0..count)
        .map(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap())
        .collect();
    held.iter()
        .map(|listener| listener.local_addr().unwrap().port())
        .collect()
}
