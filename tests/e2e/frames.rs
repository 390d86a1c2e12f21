//! A fuzzer of raw frames: messages whose head, subject and body no client would write, put before every reader of a mesh,
//! with good work beside them. No connection is lost, every bad message is settled, and the good work is done.
//!
//! `FRAMES` sets how many bad messages are sent (`.ci/nightly` sends more), `SEED` repeats what a failure printed.

use std::time::Duration;

use baton_e2e::TestMesh;
use baton_e2e::chaos::{Program, SOON};
use baton_testkit::eventually;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::nats_cli::run;

/// One good intent for so many bad messages.
const GOOD_EVERY: u64 = 5;
/// So many frames are written at once.
const BURST: u64 = 50;

/// Every stream and every core subject that somebody reads, and one that can only be read by its bytes.
const SUBJECTS: [&[u8]; 18] = [
    b"mesh.intent.shout",
    b"mesh.intent.caf\xe9",
    b"mesh.intent.a\xc2\xa0b",
    b"mesh.capability.talk",
    b"mesh.signal.a.b",
    b"mesh.work.shout.1_0_0.p5",
    b"mesh.work.shout.1_0_0.p10",
    b"mesh.ledger.0.bad-1",
    b"mesh.ledger.0.caf\xe9",
    b"mesh.archive.shout",
    b"$KV.MESH_ROUTES.\xff",
    b"$KV.MESH_AGENTS.shout.\xff",
    b"mesh.event.bad-1",
    b"mesh.heartbeat.shout.1_0_0.x",
    b"mesh.control.route",
    b"mesh.load",
    b"mesh.agent.shout.1_0_0.x",
    b"mesh.replay.shout.1_0_0",
];

const LINES: [&[u8]; 14] = [
    b"X-Name: caf\xe9",
    b"X: a\rb",
    b"no colon",
    b"A b: c",
    b": no name",
    b" begins with white space",
    b"Baton-Kind: a\0b",
    b"Baton-Intent: bad-1",
    b"Nats-Msg-Id: 7",
    b"Baton-Protocol: 1.0.0",
    b"Baton-Reply-To: mesh.ledger.0.x",
    b"Baton-Ledger-Sequence: \xff",
    b"traceparent: \xf0\x28\x8c\xbc",
    b"\xc3\xa9: name",
];

const FIRST: [&[u8]; 8] = [
    b"NATS/1.0",
    b"NATS/1.0",
    b"NATS/1.0 404 gone",
    b"NATS/1.0 100 Idle Heartbeat",
    b"NATS/1.0 xyz",
    b"NATS/2.0",
    b"\xff\xfe",
    b"",
];

const BODIES: [&[u8]; 5] = [
    b"",
    b"bad",
    b"\xff\xfe\x00",
    b"{\"intent\":\"bad-1\",\"event\":{\"type\":\"completed\"}}",
    b"HMSG x 1 2 3\r\n",
];

/// A small generator of its own, so that a seed means the same for ever.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % (below as u64)).unwrap()
    }

    fn of<'a>(&mut self, choice: &[&'a [u8]]) -> &'a [u8] {
        choice[self.next(choice.len())]
    }

    fn head(&mut self) -> Vec<u8> {
        let mut head = self.of(&FIRST).to_vec();
        let end: &[u8] = if self.next(8) == 0 { b"\n" } else { b"\r\n" };
        head.extend_from_slice(end);
        for _ in 0..self.next(4) {
            head.extend_from_slice(self.of(&LINES));
            head.extend_from_slice(end);
        }
        if self.next(6) > 0 {
            head.extend_from_slice(end);
        }
        // nats-server itself ends on a head of a single byte in a stream that it republishes: docs/security.md.
        if head.len() < 2 {
            head.extend_from_slice(end);
        }
        // One byte of it becomes any other.
        if self.next(3) == 0 {
            let at = self.next(head.len());
            head[at] = u8::try_from(self.next(256)).unwrap();
        }
        head
    }

    fn frame(&mut self) -> Vec<u8> {
        let (subject, head, body) = (self.of(&SUBJECTS), self.head(), self.of(&BODIES));
        let sizes = format!(" {} {}\r\n", head.len(), head.len() + body.len());
        [b"HPUB ", subject, sizes.as_bytes(), &head, body, b"\r\n"].concat()
    }
}

