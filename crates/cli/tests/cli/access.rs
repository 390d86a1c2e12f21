//! `baton access`: the accounts of a mesh, from nothing to a server that runs with them.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use baton_testkit::{ProcessGuard, eventually, nats_cli, nats_server};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::harness::{LONG, Run, command, finish};

/// A folder in which somebody makes the accounts of a mesh.
pub(crate) struct Place {
    home: TempDir,
    port: u16,
}

impl Place {
    /// With an agent and a publisher that may ask it; and the file that says so.
    fn with_a_shop() -> (Self, String) {
        let place = Self::new();
        place.access(&["add", "agent", "research"]).exits(0);
        place
            .access(&["add", "publisher", "shop", "--may", "research"])
            .exits(0);
        let file = read(&place.path("config/access.toml"));
        (place, file)
    }

    /// With a file of accounts.
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("its address").port();
        drop(listener);
        let place = Self {
            home: TempDir::new().expect("folder"),
            port,
        };
        place
            .access(&["init", "--listen", &format!("127.0.0.1:{port}")])
            .exits(0);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A command in this folder.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(self.home.path());
        command.current_dir(self.home.path()).args(arguments);
        command
    }

    fn access(&self, arguments: &[&str]) -> Run {
        finish(self.command(&[&["access"][..], arguments].concat()), b"")
    }

    /// Runs `baton access`, without blocking what else runs here.
    pub(crate) async fn access_soon(&self, arguments: &[&str]) -> Run {
        let command = self.command(&[&["access"][..], arguments].concat());
        tokio::task::spawn_blocking(move || finish(command, b""))
            .await
            .expect("joined")
    }

    /// A command with the variables of a user, as systemd would set them.
    pub(crate) fn as_user(&self, user: &str, arguments: &[&str]) -> Command {
        let file = self.path(&format!("config/credentials/{user}.env"));
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut command = self.command(arguments);
        for (name, value) in text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once('='))
        {
            command.env(name, value.trim_matches('\''));
        }
        command
    }

    async fn run_as(&self, user: &str, arguments: &[&str]) -> Run {
        let command = self.as_user(user, arguments);
        tokio::task::spawn_blocking(move || finish(command, b""))
            .await
            .expect("joined")
    }

    /// A server that runs with the file, and lets all users in.
    pub(crate) async fn secured(&self) -> ProcessGuard {
        // No server runs yet: the file is written.
        self.access_soon(&["apply"]).await.exits(69);
        let server = self.server().await;
        eventually("the accounts work", LONG, async || {
            let run = self.access_soon(&["apply", "--output", "json"]).await;
            if run.code == 0 { Ok(()) } else { Err(format!("{run:?}")) }
        })
        .await;
        server
    }

    /// Where its server listens.
    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    fn spawn_as(&self, user: &str, name: &str, arguments: &[&str]) -> ProcessGuard {
        ProcessGuard::spawn(name, self.as_user(user, arguments), self.home.path())
    }

    /// A worker of an agent, with what its account allows.
    fn worker(&self, agent: &str, more: &[&str]) -> ProcessGuard {
        let arguments = [&["worker", "--agent", agent, "--version", "1.0.0"][..], more].concat();
        self.spawn_as(agent, agent, &arguments)
    }

    pub(crate) async fn server(&self) -> ProcessGuard {
        let mut command = Command::new(nats_server().await);
        command
            .current_dir(self.home.path())
            .args(["-c", "config/nats-server.conf"]);
        ProcessGuard::spawn("nats-server", command, self.home.path())
    }

    /// Every secret that was handed out.
    fn secrets(&self) -> Vec<String> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.path("config/credentials"))
            .expect("credentials")
            .flatten()
        {
            let path = entry.path();
            if path.extension().is_some_and(|end| end == "nk") {
                found.push(read(&path).trim().to_owned());
            } else if path.extension().is_some_and(|end| end == "env") {
                let text = read(&path);
                let password = text.lines().find_map(|line| line.strip_prefix("BATON_PASSWORD="));
                found.extend(password.map(str::to_owned));
            }
        }
        found
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn secrets_stand_in_their_files_alone() {
    let place = Place::new();
    let runs = [
        place.access(&["add", "agent", "research"]),
        place.access(&["add", "agent", "code", "--with-password", "--output", "json"]),
        place.access(&["add", "person", "ada", "--role", "operator"]),
        place.access(&["add", "publisher", "shop", "--may", "research,code", "--output", "json"]),
        place.access(&["rotate", "code"]),
        place.access(&["rotate", "research", "--keep-old", "--output", "json"]),
        place.access(&["render"]),
        place.access(&["render", "--output", "json"]),
        place.access(&["check", "--output", "json"]),
    ];
    let mut said = read(&place.path("config/access.toml"));
    for run in runs {
        let run = run.exits(0);
        said.push_str(&run.stdout);
        said.push_str(&run.stderr);
    }
    let secrets = place.secrets();
    assert_eq!(secrets.len(), 6);
    for secret in secrets {
        assert!(secret.len() > 20 && !said.contains(&secret), "a secret was shown");
    }
    // The old key is still good, beside the new one.
    let rendered = place.access(&["render"]).exits(0).stdout;
    assert_eq!(rendered.matches("\"_INBOX_research.>\"").count(), 2, "{rendered}");
    place.access(&["rotate", "research", "--drop-old"]).exits(0);
    let rendered = place.access(&["render"]).exits(0).stdout;
    assert_eq!(rendered.matches("\"_INBOX_research.>\"").count(), 1);
}

