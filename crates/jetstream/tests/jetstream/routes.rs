//! Following the routes without a consumer.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_nats::jetstream;
use baton_envelope::control::LoadReport;
use baton_envelope::{AgentName, Timestamp};
use baton_jetstream::{Clock, ControllerMesh, Error, Level, Limits, Mesh, SystemClock, Target, examine};
use baton_testkit::{Cluster, Passed, Proxy, Traffic, Way};
use tokio::time::Instant;

use crate::support::{PATIENCE, TestServer, connect, eventually, version};

const STREAM: &str = "KV_MESH_ROUTES";
/// A change reaches a follower sooner than this.
const AT_ONCE: Duration = Duration::from_secs(1);

/// A clock that can be set forward: as if the process had been frozen meanwhile.
#[derive(Debug, Default)]
struct Leaping {
    millis: AtomicI64,
}

impl Leaping {
    fn leap(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).unwrap();
        self.millis.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for Leaping {
    fn now(&self) -> Timestamp {
        let millis = u64::try_from(self.millis.load(Ordering::SeqCst)).unwrap();
        SystemClock.now().plus(Duration::from_millis(millis))
    }

    fn random(&self) -> [u8; 10] {
        SystemClock.random()
    }
}

/// A connection whose clock leaps where a test says so.
async fn leaping(url: &str) -> (Mesh, Arc<Leaping>) {
    let clock = Arc::new(Leaping::default());
    let connected = Target::at(url).connect_with(Arc::<Leaping>::clone(&clock)).await;
    (connected.unwrap(), clock)
}

fn named(number: usize) -> AgentName {
    format!("agent-{number}").parse().unwrap()
}

async fn set(mesh: &Mesh, agent: &AgentName, to: &str) {
    ControllerMesh::of(mesh)
        .change_route(agent, |_| {
            let route = baton_envelope::Route::first(agent.clone(), version(to), mesh.now(), "test");
            Ok(Some(route))
        })
        .await
        .unwrap();
}

async fn active(mesh: &Mesh, agent: &AgentName) -> String {
    mesh.route_of(agent).await.unwrap().active.to_string()
}

async fn until_active(mesh: &Mesh, agent: &AgentName, expected: &str, within: Duration) {
    eventually("the change reaches the follower", within, async || {
        match active(mesh, agent).await {
            found if found == expected => Ok(()),
            found => Err(found),
        }
    })
    .await;
}

async fn consumers(server: &TestServer) -> usize {
    let stream = jetstream::new(server.client().await).get_stream(STREAM).await.unwrap();
    stream.cached_info().state.consumer_count
}

async fn edit(server: &TestServer, edit: impl Fn(&mut jetstream::stream::Config)) {
    let context = jetstream::new(server.client().await);
    let mut config = context.get_stream(STREAM).await.unwrap().cached_info().config.clone();
    edit(&mut config);
    context.update_stream(config).await.unwrap();
}

async fn mesh_of(server: &TestServer, agents: usize) -> Mesh {
    let mesh = connect(server).await;
    mesh.ensure_topology(Limits::default()).await.unwrap();
    for number in 0..agents {
        set(&mesh, &named(number), "1.0.0").await;
    }
    mesh
}

/// What a follower asked of the bucket.
fn asked(traffic: &Traffic) -> Vec<Passed> {
    let of_bucket = |one: &Passed| one.way == Way::Sent && one.subject.contains(STREAM);
    traffic.take().into_iter().filter(of_bucket).collect()
}

#[tokio::test]
async fn a_change_reaches_a_follower_and_no_consumer_is_there() {
    let server = TestServer::start().await;
    let operator = mesh_of(&server, 3).await;
    let traffic = Traffic::default();
    let proxy = Proxy::recording(server.url(), &traffic).await;
    let mesh = Target::at(proxy.url()).connect().await.unwrap();
    let _following = mesh.follow_routes().await.unwrap();
    assert_eq!(mesh.known_routes().await.unwrap().len(), 3);
    drop(traffic.take());
    set(&operator, &named(1), "2.0.0").await;
    until_active(&mesh, &named(1), "2.0.0", AT_ONCE).await;
    assert!(asked(&traffic).is_empty(), "it was told, and did not ask");
    set(&operator, &named(7), "1.0.0").await;
    until_active(&mesh, &named(7), "1.0.0", AT_ONCE).await;

    // Neither does reading take one: lists, history, an agent that is unknown.
    assert_eq!(operator.all_routes().await.unwrap().len(), 4);
    let history = operator.route_history(&named(1)).await.unwrap();
    let versions: Vec<String> = history.iter().map(|(_, route)| route.active.to_string()).collect();
    assert_eq!(versions, ["1.0.0", "2.0.0"]);
    let unknown = mesh.route_of(&named(99)).await.unwrap_err();
    assert!(
        matches!(&unknown, Error::UnknownAgent { known, .. } if known.len() == 4),
        "{unknown}"
    );
    assert!(operator.declarations().await.unwrap().is_empty());
    assert_eq!(consumers(&server).await, 0);
    let made = traffic
        .take()
        .into_iter()
        .filter(|one| one.subject.contains("CONSUMER.CREATE"));
    assert_eq!(made.count(), 0);
}

#[tokio::test]
async fn an_empty_mesh_is_followed_without_asking_again() {
    let server = TestServer::start().await;
    let operator = mesh_of(&server, 0).await;
    let traffic = Traffic::default();
    let proxy = Proxy::recording(server.url(), &traffic).await;
    let mesh = Target::at(proxy.url()).connect().await.unwrap();
    let _following = mesh.follow_routes().await.unwrap();
    drop(traffic.take());
    for _ in 0..10 {
        assert!(mesh.known_routes().await.unwrap().is_empty());
    }
    assert!(asked(&traffic).is_empty());
    set(&operator, &named(1), "1.0.0").await;
    eventually("the first route is known", AT_ONCE, async || {
        match mesh.known_routes().await.unwrap().len() {
            1 => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;
}

#[tokio::test]
async fn a_lost_change_shows_by_the_next_one_of_any_agent() {
    let server = TestServer::start().await;
    let operator = mesh_of(&server, 3).await;
    let proxy = Proxy::start(server.url()).await;
    let mesh = Target::at(proxy.url()).connect().await.unwrap();
    let _following = mesh.follow_routes().await.unwrap();
    proxy.drop_deliveries("mesh.route.");
    set(&operator, &named(0), "2.0.0").await;
    eventually("the change is lost", PATIENCE, async || match proxy.dropped() {
        0 => Err("not yet".to_owned()),
        _ => Ok(()),
    })
    .await;
    proxy.pass_deliveries();
    set(&operator, &named(2), "3.0.0").await;
    until_active(&mesh, &named(0), "2.0.0", AT_ONCE).await;
    assert_eq!(active(&mesh, &named(2)).await, "3.0.0");
}

#[tokio::test]
async fn a_follower_that_was_frozen_proves_before_it_routes() {
    let server = TestServer::start().await;
    let operator = mesh_of(&server, 2).await;
    let proxy = Proxy::start(server.url()).await;
    let (mesh, clock) = leaping(proxy.url()).await;
    let _following = mesh.follow_routes().await.unwrap();
    proxy.drop_deliveries("mesh.route.");
    set(&operator, &named(0), "2.0.0").await;
    assert_eq!(
        active(&mesh, &named(0)).await,
        "1.0.0",
        "within the bound it may route by what it has"
    );
    clock.leap(Duration::from_secs(5));
    assert_eq!(active(&mesh, &named(0)).await, "2.0.0", "beyond it, never");

    // One that is cut off cannot prove anything, and does not route by what it has either.
    set(&operator, &named(0), "3.0.0").await;
    proxy.stall();
    clock.leap(Duration::from_secs(5));
    let cut_off = mesh.route_of(&named(0)).await;
    assert!(matches!(cut_off, Err(Error::NoAnswer { .. })), "{cut_off:?}");
    let cause = cut_off.as_ref().err().and_then(std::error::Error::source);
    assert!(cause.is_some(), "what came in place of an answer is told: {cut_off:?}");
    proxy.heal();
    assert_eq!(active(&mesh, &named(0)).await, "3.0.0");
}

#[tokio::test]
async fn a_bucket_that_is_wiped_or_made_again_is_read_anew() {
    let server = TestServer::start().await;
    let operator = mesh_of(&server, 5).await;
    let (mesh, clock) = leaping(server.url()).await;
    let _following = mesh.follow_routes().await.unwrap();
    let context = jetstream::new(server.client().await);
    context.get_stream(STREAM).await.unwrap().purge().await.unwrap();
    clock.leap(Duration::from_secs(5));
    let known = mesh.known_routes().await.unwrap();
    assert_eq!(
        known.len(),
        5,
        "after a purge: the last decisions stand until somebody decides anew"
    );
    set(&operator, &named(0), "2.0.0").await;
    until_active(&mesh, &named(0), "2.0.0", AT_ONCE).await;

    context.delete_stream(STREAM).await.unwrap();
    operator.ensure_topology(Limits::default()).await.unwrap();
    // As many revisions as before, and more, so that sequences alone say nothing.
    for number in 0..8 {
        set(&operator, &named(number), "4.0.0").await;
    }
    until_active(&mesh, &named(0), "4.0.0", AT_ONCE).await;
    clock.leap(Duration::from_secs(5));
    let known = mesh.known_routes().await.unwrap();
    assert_eq!(known.len(), 8);
    assert!(known.iter().all(|route| route.active == version("4.0.0")));
}

#[tokio::test]
async fn a_bucket_of_an_older_release_is_asked_each_second_until_it_is_raised() {
    let server = TestServer::start().await;
    let operator = mesh_of(&server, 2).await;
    let with_rule = std::sync::Mutex::new(None);
    edit(&server, |config| {
        *with_rule.lock().unwrap() = config.republish.take();
        // Streams of that release are not marked with a topology.
        config.metadata.clear();
    })
    .await;
    let mesh = connect(&server).await;
    let _following = mesh.follow_routes().await.unwrap();
    set(&operator, &named(0), "2.0.0").await;
    until_active(&mesh, &named(0), "2.0.0", Duration::from_secs(3)).await;
    let findings = examine(&operator, Limits::default()).await.unwrap();
    let check = format!("topology of {STREAM}");
    let left = findings.iter().find(|finding| finding.check == check).unwrap();
    assert_eq!(left.level, Level::Warning, "{left:?}");
    assert!(left.found.contains("republish becomes"), "{left:?}");

    edit(&server, |config| {
        config.republish.clone_from(&with_rule.lock().unwrap());
    })
    .await;
    set(&operator, &named(0), "3.0.0").await;
    until_active(&mesh, &named(0), "3.0.0", AT_ONCE).await;
}

#[tokio::test]
async fn a_republish_rule_that_is_taken_away_is_noticed() {
    let server = TestServer::start().await;
    let operator = mesh_of(&server, 2).await;
    let (mesh, clock) = leaping(server.url()).await;
    let _following = mesh.follow_routes().await.unwrap();
    edit(&server, |config| config.republish = None).await;
    set(&operator, &named(0), "2.0.0").await;
    clock.leap(Duration::from_secs(5));
    assert_eq!(active(&mesh, &named(0)).await, "2.0.0", "by the proof");
    // From now on it asks by itself.
    set(&operator, &named(1), "2.0.0").await;
    until_active(&mesh, &named(1), "2.0.0", Duration::from_secs(3)).await;
}

#[tokio::test]
async fn more_agents_than_one_answer_holds_are_followed() {
    let server = TestServer::start().await;
    let operator = mesh_of(&server, 1).await;
    let client = server.client().await;
    let route = operator.route(&named(0)).await.unwrap().expect("a route").0;
    for number in 1..1100 {
        let mut route = route.clone();
        route.agent = named(number);
        let body = serde_json::to_vec(&route).unwrap();
        let key = format!("$KV.MESH_ROUTES.{}", route.agent);
        client.publish(key, body.into()).await.unwrap();
    }
    client.flush().await.unwrap();
    eventually("all are stored", PATIENCE, async || {
        let stream = jetstream::new(client.clone()).get_stream(STREAM).await.unwrap();
        match stream.cached_info().state.messages {
            1100 => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;
    assert_eq!(operator.all_routes().await.unwrap().len(), 1100);
    let mesh = connect(&server).await;
    let _following = mesh.follow_routes().await.unwrap();
    assert_eq!(mesh.known_routes().await.unwrap().len(), 1100);
    set(&operator, &named(1099), "2.0.0").await;
    until_active(&mesh, &named(1099), "2.0.0", AT_ONCE).await;
    assert_eq!(consumers(&server).await, 0);
}

#[tokio::test]
async fn what_changed_while_a_follower_was_away_is_there_at_the_first_use() {
    let server = TestServer::start().await;
    let operator = mesh_of(&server, 50).await;
    let traffic = Traffic::default();
    let proxy = Proxy::recording(server.url(), &traffic).await;
    let mesh = Target::at(proxy.url()).connect().await.unwrap();
    let _following = mesh.follow_routes().await.unwrap();
    proxy.cut();
    for number in 0..3 {
        set(&operator, &named(number), "2.0.0").await;
    }
    drop(traffic.take());
    proxy.heal();
    for number in 0..3 {
        until_active(&mesh, &named(number), "2.0.0", PATIENCE).await;
    }
    let read = asked(&traffic);
    assert!(
        !read
            .iter()
            .any(|one| one.body.windows(10).any(|part| part == b"multi_last")),
        "only what is new"
    );

    // The server itself, with a follower that does nothing: it asks by itself, and needs no one to route.
    server.kill().await;
    server.restart().await;
    let changed = async { mesh.known_routes().await.map_err(|error| error.to_string()) };
    assert_eq!(changed.await.unwrap().len(), 50);
    set(&operator, &named(9), "2.0.0").await;
    until_active(&mesh, &named(9), "2.0.0", PATIENCE).await;
}

#[tokio::test]
async fn a_route_that_anybody_publishes_is_dropped() {
    let server = TestServer::start().await;
    let operator = mesh_of(&server, 1).await;
    let mesh = connect(&server).await;
    let _following = mesh.follow_routes().await.unwrap();
    let mut forged = (*mesh.route_of(&named(0)).await.unwrap()).clone();
    forged.active = version("6.6.6");
    let body = serde_json::to_vec(&forged).unwrap();
    mesh.publish_plain("mesh.route.agent-0".to_owned(), body.into())
        .await
        .unwrap();
    mesh.flush().await.unwrap();
    // Something behind it, which arrives on the same subscription.
    set(&operator, &named(1), "1.0.0").await;
    eventually("the next change arrives", PATIENCE, async || {
        match mesh.known_routes().await.unwrap().len() {
            2 => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;
    assert_eq!(active(&mesh, &named(0)).await, "1.0.0");
}

/// Reports are large, and come twice a second.
#[tokio::test]
async fn whoever_never_chooses_by_load_is_not_told_of_it() {
    let server = TestServer::start().await;
    let operator = mesh_of(&server, 1).await;
    let traffic = Traffic::default();
    let proxy = Proxy::recording(server.url(), &traffic).await;
    let mesh = Target::at(proxy.url()).connect().await.unwrap();
    let _following = mesh.follow_routes().await.unwrap();
    let report = LoadReport {
        at: operator.now(),
        versions: Vec::new(),
        alarms: Vec::new(),
    };
    ControllerMesh::of(&operator).publish_load(&report).await.unwrap();
    // Behind it, on the same connections.
    set(&operator, &named(0), "2.0.0").await;
    until_active(&mesh, &named(0), "2.0.0", AT_ONCE).await;
    let told = |one: &Passed| one.subject == "mesh.load";
    assert!(!traffic.take().iter().any(told));

    eventually("it listens once it has asked", PATIENCE, async || {
        ControllerMesh::of(&operator).publish_load(&report).await.unwrap();
        mesh.load().map(drop).ok_or_else(|| "not yet".to_owned())
    })
    .await;
}

#[tokio::test]
async fn an_account_that_allows_few_consumers_has_a_routes_bucket_all_the_same() {
    let users = r#"accounts { A { jetstream { max_consumers: 50 }, users: [{ user: "a", password: "a" }] } }"#;
    let server = TestServer::builder().config(users).start().await;
    let target = Target {
        user: Some("a".to_owned()),
        password: Some("a".to_owned()),
        ..Target::at(server.url())
    };
    let mesh = target.connect().await.unwrap();
    mesh.ensure_topology(Limits::default()).await.unwrap();
    set(&mesh, &named(0), "1.0.0").await;
    let _following = mesh.follow_routes().await.unwrap();
    set(&mesh, &named(0), "2.0.0").await;
    until_active(&mesh, &named(0), "2.0.0", AT_ONCE).await;
}

/// A permission file that grants neither the subject of changes nor a batched read.
#[tokio::test]
async fn with_an_older_permission_file_each_route_is_read_when_it_is_needed() {
    let users = include_str!("../fixtures/secure-0.1.0-without-routes.conf");
    let server = TestServer::builder().config(users).start().await;
    let folder = server.dir().join("contexts");
    std::fs::create_dir_all(folder.join("nats/context")).unwrap();
    let mut meshes = Vec::new();
    for user in ["controller", "research"] {
        let context = serde_json::json!({
            "url": server.url(), "user": user, "password": format!("change-me-{user}"),
            "inbox_prefix": format!("_INBOX_{user}"),
        });
        std::fs::write(folder.join(format!("nats/context/{user}.json")), context.to_string()).unwrap();
        let target = Target {
            context: Some(user.to_owned()),
            config_dir: Some(folder.clone()),
            name: user.to_owned(),
            ..Target::default()
        };
        meshes.push(target.connect().await.unwrap());
    }
    let [control, worker] = meshes.try_into().unwrap();
    control.ensure_topology(Limits::default()).await.unwrap();
    set(&control, &named(0), "1.0.0").await;
    let _following = worker.follow_routes().await.unwrap();
    assert_eq!(active(&worker, &named(0)).await, "1.0.0");
    set(&control, &named(0), "2.0.0").await;
    assert_eq!(active(&worker, &named(0)).await, "2.0.0");
    set(&control, &named(1), "1.0.0").await;
    assert_eq!(worker.known_routes().await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_the_leader_proves_and_its_death_loses_no_change() {
    let cluster = Cluster::start(3).await;
    let target = Target {
        replicas: Some(3),
        ..Target::at(cluster.urls())
    };
    let operator = target.connect().await.unwrap();
    let limits = operator.limits();
    operator.ensure_topology(limits).await.unwrap();
    set(&operator, &named(0), "1.0.0").await;
    let mesh = target.connect().await.unwrap();
    let _following = mesh.follow_routes().await.unwrap();
    set(&operator, &named(0), "2.0.0").await;
    until_active(&mesh, &named(0), "2.0.0", PATIENCE).await;

    let leader = cluster.stream_leader(STREAM).await.expect("a leader");
    cluster.kill(leader).await;
    eventually("a new leader takes a change", PATIENCE, async || {
        let agent = named(0);
        let decider = ControllerMesh::of(&operator);
        let changed = decider.change_route(&agent, |present| {
            let mut route = present.cloned().expect("a route");
            route.active = version("3.0.0");
            Ok(Some(route))
        });
        changed.await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    let started = Instant::now();
    until_active(&mesh, &named(0), "3.0.0", PATIENCE).await;
    assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
    cluster.restart(leader).await;
}
