//! `[server]` and `[server.tls]`: where nats-server listens, and how others reach it.

use serde::{Deserialize, Serialize};

use crate::size::Size;

/// `[server]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerEntry {
    /// The name of the server.
    pub name: String,
    /// The address it listens on.
    pub listen: String,
    /// The address that clients connect to; several are separated by commas. Empty: that of `listen`.
    pub url: String,
    /// The address of its monitoring page. Empty: none. Whoever reaches it may read the names of accounts and subjects.
    pub http: String,
    /// The folder of its store.
    pub store_dir: String,
    /// The file it writes its process id to, with which `baton access apply` finds it where it may not ask the system account.
    /// The folder must be there, or the server does not start. Empty: none.
    pub pid_file: String,
    /// How often it syncs to disk: a length of time, or `always`.
    pub sync_interval: String,
    /// The largest message.
    pub max_payload: Size,
    /// TLS. Without it every password and every message crosses the network in clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsEntry>,
}

/// `[server.tls]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsEntry {
    /// The certificate of the server.
    pub cert: String,
    /// Its key.
    pub key: String,
    /// The authorities that sign certificates: clients believe them, and with `verify` the server does, too.
    pub ca: String,
    /// Whether clients must show certificates of their own.
    pub verify: bool,
    /// Whether TLS begins before the server has said anything.
    pub first: bool,
    /// The certificate that a client shows; `{name}` stands for its name. Used with `verify`.
    pub client_cert: String,
    /// Its key; `{name}` stands for the name of the client.
    pub client_key: String,
}

impl Default for ServerEntry {
    fn default() -> Self {
        Self {
            name: "baton".to_owned(),
            listen: "127.0.0.1:4222".to_owned(),
            url: String::new(),
            http: String::new(),
            store_dir: "./.baton/secure".to_owned(),
            pid_file: String::new(),
            sync_interval: "1s".to_owned(),
            max_payload: Size(1 << 20),
            tls: None,
        }
    }
}

impl ServerEntry {
    /// The address that clients connect to.
    pub fn client_url(&self) -> String {
        if !self.url.is_empty() {
            return self.url.clone();
        }
        let scheme = if self.tls.is_some() { "tls" } else { "nats" };
        let (host, port) = self.listen.rsplit_once(':').unwrap_or((&self.listen, "4222"));
        // An address for everyone is none that one could connect to.
        let host = if ["", "0.0.0.0", "[::]"].contains(&host) {
            "127.0.0.1"
        } else {
            host
        };
        format!("{scheme}://{host}:{port}")
    }

    /// Whether only this machine reaches it.
    pub(crate) fn is_local(&self) -> bool {
        let host = self.listen.rsplit_once(':').map_or("", |(host, _)| host);
        ["127.0.0.1", "localhost", "[::1]"].contains(&host)
    }
}

impl TlsEntry {
    /// The certificate and the key that a client shows, if it must show any.
    pub(crate) fn of_client(&self, name: &str) -> Option<(String, String)> {
        let of = |pattern: &str| (!pattern.is_empty()).then(|| pattern.replace("{name}", name));
        of(&self.client_cert).zip(of(&self.client_key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_an_address_that_they_can_connect_to() {
        let at = |listen: &str| ServerEntry {
            listen: listen.to_owned(),
            ..ServerEntry::default()
        };
        assert_eq!(at("127.0.0.1:4222").client_url(), "nats://127.0.0.1:4222");
        assert_eq!(at("0.0.0.0:4333").client_url(), "nats://127.0.0.1:4333");
        assert!(at("[::1]:1").is_local() && !at("0.0.0.0:1").is_local());
        let secured = ServerEntry {
            tls: Some(TlsEntry::default()),
            ..at("bus.example:4222")
        };
        assert_eq!(secured.client_url(), "tls://bus.example:4222");
    }
}