/// A connection that writes any bytes.
struct Raw(BufReader<TcpStream>);

impl Raw {
    async fn connect(url: &str) -> Self {
        let address = url.trim_start_matches("nats://");
        let mut raw = Self(BufReader::new(TcpStream::connect(address).await.unwrap()));
        let options = b"CONNECT {\"verbose\":false,\"headers\":true}\r\n";
        raw.send(options).await;
        raw
    }

    /// Writes, and waits until the server has read it all.
    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
        self.0.write_all(b"PING\r\n").await.unwrap();
        let mut line = String::new();
        while !line.starts_with("PONG") {
            line.clear();
            let read = (&mut self.0).take(1 << 20).read_line(&mut line).await.unwrap();
            assert!(
                read > 0 && !line.starts_with("-ERR"),
                "the server refused a frame: {line}"
            );
        }
    }
}

/// What hangs is a failure that says where.
async fn within<T>(what: &str, doing: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(30), doing).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: not within 30 s"),
    }
}

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect(name))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_raw_frame_costs_anybody_a_connection_or_keeps_good_work_waiting() {
    let (frames, seed) = (from_environment("FRAMES", 600), from_environment("SEED", 22));
    println!("{frames} frames, seed {seed}");
    let mesh = TestMesh::start_screened().await;
    let program = Program::shell("cat");
    let worker = program.worker(&mesh, "shout", "worker", &[]);
    mesh.until_version_is("shout", "1.0.0", "active").await;
    let mut watcher = mesh.mesh.events(None).await.expect("events");
    let watched = tokio::spawn(async move { while watcher.next().await.is_some() {} });

    // There is an intent for the signals among the frames: one for an unknown intent would wait half a minute for it.
    run(mesh.baton(&["send", "shout", "1", "--id", "a", "--delay", "1h"]))
        .await
        .exits(0);
    let (mut dice, mut raw) = (Dice(seed.max(1)), Raw::connect(mesh.server.url()).await);
    let (mut sent, mut good) = (0, Vec::new());
    while sent < frames {
        let burst: Vec<u8> = (0..BURST).flat_map(|_| dice.frame()).collect();
        within("the server reads the frames", raw.send(&burst)).await;
        sent += BURST;
        for _ in 0..BURST / GOOD_EVERY {
            let one = format!("good-{}", good.len());
            good.push(within("a good intent is taken", mesh.submit(&one, "shout", "1")).await);
        }
    }
    for intent in &good {
        mesh.until(intent, "completed", SOON).await;
    }
    mesh.until_intake_is_empty().await;
    // Some name an intent of which no record can be read. For each of these the worker reads all that there is of it, and there
    // is more of it the more frames there are.
    let patience = SOON.max(Duration::from_millis(frames * 4));
    eventually("the bad tickets are settled", patience, async || {
        let state = mesh.stream_state("MESH_WORK_shout").await;
        let left = state["messages"].as_u64().unwrap_or(u64::MAX);
        if left == 0 { Ok(()) } else { Err(format!("{left} left")) }
    })
    .await;

    assert_eq!(
        mesh.mesh.connections_made(),
        1,
        "the controller lost its connection; seed {seed}"
    );
    let told = worker.stderr();
    assert!(
        !told.contains("lost, reconnecting") && !told.contains("panicked"),
        "seed {seed}: {told}"
    );
    assert!(
        !watched.is_finished(),
        "who watches the events lost its connection; seed {seed}"
    );
    watched.abort();
    for line in [
        "intents list",
        "intents get good-0",
        "dead list",
        "agents list",
        "archive status",
    ] {
        let ended = run(mesh.baton(&line.split(' ').collect::<Vec<_>>())).await;
        assert!(
            !ended.stderr.contains("lost, reconnecting"),
            "baton {line}: {}",
            ended.stderr
        );
        assert!(!ended.stderr.contains("panicked"), "baton {line}: {}", ended.stderr);
        if !line.starts_with("archive") {
            ended.exits(0);
        }
    }
    let cancelled = run(mesh.baton(&["intents", "get", "bad-1"])).await;
    assert!(!cancelled.stderr.contains("panicked"), "{}", cancelled.stderr);
    // A good one still goes the whole way.
    let last = mesh.submit("last", "shout", "1").await;
    mesh.until(&last, "completed", Duration::from_secs(20)).await;
}
