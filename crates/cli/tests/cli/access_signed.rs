//! A mesh with accounts and with signatures, both by the commands of the pages, from nothing: what each role does there, the
//! archive included.

use std::process::Command;

use baton_envelope::IntentId;
use baton_jetstream::Target;
use baton_testkit::{ProcessGuard, eventually};
use serde_json::Value;

use crate::access::Place;
use crate::harness::{LONG, Run, finish};

/// Hands on, calls, asks people, waits for a signal, or goes on for ever, as its payload says.
const RESEARCH: &str = r#"
work=$(cat)
case "$work" in
*'"joined"'*)
  case "$work" in
  *'"PART"'*) echo '{"outcome":"complete","result":"the child said PART"}' ;;
  *) echo '{"outcome":"fail","code":"NO_RESULT","message":"its child has no result"}' ;;
  esac ;;
*'"outcome":"decided"'*) echo '{"outcome":"complete","result":"approved"}' ;;
*'"signalled"'*) echo '{"outcome":"complete","result":"signed"}' ;;
*'"payload":"hand"'*) echo '{"outcome":"hand_off","to":"code","payload":"from research"}' ;;
*'"payload":"sign"'*) echo '{"wait":{"name":"go"}}' ;;
*'"payload":"decide"'*) echo '{"wait":{"name":"publish","approval":{"title":"Publish?","who":["bea"]}}}' ;;
*'"payload":"pair"'*)
  echo '{"wait":{"name":"asked","to":"code","children":[{"payload":"part"},{"payload":"sign","to":"research"}]}}' ;;
*) exec sleep 600 ;;
esac
"#;

/// Who signs, and as what.
const KEYS: [(&str, &str); 4] = [
    ("controller", "role = \"controller\""),
    ("research", "role = \"worker\"\nagent = \"research\""),
    ("code", "role = \"worker\"\nagent = \"code\""),
    ("ada", "role = \"operator\""),
];

/// A mesh with both, as an operator makes it.
struct Both {
    place: Place,
    processes: Vec<ProcessGuard>,
}

impl Both {
    async fn start() -> Self {
        let place = Place::new();
        for add in [
            &["add", "agent", "research"][..],
            &["add", "agent", "code", "--with-password"],
            &["add", "publisher", "shop", "--may", "research"],
            &["add", "person", "vic", "--role", "viewer"],
            &["add", "person", "bea", "--role", "approver"],
            &["add", "person", "ada", "--role", "operator"],
        ] {
            place.access_soon(add).await.exits(0);
        }
        let server = place.secured().await;
        let mut both = Self {
            place,
            processes: Vec::new(),
        };
        both.make_keys().await;
        let mut controller = both.command("controller", &["controller"]);
        controller.env("BATON_CONNECTION__SIGNATURES", "require");
        controller.env("BATON_ARCHIVE__GRACE", "1s");
        controller.env("BATON_CONTROLLER__CHECKPOINT_INTERVAL", "1s");
        both.spawn("controller", controller);
        let worker = ["worker", "--version", "1.0.0", "--agent"];
        let research = [&worker[..], &["research", "--json", "--exec", RESEARCH]].concat();
        both.spawn("research", both.command("research", &research));
        let code = [&worker[..], &["code", "--exec", "tr a-z A-Z"]].concat();
        both.spawn("code", both.command("code", &code));
        both.processes.push(server);
        both.until("both agents have a route", "vic", &["route", "list"], |said| {
            said["routes"].as_array().map(Vec::len) == Some(2)
        })
        .await;
        both
    }

    /// The keys of those who write, and the file that trusts them.
    async fn make_keys(&self) {
        let mut trust = String::new();
        for (name, role) in KEYS {
            let file = self.place.path(&format!("{name}.key"));
            let file = file.to_str().expect("UTF-8").to_owned();
            let public = self.run("vic", &["audit", "keygen", &file]).await.exits(0).stdout;
            let key = public
                .split_whitespace()
                .find(|word| word.starts_with('U') && word.len() == 56);
            let key = key.unwrap_or_else(|| panic!("no key is said: {public}"));
            trust.push_str(&format!("[[grant]]\nkey = \"{key}\"\n{role}\n"));
        }
        std::fs::write(self.place.path("trust.toml"), trust).expect("written");
    }

    /// A command of a user, with what the page on signed records has it set.
    fn command(&self, user: &str, arguments: &[&str]) -> Command {
        let mut command = self.place.as_user(user, arguments);
        let (key, trust) = (self.place.path(&format!("{user}.key")), self.place.path("trust.toml"));
        if trust.exists() {
            command.env("BATON_CONNECTION__SIGNATURES", "accept");
            command.env("BATON_CONNECTION__TRUST", trust);
        }
        if key.exists() {
            command.env("BATON_CONNECTION__SIGNING_KEY", key);
        }
        command
    }

    fn spawn(&mut self, name: &str, command: Command) {
        let folder = self.place.path("");
        self.processes.push(ProcessGuard::spawn(name, command, &folder));
    }

    async fn run(&self, user: &str, arguments: &[&str]) -> Run {
        let command = self.command(user, arguments);
        tokio::task::spawn_blocking(move || finish(command, b""))
            .await
            .expect("joined")
    }

    /// Waits until the document of a command is as it should be.
    async fn until(&self, what: &str, user: &str, arguments: &[&str], is_so: impl Fn(&Value) -> bool) {
        let arguments = [arguments, &["--output", "json"]].concat();
        eventually(what, 3 * LONG, async || {
            let run = self.run(user, &arguments).await;
            match serde_json::from_str(&run.stdout) {
                Ok(said) if is_so(&said) => Ok(()),
                Ok(_) | Err(_) => Err(format!("{run:?}")),
            }
        })
        .await;
    }

