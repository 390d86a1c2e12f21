//! The subjects of a mesh, with the wildcards that grants need.

use baton_envelope::{AgentName, Namespace, Subjects};
use sha2::{Digest as _, Sha256};

/// What the server draws its short hashes from.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// The length of such a hash.
const HASH: usize = 8;
/// The API of JetStream.
const API: &str = "$JS.API";

/// The names of one namespace.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) subjects: Subjects,
    namespace: Namespace,
}

impl Names {
    pub(super) fn new(namespace: &Namespace) -> Self {
        Self {
            subjects: Subjects::new(namespace.clone()),
            namespace: namespace.clone(),
        }
    }

    /// The account of the controllers: in capitals, so that no agent, publisher or person can have it.
    pub(super) fn account(&self) -> String {
        self.namespace.as_str().to_ascii_uppercase()
    }

    /// A subject of the mesh.
    pub(super) fn of(&self, rest: &str) -> String {
        format!("{}.{rest}", self.namespace)
    }

    /// A request to JetStream.
    pub(super) fn api(&self, what: &str) -> String {
        format!("{API}.{what}")
    }

    /// The stream below a bucket.
    pub(super) fn bucket(bucket: &str) -> String {
        format!("KV_{bucket}")
    }

    /// The two forms of an ack of an agent's tickets.
    ///
    /// Newer servers can be told to put the domain and a hash of the account first. Both stand here by their value: with
    /// wildcards in their place the second form would also match an ack of another agent's ticket whose count of deliveries
    /// was replaced by the name of this agent's stream.
    pub(super) fn acks(&self, agent: &AgentName) -> [String; 2] {
        let stream = self.subjects.work_stream(agent);
        let account = account_hash(&self.account());
        [format!("$JS.ACK.{stream}.>"), format!("$JS.ACK._.{account}.{stream}.>")]
    }
}

/// The hash of an account's name that the server puts into acks.
fn account_hash(name: &str) -> String {
    Sha256::digest(name)
        .iter()
        .take(HASH)
        .filter_map(|byte| DIGITS.get(usize::from(*byte) % DIGITS.len()))
        .map(|digit| char::from(*digit))
        .collect()
}
