//! What is published while a submitter is judged, overheard.

use std::sync::{Arc, Mutex, PoisonError};

use baton_jetstream::{Error, Wire, WireMessage};
use tokio::task::JoinHandle;

/// All that was published since it began to listen.
#[derive(Debug)]
pub(super) struct Overheard {
    heard: Arc<Mutex<Vec<WireMessage>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Overheard {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Overheard {
    /// Listens on these subjects, which may hold wildcards.
    pub(super) async fn listen(wire: &Wire, subjects: &[String]) -> Result<Self, Error> {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for subject in subjects {
            let mut listener = wire.listen(subject).await?;
            let kept = Arc::clone(&heard);
            tasks.push(tokio::spawn(async move {
                while let Some(message) = listener.next().await {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).push(message);
                }
            }));
        }
        Ok(Self { heard, tasks })
    }

    /// Stops listening, so that nothing holds the connection any more.
    pub(super) async fn stop(mut self) {
        for task in std::mem::take(&mut self.tasks) {
            task.abort();
            drop(task.await);
        }
    }

    /// How much was heard so far.
    pub(super) fn count(&self) -> usize {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// What was heard after the first so many.
    pub(super) fn after(&self, first: usize) -> Vec<WireMessage> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get(first..).unwrap_or_default().to_vec()
    }
}
