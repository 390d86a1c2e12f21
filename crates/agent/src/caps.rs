//! The cap of an agent, as one of its workers spends of it: controllers grant each call before it is made, and are told what
//! it took.

use std::sync::Arc;
use std::time::Duration;

use baton_envelope::budget::Amounts;
use baton_envelope::control::{CapAnswer, CapAsked, CapCharge, CapSettled, SpendCap};
use baton_envelope::{AgentName, CapRefused, IntentId};
use baton_jetstream::{Allowance, Error, WorkerMesh};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// How often to ask whether anything is left again, while nothing was.
const LOOK: Duration = Duration::from_secs(1);
/// How often to ask again where no controller has answered, and how long to wait each time.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);

/// What a worker asks of the cap of its agent.
#[derive(Debug)]
pub(crate) struct Caps {
    desk: Desk,
    allowance: Arc<Allowance>,
    filled: Arc<Notify>,
    watch: AbortHandle,
}

/// Asks controllers for the workers of an agent.
#[derive(Debug, Clone)]
struct Desk {
    mesh: WorkerMesh,
    agent: AgentName,
    /// Who asks.
    instance: String,
}

/// A call that is granted.
#[derive(Debug)]
pub(crate) struct Granted {
    id: String,
}

impl Caps {
    /// Asks for the workers of an agent; takes nothing new while nothing is left of its cap.
    pub(crate) fn new(mesh: &WorkerMesh, agent: &AgentName, instance: &str, allowance: Arc<Allowance>) -> Arc<Self> {
        let desk = Desk {
            mesh: mesh.clone(),
            agent: agent.clone(),
            instance: instance.to_owned(),
        };
        let filled = Arc::new(Notify::new());
        let watch = tokio::spawn(watch(desk.clone(), Arc::clone(&allowance), Arc::clone(&filled)));
        Arc::new(Self {
            desk,
            allowance,
            filled,
            watch: watch.abort_handle(),
        })
    }

    /// Whether the agent has a cap.
    pub(crate) async fn is_capped(&self) -> Result<bool, Error> {
        self.desk.is_capped().await
    }

    /// Has a call granted that is to be made.
    pub(crate) async fn grant(
        &self,
        step: &str,
        (intent, epoch): (&IntentId, u64),
        amounts: &Amounts,
    ) -> Result<Result<Granted, Box<CapRefused>>, Error> {
        let id = self.desk.new_id();
        let asked = CapAsked {
            id: id.clone(),
            what: format!("step \"{step}\""),
            intent: intent.clone(),
            epoch,
            amounts: amounts.clone(),
        };
        let question = SpendCap {
            grant: Some(asked),
            ..self.desk.question()
        };
        let answer = self.ask(question).await?;
        Ok(match answer.refused {
            None => Ok(Granted { id }),
            Some(refused) => Err(refused),
        })
    }

    /// Says what a call took; all that was granted where that is not known. Where no controller hears it, the leader finds that
    /// the call has ended, and counts it whole.
    pub(crate) async fn settle(&self, granted: Granted, took: Option<Amounts>) {
        let question = SpendCap {
            settle: vec![CapSettled { id: granted.id, took }],
            ..self.desk.question()
        };
        if let Err(error) = self.ask(question).await {
            tracing::warn!(%error, agent = %self.desk.agent, "a call counts whole against the cap: nobody could be told what it took");
        }
    }

    /// Says what was spent without having been granted.
    pub(crate) async fn charge(&self, spent: Amounts) {
        let id = self.desk.new_id();
        let question = SpendCap {
            charge: Some(CapCharge { id, spent }),
            ..self.desk.question()
        };
        if let Err(error) = self.ask(question).await {
            tracing::warn!(%error, agent = %self.desk.agent, "what was spent does not count against the cap: nobody could be told");
        }
    }

    async fn ask(&self, question: SpendCap) -> Result<CapAnswer, Error> {
        let answer = self.desk.ask(&question).await?;
        if answer.full {
            self.allowance.hold_back(true);
            self.filled.notify_one();
        }
        Ok(answer)
    }
}

impl Drop for Caps {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Desk {
    /// A question of nothing: whether anything is left.
    fn question(&self) -> SpendCap {
        SpendCap {
            agent: self.agent.clone(),
            by: self.instance.clone(),
            settle: Vec::new(),
            grant: None,
            charge: None,
        }
    }

    fn new_id(&self) -> String {
        self.mesh.clock().envelope_id().to_string()
    }

    /// Asks once more where an answer may be lost: each part of the question has an id, and counts once.
    async fn ask(&self, question: &SpendCap) -> Result<CapAnswer, Error> {
        let mut tries = 0;
        loop {
            match self.mesh.ask_controller(question).await {
                Err(Error::NoAnswer { what, source }) if tries < TRIES => {
                    tracing::debug!(what, %source, "asking once more about the cap");
                    tries += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                answered => return answered,
            }
        }
    }

    async fn is_capped(&self) -> Result<bool, Error> {
        Ok(self.mesh.route_of(&self.agent).await?.per_day().is_some())
    }
}

/// Lets the worker take work again once something is left, or nothing bounds it any more.
async fn watch(desk: Desk, allowance: Arc<Allowance>, filled: Arc<Notify>) {
    let (agent, question) = (&desk.agent, desk.question());
    loop {
        filled.notified().await;
        tracing::info!(%agent, "the agent has spent what it may today: no new work until there is room");
        loop {
            tokio::time::sleep(LOOK).await;
            let is_over = match desk.is_capped().await {
                Ok(false) => true,
                // Without an answer nothing would be granted either.
                Ok(true) | Err(_) => desk.ask(&question).await.is_ok_and(|answer| !answer.full),
            };
            if is_over {
                break;
            }
        }
        tracing::info!(%agent, "there is room under its cap again");
        allowance.hold_back(false);
    }
}
