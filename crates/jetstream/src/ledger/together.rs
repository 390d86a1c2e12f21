//! The last records of intents that many hops ask for at the same time, read in few requests.

use std::collections::HashMap;

use baton_envelope::IntentId;
use futures::future::join_all;
use tokio::sync::oneshot;

use crate::server::{Mesh, Question, Stored, WorkerMesh};

/// How many make one request for all of them cheaper than one for each: for several subjects the server looks through whole
/// blocks of its store.
const FEW: usize = 8;
/// How many to ask for at once. The server refuses more than 1,024.
const MOST: usize = 256;
/// How far apart they may be. The server looks through all blocks between them, of some 5,000 common records each.
const SPAN: u64 = 20_000;

impl WorkerMesh {
    /// The message at this sequence, if it is the last of an intent. `None` where it is not, and where it could not be found
    /// out together with others: then [`Mesh::head`] knows.
    pub(crate) async fn last_at(&self, intent: &IntentId, seq: u64) -> Option<Stored> {
        let (tell, told) = oneshot::channel();
        let subject = self.subjects().ledger(intent);
        if self.asked().add(Question { subject, seq, tell }) {
            let mesh = Mesh::clone(self);
            // It ends when nothing waits to be asked.
            tokio::spawn(async move { mesh.ask_together().await });
        }
        // A replica that lags has an older one, and its word for nothing else is taken.
        told.await.ok().filter(|stored| stored.seq == seq)
    }
}

impl Mesh {
    /// Asks what waits to be asked; what comes meanwhile is asked next.
    async fn ask_together(&self) {
        // Nobody else asks while this does: were it to end otherwise, all that wait would wait for ever.
        let asking = Asking(self);
        loop {
            // Tickets come many at a time, and each of their hops asks in its own task.
            tokio::task::yield_now().await;
            let mut questions = self.asked().take();
            if questions.is_empty() {
                std::mem::forget(asking);
                return;
            }
            questions.sort_unstable_by_key(|question| question.seq);
            join_all(parts(questions).into_iter().map(|part| self.ask_part(part))).await;
        }
    }

    /// Asks after records that are near each other.
    async fn ask_part(&self, part: Vec<Question>) {
        if part.len() < FEW {
            join_all(part.into_iter().map(|question| async move {
                if let Ok(Some(stored)) = self.direct_last(&question.subject).await {
                    // Nobody may wait for it any more.
                    question.tell.send(stored).ok();
                }
            }))
            .await;
            return;
        }
        let subjects: Vec<&str> = part.iter().map(|question| question.subject.as_str()).collect();
        let request = serde_json::json!({ "multi_last": subjects, "batch": part.len() });
        match self.direct_batch(&request).await {
            Ok((found, _)) => {
                let mut found: HashMap<String, Stored> = found
                    .into_iter()
                    .map(|stored| (stored.subject.clone(), stored))
                    .collect();
                for question in part {
                    if let Some(stored) = found.remove(&question.subject) {
                        question.tell.send(stored).ok();
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "the records of tickets are read one by one"),
        }
    }
}

/// Whoever asks for all. Dropped before its time, it leaves them to ask for themselves.
struct Asking<'a>(&'a Mesh);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.asked().give_up();
    }
}

/// Questions in the order of their sequences, in parts that the server finds without looking far.
fn parts(questions: Vec<Question>) -> Vec<Vec<Question>> {
    let mut parts: Vec<Vec<Question>> = Vec::new();
    for question in questions {
        match parts.last_mut() {
            Some(part) if part.len() < MOST && part.first().is_some_and(|first| question.seq - first.seq <= SPAN) => {
                part.push(question);
            }
            Some(_) | None => parts.push(vec![question]),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_far_apart_is_asked_for_apart() {
        let questions = |seqs: Vec<u64>| {
            let question = |seq| Question {
                subject: format!("mesh.ledger.0.{seq}"),
                seq,
                tell: oneshot::channel().0,
            };
            seqs.into_iter().map(question).collect::<Vec<_>>()
        };
        let sizes = |seqs| parts(questions(seqs)).iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(vec![]), Vec::<usize>::new());
        assert_eq!(sizes(vec![5, 6, SPAN + 5, SPAN + 6]), [3, 1]);
        assert_eq!(sizes((0..300).collect()), [MOST, 300 - MOST]);
    }
}
