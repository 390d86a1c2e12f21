//! What a server is started with, and the configuration file made of it.

use std::path::{Path, PathBuf};

use crate::error::ServerError;

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The `nats-server` executable.
    pub binary: PathBuf,
    /// Folder of everything the server keeps: configuration, log, and the JetStream store below `jetstream/`.
    pub store_dir: PathBuf,
    /// Server name; `None` lets the server make one up.
    pub name: Option<String>,
    /// Client port on 127.0.0.1; `None` takes a free one, and a restart keeps it.
    pub port: Option<u16>,
    /// Lines appended to the configuration file as they are.
    pub extra: Vec<String>,
    /// Membership in a cluster.
    pub cluster: Option<ClusterOptions>,
    /// Log file; `None` is `nats-server.log` in the store folder.
    pub log_file: Option<PathBuf>,
    /// How often the store is flushed to disk: a duration such as `1s`, or `always`.
    pub sync_interval: String,
    /// Whether JetStream is on.
    pub jetstream: bool,
}

/// Membership in a cluster on this machine.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Cluster name.
    pub name: String,
    /// Port on 127.0.0.1 for the other members.
    pub port: u16,
    /// Cluster ports of the members, this one's own among them or not.
    pub peers: Vec<u16>,
    /// Whether clients are told the addresses of the other members.
    pub advertise: bool,
}

impl ServerOptions {
    /// A server with JetStream on a free port.
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

    /// The configuration file; `port` is the one to listen on, `None` a free one.
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
            lines.push(format!(
                "jetstream {{\n  store_dir: {store}\n  sync_interval: {interval}\n}}"
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
    // Relative paths would be taken from wherever the server happens to run.
    let path = std::path::absolute(path).map_err(|error| unusable(&error.to_string()))?;
    quote(option, path.to_str().ok_or_else(|| unusable("is not UTF-8"))?)
}

/// Quotes a value for a configuration file, whose strings know these escapes.
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
