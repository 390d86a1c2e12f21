//! How a connection is made, so that another can be made beside it.

use std::fmt;
use std::io;
use std::sync::Arc;

use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, ServerAddr};

use super::denials::Denials;
use super::events::Events;
use super::link::Link;
use super::screen::Screen;
use crate::error::{Error, TlsFault};

/// The options and addresses of a connection.
#[derive(Clone)]
pub(super) struct Dial {
    options: ConnectOptions,
    urls: Vec<ServerAddr>,
    /// As whom, for a message to people.
    login: String,
    /// Lives as long as any connection that was made through it.
    screen: Option<Arc<Screen>>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoConnection {
    /// The screen reaches no server.
    #[error(transparent)]
    Server(#[from] io::Error),
    /// What the client says.
    #[error(transparent)]
    Client(#[from] ConnectError),
}

impl NoConnection {
    /// Whether the refusal is permanent, as far as trying again at once goes.
    pub(super) fn is_no(&self) -> bool {
        match self {
            Self::Server(_) => false,
            Self::Client(source) => matches!(
                source.kind(),
                ConnectErrorKind::Authentication
                    | ConnectErrorKind::AuthorizationViolation
                    | ConnectErrorKind::ServerParse
            ),
        }
    }
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Options and addresses hold secrets.
        f.debug_struct("Dial").finish_non_exhaustive()
    }
}

impl Dial {
    /// Reads the addresses, which are separated by commas and hold no secrets.
    pub(super) fn new(options: ConnectOptions, url: &str, login: String) -> Result<Self, Error> {
        let read = |url: &str| url.parse().map_err(|source| bad(url, source));
        let urls = url.split(',').map(|url| read(url.trim())).collect::<Result<_, _>>()?;
        Ok(Self {
            options,
            urls,
            login,
            screen: None,
        })
    }

    /// Connects through a screen from now on, which knows the servers and does TLS.
    pub(super) fn read_through(&mut self, screen: Screen, name: &str) -> io::Result<()> {
        let url = screen.url().parse().map_err(io::Error::other)?;
        self.options = self.options.clone().name(screen.name(name));
        self.urls = vec![url];
        self.screen = Some(Arc::new(screen));
        Ok(())
    }

    pub(super) async fn connect(&self) -> Result<Client, NoConnection> {
        self.reach().await?;
        Ok(self.options.clone().connect(&self.urls).await?)
    }

    /// Another connection with a name of its own. What happens to it is not taken for what happens to the first.
    pub(super) async fn beside(&self, name: &str, url: &str) -> Result<Link, Error> {
        let denials = Denials::default();
        let (events, _) = Events::new(denials.clone());
        let screened = self.screen.as_ref().map(|screen| screen.name(name));
        let name = screened.unwrap_or_else(|| name.to_owned());
        let options = self.options.clone().name(name).event_callback(move |event| {
            tracing::debug!(%event, "event of the connection beside");
            events.take_quietly(event);
            std::future::ready(())
        });
        let connected = async {
            self.reach().await?;
            Ok(options.connect(&self.urls).await?)
        };
        match connected.await {
            Ok(client) => Ok(Link::new(client, denials)),
            Err(source) => Err(self.failed(url, source)),
        }
    }

    /// Why no server can be reached is known to the screen alone; the client would only see its connection end.
    async fn reach(&self) -> io::Result<()> {
        match &self.screen {
            Some(screen) => screen.reach().await,
            None => Ok(()),
        }
    }

    /// Why there is no connection: that nobody answers is one thing, that the server says no another.
    pub(super) fn failed(&self, url: &str, source: NoConnection) -> Error {
        let url = url.to_owned();
        if let Some(fault) = tls_fault(&source) {
            return Error::TlsFailed {
                url,
                fault,
                source: Box::new(source),
            };
        }
        let source = match source {
            NoConnection::Client(source) => source,
            NoConnection::Server(source) => {
                return Error::Unreachable {
                    url,
                    source: Box::new(source),
                };
            }
        };
        match source.kind() {
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => Error::LoginRefused {
                url,
                login: self.login.clone(),
                source: Box::new(source),
            },
            ConnectErrorKind::ServerParse => bad(&url, source),
            ConnectErrorKind::Dns
            | ConnectErrorKind::TimedOut
            | ConnectErrorKind::Tls
            | ConnectErrorKind::Io
            | ConnectErrorKind::MaxReconnects => Error::Unreachable {
                url,
                source: Box::new(source),
            },
        }
    }
}

/// What is wrong with TLS, as rustls says it. Both clients pass its words on, and the type of its error is lost on the way.
fn tls_fault(source: &NoConnection) -> Option<TlsFault> {
    let mut said = source.to_string();
    let mut next = std::error::Error::source(source);
    while let Some(error) = next {
        said.push_str(&format!("; {error}"));
        next = error.source();
    }
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if says(&["invalid peer certificate: UnknownIssuer"]) {
        Some(TlsFault::UnknownAuthority)
    } else if says(&["invalid peer certificate"]) {
        Some(TlsFault::ServerCertificate)
    } else if says(&[
        "CertificateRequired",
        "BadCertificate",
        "CertificateUnknown",
        "CertificateExpired",
        "fatal alert: UnknownCA",
    ]) {
        Some(TlsFault::OwnCertificate)
    } else {
        None
    }
}

fn bad(url: &str, source: impl Into<crate::error::Source>) -> Error {
    Error::BadAddress {
        url: url.to_owned(),
        source: source.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_read_is_named() {
        let told = Dial::new(ConnectOptions::new(), "host,host:x", String::new());
        let told = told.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(told.contains("\"host:x\""), "{told}");
    }
}