    async fn until_status(&self, intent: &str, status: &str) {
        let what = format!("{intent} is {status}");
        self.until(&what, "vic", &["intents", "get", intent], |said| {
            said["snapshot"]["status"]["state"] == status
        })
        .await;
    }

    /// What an intent came to, as a viewer sees it.
    async fn result(&self, intent: &str) -> String {
        let run = self.run("vic", &["intents", "wait", intent, "--timeout", "60s"]).await;
        run.exits(0).stdout.trim().to_owned()
    }

    /// As the page says what to do about a leak: an audit by a copy of the trusted keys, in which one ends before all that it
    /// signed, lists just that; by the file of the mesh all of it verifies as before.
    async fn tells_what_a_key_has_signed(&self, name: &str, intent: &str) {
        let trust = std::fs::read_to_string(self.place.path("trust.toml")).expect("read");
        let own = format!("agent = \"{name}\"");
        assert!(trust.contains(&own), "{trust}");
        let copy = self.place.path("copy.toml");
        let ended = trust.replace(&own, &format!("{own}\nuntil = \"2026-01-01T00:00:00Z\""));
        std::fs::write(&copy, ended).expect("written");
        let mut audit = self.command("vic", &["audit", "verify", "--all", "--output", "json"]);
        audit.env("BATON_CONNECTION__TRUST", copy);
        let run = tokio::task::spawn_blocking(move || finish(audit, b""))
            .await
            .expect("joined");
        let report = run.exits(1).json();
        let problems = report["problems"].as_array().expect("problems");
        let is_named = |problem: &&Value| {
            let said = problem["problem"].as_str().unwrap_or_default();
            problem["intent"] == intent && said.contains("was not trusted when it was stored")
        };
        assert!(problems.iter().any(|problem| is_named(&problem)), "{report:#}");
        self.run("vic", &["audit", "verify", "--all"]).await.exits(0);
    }

    /// Work goes from hand to hand, and a person decides.
    async fn works(&self, name: &str) {
        let send = ["send", "research", "hand", "--wait", "--timeout", "60s"];
        let sent = self.run("ada", &send).await.exits(0);
        assert_eq!(sent.stdout.trim(), "FROM RESEARCH");
        self.run("ada", &["send", "research", "decide", "--id", name])
            .await
            .exits(0);
        self.until_status(name, "waiting").await;
        self.run("vic", &["approvals", "approve", name]).await.exits(4);
        self.run("bea", &["approvals", "approve", name]).await.exits(0);
        assert_eq!(self.result(name).await, "approved");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_and_signatures_together_do_all_that_either_does() {
    let both = Both::start().await;
    // A call whose first child is in the archive before the second one ends: its parent reads the result there.
    both.run("ada", &["send", "research", "pair", "--id", "pair"])
        .await
        .exits(0);
    both.until("the first child is archived", "vic", &["archive", "status"], |said| {
        said["archived"].as_u64() >= Some(1)
    })
    .await;
    let parent: IntentId = "pair".parse().expect("id");
    let second = IntentId::of_child(&parent, 1, "asked", 1).to_string();
    both.until_status(&second, "waiting").await;
    both.run("ada", &["signal", &second, "go"]).await.exits(0);
    assert_eq!(both.result("pair").await, "the child said PART");
    both.works("before").await;

    // All of them sign, so signatures are required some time later, and nothing changes.
    both.until("signatures are required", "vic", &["doctor"], |said| {
        said.to_string().contains("the mesh is at \\\"require\\\"")
    })
    .await;
    both.works("after").await;
    let shop = Target {
        nkey: Some(both.place.path("config/credentials/shop.nk")),
        inbox_prefix: Some("_INBOX_shop".to_owned()),
        ..Target::at(both.place.url())
    };
    let shop = shop.connect().await.expect("connected");
    let headers = vec![("Baton-Intent".to_owned(), "order-1".to_owned())];
    shop.publish_raw("mesh.intent.research".to_owned(), headers, "hand".into())
        .await
        .expect("taken in");
    both.until_status("order-1", "completed").await;
    assert_eq!(both.result("order-1").await, "FROM RESEARCH");

    both.run("ada", &["send", "research", "slow", "--id", "slow"])
        .await
        .exits(0);
    both.until_status("slow", "in_progress").await;
    let kill = ["agents", "kill", "research", "1.0.0", "--reason", "test"];
    for user in ["vic", "bea"] {
        both.run(user, &kill).await.exits(4).says(&["PERMISSION_DENIED"]);
    }
    both.run("ada", &kill).await.exits(0);
    both.until_status("slow", "pending").await;
    let cancel = ["intents", "cancel", "slow", "--reason", "test"];
    both.run("bea", &cancel).await.exits(4).says(&["PERMISSION_DENIED"]);
    both.run("ada", &cancel).await.exits(0);
    both.until_status("slow", "cancelled").await;
    both.run("ada", &["agents", "resume", "research", "1.0.0", "--reason", "test"])
        .await
        .exits(0);
    both.works("again").await;

    // What all of them wrote verifies, and nobody has an alarm.
    both.run("vic", &["audit", "verify", "--all"]).await.exits(0);
    both.tells_what_a_key_has_signed("research", "order-1").await;
    both.until("there is no alarm", "vic", &["doctor"], |said| {
        said.to_string().contains("and there is no alarm")
    })
    .await;
}
