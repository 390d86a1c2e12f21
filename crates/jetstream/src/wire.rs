//! Messages as they are on the wire, for whoever judges programs that speak the protocol by themselves.
//!
//! Nothing here knows a record or a ticket: a judge that read them as the runtime does would share its mistakes.

use std::time::Duration;

use async_nats::{HeaderMap, Message, Request, RequestErrorKind, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;

use crate::error::Error;
use crate::server::Mesh;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection, as bytes. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Wire(Mesh);

/// A message as it came.
#[derive(Debug, Clone)]
pub struct WireMessage {
    /// The subject on which it came.
    pub subject: String,
    /// The status of an answer without content, such as 404.
    pub status: Option<u16>,
    /// Its headers, in no order.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Bytes,
}

/// A subscription.
#[derive(Debug)]
pub struct WireListener(Subscriber);

impl Wire {
    /// The connection of this mesh.
    pub fn of(mesh: &Mesh) -> Self {
        Self(mesh.clone())
    }

    /// Asks and waits for one answer; `None` when nobody answers within 5 s.
    ///
    /// # Errors
    /// When the message cannot be sent.
    pub async fn request(
        &self,
        subject: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes> + Send,
    ) -> Result<Option<WireMessage>, Error> {
        let mut request = Request::new().payload(body.into()).timeout(Some(PATIENCE));
        if !headers.is_empty() {
            request = request.headers(map(headers));
        }
        match self.0.client().send_request(subject.to_owned(), request).await {
            Ok(message) => Ok(Some(WireMessage::from(message))),
            Err(error) => match error.kind() {
                RequestErrorKind::TimedOut | RequestErrorKind::NoResponders => Ok(None),
                RequestErrorKind::Other | RequestErrorKind::MaxPayloadExceeded | RequestErrorKind::InvalidSubject => {
                    Err(Error::api(format!("request on {subject}"), error))
                }
            },
        }
    }

    /// Publishes, and waits until the server has the message.
    ///
    /// # Errors
    /// When the message cannot be sent.
    pub async fn publish(
        &self,
        subject: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes> + Send,
    ) -> Result<(), Error> {
        let sent = self
            .0
            .client()
            .publish_with_headers(subject.to_owned(), map(headers), body.into())
            .await;
        sent.map_err(|error| Error::api(format!("publish on {subject}"), error))?;
        self.0.round_trip().await
    }

    /// Listens on a subject, which may hold wildcards. The server knows of it when this returns.
    ///
    /// # Errors
    /// When the subject is not valid, or the server does not answer.
    pub async fn listen(&self, subject: &str) -> Result<WireListener, Error> {
        let subscriber = self.0.client().subscribe(subject.to_owned()).await;
        let subscriber = subscriber.map_err(|error| Error::api(format!("subscribe to {subject}"), error))?;
        self.0.round_trip().await?;
        Ok(WireListener(subscriber))
    }
}

fn map(headers: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, *value);
    }
    map
}

impl WireListener {
    /// The next message; `None` once the connection is closed.
    pub async fn next(&mut self) -> Option<WireMessage> {
        self.0.next().await.map(WireMessage::from)
    }
}

impl From<Message> for WireMessage {
    fn from(message: Message) -> Self {
        let mut headers = Vec::new();
        for (name, values) in message.headers.iter().flat_map(HeaderMap::iter) {
            let name: &str = name.as_ref();
            headers.extend(values.iter().map(|value| (name.to_owned(), value.as_str().to_owned())));
        }
        Self {
            subject: message.subject.to_string(),
            status: message.status.map(|status| status.as_u16()),
            headers,
            body: message.payload,
        }
    }
}
