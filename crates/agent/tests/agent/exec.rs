//! Programs as handlers: what they write, how they end, and what becomes of them when the hop or the worker is over.

use std::path::Path;
use std::time::Duration;

use baton_agent::{Agent, AgentBuilder, Body, ExecHandler, ExecMode, RetryPolicy};
use baton_envelope::{Author, Envelope, IntentId, Json, Role};
use baton_jetstream::{Head, Mesh};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::support::{PATIENCE, TestServer, agent, eventually, mesh, start};

fn program(line: impl Into<String>, mode: ExecMode) -> AgentBuilder {
    let retry = RetryPolicy {
        max_attempts: 1,
        ..RetryPolicy::default()
    };
    let handler = ExecHandler::shell(line, mode);
    Agent::builder("shout", "1.0.0").unwrap().handler(handler).retry(retry)
}

async fn send(mesh: &Mesh, body: &[u8], deadline: Option<Duration>) -> IntentId {
    let intent = mesh.clock().intent_id();
    let body = Body::of_bytes(body);
    let mut envelope = Envelope::first(mesh.clock().envelope_id(), intent.clone(), agent(), body.json);
    envelope.payload_encoding = body.encoding;
    envelope.deadline = deadline.map(|left| mesh.now().plus(left));
    mesh.submit(envelope, Author::of(Role::Client, "test")).await.unwrap();
    intent
}

async fn ended(mesh: &Mesh, intent: &IntentId) -> Head {
    eventually(&format!("{intent} has ended"), PATIENCE, async || {
        let head = mesh.head(intent).await.map_err(|error| error.to_string())?;
        let head = head.ok_or("no record")?;
        match head.record.snapshot.status.name() {
            "pending" | "in_progress" => Err(head.record.snapshot.status.to_string()),
            _ => Ok(head),
        }
    })
    .await
}

/// What one program makes of one payload, and in how long.
async fn outcome(line: &str, mode: ExecMode, payload: &[u8]) -> (Head, Duration) {
    let server = TestServer::start().await;
    let mesh = mesh(&server).await;
    let worker = start(&server, program(line, mode)).await;
    let began = Instant::now();
    let head = ended(&mesh, &send(&mesh, payload, None).await).await;
    worker.abort();
    (head, began.elapsed())
}

fn failure(head: &Head) -> (&str, &str) {
    let error = head.record.snapshot.error.as_ref().expect("an error");
    (&error.code, &error.message)
}

async fn appears(path: &Path) -> String {
    eventually(
        &format!("{} is there", path.display()),
        PATIENCE,
        async || match std::fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => Ok(text.trim().to_owned()),
            Ok(text) => Err(text),
            Err(error) => Err(error.to_string()),
        },
    )
    .await
}

/// Whether a process is there; one that is dead and not collected yet is not.
fn is_alive(id: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    !matches!(state, None | Some("Z" | "X"))
}

async fn dies(id: &str) {
    eventually(&format!("process {id} is gone"), PATIENCE, async || {
        if is_alive(id) { Err("alive".to_owned()) } else { Ok(()) }
    })
    .await;
}

#[tokio::test]
async fn bytes_of_any_kind_come_back_as_they_went() {
    for bytes in [&[0xff, 0xfe, 0, 1][..], b"\xff\n\n", b"a\0b", "é\u{1f9a6}".as_bytes()] {
        let (head, _) = outcome("cat", ExecMode::Plain, bytes).await;
        let snapshot = &head.record.snapshot;
        let result = snapshot.result.as_ref().expect("a result");
        let back = Body::bytes(result, snapshot.result_encoding.as_deref())
            .unwrap_or_else(|| result.read::<String>().expect("text").into_bytes());
        assert_eq!(back, bytes);
    }
}

