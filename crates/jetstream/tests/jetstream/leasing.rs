//! One leader at a time, whatever dies, freezes or restarts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use baton_jetstream::{LEASE, Leadership, Leading, Lease};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::support::{PATIENCE, TestServer, connect, eventually};

/// A controller's claim.
struct Claim {
    leadership: Leadership,
    stop: CancellationToken,
}

impl Claim {
    async fn start(server: &TestServer, name: &str) -> Self {
        let mesh = connect(server).await;
        let stop = CancellationToken::new();
        let leadership = Lease::keep(mesh.into(), name, stop.clone());
        Self { leadership, stop }
    }
}

async fn server() -> TestServer {
    let server = TestServer::start().await;
    let mesh = connect(&server).await;
    mesh.ensure_topology(mesh.limits()).await.unwrap();
    server
}

fn leaders<'a>(claims: impl IntoIterator<Item = &'a Leadership>) -> usize {
    claims.into_iter().filter(|claim| claim.is_leading()).count()
}

/// Waits until exactly one leads, and gives how long that took; at no moment may two lead.
async fn one_leads(claims: &[&Leadership], max: Duration) -> Duration {
    let started = Instant::now();
    loop {
        match leaders(claims.iter().copied()) {
            1 => return started.elapsed(),
            0 => assert!(started.elapsed() < max, "none leads after {max:?}"),
            many => panic!("{many} lead"),
        }
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn one_of_three_leads_and_hands_over_when_it_stops() {
    let server = server().await;
    let claims = [
        Claim::start(&server, "a").await,
        Claim::start(&server, "b").await,
        Claim::start(&server, "c").await,
    ];
    let mut open: Vec<&Claim> = claims.iter().collect();
    let all = |open: &[&Claim]| open.iter().map(|claim| claim.leadership.clone()).collect::<Vec<_>>();
    one_leads(&all(&open).iter().collect::<Vec<_>>(), Duration::from_secs(3)).await;
    let until = Instant::now() + Duration::from_secs(7);
    while Instant::now() < until {
        assert_eq!(leaders(&all(&open)), 1, "the leader stays, and is the only one");
        sleep(Duration::from_millis(10)).await;
    }

    let leader = open.iter().position(|claim| claim.leadership.is_leading()).unwrap();
    let leader = open.remove(leader);
    let mut seen = leader.leadership.clone();
    assert!(seen.changed().await, "it learns at first that it leads");
    leader.stop.cancel();
    assert!(!seen.changed().await, "and then that it does no longer");
    seen.over().await;
    let took = one_leads(&all(&open).iter().collect::<Vec<_>>(), Duration::from_secs(2)).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn a_leader_that_dies_is_replaced_when_its_lease_has_run_out() {
    let server = server().await;
    let mut lease = Lease::new(connect(&server).await.into(), "dies");
    assert_eq!(lease.tick().await, Leading::Yes);
    let others = [Claim::start(&server, "b").await, Claim::start(&server, "c").await];
    let until = Instant::now() + LEASE + Duration::from_secs(2);
    while Instant::now() < until {
        assert_eq!(lease.tick().await, Leading::Yes);
        assert_eq!(leaders(others.iter().map(|claim| &claim.leadership)), 0);
        sleep(Duration::from_millis(300)).await;
    }
    drop(lease);
    let others: Vec<&Leadership> = others.iter().map(|claim| &claim.leadership).collect();
    let took = one_leads(&others, Duration::from_secs(8)).await;
    assert!(took > Duration::from_secs(4), "taken before it ran out: {took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_leader_never_believes_in_itself_while_another_leads() {
    let server = server().await;
    let url = server.url().to_owned();
    let (tell, told) = tokio::sync::oneshot::channel();
    let freeze = Arc::new(AtomicBool::new(false));
    let frozen = Arc::clone(&freeze);
    // A runtime with one thread, so that blocking it stops all that this controller does, its connection included.
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mesh = baton_jetstream::Target::at(url).connect().await.unwrap();
            let stop = CancellationToken::new();
            tell.send(Lease::keep(mesh.into(), "freezes", stop.clone())).unwrap();
            while !frozen.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(20)).await;
            }
            std::thread::sleep(Duration::from_secs(10));
            frozen.store(false, Ordering::Relaxed);
            sleep(Duration::from_secs(4)).await;
        });
    });
    let leader = told.await.unwrap();
    one_leads(&[&leader], Duration::from_secs(3)).await;
    let other = Claim::start(&server, "other").await;
    sleep(Duration::from_millis(1500)).await;
    freeze.store(true, Ordering::Relaxed);
    let at = Instant::now();
    let (mut gave_up, mut taken) = (None, None);
    while !thread.is_finished() {
        let (old, new) = (leader.is_leading(), other.leadership.is_leading());
        assert!(!(old && new), "two lead after {:?}", at.elapsed());
        gave_up = gave_up.or_else(|| (!old).then(|| at.elapsed()));
        taken = taken.or_else(|| new.then(|| at.elapsed()));
        sleep(Duration::from_millis(2)).await;
    }
    let (gave_up, taken) = (gave_up.unwrap(), taken.unwrap());
    assert!(
        gave_up < Duration::from_secs(4) && taken < Duration::from_secs(8),
        "{gave_up:?}, {taken:?}"
    );
    assert!(
        other.leadership.is_leading() && !leader.is_leading(),
        "it does not come back by itself"
    );
    thread.join().unwrap();
}

#[tokio::test]
async fn a_server_that_dies_and_comes_back_leaves_one_leader() {
    let server = server().await;
    let claims = [Claim::start(&server, "a").await, Claim::start(&server, "b").await];
    let claims: Vec<&Leadership> = claims.iter().map(|claim| &claim.leadership).collect();
    one_leads(&claims, Duration::from_secs(3)).await;
    server.kill().await;
    eventually(
        "nobody leads without a server",
        Duration::from_secs(5),
        async || match leaders(claims.iter().copied()) {
            0 => Ok(()),
            some => Err(format!("{some} lead")),
        },
    )
    .await;
    server.restart().await;
    one_leads(&claims, PATIENCE).await;
    let until = Instant::now() + Duration::from_secs(7);
    while Instant::now() < until {
        assert!(leaders(claims.iter().copied()) <= 1);
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(leaders(claims.iter().copied()), 1);
}
