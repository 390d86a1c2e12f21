//! The flags that every command takes: the last layer of the configuration, over file and environment.

use std::path::PathBuf;

use baton_envelope::Namespace;
use clap::{ArgAction, Args};

use crate::output::Format;

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Address of the nats-server; separate several with commas [default: NATS_URL, else nats://127.0.0.1:4222].
    #[arg(
        long,
        global = true,
        env = "BATON_SERVER",
        value_name = "URL",
        hide_env_values = true
    )]
    pub(crate) server: Option<String>,
    /// Context of the `nats` CLI [default: NATS_CONTEXT, else the selected one].
    #[arg(long, global = true, env = "BATON_CONTEXT", value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Credentials file.
    #[arg(long, global = true, env = "BATON_CREDS", value_name = "FILE")]
    pub(crate) creds: Option<PathBuf>,
    /// File with the seed of a key (nkey).
    #[arg(long, global = true, env = "BATON_NKEY", value_name = "FILE")]
    pub(crate) nkey: Option<PathBuf>,
    /// User name.
    #[arg(long, global = true, env = "BATON_USER", value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Password of the user.
    #[arg(
        long,
        global = true,
        env = "BATON_PASSWORD",
        value_name = "TEXT",
        hide_env_values = true
    )]
    pub(crate) password: Option<String>,
    /// Prefix of the subjects on which answers come [default: _INBOX].
    #[arg(long, global = true, env = "BATON_INBOX_PREFIX", value_name = "TEXT")]
    pub(crate) inbox_prefix: Option<String>,
    /// Certificates of the authorities that may have signed the server's [default: those of this machine].
    #[arg(
        long,
        global = true,
        env = "BATON_TLS_CA",
        value_name = "FILE",
        hide_short_help = true
    )]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Certificate that this side shows.
    #[arg(
        long,
        global = true,
        env = "BATON_TLS_CERT",
        value_name = "FILE",
        hide_short_help = true
    )]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Key of that certificate.
    #[arg(
        long,
        global = true,
        env = "BATON_TLS_KEY",
        value_name = "FILE",
        hide_short_help = true
    )]
    pub(crate) tls_key: Option<PathBuf>,
    /// Prefix of everything that the mesh owns on the server [default: mesh].
    #[arg(long, global = true, env = "BATON_NAMESPACE", value_name = "NAME")]
    pub(crate) namespace: Option<Namespace>,
    /// How many copies new streams keep: 1, 3 or 5 [default: 1].
    #[arg(long, global = true, env = "BATON_REPLICAS", value_name = "N", value_parser = clap::value_parser!(u8).range(1..=5))]
    pub(crate) replicas: Option<u8>,
    /// Configuration file; none is read unless you name one.
    #[arg(long, global = true, env = "BATON_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Tables for people, or JSON for programs.
    #[arg(long, global = true, env = "BATON_OUTPUT", value_enum, default_value_t = Format::Table)]
    pub(crate) output: Format,
    /// Log more to stderr; repeat it for even more.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}