#[test]
fn mistakes_are_named_and_change_nothing() {
    let (place, before) = Place::with_a_shop();
    place
        .access(&["init"])
        .exits(4)
        .says(&["FILE_EXISTS", "config/access.toml"]);
    place
        .access(&["add", "person", "research", "--role", "viewer"])
        .exits(4)
        .says(&["NAME_TAKEN", "an agent"]);
    place
        .access(&["add", "agent", "controller"])
        .exits(4)
        .says(&["NAME_TAKEN", "controllers"]);
    place.access(&["add", "agent", "a.b"]).exits(2).says(&["no dots"]);
    place
        .access(&["add", "person", "vic", "--role", "boss"])
        .exits(2)
        .says(&["viewer, approver, operator, admin"]);
    place
        .access(&["remove", "reserch"])
        .exits(3)
        .says(&["UNKNOWN_ACCOUNT", "research"]);
    place
        .access(&["remove", "research"])
        .exits(4)
        .says(&["NAME_IN_USE", "shop"]);
    place
        .access(&["rotate", "research", "--drop-old"])
        .exits(2)
        .says(&["no old key"]);
    place
        .access(&["add", "publisher", "web", "--may", "nobody"])
        .exits(64)
        .says(&["ACCESS_INVALID", "publishers.web.may", "nobody", "add agent nobody"]);
    assert!(!place.path("config/credentials/web.nk").exists());
    place
        .access(&["add", "agent", "research", "--with-password"])
        .exits(4)
        .says(&["rotate research --with-password"]);
    assert_eq!(read(&place.path("config/access.toml")), before);
}

