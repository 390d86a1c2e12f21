//! Which gates stand before a hop.

use baton_envelope::people::Approval;
use baton_jetstream::Error;

use crate::approving::{AGENT_GATE, GATE, Gates};
use crate::fault::Fault;
use crate::hop::Hop;
use crate::run::WorkerContext;

impl WorkerContext {
    /// What is asked before the handler begins: first what an operator has set on the agent, then what the intent asks for, or
    /// this worker. A hop that has begun is not asked by an operator any more; what it was asked stands, whatever is set now.
    /// `open` are the waits that it is suspended for.
    pub(crate) async fn gates(&self, hop: &Hop, open: &[String]) -> Result<Gates, Fault> {
        let set = self.operators_gate().await?;
        let was_asked = hop.waits.contains_key(AGENT_GATE) || open.iter().any(|name| name == AGENT_GATE);
        let is_of_handler = |name: &String| name != GATE && name != AGENT_GATE;
        let has_begun = !hop.steps.is_empty() || !open.is_empty() || hop.waits.keys().any(is_of_handler);
        let first = match was_asked {
            true => Some(set.unwrap_or_default()),
            false => set.filter(|_| !has_begun),
        };
        let second = hop.envelope.gates.get(&self.agent).or(self.gate.as_ref()).cloned();
        let gates = [(AGENT_GATE, first), (GATE, second)];
        Ok(gates
            .into_iter()
            .filter_map(|(name, gate)| Some((name, gate?)))
            .collect())
    }

    /// The gate that an operator has set. It is read from the routes that this worker follows, and costs nothing; where it may
    /// follow none, from the bucket.
    async fn operators_gate(&self) -> Result<Option<Approval>, Fault> {
        let route = match self.mesh.followed_route(&self.agent) {
            Some(route) => route,
            None => match Box::pin(self.mesh.route_of(&self.agent)).await {
                Ok(route) => route,
                Err(Error::UnknownAgent { .. }) => return Ok(None),
                Err(error) => {
                    let text = format!("whether people are to be asked first is not known: {error}");
                    return Err(Fault::retry(text));
                }
            },
        };
        let gate = route.policy.as_ref().and_then(|policy| policy.gate.as_deref());
        Ok(gate.cloned())
    }
}