#[tokio::test]
async fn a_json_program_gives_bytes_in_base64() {
    let line = r#"grep -q '"payload_encoding":"base64"' && echo '{"outcome":"complete","result":"//4AAQ==","result_encoding":"base64"}'"#;
    let (head, _) = outcome(line, ExecMode::Json, &[0xff]).await;
    let snapshot = head.record.snapshot;
    assert_eq!(
        (snapshot.result, snapshot.result_encoding.as_deref()),
        (Some(Json::string("//4AAQ==")), Some("base64"))
    );
}

#[tokio::test]
async fn stderr_is_read_to_its_end_whatever_it_is() {
    let line = r"printf '\377\n' >&2; head -c 300000 /dev/zero >&2; printf '\nlast words\377\n' >&2; exit 3";
    let (head, _) = outcome(line, ExecMode::Plain, b"").await;
    let (code, message) = failure(&head);
    assert_eq!(code, "EXIT_3");
    assert!(message.contains("last words\u{fffd}"), "{message}");
}

#[tokio::test]
async fn a_hop_ends_with_its_program_and_not_with_what_that_leaves_behind() {
    let dir = TempDir::new().unwrap();
    let left = dir.path().join("left");
    // One holds the pipe and one does not, and one does not hear SIGTERM.
    let line = format!(
        "sleep 600 & echo $! >> {left}; sleep 600 >/dev/null 2>&1 & echo $! >> {left}; \
         (trap '' TERM; sleep 600) & echo $! >> {left}; echo started",
        left = left.display()
    );
    let (head, took) = outcome(&line, ExecMode::Plain, b"").await;
    assert_eq!(head.record.snapshot.result, Some(Json::string("started")));
    assert!(took < Duration::from_secs(5), "{took:?}");
    for id in std::fs::read_to_string(&left).unwrap().lines() {
        dies(id).await;
    }
}

#[tokio::test]
async fn a_program_that_writes_without_end_is_ended() {
    for (line, mode) in [
        ("yes", ExecMode::Plain),
        ("printf '{\"outcome\":\"'; yes", ExecMode::Json),
        ("printf '{\"progress\":\"'; tr '\\0' x </dev/zero", ExecMode::Json),
    ] {
        let (head, took) = outcome(line, mode, b"").await;
        let (code, message) = failure(&head);
        let expected = if line.starts_with("printf '{\"outcome") {
            "BAD_OUTCOME"
        } else {
            "OUTPUT_TOO_LARGE"
        };
        assert_eq!(code, expected, "{message}");
        assert!(message.contains("program \""), "{message}");
        // 64 MiB are read before it is too much.
        assert!(took < Duration::from_secs(60), "{took:?}");
    }
}