#[test]
fn nobody_gets_a_secret_by_a_file_with_mistakes() {
    let (place, before) = Place::with_a_shop();
    let wrong = before.replace("may = [\"research\"]", "may = [\"reserch\", \"code\"]");
    std::fs::write(place.path("config/access.toml"), wrong).expect("written");
    let report = place.access(&["check", "--output", "json"]).exits(64).json();
    assert_eq!(report["problems"], 2, "{report}");
    place
        .access(&["apply"])
        .exits(64)
        .says(&["ACCESS_INVALID", "publishers.shop.may", "reserch"]);
    assert!(!place.path("config/nats-server.conf").exists());
    // Nobody gets a secret that `apply` would not bring to the server; a change may mend one mistake of two.
    let seed = read(&place.path("config/credentials/research.nk"));
    for change in [
        &["rotate", "research"][..],
        &["rotate", "research", "--keep-old"],
        &["add", "agent", "late"],
    ] {
        place
            .access(change)
            .exits(64)
            .says(&["ACCESS_INVALID", "publishers.shop.may"]);
    }
    assert_eq!(read(&place.path("config/credentials/research.nk")), seed);
    assert!(!place.path("config/credentials/late.nk").exists());
    for mending in [
        &["add", "agent", "code"][..],
        &["remove", "shop"],
        &["rotate", "research"],
    ] {
        place.access(mending).exits(0);
    }
    assert_ne!(read(&place.path("config/credentials/research.nk")), seed);

    let tls = before + "\n[server.tls]\ncert = \"none.pem\"\nkey = \"none.key\"\n";
    std::fs::write(place.path("config/access.toml"), tls).expect("written");
    place
        .access(&["check"])
        .exits(64)
        .says(&["SERVER_CONFIG_REFUSED", "none.pem"]);
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
async fn a_mesh_is_secured_from_nothing_and_grows_while_it_runs() {
    let Some(nats) = nats_cli().await else { return };
    let place = Place::new();
    for add in [
        &["add", "agent", "research"][..],
        &["add", "agent", "code", "--with-password"],
        &["add", "publisher", "shop", "--may", "research"],
        &["add", "person", "ada", "--role", "operator"],
        &["add", "person", "vic", "--role", "viewer", "--with-password"],
    ] {
        place.access_soon(add).await.exits(0);
    }
    // No server runs yet: the file is written, and that is said.
    place
        .access_soon(&["apply"])
        .await
        .exits(69)
        .says(&["nats-server -c config/nats-server.conf"]);
    let _server = place.server().await;
    eventually("the accounts work", LONG, async || {
        let run = place.access_soon(&["apply", "--output", "json"]).await;
        if run.code == 0 { Ok(()) } else { Err(format!("{run:?}")) }
    })
    .await;

    let _controller = place.spawn_as("controller", "controller", &["controller"]);
    let research = [
        "--json",
        "--exec",
        r#"cat > /dev/null; echo '{"outcome":"hand_off","to":"code","payload":"from research"}'"#,
    ];
    let _research = place.worker("research", &research);
    let _code = place.worker("code", &["--exec", "tr a-z A-Z"]);
    eventually("both agents have a route", LONG, async || {
        let run = place.run_as("ada", &["route", "list", "--output", "json"]).await;
        let routes = serde_json::from_str::<serde_json::Value>(&run.stdout).unwrap_or_default();
        match routes["routes"].as_array().map(Vec::len) {
            Some(2) => Ok(()),
            _ => Err(format!("{run:?}")),
        }
    })
    .await;

    // An operator submits, and gets the result of the whole chain.
    let sent = place
        .run_as("ada", &["send", "research", "otters", "--wait", "--timeout", "30s"])
        .await
        .exits(0);
    assert_eq!(sent.stdout.trim(), "FROM RESEARCH");

    // A publisher that knows nothing of Baton, and may ask one agent only.
    let publish = |agent: &str| {
        let mut command = nats.command(&format!("nats://127.0.0.1:{}", place.port));
        command
            .env("XDG_CONFIG_HOME", place.path("config/credentials"))
            .args(["--context", "shop", "req", &format!("mesh.intent.{agent}"), "otters"])
            .args(["--timeout", "5s", "-H", "Baton-Intent:order-1"]);
        command
    };
    let stored = finish(publish("research"), b"");
    assert!(stored.stdout.contains("MESH_INTAKE"), "{stored:?}");
    let refused = finish(publish("code"), b"");
    assert!(!refused.stdout.contains("MESH_INTAKE"), "{refused:?}");
    eventually("the publisher's intent is done, in its name", LONG, async || {
        let run = place
            .run_as("vic", &["intents", "get", "order-1", "--output", "json"])
            .await;
        if run.code == 0 && run.stdout.contains("completed") && run.stdout.contains("shop") {
            Ok(())
        } else {
            Err(format!("{run:?}"))
        }
    })
    .await;

    // A viewer changes nothing, and is told so at once.
    let began = Instant::now();
    for change in [
        &["agents", "quarantine", "code", "1.0.0", "--reason", "x"][..],
        &["send", "code", "x"],
    ] {
        let run = place.run_as("vic", change).await.exits(4);
        assert!(run.stderr.contains("PERMISSION_DENIED"), "{run:?}");
    }
    assert!(began.elapsed() < LONG / 2, "{:?}", began.elapsed());

    // An agent more, while all of it runs.
    place.access_soon(&["add", "agent", "audit"]).await.exits(0);
    let applied = place.access_soon(&["apply", "--output", "json"]).await.exits(0).json();
    assert!(applied["reloads"].as_u64() >= Some(2), "{applied}");
    let _audit = place.worker("audit", &["--exec", "cat"]);
    eventually("the new agent has a route", LONG, async || {
        let run = place.run_as("ada", &["route", "explain", "audit"]).await;
        if run.code == 0 { Ok(()) } else { Err(format!("{run:?}")) }
    })
    .await;
    let sent = place
        .run_as("ada", &["send", "audit", "books", "--wait", "--timeout", "30s"])
        .await
        .exits(0);
    assert_eq!(sent.stdout.trim(), "books");
    let again = place.access_soon(&["apply", "--output", "json"]).await.exits(0).json();
    assert_eq!(again["changed"], false);

    // A secret that leaked lets nobody in once another is applied.
    let leaked = read(&place.path("config/credentials/ada.nk"));
    place.access_soon(&["rotate", "ada"]).await.exits(0);
    place.access_soon(&["apply"]).await.exits(0);
    place.run_as("ada", &["intents", "list"]).await.exits(0);
    std::fs::write(place.path("leaked.nk"), leaked).expect("written");
    let mut with_leaked = place.as_user("ada", &["intents", "list"]);
    with_leaked.env("BATON_NKEY", place.path("leaked.nk"));
    finish(with_leaked, b"").exits(4).says(&["LOGIN_REFUSED", "leaked.nk"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_inbox_prefix_and_a_user_in_the_address_are_told_from_silence() {
    let place = Place::new();
    place
        .access_soon(&["add", "person", "vic", "--role", "viewer", "--with-password"])
        .await
        .exits(0);
    place.access_soon(&["apply", "--no-reload"]).await;
    let server = place.server().await;
    eventually("the accounts work", LONG, async || {
        let run = place.access_soon(&["apply", "--no-reload"]).await;
        if run.code == 0 { Ok(()) } else { Err(format!("{run:?}")) }
    })
    .await;
    // By a signal, where the system account is not at hand; never to another program.
    std::fs::remove_file(place.path("config/credentials/nats/context/system.json")).expect("removed");
    let server = server.pid().to_string();
    let told = place
        .access_soon(&["apply", "--pid", &server, "--output", "json"])
        .await
        .exits(0)
        .json();
    assert_eq!((&told["reloaded_by"], &told["reloads"]), (&"signal".into(), &2.into()));
    let own = std::process::id().to_string();
    place
        .access_soon(&["apply", "--pid", &own])
        .await
        .exits(4)
        .says(&["is no nats-server"]);
    place.access_soon(&["add", "agent", "late"]).await.exits(0);
    place
        .access_soon(&["apply"])
        .await
        .exits(1)
        .says(&["NOT_APPLIED", "late", "--signal reload=PID", "--no-reload"]);

    // It is a viewer of a mesh that nobody has made: that is said once it is let in.
    let made = place.run_as("vic", &["intents", "list"]).await;
    assert!(
        !made.stderr.contains("INBOX_DENIED") && !made.stderr.contains("LOGIN_REFUSED"),
        "{made:?}"
    );

    let began = Instant::now();
    for (prefix, named) in [("_INBOX_ada", "_INBOX_ada"), ("_INBOX", "\"_INBOX\"")] {
        let mut wrong = place.as_user("vic", &["intents", "list"]);
        wrong.env("BATON_INBOX_PREFIX", prefix);
        finish(wrong, b"")
            .exits(4)
            .says(&["INBOX_DENIED", named, "BATON_INBOX_PREFIX"]);
    }
    assert!(began.elapsed() < LONG / 4, "{:?}", began.elapsed());
    finish(place.command(&["intents", "list", "--inbox-prefix", "a..b"]), b"")
        .exits(64)
        .says(&["a..b"]);

    let variables = read(&place.path("config/credentials/vic.env"));
    let password = variables
        .lines()
        .find_map(|line| line.strip_prefix("BATON_PASSWORD="))
        .expect("a password");
    let url = format!("nats://vic:{password}@127.0.0.1:{}", place.port);
    for arguments in [
        &["doctor", "--output", "json", "-vv"][..],
        &["doctor"],
        &["intents", "list", "-v"],
        &["send", "a", "x"],
    ] {
        let mut command = place.command(arguments);
        command
            .env("BATON_SERVER", &url)
            .env("BATON_INBOX_PREFIX", "_INBOX_vic");
        let run = finish(command, b"");
        assert!(!run.stderr.contains("LOGIN_REFUSED"), "{arguments:?}: {run:?}");
        let said = run.stdout + &run.stderr;
        assert!(!said.contains(password), "{arguments:?} shows the password");
    }
    let mut guessed = place.command(&["intents", "list"]);
    guessed.env("BATON_SERVER", url.replace(password, "guess"));
    let run = finish(guessed, b"")
        .exits(4)
        .says(&["LOGIN_REFUSED", "user \"vic\" of the address"]);
    assert!(!run.stderr.contains("guess"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_show_certificates_where_the_server_wants_them() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls");
    for first in [false, true] {
        let place = Place::new();
        let of = |name: &str| fixtures.join(name).display().to_string();
        let tls = format!(
            "\n[server.tls]\ncert = \"{}\"\nkey = \"{}\"\nca = \"{}\"\nverify = true\nfirst = {first}\n\
             client_cert = \"{}\"\nclient_key = \"{}\"\n",
            of("server.pem"),
            of("server-key.pem"),
            of("ca.pem"),
            of("client.pem"),
            of("client-key.pem"),
        );
        let file = place.path("config/access.toml");
        std::fs::write(&file, read(&file) + &tls).expect("written");
        for user in ["controller", "system"] {
            place.access_soon(&["rotate", user]).await.exits(0);
        }
        place
            .access_soon(&["add", "person", "ada", "--role", "operator"])
            .await
            .exits(0);
        place.access_soon(&["apply"]).await.exits(69);
        let _server = place.server().await;
        eventually("the accounts work", LONG, async || {
            let run = place.access_soon(&["apply"]).await;
            if run.code == 0 { Ok(()) } else { Err(format!("{run:?}")) }
        })
        .await;
        let _controller = place.spawn_as("controller", "controller", &["controller"]);
        eventually("the mesh is there", LONG, async || {
            let run = place.run_as("ada", &["intents", "list"]).await;
            if run.code == 0 { Ok(()) } else { Err(format!("{run:?}")) }
        })
        .await;
        // Without a certificate nobody comes in, whatever key one has. The server's last word may be lost with the connection.
        eventually("the missing certificate is told", LONG, async || {
            let mut bare = place.as_user("ada", &["intents", "list"]);
            bare.env_remove("BATON_TLS_CERT").env_remove("BATON_TLS_KEY");
            let run = finish(bare, b"").exits(69);
            match run.stderr.contains("--tls-cert and --tls-key") && !run.stderr.contains("baton dev") {
                true => Ok(()),
                false => Err(run.stderr),
            }
        })
        .await;
        let mut unknown = place.as_user("ada", &["intents", "list"]);
        unknown.env_remove("BATON_TLS_CA");
        finish(unknown, b"")
            .exits(69)
            .says(&["an unknown authority", "--tls-ca"]);
        for variable in ["BATON_TLS_CA", "BATON_TLS_CERT"] {
            let mut missing = place.as_user("ada", &["intents", "list"]);
            missing.env(variable, "/nonexist");
            let setting = variable.to_ascii_lowercase().replace("baton_", "connection.");
            finish(missing, b"")
                .exits(64)
                .says(&["BAD_CONFIG", "/nonexist", &setting]);
        }
        let mut half = place.as_user("ada", &["intents", "list"]);
        half.env_remove("BATON_TLS_KEY");
        finish(half, b"").exits(64).says(&["tls_cert", "tls_key"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_ask_no_controller_is_told_so_and_what_to_do() {
    let place = Place::new();
    for add in [
        &["add", "agent", "research"][..],
        &["add", "publisher", "shop", "--may", "research"],
        &["add", "person", "vic", "--role", "viewer"],
        &["add", "person", "ada", "--role", "operator"],
    ] {
        place.access_soon(add).await.exits(0);
    }
    place.access_soon(&["apply"]).await.exits(69);
    let _server = place.server().await;
    eventually("the accounts work", LONG, async || {
        let run = place.access_soon(&["apply"]).await;
        if run.code == 0 { Ok(()) } else { Err(format!("{run:?}")) }
    })
    .await;
    // A publisher could ask none if there was one.
    let denied = &["PERMISSION_DENIED", "mesh.control.", "nats req mesh.intent.AGENT"];
    place
        .run_as("shop", &["send", "research", "x"])
        .await
        .exits(4)
        .says(denied);
    let _controller = place.spawn_as("controller", "controller", &["controller"]);
    eventually("a controller answers", LONG, async || {
        let run = place.run_as("vic", &["agents", "list"]).await;
        if run.code == 0 { Ok(()) } else { Err(format!("{run:?}")) }
    })
    .await;
    for (user, needs) in [
        ("shop", "role operator"),
        ("research", "role operator"),
        ("vic", "role operator"),
    ] {
        let run = place.run_as(user, &["send", "research", "x"]).await.exits(4);
        run.says(denied)
            .says(&[needs, "config/access.toml", "baton access apply"]);
    }
    let run = place.run_as("ada", &["repair", "route/research"]).await.exits(4);
    run.says(&["PERMISSION_DENIED", "role admin"]);
}
