//! `baton worker` and `baton controller` as processes: configuration and signals.

use baton_testkit::{ProcessGuard, eventually};

use crate::harness::{Bench, LONG};

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_takes_its_settings_from_file_environment_and_flags() {
    let bench = Bench::start().await;
    let file = bench.home.path().join("worker.toml");
    let text = "[worker]\nagent = \"from-file\"\nversion = \"1.0.0\"\nexec = \"cat\"\ncapabilities = [\"a\"]\n";
    std::fs::write(&file, text).expect("written");
    let mut command = bench.command(&["worker", "--version", "2.0.0", "--config"]);
    command
        .arg(&file)
        .env("BATON_WORKER__AGENT", "from-env")
        .env("BATON_WORKER__CONCURRENCY", "3");
    let mut worker = ProcessGuard::spawn("worker", command, bench.home.path());
    let agent = eventually("a declaration", LONG, async || {
        let list = bench.run(&["agents", "list", "--output", "json"]).await.exits(0).json();
        let agent = list["agents"][0].clone();
        if agent.is_null() {
            Err(worker.stderr())
        } else {
            Ok(agent)
        }
    })
    .await;
    assert_eq!(
        (&agent["agent"], &agent["versions"][0]["version"]),
        (&"from-env".into(), &"2.0.0".into())
    );
    let version = &agent["versions"][0];
    assert_eq!(
        (&version["workers"][0]["concurrency"], &version["capabilities"][0]),
        (&3.into(), &"a".into())
    );
    worker.terminate();
    assert_eq!(worker.wait(LONG).await.code(), Some(0));
}

