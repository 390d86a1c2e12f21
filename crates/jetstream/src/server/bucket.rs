//! Key-value buckets: opening one, and reading all of its values.

use async_nats::jetstream::kv::{EntryErrorKind, Store};
use futures::StreamExt as _;

use super::mesh::Mesh;
use crate::error::Error;

impl Mesh {
    pub(crate) async fn bucket(&self, name: String) -> Result<Store, Error> {
        self.context()
            .get_key_value(&name)
            .await
            .map_err(|error| Error::api(format!("opening bucket {name}"), error))
    }

    pub(crate) async fn bucket_values(&self, store: &Store) -> Result<Vec<bytes::Bytes>, Error> {
        let mut keys = store
            .keys()
            .await
            .map_err(|error| Error::api("listing a bucket", error))?;
        let mut values = Vec::new();
        while let Some(key) = keys.next().await {
            let key = key.map_err(|error| Error::api("listing a bucket", error))?;
            match store.get(&key).await {
                Ok(value) => values.extend(value),
                // Anyone who may write the bucket may write under a subject that is no key.
                Err(error) if error.kind() == EntryErrorKind::InvalidKey => {
                    tracing::warn!(
                        bucket = store.name,
                        key,
                        "this is no key of a bucket; it is passed over"
                    );
                }
                Err(error) => return Err(Error::api("reading a bucket", error)),
            }
        }
        Ok(values)
    }
}
