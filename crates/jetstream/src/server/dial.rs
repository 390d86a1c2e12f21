//! How a connection was made, so that another can be made beside it.

use std::fmt;

use async_nats::{Client, ConnectError, ConnectOptions};

/// The options and addresses of a connection.
#[derive(Clone)]
pub(super) struct Dial {
    options: ConnectOptions,
    urls: Vec<String>,
}

impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Options and addresses hold secrets.
        f.debug_struct("Dial").finish_non_exhaustive()
    }
}

impl Dial {
    pub(super) fn new(options: ConnectOptions, urls: Vec<String>) -> Self {
        Self { options, urls }
    }

    pub(super) async fn connect(&self) -> Result<Client, ConnectError> {
        self.options.clone().connect(&self.urls).await
    }

    /// Another connection with a name of its own. What happens to it is not taken for what happens to the first.
    pub(super) async fn beside(&self, name: &str) -> Result<Client, ConnectError> {
        let options = self.options.clone().name(name).event_callback(|event| async move {
            tracing::debug!(%event, "event of the connection beside");
        });
        options.connect(&self.urls).await
    }
}