/// What the environment of a program of such a worker is.
async fn environment_of(bench: &Bench, agent: &str, more: &[&str]) -> String {
    let mut command = bench.command(&["worker", "--agent", agent, "--version", "1.0.0", "--exec", "env"]);
    command.args(more);
    for (name, value) in [
        ("BATON_USER", "ada"),
        ("BATON_PASSWORD", "pw-of-ada"),
        ("BATON_CONNECTION__PASSWORD", "pw-of-ada"),
        ("NATS_PASSWORD", "pw-of-ada"),
        ("NATS_URL", "nats://ada:pw-of-ada@host:4222"),
        ("SERVICE_TOKEN", "its-own"),
    ] {
        command.env(name, value);
    }
    let _worker = ProcessGuard::spawn(agent, command, bench.home.path());
    eventually("an answer", LONG, async || {
        let run = bench.run(&["send", agent, "x", "--wait"]).await;
        match run.code {
            0 => Ok(run.stdout),
            _ => Err(format!("{run:?}")),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_worker_logs_in_with_is_no_program_s() {
    let bench = Bench::start().await;
    let inherited = environment_of(&bench, "all", &[]).await;
    assert!(!inherited.contains("pw-of-ada"), "{inherited}");
    for part in [
        "SERVICE_TOKEN=its-own",
        "NATS_URL=nats://host:4222",
        "BATON_SERVER=",
        "HOME=",
        "BATON_AGENT=all",
    ] {
        assert!(inherited.contains(part), "{part}: {inherited}");
    }
    let clean = environment_of(&bench, "clean", &["--clean-env"]).await;
    for part in ["SERVICE_TOKEN", "NATS_URL", "HOME=", "BATON_SERVER"] {
        assert!(!clean.contains(part), "{part}: {clean}");
    }
    assert!(
        clean.contains("PATH=") && clean.contains("BATON_AGENT=clean"),
        "{clean}"
    );
    let named = environment_of(
        &bench,
        "named",
        &["--clean-env", "--pass-env", "SERVICE_TOKEN,BATON_PASSWORD"],
    )
    .await;
    for part in ["SERVICE_TOKEN=its-own", "BATON_PASSWORD=pw-of-ada"] {
        assert!(named.contains(part), "{part}: {named}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_lets_the_running_hop_finish() {
    let bench = Bench::start().await;
    let program = "touch \"$HOME/busy\"; while [ ! -e \"$HOME/go\" ]; do sleep 0.05; done; cat";
    let mut worker = bench.worker("slow", &["--exec", program]).await;
    bench.run(&["send", "slow", "x", "--id", "kept"]).await.exits(0);
    busy(&bench).await;
    worker.terminate();
    std::fs::write(bench.home.path().join("go"), "").expect("written");
    assert_eq!(worker.wait(LONG).await.code(), Some(0));
    let kept = bench
        .run(&["intents", "get", "kept", "--output", "json"])
        .await
        .exits(0)
        .json();
    assert_eq!(
        (&kept["snapshot"]["status"]["state"], &kept["snapshot"]["attempt"]),
        (&"completed".into(), &1.into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_stops_at_once() {
    let bench = Bench::start().await;
    let mut worker = bench
        .worker("stuck", &["--exec", "touch \"$HOME/busy\"; sleep 600"])
        .await;
    bench.run(&["send", "stuck", "x"]).await.exits(0);
    busy(&bench).await;
    worker.interrupt();
    eventually("draining", LONG, async || match worker.try_wait() {
        Some(status) => Err(format!("ended with {status}")),
        None if worker.stderr().contains("worker draining") => Ok(()),
        None => Err(worker.stderr()),
    })
    .await;
    worker.interrupt();
    assert_eq!(worker.wait(LONG).await.code(), Some(130), "{}", worker.stderr());
}

/// Whether a process is there; one that is dead and not collected yet is not.
fn is_alive(id: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    !matches!(state, None | Some("Z" | "X"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_worker_takes_its_programs_with_it() {
    let bench = Bench::start().await;
    let program = "sleep 600 & echo $! > \"$HOME/busy.new\"; mv \"$HOME/busy.new\" \"$HOME/busy\"; wait";
    let mut worker = bench.worker("works", &["--exec", program]).await;
    bench.run(&["send", "works", "x"]).await.exits(0);
    busy(&bench).await;
    let program = std::fs::read_to_string(bench.home.path().join("busy")).expect("its id");
    worker.kill();
    eventually("the program is gone", LONG, async || match is_alive(program.trim()) {
        true => Err(program.clone()),
        false => Ok(()),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_dev_takes_its_server_with_it() {
    let home = tempfile::TempDir::new().expect("a folder");
    let mut command = crate::harness::command(home.path());
    // The server that the tests have found is found by the command, too.
    if let Some(real) = std::env::var_os("HOME") {
        command.env("HOME", real);
    }
    let folder = home.path().join("data");
    command
        .args(["dev", "--port", "0", "--output", "json", "--dir"])
        .arg(&folder);
    let mut dev = ProcessGuard::spawn("dev", command, home.path());
    let url = eventually("an address", LONG, async || {
        let said: Option<serde_json::Value> = serde_json::from_str(dev.stdout().trim()).ok();
        let url = said.and_then(|said| said["url"].as_str().map(str::to_owned));
        url.ok_or_else(|| dev.stderr())
    })
    .await;
    let address = url.trim_start_matches("nats://").to_owned();
    dev.kill();
    eventually("the port is free", LONG, async || {
        match std::net::TcpStream::connect(&address) {
            Ok(_) => Err(address.clone()),
            Err(_) => Ok(()),
        }
    })
    .await;
}

/// The processes whose environment names this server.
fn players(url: &str) -> Vec<String> {
    let named = format!("BATON_SERVER={url}\0");
    let ids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = ids.map(|entry| entry.file_name().to_string_lossy().into_owned());
    ids.filter(|id| {
        let environment = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        String::from_utf8_lossy(&environment).contains(&named)
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_demo_takes_its_server_and_its_agents_with_it() {
    let home = tempfile::TempDir::new().expect("a folder");
    let mut command = crate::harness::command(home.path());
    if let Some(real) = std::env::var_os("HOME") {
        command.env("HOME", real);
    }
    command.args(["demo", "--intents", "500"]);
    let mut demo = ProcessGuard::spawn("demo", command, home.path());
    let url = eventually("its server and four processes", LONG, async || {
        let said = demo.stderr();
        let url = said
            .split_once("nats-server at ")
            .and_then(|(_, rest)| rest.split_once(','));
        match url.map(|(url, _)| url.to_owned()) {
            Some(url) if players(&url).len() >= 4 || !cfg!(target_os = "linux") => Ok(url),
            Some(_) | None => Err(said),
        }
    })
    .await;
    let address = url.trim_start_matches("nats://").to_owned();
    demo.kill();
    eventually("nothing of it is left", LONG, async || {
        let left = players(&url);
        match std::net::TcpStream::connect(&address) {
            Err(_) if left.is_empty() => Ok(()),
            Ok(_) | Err(_) => Err(format!("{address}, processes {left:?}")),
        }
    })
    .await;
}

async fn busy(bench: &Bench) {
    eventually("a busy worker", LONG, async || {
        match bench.home.path().join("busy").exists() {
            true => Ok(()),
            false => Err("idle".to_owned()),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_can_be_set_by_hand() {
    let bench = Bench::start().await;
    let set = bench.run(&["route", "set", "code", "2.0.0"]).await.exits(0);
    set.says(&["code@2.0.0", "waits"]);
    let list = bench.run(&["route", "list", "--output", "json"]).await.exits(0).json();
    assert_eq!(
        (&list["routes"][0]["agent"], &list["routes"][0]["active"]),
        (&"code".into(), &"2.0.0".into())
    );
    let agents = bench.run(&["agents", "list"]).await.exits(0).stdout;
    assert!(agents.contains("2.0.0") && agents.contains("active"), "{agents}");
}
