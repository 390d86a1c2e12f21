//! How a connection is made, so that another can be made beside it.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use async_nats::{Client, ConnectOptions};

use super::screen::Screen;

type BoxError = Box<dyn StdError + Send + Sync>;

/// The options and addresses of a connection.
#[derive(Clone)]
pub(super) struct Dial {
    options: ConnectOptions,
    urls: Vec<String>,
    /// Lives as long as any connection that was made through it.
    screen: Option<Arc<Screen>>,
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Options and addresses hold secrets.
        f.debug_struct("Dial").finish_non_exhaustive()
    }
}

impl Dial {
    pub(super) fn new(options: ConnectOptions, urls: Vec<String>) -> Self {
        Self {
            options,
            urls,
            screen: None,
        }
    }

    /// Connects through a screen, which knows the servers and does TLS.
    pub(super) fn screened(options: ConnectOptions, name: &str, screen: Screen) -> Self {
        Self {
            options: options.name(screen.name(name)),
            urls: vec![screen.url()],
            screen: Some(Arc::new(screen)),
        }
    }

    pub(super) async fn connect(&self) -> Result<Client, BoxError> {
        self.reach().await?;
        Ok(self.options.clone().connect(&self.urls).await?)
    }

    /// Another connection with a name of its own. What happens to it is not taken for what happens to the first.
    pub(super) async fn beside(&self, name: &str) -> Result<Client, BoxError> {
        self.reach().await?;
        let name = self
            .screen
            .as_ref()
            .map_or_else(|| name.to_owned(), |screen| screen.name(name));
        let options = self.options.clone().name(name).event_callback(|event| async move {
            tracing::debug!(%event, "event of the connection beside");
        });
        Ok(options.connect(&self.urls).await?)
    }

    /// Why no server can be reached is known to the screen alone; the client would only see its connection end.
    async fn reach(&self) -> Result<(), BoxError> {
        match &self.screen {
            Some(screen) => Ok(screen.reach().await?),
            None => Ok(()),
        }
    }
}
