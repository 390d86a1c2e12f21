//! Lists that the server gives in pages.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::mesh::Mesh;
use crate::error::{Error, Refusal};

/// The subjects of a stream, as they were at one moment.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// The number of messages of each.
    pub(crate) subjects: HashMap<String, u64>,
    /// The last sequence of the stream of which each count knows.
    pub(crate) through: u64,
}

impl Mesh {
    /// Every entry of a list of the JetStream API, which stands in its answer under `field`.
    pub(crate) async fn ask_list<T: DeserializeOwned>(
        &self,
        what: &str,
        field: &str,
    ) -> Result<Result<Vec<T>, Refusal>, Error> {
        let mut found = Vec::new();
        loop {
            let mut page: Value = match self.ask(what, &json!({ "offset": found.len() })).await? {
                Ok(page) => page,
                Err(refusal) => return Ok(Err(refusal)),
            };
            let total = page.get("total").and_then(Value::as_u64).unwrap_or(0);
            let entries = page.get_mut(field).map(Value::take).unwrap_or_default();
            // The server writes null for an empty page.
            let entries: Option<Vec<T>> = serde_json::from_value(entries).map_err(|error| Error::api(what, error))?;
            let entries = entries.unwrap_or_default();
            let is_last = entries.is_empty();
            found.extend(entries);
            if is_last || u64::try_from(found.len()).unwrap_or(u64::MAX) >= total {
                return Ok(Ok(found));
            }
        }
    }

    /// Every subject of a stream that matches, with its number of messages.
    pub(crate) async fn stream_subjects(&self, stream: &str, filter: &str) -> Result<HashMap<String, u64>, Error> {
        Ok(self.count_subjects(stream, filter).await?.subjects)
    }

    /// As [`Mesh::stream_subjects`], with the sequence up to which it counts for certain.
    pub(crate) async fn count_subjects(&self, stream: &str, filter: &str) -> Result<Counted, Error> {
        #[derive(Deserialize)]
        struct Info {
            state: State,
            #[serde(default)]
            total: usize,
        }
        #[derive(Deserialize)]
        struct State {
            last_seq: u64,
            #[serde(default)]
            subjects: Option<HashMap<String, u64>>,
        }
        let what = format!("STREAM.INFO.{stream}");
        let mut counted = Counted::default();
        let mut offset = 0;
        loop {
            let request = json!({ "subjects_filter": filter, "offset": offset });
            let info: Info = self.ask(&what, &request).await??;
            if offset == 0 {
                // The server takes the state first, and counts then.
                counted.through = info.state.last_seq;
            }
            let page = info.state.subjects.unwrap_or_default();
            let got = page.len();
            offset += got;
            counted.subjects.extend(page);
            if got == 0 || offset >= info.total {
                return Ok(counted);
            }
        }
    }
}
