//! The faults the kit offers, shown on real servers.

use std::process::Command;
use std::time::Duration;

use async_nats::jetstream;
use baton_testkit::{Cluster, FakeServer, ProcessGuard, Proxy, TestServer, eventually, nats_cli};
use futures::StreamExt as _;

const SOON: Duration = Duration::from_secs(20);

fn stream(name: &str, replicas: usize) -> jetstream::stream::Config {
    let subjects = vec![format!("{name}.>")];
    jetstream::stream::Config {
        name: name.to_owned(),
        subjects,
        num_replicas: replicas,
        ..Default::default()
    }
}

async fn publish(context: &jetstream::Context, subject: &'static str) -> Result<u64, String> {
    let ack = context
        .publish(subject, "x".into())
        .await
        .map_err(|error| error.to_string())?;
    ack.await.map(|ack| ack.sequence).map_err(|error| error.to_string())
}

async fn messages(context: &jetstream::Context, name: &str) -> Result<u64, String> {
    let mut stream = context.get_stream(name).await.map_err(|error| error.to_string())?;
    stream
        .info()
        .await
        .map(|info| info.state.messages)
        .map_err(|error| error.to_string())
}

/// A request that nobody serves: the server's own "no responders" shows that it has handled all that came before.
async fn round_trip(client: &async_nats::Client) -> Result<(), String> {
    match client.request("nobody.serves.this", "".into()).await {
        Err(error) if error.kind() == async_nats::RequestErrorKind::NoResponders => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

#[tokio::test]
async fn kill_and_restart_keep_the_stream() {
    let server = TestServer::start().await;
    let context = jetstream::new(server.client().await);
    context.create_stream(stream("orders", 1)).await.unwrap();
    publish(&context, "orders.one").await.unwrap();
    server.kill().await;
    assert_eq!(server.pid(), None);
    server.restart().await;
    let kept = eventually("the client is back", SOON, async || messages(&context, "orders").await).await;
    assert_eq!(kept, 1);
}

#[tokio::test]
async fn paused_server_answers_only_after_resume() {
    let server = TestServer::start().await;
    let client = server.client().await;
    server.pause();
    assert!(
        tokio::time::timeout(Duration::from_millis(200), round_trip(&client))
            .await
            .is_err()
    );
    server.resume();
    tokio::time::timeout(SOON, round_trip(&client)).await.unwrap().unwrap();
}

#[tokio::test]
async fn server_without_jetstream_has_none() {
    let server = TestServer::builder()
        .without_jetstream()
        .config("max_payload: 64KB")
        .start()
        .await;
    let client = server.client().await;
    assert_eq!(client.server_info().max_payload, 64 * 1024);
    assert!(!client.server_info().jetstream);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cluster_of_three_survives_its_stream_leader() {
    let cluster = Cluster::start(3).await;
    let context = jetstream::new(cluster.client().await);
    context.create_stream(stream("orders", 3)).await.unwrap();
    // The member that this client talks to may not know yet that somebody takes the subject.
    eventually("the stream takes messages", SOON, async || {
        publish(&context, "orders.one").await
    })
    .await;
    let leader = cluster.stream_leader("orders").await.unwrap();
    cluster.kill(leader).await;
    eventually("another member leads", SOON, async || {
        publish(&context, "orders.two").await
    })
    .await;
    cluster.restart(leader).await;
    cluster.wait_ready().await;
    assert!(messages(&context, "orders").await.unwrap() >= 2);
}

#[tokio::test]
async fn lost_ack_is_delivered_again() {
    let server = TestServer::start().await;
    let direct = jetstream::new(server.client().await);
    let orders = direct.create_stream(stream("orders", 1)).await.unwrap();
    publish(&direct, "orders.one").await.unwrap();
    let config = jetstream::consumer::pull::Config {
        durable_name: Some("worker".to_owned()),
        ack_wait: Duration::from_millis(300),
        ..Default::default()
    };
    orders.create_consumer(config).await.unwrap();

    let proxy = Proxy::start(server.url()).await;
    proxy.drop_publishes("$JS.ACK.");
    let context = jetstream::new(proxy.client().await);
    let consumer: jetstream::consumer::PullConsumer = context
        .get_stream("orders")
        .await
        .unwrap()
        .get_consumer("worker")
        .await
        .unwrap();
    let mut messages = consumer.stream().max_messages_per_batch(1).messages().await.unwrap();
    let first = tokio::time::timeout(SOON, messages.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    first.ack().await.unwrap();
    let second = tokio::time::timeout(SOON, messages.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(second.info().unwrap().delivered, 2);
    assert!(proxy.dropped() >= 1);

    proxy.pass_publishes();
    second.double_ack().await.unwrap();
}

#[tokio::test]
async fn cut_connection_is_made_again_after_heal() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.url()).await;
    let client = proxy.client().await;
    proxy.cut();
    eventually("the client sees the cut", SOON, async || {
        match client.connection_state() {
            async_nats::connection::State::Connected => Err("connected".to_owned()),
            async_nats::connection::State::Pending | async_nats::connection::State::Disconnected => Ok(()),
        }
    })
    .await;
    proxy.heal();
    eventually("the client is back", SOON, async || round_trip(&client).await).await;
}

#[tokio::test]
async fn stalled_link_keeps_the_connection_and_delivers_late() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.url()).await;
    let client = proxy.client().await;
    let receiver = server.client().await;
    let mut inbox = receiver.subscribe("late").await.unwrap();
    round_trip(&receiver).await.unwrap();
    proxy.stall();
    client.publish("late", "x".into()).await.unwrap();
    client.flush().await.unwrap();
    assert!(
        tokio::time::timeout(Duration::from_millis(200), inbox.next())
            .await
            .is_err()
    );
    proxy.heal();
    tokio::time::timeout(SOON, inbox.next()).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_fatal_write_arrives_and_its_answer_waits_until_the_link_is_healed() {
    let server = TestServer::start().await;
    let direct = jetstream::new(server.client().await);
    direct.create_stream(stream("orders", 1)).await.unwrap();
    let proxy = Proxy::start(server.url()).await;
    let context = jetstream::new(proxy.client().await);
    proxy.stall_after(&["orders."], |writes| writes.len() == 2);
    publish(&context, "orders.one").await.unwrap();
    let sent = context.publish("orders.two", "x".into()).await.unwrap();
    proxy.fatal_write().await;
    eventually("both are stored", SOON, async || {
        match messages(&direct, "orders").await? {
            2 => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;
    let mut answer = std::pin::pin!(sent.into_future());
    let early = tokio::time::timeout(Duration::from_millis(200), &mut answer).await;
    assert!(early.is_err(), "the answer came through a stalled link");
    proxy.heal();
    let answer = tokio::time::timeout(SOON, answer).await.unwrap().unwrap();
    assert_eq!(answer.sequence, 2);
    let written: Vec<String> = proxy.writes().into_iter().map(|write| write.subject).collect();
    assert_eq!(written, ["orders.one", "orders.two"]);
}

#[tokio::test]
async fn delay_applies_in_both_directions() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.url()).await;
    let client = proxy.client().await;
    let mut echo = client.subscribe("echo").await.unwrap();
    round_trip(&client).await.unwrap();
    proxy.delay(Duration::from_millis(100));
    let before = tokio::time::Instant::now();
    client.publish("echo", "x".into()).await.unwrap();
    tokio::time::timeout(SOON, echo.next()).await.unwrap().unwrap();
    assert!(before.elapsed() >= Duration::from_millis(200), "{:?}", before.elapsed());
}

#[tokio::test]
async fn old_server_shows_its_version_and_has_no_responders() {
    let server = FakeServer::old().await;
    let client = async_nats::ConnectOptions::new().connect(server.url()).await.unwrap();
    assert_eq!(client.server_info().version, "2.9.10");
    assert!(!client.is_server_compatible(2, 11, 0));
    let error = client.request("$JS.API.INFO", "".into()).await.unwrap_err();
    assert_eq!(error.kind(), async_nats::RequestErrorKind::NoResponders);
}

#[tokio::test]
async fn process_is_frozen_thawed_and_ended() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "trap 'echo bye; exit 7' TERM; echo hello; while :; do sleep 0.01; done",
    ]);
    let mut guard = ProcessGuard::spawn("child", command, dir.path());
    eventually("it said hello", SOON, async || match guard.stdout() {
        said if said == "hello\n" => Ok(()),
        said => Err(said),
    })
    .await;
    guard.pause();
    guard.terminate();
    assert!(guard.try_wait().is_none());
    guard.resume();
    assert_eq!(guard.wait(SOON).await.code(), Some(7));
    assert!(guard.stdout().ends_with("bye\n"));

    let mut guard = ProcessGuard::spawn("sleeper", Command::new("cat"), dir.path());
    guard.kill();
}

#[tokio::test]
async fn real_nats_cli_talks_to_the_server() {
    let Some(nats) = nats_cli().await else { return };
    let server = TestServer::start().await;
    let context = jetstream::new(server.client().await);
    context.create_stream(stream("orders", 1)).await.unwrap();
    let output = nats.run(server.url(), &["req", "orders.one", "hello"]).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(messages(&context, "orders").await.unwrap(), 1);
}
