//! Tests with a real server: readiness, kill, freeze, restart, and the errors when something is in the way.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "helper functions of tests: a failure is a test failure"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use baton_embedded::{Finder, RunningServer, ServerError, ServerOptions};

fn options(dir: &tempfile::TempDir) -> ServerOptions {
    let found = Finder::from_process().nats_server(&|line| eprintln!("{line}")).unwrap();
    ServerOptions::new(found.path, dir.path().join("a store"))
}

/// Sends a ping after the greeting; returns true if the server answered in time.
fn answers(server: &RunningServer, max: Duration) -> bool {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    stream.set_read_timeout(Some(max)).unwrap();
    stream.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").unwrap();
    let mut seen = Vec::new();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return false,
            Ok(n) => seen.extend_from_slice(&part[..n]),
        }
        if seen.windows(4).any(|four| four == b"PONG") {
            return true;
        }
    }
}

#[test]
fn started_server_answers_and_leaves_with_its_owner() {
    let dir = tempfile::tempdir().unwrap();
    let server = RunningServer::start(options(&dir)).unwrap();
    assert!(answers(&server, Duration::from_secs(5)));
    assert!(server.log_tail(200).contains("Starting JetStream"));
    let port = server.port();
    drop(server);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn restart_keeps_port_and_store_folder() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = RunningServer::start(options(&dir)).unwrap();
    let (port, pid) = (server.port(), server.pid());
    server.kill().unwrap();
    assert!(matches!(server.pause(), Err(ServerError::NotRunning)));
    server.restart().unwrap();
    assert_eq!(server.port(), port);
    assert_ne!(server.pid(), pid);
    server.restart().unwrap();
    assert!(answers(&server, Duration::from_secs(5)));
}

#[test]
fn paused_server_is_silent_until_resumed_and_can_be_terminated_frozen() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = RunningServer::start(options(&dir)).unwrap();
    server.pause().unwrap();
    assert!(!answers(&server, Duration::from_millis(200)));
    server.resume().unwrap();
    assert!(answers(&server, Duration::from_secs(5)));
    server.pause().unwrap();
    server.terminate().unwrap();
    assert_eq!(server.pid(), None);
}

#[test]
fn taken_port_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let other = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = other.local_addr().unwrap().port();
    let mut options = options(&dir);
    options.port = Some(port);
    let error = RunningServer::start(options).unwrap_err();
    assert!(error.to_string().contains(&port.to_string()), "{error}");
    assert!(matches!(error, ServerError::PortTaken { .. }), "{error}");
}

#[test]
fn second_server_on_one_store_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = RunningServer::start(options(&dir)).unwrap();
    let error = RunningServer::start(options(&dir)).unwrap_err();
    assert!(matches!(error, ServerError::StoreBusy { .. }), "{error}");
    assert!(error.to_string().contains(&first.pid().unwrap().to_string()), "{error}");
    drop(first);
    RunningServer::start(options(&dir)).unwrap();
}

#[test]
fn bad_configuration_fails_with_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = options(&dir);
    options.extra.push("no_such_setting: 1".to_owned());
    let error = RunningServer::start(options).unwrap_err();
    assert!(error.to_string().contains("no_such_setting"), "{error}");
}
