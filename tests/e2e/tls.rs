//! A mesh on a server with TLS, through the screen: a controller reads what the client cannot, whoever shows which
//! certificate, and whoever speaks first.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use baton_testkit::{ProcessGuard, TestServer, eventually};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// How long anything here may take on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// A folder with an authority, what it has signed for the server and for clients, and the contexts of the `nats` command.
struct Certificates(TempDir);

impl Certificates {
    fn make() -> Self {
        let made = Self(TempDir::new().expect("a folder"));
        for name in ["ca", "other-ca"] {
            made.openssl(&format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name} \
                 -keyout {name}.key -out {name}.pem"
            ));
        }
        std::fs::write(made.path("server.ext"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").expect("written");
        std::fs::write(made.path("client.ext"), "extendedKeyUsage=clientAuth\n").expect("written");
        for name in ["server", "client"] {
            made.openssl(&format!(
                "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={name} -keyout {name}.key \
                 -out {name}.csr"
            ));
            made.openssl(&format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile {name}.ext \
                 -out {name}.pem"
            ));
        }
        made
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn openssl(&self, arguments: &str) {
        let command = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .output()
            .expect("this test makes its certificates with the `openssl` command: install it");
        let said = String::from_utf8_lossy(&command.stderr);
        assert!(command.status.success(), "openssl {arguments}: {said}");
    }

    /// A server that greets a client which says nothing for a moment, and else lets it begin with TLS.
    async fn server(&self, more: &str) -> TestServer {
        let config = format!(
            "tls {{\n  cert_file: \"{}\"\n  key_file: \"{}\"\n  handshake_first: \"300ms\"\n  {more}\n}}",
            self.path("server.pem").display(),
            self.path("server.key").display(),
        );
        TestServer::builder().config(&config).start().await
    }

    /// Writes a context of the `nats` command.
    fn context(&self, name: &str, server: &TestServer, more: Value) {
        let folder = self.path("nats/context");
        std::fs::create_dir_all(&folder).expect("a folder");
        let mut context = json!({"url": format!("tls://127.0.0.1:{}", server.port())});
        for (key, value) in more.as_object().expect("an object") {
            context[key] = value.clone();
        }
        std::fs::write(folder.join(format!("{name}.json")), context.to_string()).expect("written");
    }

    fn baton(&self, context: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_baton"));
        for (name, _) in std::env::vars_os() {
            let is_ours = ["BATON_", "NATS_"]
                .iter()
                .any(|begins| name.to_string_lossy().starts_with(begins));
            if is_ours && name != "BATON_NATS_SERVER" {
                command.env_remove(name);
            }
        }
        command.env("XDG_CONFIG_HOME", self.0.path());
        // Each scene has a mesh of its own.
        command.args(["--context", context, "--namespace", context]);
        command.args(arguments);
        command
    }

    /// Publishes bytes over TLS as no client would, and waits until the server has taken them.
    async fn publish(&self, server: &TestServer, subject: &str, head: &[u8], body: &[u8]) {
        let mut command = tokio::process::Command::new("openssl");
        command
            .args(["s_client", "-quiet", "-verify_return_error", "-connect"])
            .arg(format!("127.0.0.1:{}", server.port()))
            .args(["-CAfile", "ca.pem", "-cert", "client.pem", "-key", "client.key"])
            .current_dir(self.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut client = command.spawn().expect("openssl s_client");
        let mut bytes = b"CONNECT {\"verbose\":false,\"headers\":true,\"tls_required\":true}\r\n".to_vec();
        let sizes = format!("HPUB {subject} {} {}\r\n", head.len(), head.len() + body.len());
        for part in [sizes.as_bytes(), head, body, b"\r\nPING\r\n"] {
            bytes.extend_from_slice(part);
        }
        let stdin = client.stdin.as_mut().expect("a pipe");
        stdin.write_all(&bytes).await.expect("sent");
        stdin.flush().await.expect("sent");
        let (mut stdout, mut seen) = (client.stdout.take().expect("a pipe"), String::new());
        let taken = async {
            let mut buffer = [0; 4096];
            while !seen.contains("PONG") {
                let count = stdout.read(&mut buffer).await.expect("read");
                assert!(count > 0, "the server closed the connection: {seen}");
                seen.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        };
        tokio::time::timeout(LONG, taken).await.expect("PONG");
    }
}

/// The codes of the rejected intents of a mesh.
async fn rejected(certificates: &Certificates, context: &str) -> Result<Vec<String>, String> {
    let mut command = certificates.baton(
        context,
        &["intents", "list", "--status", "rejected", "--output", "json"],
    );
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("joined")
        .expect("run");
    let document: Value =
        serde_json::from_slice(&output.stdout).map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let text = document.to_string();
    let codes = ["BAD_HEADER", "UNKNOWN_AGENT"]
        .iter()
        .filter(|code| text.contains(**code));
    Ok(codes.map(|&code| code.to_owned()).collect())
}

/// A controller reads a message whose head the client cannot read, and the one after it.
async fn is_screened(certificates: &Certificates, server: &TestServer, context: &str) {
    let logs = certificates.path(&format!("logs-{context}"));
    std::fs::create_dir_all(&logs).expect("a folder");
    let controller = ProcessGuard::spawn(context, certificates.baton(context, &["controller"]), Path::new(&logs));
    let found = eventually("the mesh", LONG, async || rejected(certificates, context).await).await;
    assert!(found.is_empty(), "{found:?}");
    let subject = format!("{context}.intent.shout");
    let malformed = b"NATS/1.0\r\nX-Name: caf\xe9\r\nno colon\r\n\r\n";
    certificates.publish(server, &subject, malformed, b"bad").await;
    certificates
        .publish(server, &subject, b"NATS/1.0\r\nX-Name: cafe\r\n\r\n", b"good")
        .await;
    eventually("both are judged", LONG, async || {
        let found = rejected(certificates, context).await?;
        match found.len() {
            2 => Ok(()),
            _ => Err(format!("{found:?}; {}", controller.stderr())),
        }
    })
    .await;
    let said = controller.stderr();
    assert!(!said.contains("connection to nats-server lost"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_reads_malformed_messages_of_a_server_with_tls() {
    let certificates = Certificates::make();
    let ca = certificates.path("ca.pem");
    let server = certificates.server("").await;
    certificates.context("greeted", &server, json!({"ca": ca}));
    certificates.context("first", &server, json!({"ca": ca, "tls_first": true}));
    is_screened(&certificates, &server, "greeted").await;
    is_screened(&certificates, &server, "first").await;

    let mutual = certificates
        .server(&format!("ca_file: \"{}\"\n  verify: true", ca.display()))
        .await;
    let own = json!({"ca": ca, "cert": certificates.path("client.pem"), "key": certificates.path("client.key")});
    certificates.context("mutual", &mutual, own);
    is_screened(&certificates, &mutual, "mutual").await;
}

/// What is shown by somebody else's authority is refused, with and without the screen.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_certificate_nobody_vouches_for_is_refused() {
    let certificates = Certificates::make();
    let server = certificates.server("").await;
    certificates.context("other", &server, json!({"ca": certificates.path("other-ca.pem")}));
    for screen in ["true", "false"] {
        let mut command = certificates.baton("other", &["intents", "list"]);
        command.env("BATON_CONNECTION__SCREEN", screen);
        let output = tokio::task::spawn_blocking(move || command.output())
            .await
            .expect("joined")
            .expect("run");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(69), "screen {screen}: {said}");
        assert!(said.contains("certificate"), "screen {screen}: {said}");
    }
}
