//! The routes that the judge writes, as controllers do.

use baton_envelope::{AgentName, AgentVersion, Bands, PROTOCOL, Protocol};
use baton_jetstream::Error;
use serde_json::{Map, Value, json};

use crate::court::{Court, SINK, SINK_ACTIVE, SINK_PINNED};
use crate::error::ConformanceError;

/// An agent whose version begins without asking, whatever its envelope says.
pub(crate) const OF_1_3: &str = "conformance-of-1-3";
/// An agent with a gate, whose version begins without asking, whatever its route says.
pub(crate) const OF_1_5: &str = "conformance-of-1-5";

/// Who is asked in the trials.
pub(crate) const PERSON: &str = "ada";

/// What that person is asked before a hop.
pub(crate) fn gate() -> Value {
    json!({"who": [PERSON]})
}

/// What a route says of a version that reads the protocol up to there.
fn entry(state: &str, newest: Protocol) -> Value {
    json!({"state": state, "protocol": {"oldest": "1.0.0", "newest": newest}})
}

impl Court {
    /// Gives the agent its route, and everybody to whom it may hand over.
    pub(crate) async fn write_routes(&self) -> Result<(), ConformanceError> {
        self.write_own_route(None).await?;
        let versions = json!({SINK_ACTIVE: entry("active", PROTOCOL), SINK_PINNED: entry("ready", PROTOCOL)});
        self.write_route(SINK, SINK_ACTIVE, versions, None).await?;
        self.serve(SINK).await?;
        for (agent, newest, gate) in [
            (OF_1_3, Protocol::new(1, 3, 0), None),
            (OF_1_5, Protocol::new(1, 5, 0), Some(gate())),
        ] {
            let versions = json!({SINK_ACTIVE: entry("active", newest)});
            self.write_route(agent, SINK_ACTIVE, versions, gate).await?;
            self.serve(agent).await?;
        }
        Ok(())
    }

    /// Writes the route of the agent that is judged, with or without a gate of an operator.
    pub(crate) async fn write_own_route(&self, gate: Option<Value>) -> Result<(), Error> {
        let (agent, own) = (self.agent.as_str(), self.version.as_str());
        let mut versions = Map::new();
        versions.insert(own.to_owned(), entry("active", PROTOCOL));
        self.write_route(agent, own, versions.into(), gate).await
    }

    async fn write_route(&self, agent: &str, active: &str, versions: Value, gate: Option<Value>) -> Result<(), Error> {
        let mut route = json!({"agent": agent, "active": active, "updated_at": self.now(), "updated_by": "conformance",
                               "versions": versions});
        if let (Some(gate), Some(members)) = (gate, route.as_object_mut()) {
            members.insert("policy".to_owned(), json!({"gate": gate}));
        }
        self.hands.put_route(agent, &route).await
    }

    /// Makes the stream and the consumers of an agent that nobody works for.
    async fn serve(&self, agent: &str) -> Result<(), Error> {
        let missing = |what: String| Error::Missing { what };
        let name: AgentName = agent.parse().map_err(|_| missing(format!("an agent {agent}")))?;
        let active: AgentVersion = SINK_ACTIVE
            .parse()
            .map_err(|_| missing(format!("a version {SINK_ACTIVE}")))?;
        self.mesh.ensure_agent(&name, &active, Bands::default()).await?;
        Ok(())
    }
}
