//! Lists that the server gives in pages.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::mesh::Mesh;
use crate::error::{Error, Refusal};

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
        #[derive(Deserialize)]
        struct Info {
            state: State,
            #[serde(default)]
            total: usize,
        }
        #[derive(Deserialize)]
        struct State {
            #[serde(default)]
            subjects: Option<HashMap<String, u64>>,
        }
        let what = format!("STREAM.INFO.{stream}");
        let mut found = HashMap::new();
        let mut offset = 0;
        loop {
            let request = json!({ "subjects_filter": filter, "offset": offset });
            let info: Info = self.ask(&what, &request).await??;
            let page = info.state.subjects.unwrap_or_default();
            let got = page.len();
            offset += got;
            found.extend(page);
            if got == 0 || offset >= info.total {
                return Ok(found);
            }
        }
    }
}