#[tokio::test]
async fn an_outcome_over_many_lines_is_read_in_no_time() {
    let line = r#"echo '{"outcome":"complete","result":['; seq 75000 | sed 's/$/,/'; echo '0]}'"#;
    let (head, took) = outcome(line, ExecMode::Json, b"").await;
    // It is too large for a record. Each number has its digits, a comma and a line feed.
    let result = head.record.snapshot.result_ref.expect("a result");
    let digits: u64 = (1..=75_000_u64).map(|number| u64::from(number.ilog10()) + 1).sum();
    assert_eq!(result.bytes, digits + 2 * 75_000 + 4);
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[tokio::test]
async fn what_can_be_no_outcome_ends_the_program_at_once() {
    for (written, place) in [
        ("echo 'not json'", "line 1, byte 1"),
        (
            r#"echo '{"progress":"fine"}'; echo '{"outcome"'; echo ' "complete"}'"#,
            "line 3, byte 2",
        ),
        (
            r#"echo '{"outcome":"complete"'"#,
            "the output ends in the middle of an object",
        ),
        (r#"echo '{"outcome":"complete","resalt":1}'"#, "resalt"),
        (r#"echo '{"outcome":"reject"}'"#, "needs `code`"),
        (
            r#"printf '{"outcome":"complete","result":"\377"}\n'"#,
            "line 1, byte 33: byte 0xff is not UTF-8",
        ),
        (
            r#"echo '{"outcome":"complete","result":"%","result_encoding":"base64"}'"#,
            "no string of base64",
        ),
    ] {
        let line = format!("{written}; exec >&-; sleep 600");
        let (head, took) = outcome(&line, ExecMode::Json, b"").await;
        let (code, message) = failure(&head);
        assert_eq!(code, "BAD_OUTCOME", "{message}");
        assert!(message.contains(place) && message.contains("sleep 600"), "{message}");
        assert!(took < Duration::from_secs(6), "{took:?}");
    }
}

#[tokio::test]
async fn at_the_deadline_the_hop_is_ended_and_its_program_told() {
    for script in ["exec sleep 600", "sleep 2; echo late"] {
        let (server, dir) = (TestServer::start().await, TempDir::new().unwrap());
        let mesh = mesh(&server).await;
        let (id, told) = (dir.path().join("id"), dir.path().join("told"));
        let line = format!(
            "trap 'echo told > {}' TERM; echo $$ > {}; {script} & wait $!; wait",
            told.display(),
            id.display()
        );
        let _worker = start(&server, program(line, ExecMode::Plain)).await;
        let intent = send(&mesh, b"", Some(Duration::from_secs(1))).await;
        let head = ended(&mesh, &intent).await;
        let snapshot = &head.record.snapshot;
        assert_eq!(snapshot.status.name(), "timed_out");
        let late = snapshot.updated_at.since(snapshot.deadline.expect("a deadline"));
        assert!(late < Duration::from_secs(1), "{late:?}");
        appears(&told).await;
        dies(&appears(&id).await).await;
    }
}

#[tokio::test]
async fn a_hop_that_is_given_back_has_left_nothing_running() {
    let (server, dir) = (TestServer::start().await, TempDir::new().unwrap());
    let mesh = mesh(&server).await;
    let (id, told) = (dir.path().join("id"), dir.path().join("told"));
    // It takes a moment to end.
    let line = format!(
        "trap 'sleep 1; echo told > {}; exit' TERM; echo $$ > {}; while :; do sleep 0.1; done",
        told.display(),
        id.display()
    );
    let builder = program(line, ExecMode::Plain).drain_timeout(Duration::from_millis(100));
    let worker = builder.bind(&crate::support::connect(&server).await).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker = tokio::spawn(worker.run_until(async move { drop(stopped.await) }));
    let intent = send(&mesh, b"", None).await;
    let id = appears(&id).await;
    stop.send(()).unwrap();
    let summary = worker.await.unwrap().unwrap();
    assert_eq!(summary.handed_back, 1);
    assert!(told.exists(), "it had the time to end in order");
    assert!(!is_alive(&id));
    let head = mesh.head(&intent).await.unwrap().unwrap();
    assert_eq!(head.record.event.name(), "released");
}

#[tokio::test]
async fn nothing_runs_that_the_guard_does_not_know() {
    // The worker goes away together with its runtime, as it does when a person interrupts it twice.
    let (server, dir) = (TestServer::start().await, TempDir::new().unwrap());
    let mesh = mesh(&server).await;
    let id = dir.path().join("id");
    let line = format!("trap '' TERM; echo $$ > {}; while :; do sleep 1; done", id.display());
    let url = server.url().to_owned();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let worker = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let mesh = runtime.block_on(baton_jetstream::Target::at(url).connect()).unwrap();
        let worker = runtime.block_on(program(line, ExecMode::Plain).bind(&mesh)).unwrap();
        let _running = runtime.spawn(worker.run_until(std::future::pending()));
        stopped.recv().unwrap();
        runtime.shutdown_background();
    });
    send(&mesh, b"", None).await;
    let id = appears(&id).await;
    stop.send(()).unwrap();
    worker.join().unwrap();
    dies(&id).await;
}
