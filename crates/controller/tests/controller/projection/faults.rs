//! Files, servers and ledgers that are damaged, deleted, restarted, replaced.

use std::path::Path;
use std::time::Duration;

use baton_controller::Projection;
use baton_jetstream::{Limits, Mesh, Target};
use baton_testkit::Cluster;

use super::random::lives;
use super::{Following, assert_equal, expected, file, mesh_of, submitted, version, write};
use crate::support::{PATIENCE, TestServer, eventually};

async fn make_ledger_anew(server: &TestServer, mesh: &Mesh) {
    let client = server.client().await;
    let deleted = client
        .request("$JS.API.STREAM.DELETE.MESH_LEDGER", Vec::new().into())
        .await
        .unwrap();
    assert!(String::from_utf8_lossy(&deleted.payload).contains("\"success\":true"));
    assert!(mesh.make_ledger(Limits::default()).await.unwrap());
}

async fn is_built_anew_after(damage: impl AsyncFn(&TestServer, &Mesh, &Path)) {
    let server = TestServer::start().await;
    let mesh = mesh_of(&server).await;
    lives(&mesh, "before", 80).await;
    let following = Following::start(&mesh, Some(file(&server))).await;
    assert_equal(&mesh, &following.projection).await;
    following.stop().await;

    damage(&server, &mesh, &file(&server)).await;
    let opened = Projection::open(&mesh, Some(file(&server))).await.unwrap();
    assert_eq!(opened.position(), 0, "nothing of it is used");
    drop(opened);
    let following = Following::start(&mesh, Some(file(&server))).await;
    assert_equal(&mesh, &following.projection).await;
    lives(&mesh, "after", 40).await;
    assert_equal(&mesh, &following.projection).await;
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_deleted_is_built_anew() {
    is_built_anew_after(async |_, _, file| std::fs::remove_file(file).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_garbage_is_built_anew() {
    is_built_anew_after(async |_, _, file| std::fs::write(file, [b'x'; 20_000]).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_damaged_in_the_middle_is_built_anew() {
    is_built_anew_after(async |_, _, file| {
        let mut bytes = std::fs::read(file).unwrap();
        let from = bytes.len() / 3;
        bytes[from..].fill(0x5a);
        std::fs::write(file, bytes).unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_ledger_is_noticed_when_it_starts() {
    is_built_anew_after(async |server, mesh, _| {
        make_ledger_anew(server, mesh).await;
        lives(mesh, "anew", 40).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_ledger_is_noticed_while_it_follows() {
    let server = TestServer::start().await;
    let mesh = mesh_of(&server).await;
    lives(&mesh, "before", 80).await;
    let following = Following::start(&mesh, Some(file(&server))).await;
    assert_equal(&mesh, &following.projection).await;
    make_ledger_anew(&server, &mesh).await;
    // Also while the new one is empty: what is known of the old one has to go.
    assert_eq!(following.projection.caught_up(PATIENCE).await.unwrap(), 0);
    assert_equal(&mesh, &following.projection).await;
    lives(&mesh, "after", 40).await;
    assert_equal(&mesh, &following.projection).await;
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_damaged_while_it_is_used_is_built_anew() {
    let server = TestServer::start().await;
    let mesh = mesh_of(&server).await;
    lives(&mesh, "before", 160).await;
    let following = Following::start(&mesh, Some(file(&server))).await;
    assert_equal(&mesh, &following.projection).await;
    for path in [file(&server), file(&server).with_extension("db-wal")] {
        if let Ok(length) = std::fs::metadata(&path).map(|data| data.len()) {
            let garbage = vec![0x5a; usize::try_from(length).unwrap()];
            std::fs::write(&path, garbage).unwrap();
        }
    }
    lives(&mesh, "after", 160).await;
    assert_equal(&mesh, &following.projection).await;
    following.stop().await;
    let following = Following::start(&mesh, Some(file(&server))).await;
    assert_equal(&mesh, &following.projection).await;
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_when_the_server_restarts() {
    let server = TestServer::start().await;
    let mesh = mesh_of(&server).await;
    let following = Following::start(&mesh, None).await;
    for round in ["one", "three", "five05"] {
        let writer = tokio::spawn({
            let (mesh, round) = (mesh.clone(), round.to_owned());
            async move { lives(&mesh, &round, 160).await }
        });
        let position = following.projection.position();
        let mut changes = following.projection.changes();
        changes.wait_for(|now| *now > position).await.unwrap();
        server.kill().await;
        server.restart().await;
        writer.await.unwrap();
        assert_equal(&mesh, &following.projection).await;
    }
    // Idle when the server restarts; then new records must come soon all the same.
    server.restart().await;
    let to = version("research", "1.0.0");
    let seq = write(&mesh, &submitted(&mesh, "after-all", &to), 0).await;
    let mut changes = following.projection.changes();
    let seen = tokio::time::timeout(Duration::from_secs(4), changes.wait_for(|position| *position >= seq)).await;
    seen.expect("soon after the restart").unwrap();
    assert_equal(&mesh, &following.projection).await;
    following.stop().await;
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A server that loses the last records of the ledger, as a power cut may make it.
struct PowerCut {
    server: TestServer,
    mesh: Mesh,
}

impl PowerCut {
    async fn prepare() -> Self {
        let server = TestServer::start().await;
        let mesh = mesh_of(&server).await;
        lives(&mesh, "kept", 80).await;
        server.terminate().await;
        copy(&server.dir().join("jetstream"), &server.dir().join("kept"));
        server.restart().await;
        Self { server, mesh }
    }

    /// From now on the ledger is as it was then.
    async fn happen(&self) {
        self.server.kill().await;
        std::fs::remove_dir_all(self.server.dir().join("jetstream")).unwrap();
        copy(&self.server.dir().join("kept"), &self.server.dir().join("jetstream"));
        self.server.restart().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_a_power_cut_took_are_forgotten() {
    let cut = PowerCut::prepare().await;
    let (server, mesh) = (&cut.server, &cut.mesh);
    let following = Following::start(mesh, Some(file(server))).await;
    lives(mesh, "lost", 80).await;
    assert_equal(mesh, &following.projection).await;
    cut.happen().await;
    // Without any new record.
    eventually("it went back", PATIENCE, async || {
        let end = mesh.ledger_end().await.map_err(|error| error.to_string())?.last_seq;
        let position = following.projection.position();
        (position == end)
            .then_some(())
            .ok_or_else(|| format!("{position}, and the ledger ends at {end}"))
    })
    .await;
    assert_equal(mesh, &following.projection).await;
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_records_in_the_place_of_lost_ones_are_noticed() {
    let cut = PowerCut::prepare().await;
    let (server, mesh) = (&cut.server, &cut.mesh);
    let following = Following::start(mesh, Some(file(server))).await;
    lives(mesh, "lost", 80).await;
    assert_equal(mesh, &following.projection).await;
    let position = following.projection.position();
    following.stop().await;
    cut.happen().await;
    lives(mesh, "instead-of-them", 160).await;
    assert!(
        mesh.ledger_end().await.unwrap().last_seq > position,
        "the count alone does not tell"
    );
    let following = Following::start(mesh, Some(file(server))).await;
    comes_to_equal(mesh, &following.projection).await;
    assert_equal(mesh, &following.projection).await;
    following.stop().await;
}

/// For when the heads themselves may lag: any replica answers for them.
async fn comes_to_equal(mesh: &Mesh, projection: &Projection) {
    projection.caught_up(PATIENCE).await.unwrap();
    eventually("it is what the ledger says", PATIENCE, async || {
        let counts = projection.counts().await.unwrap();
        // While a leader is elected nobody may answer.
        let (said, _) = expected(mesh).await.map_err(|error| error.to_string())?;
        (counts == said).then_some(()).ok_or_else(|| format!("{counts:?}"))
    })
    .await;
}

/// The consumer lives on one member only, and the stream has to elect another leader.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_when_members_of_a_cluster_die() {
    let cluster = Cluster::start(3).await;
    let target = Target {
        replicas: Some(3),
        ..Target::at(cluster.urls())
    };
    let mesh = target.connect().await.unwrap();
    mesh.ensure_topology(mesh.limits()).await.unwrap();
    let following = Following::start(&mesh, None).await;
    for member in 0..cluster.size() {
        lives(&mesh, &format!("before-{member}"), 16).await;
        comes_to_equal(&mesh, &following.projection).await;
        cluster.kill(member).await;
        lives(&mesh, &format!("without-{member}"), 16).await;
        comes_to_equal(&mesh, &following.projection).await;
        cluster.restart(member).await;
        cluster.wait_ready().await;
    }
    following.stop().await;
}
