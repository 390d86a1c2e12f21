//! The model as the static configuration of nats-server.
//!
//! Everything is quoted, and each import and export has a line of its own: the server's parser takes an unquoted word to the
//! next brace, and a difference between two such files shows what was granted.

use crate::file::Access;
use crate::layout::{Account, Answers, Export, Import, Kind, Layout, SYSTEM_ACCOUNT, User};
use crate::login::Login;

/// How long an answer may be silent before the server forgets who asked. A pull of Baton is silent for 30 s at most, and a
/// controller that replays hops for two minutes.
const RESPONSE_THRESHOLD: &str = "5m";

const HEADER: &str = "\
# Made by `baton access render`: change access.toml and render it again. docs/security.md says what each account may do.
# What is secret about it are hashes: of passwords, where a user has one. Keys are the public halves.
";

/// The configuration. It ends with a line end.
pub fn render(access: &Access) -> String {
    let layout = Layout::of(access);
    let mut out = Lines::default();
    out.raw(HEADER);
    server(&mut out, access, &layout);
    out.raw("");
    out.open("accounts");
    for account in &layout.accounts {
        self::account(&mut out, account);
    }
    out.close();
    out.pair("system_account", SYSTEM_ACCOUNT);
    out.text
}

fn server(out: &mut Lines, access: &Access, layout: &Layout) {
    let server = &access.server;
    out.pair("server_name", &server.name);
    out.pair("listen", &server.listen);
    for (key, value) in [("http", &server.http), ("pid_file", &server.pid_file)] {
        if !value.is_empty() {
            out.pair(key, value);
        }
    }
    out.number("max_payload", server.max_payload.0);
    let (file, memory) = layout.stored();
    out.raw("");
    out.open("jetstream");
    out.pair("store_dir", &server.store_dir);
    out.pair("sync_interval", &server.sync_interval);
    out.number("max_file_store", file.0);
    out.number("max_memory_store", memory.0);
    out.close();
    if let Some(tls) = &server.tls {
        out.raw("");
        out.open("tls");
        for (key, value) in [("cert_file", &tls.cert), ("key_file", &tls.key), ("ca_file", &tls.ca)] {
            if !value.is_empty() {
                out.pair(key, value);
            }
        }
        for (key, value) in [("verify", tls.verify), ("handshake_first", tls.first)] {
            if value {
                out.raw(&format!("{key}: true"));
            }
        }
        out.close();
    }
}

fn account(out: &mut Lines, account: &Account) {
    out.open(&quoted(&account.name));
    if let Some(limits) = &account.stores {
        out.open("jetstream");
        out.number("max_file", limits.file.0);
        out.number("max_mem", limits.memory.0);
        out.number("max_streams", limits.streams.into());
        out.number("max_consumers", limits.consumers.into());
        out.close();
    }
    out.list("users", account.users.iter().flat_map(user));
    out.list("exports", account.exports.iter().map(export));
    out.list("imports", account.imports.iter().map(import));
    out.close();
}

fn user(user: &User) -> Vec<String> {
    let hears = user.hears.as_ref().map(|hears| {
        let subjects: Vec<String> = hears.iter().map(|subject| quoted(subject)).collect();
        format!(", permissions: {{subscribe: {{allow: [{}]}}}}", subjects.join(", "))
    });
    let hears = hears.unwrap_or_default();
    match &user.login {
        Login::Keys(keys) => keys
            .iter()
            .map(|key| format!("{{nkey: {}{hears}}}", quoted(key.as_str())))
            .collect(),
        Login::Password(hash) => vec![format!(
            "{{user: {}, password: {}{hears}}}",
            quoted(&user.name),
            quoted(hash.as_str())
        )],
    }
}

fn export(export: &Export) -> String {
    let what = match export.kind {
        Kind::Stream => format!("{{stream: {}", quoted(&export.subject)),
        Kind::Service(answers) => {
            let kind = match answers {
                Answers::One => "singleton",
                Answers::Many => "stream",
            };
            format!(
                "{{service: {}, response_type: {}, response_threshold: {}",
                quoted(&export.subject),
                quoted(kind),
                quoted(RESPONSE_THRESHOLD)
            )
        }
    };
    let to: Vec<String> = export.to.iter().map(|account| quoted(account)).collect();
    format!("{what}, accounts: [{}]}}", to.join(", "))
}

fn import(import: &Import) -> String {
    let kind = match import.kind {
        Kind::Stream => "stream",
        Kind::Service(_) => "service",
    };
    let mut line = format!(
        "{{{kind}: {{account: {}, subject: {}}}",
        quoted(&import.from),
        quoted(&import.subject)
    );
    if let Some(local) = &import.local {
        line.push_str(", to: ");
        line.push_str(&quoted(local));
    }
    if import.share {
        line.push_str(", share: true");
    }
    line.push('}');
    line
}

/// A value in quotes. Control characters are refused before ([`problems`](crate::problems)).
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Lines, each as deep as the blocks that are open.
#[derive(Debug, Default)]
struct Lines {
    text: String,
    depth: usize,
}

impl Lines {
    fn raw(&mut self, line: &str) {
        if !line.is_empty() {
            self.text.push_str(&"  ".repeat(self.depth));
            self.text.push_str(line);
        }
        self.text.push('\n');
    }

    fn pair(&mut self, key: &str, value: &str) {
        self.raw(&format!("{key}: {}", quoted(value)));
    }

    fn number(&mut self, key: &str, value: u64) {
        self.raw(&format!("{key}: {value}"));
    }

    fn open(&mut self, name: &str) {
        self.raw(&format!("{name} {{"));
        self.depth += 1;
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.raw("}");
    }

    fn list(&mut self, name: &str, lines: impl Iterator<Item = String>) {
        let mut lines = lines.peekable();
        if lines.peek().is_none() {
            return;
        }
        self.raw(&format!("{name}: ["));
        self.depth += 1;
        for line in lines {
            self.raw(&line);
        }
        self.depth -= 1;
        self.raw("]");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted() {
        assert_eq!(quoted(r#"a "b" \c"#), r#""a \"b\" \\c""#);
    }
}
