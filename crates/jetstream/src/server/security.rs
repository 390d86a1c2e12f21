//! What a secured mesh needs of its server and of its controllers.

use async_nats::Request;
use serde::Deserialize;

use super::mesh::Mesh;
use super::publish::REQUEST_TIMEOUT;
use super::roles::ControllerMesh;
use crate::error::Error;

/// The oldest server on which a client cannot put a name of its own before the one that the server gives.
const OLDEST: (i64, i64, i64) = (2, 12, 6);
const OLDEST_TEXT: &str = "2.12.6";
/// Where the server tells a client who it is. It knows no namespace.
const USER_INFO: &str = "$SYS.REQ.USER.INFO";

impl Mesh {
    /// Whether the server can keep a mesh secured.
    ///
    /// # Errors
    /// [`Error::TooOldToSecure`] where it cannot.
    pub fn can_be_secured(&self) -> Result<(), Error> {
        let (major, minor, patch) = OLDEST;
        if self.client().is_server_compatible(major, minor, patch) {
            return Ok(());
        }
        Err(Error::TooOldToSecure {
            url: self.url().to_owned(),
            found: self.client().server_info().version,
            needed: OLDEST_TEXT,
        })
    }
}

impl ControllerMesh {
    /// Prepares a controller for what the mesh is: secured, or open to whoever may connect. For a secured one the account of
    /// the mesh, in which only controllers belong.
    ///
    /// # Errors
    /// [`Error::Unsecured`] where the mesh is secured and this controller is not; [`Error::TooOldToSecure`]; or when the server
    /// does not tell the account.
    pub async fn secure(&self, secured: bool) -> Result<Option<String>, Error> {
        if !secured {
            return match self.shared_settings().await? {
                Some(shared) if shared.is_secured() => Err(Error::Unsecured {
                    stream: self.subjects().ledger_stream(),
                }),
                Some(_) | None => Ok(None),
            };
        }
        self.can_be_secured()?;
        let account = self.own_account().await?;
        self.set_secured(true);
        Ok(Some(account))
    }

    /// The name of the account that this controller is in.
    async fn own_account(&self) -> Result<String, Error> {
        #[derive(Deserialize)]
        struct Answer {
            data: Data,
        }
        #[derive(Deserialize)]
        struct Data {
            account: String,
        }
        let request = Request::new().timeout(Some(REQUEST_TIMEOUT));
        let reply = self.link().request(USER_INFO.into(), request).await;
        let reply = reply.map_err(|error| error.into_error(USER_INFO))?;
        let answer: Answer = serde_json::from_slice(&reply.payload).map_err(|error| Error::api(USER_INFO, error))?;
        Ok(answer.data.account)
    }
}
