//! The options of a server, and its configuration file.

use std::path::{Path, PathBuf};

use crate::error::ServerError;

/// The options of a server.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The `nats-server` executable.
    pub binary: PathBuf,
    /// The folder of everything the server keeps: configuration, log, and the JetStream store below `jetstream/`.
    pub store_dir: PathBuf,
    /// The server name; `None` lets the server choose one.
    pub name: Option<String>,
    /// The client port on 127.0.0.1; `None` takes a free one, which a restart keeps.
    pub port: Option<u16>,
    /// Lines to append to the configuration file unchanged.
    pub extra: Vec<String>,
    /// The server's cluster, if it is a member of one.
    pub cluster: Option<ClusterOptions>,
    /// The log file; `None` is `nats-server.log` in the store folder.
    pub log_file: Option<PathBuf>,
    /// How often to flush the store to disk: a duration such as `1s`, or `always`.
    pub sync_interval: String,
    /// How many bytes the store takes; `None` leaves it to the server, which takes three quarters of what is free on the disk.
    pub max_file_store: Option<u64>,
    /// Whether to enable JetStream.
    pub jetstream: bool,
}

/// Membership of a cluster on this machine.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// The cluster name.
    pub name: String,
    /// The port on 127.0.0.1 for the other members.
    pub port: u16,
    /// The cluster ports of the members, with or without this one's own.
    pub peers: Vec<u16>,
    /// Whether clients learn the addresses of the other members.
    pub advertise: bool,
}

impl ServerOptions {
    /// Options for a server with JetStream on a free port.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>, store_dir: impl Into<PathBuf>) -> Self {
        Self {
            binary: binary.into(),
            store_dir: store_dir.into(),
            name: None,
            port: None,
            extra: Vec::new(),
            cluster: None,
            log_file: None,
            sync_interval: "1s".to_owned(),
            max_file_store: None,
            jetstream: true,
        }
    }

    pub(crate) fn log_path(&self) -> PathBuf {
        self.log_file
            .clone()
            .unwrap_or_else(|| self.store_dir.join("nats-server.log"))
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.store_dir.join("nats-server.conf")
    }

    pub(crate) fn ports_dir(&self) -> PathBuf {
        self.store_dir.join("ports")
    }

    /// The configuration file; `port` is the client port, `None` for a free one.
    pub(crate) fn render(&self, port: Option<u16>) -> Result<String, ServerError> {
        let port = port.map_or_else(|| "-1".to_owned(), |port| port.to_string());
        let mut lines = vec!["host: \"127.0.0.1\"".to_owned(), format!("port: {port}")];
        lines.push(format!(
            "ports_file_dir: {}",
            quote_path("store_dir", &self.ports_dir())?
        ));
        if let Some(name) = &self.name {
            lines.push(format!("server_name: {}", quote("name", name)?));
        }
        if self.jetstream {
            let store = quote_path("store_dir", &self.store_dir)?;
            let interval = sync_interval(&self.sync_interval)?;
            let most = self.max_file_store;
            let most = most.map_or_else(String::new, |bytes| format!("  max_file_store: {bytes}\n"));
            lines.push(format!(
                "jetstream {{\n  store_dir: {store}\n  sync_interval: {interval}\n{most}}}"
            ));
        }
        if let Some(cluster) = &self.cluster {
            lines.push(cluster.render()?);
        }
        lines.extend(self.extra.iter().cloned());
        Ok(lines.join("\n") + "\n")
    }
}

impl ClusterOptions {
    fn render(&self) -> Result<String, ServerError> {
        let name = quote("cluster name", &self.name)?;
        let routes: Vec<String> = self
            .peers
            .iter()
            .map(|peer| format!("\"nats://127.0.0.1:{peer}\""))
            .collect();
        Ok(format!(
            "cluster {{\n  name: {name}\n  host: \"127.0.0.1\"\n  port: {}\n  no_advertise: {}\n  routes: [{}]\n}}",
            self.port,
            !self.advertise,
            routes.join(", ")
        ))
    }
}

fn sync_interval(text: &str) -> Result<&str, ServerError> {
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric()) {
        return Ok(text);
    }
    let problem = format!("{text:?} is neither a duration such as 1s nor `always`");
    Err(ServerError::Option {
        option: "sync_interval",
        problem,
    })
}

fn quote_path(option: &'static str, path: &Path) -> Result<String, ServerError> {
    let unusable = |problem: &str| ServerError::Option {
        option,
        problem: format!("{path:?} {problem}"),
    };
    // The server would resolve relative paths from its own working directory.
    let path = std::path::absolute(path).map_err(|error| unusable(&error.to_string()))?;
    quote(option, path.to_str().ok_or_else(|| unusable("is not UTF-8"))?)
}

/// Quotes a value for a configuration file. Its strings know these escapes.
fn quote(option: &'static str, value: &str) -> Result<String, ServerError> {
    if value.chars().any(char::is_control) {
        let problem = format!("{value:?} contains a control character");
        return Err(ServerError::Option { option, problem });
    }
    Ok(format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_and_the_interval_stands_inside_jetstream() {
        let mut options = ServerOptions::new("nats-server", "/a dir/with \"quotes\"");
        options.extra.push("max_payload: 64KB".to_owned());
        let text = options.render(None).unwrap();
        assert!(text.contains(r#"store_dir: "/a dir/with \"quotes\"""#), "{text}");
        assert!(text.contains("port: -1\n"), "{text}");
        let (_, block) = text.split_once("jetstream {").unwrap();
        assert!(block.split_once('}').unwrap().0.contains("sync_interval: 1s"), "{text}");
        assert!(text.ends_with("max_payload: 64KB\n"), "{text}");
        assert!(!text.contains("max_file_store"), "the server decides: {text}");
        options.max_file_store = Some(1 << 30);
        let text = options.render(None).unwrap();
        let (_, block) = text.split_once("jetstream {").unwrap();
        assert!(
            block
                .split_once('}')
                .unwrap()
                .0
                .contains("max_file_store: 1073741824\n"),
            "{text}"
        );
    }

    #[test]
    fn odd_values_are_refused_by_name() {
        let mut options = ServerOptions::new("nats-server", "/tmp");
        options.sync_interval = "1s }".to_owned();
        assert!(options.render(None).unwrap_err().to_string().contains("sync_interval"));
        options.sync_interval = "always".to_owned();
        options.name = Some("a\nb".to_owned());
        assert!(options.render(None).unwrap_err().to_string().starts_with("name"));
    }
}
