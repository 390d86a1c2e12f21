//! Asking a controller.

use std::time::Duration;

use async_nats::{Request, RequestErrorKind};
use baton_envelope::control::{ControlError, Question, Reply};
use bytes::Bytes;
use tokio::time::Instant;

use crate::error::Error;
use crate::server::{Mesh, NoReply, not_imported};

/// How long to wait before looking for a controller again.
const PAUSE: Duration = Duration::from_millis(200);
/// How many times to ask again when a controller does not know the verb, and how long to wait each time: 2 s in all.
/// The server gives each question to any one of the controllers, so a newer one soon gets it.
const OTHERS: u32 = 20;
const BETWEEN: Duration = Duration::from_millis(100);

impl Mesh {
    /// Asks any controller and waits for its answer. A request that reached a controller and was not answered is
    /// reported, not repeated. Only a question that a controller does not know is asked again, of any controller: that
    /// one did nothing, and another may be newer.
    ///
    /// # Errors
    /// [`Error::Control`] when the controller refuses, or when none knows the question (`CONTROLLER_TOO_OLD`);
    /// [`Error::NoController`] when there is none.
    pub async fn ask_controller<Q: Question>(&self, question: &Q) -> Result<Q::Answer, Error> {
        self.ask_controller_within(Q::FIND, question).await
    }

    /// As [`Mesh::ask_controller`], but looks for a controller for as long as `find`.
    ///
    /// # Errors
    /// As [`Mesh::ask_controller`].
    pub async fn ask_controller_within<Q: Question>(&self, find: Duration, question: &Q) -> Result<Q::Answer, Error> {
        let body = serde_json::to_vec(question).map_err(|error| Error::api("encoding a question", error))?;
        let (body, until) = (Bytes::from(body), Instant::now() + find);
        for asked in 0..=OTHERS {
            if asked > 0 {
                tokio::time::sleep(BETWEEN).await;
            }
            let reply = self.send_question(Q::VERB, body.clone(), until, Q::ANSWER).await?;
            match read::<Q>(&reply)? {
                Reply::Ok(answer) => return Ok(answer),
                Reply::Error(refused) if refused.is_unknown_verb(Q::VERB) => {
                    tracing::debug!(verb = Q::VERB, asked, "a controller does not know the question");
                }
                Reply::Error(refused) => return Err(Error::Control(refused)),
            }
        }
        Err(Error::Control(ControlError::controller_too_old(Q::VERB)))
    }

    /// Sends a question as soon as there is a controller, and returns the body of the reply.
    async fn send_question(&self, verb: &str, body: Bytes, until: Instant, answer: Duration) -> Result<Bytes, Error> {
        let subject = self.subjects().control(verb);
        let (mut was_there, mut has_looked) = (false, false);
        loop {
            let request = Request::new().payload(body.clone()).timeout(Some(answer));
            match self.link().request(subject.clone().into(), request).await {
                Ok(reply) => return Ok(reply.payload),
                Err(NoReply::Denied(error)) => return Err(error),
                // A controller listens for all questions at once: one that hears another question and not this one shows
                // that this account does not import it.
                Err(NoReply::Failed(error)) if error.kind() == RequestErrorKind::NoResponders && was_there => {
                    return Err(not_imported(&subject));
                }
                Err(NoReply::Failed(error))
                    if error.kind() == RequestErrorKind::NoResponders && Box::pin(self.is_controller_there()).await =>
                {
                    was_there = true;
                }
                Err(NoReply::Failed(error))
                    if error.kind() == RequestErrorKind::NoResponders && Instant::now() < until =>
                {
                    // Once: what an account imports does not change while somebody waits.
                    if !has_looked && let denied @ Error::Denied { .. } = self.why_no_controller(&subject).await {
                        return Err(denied);
                    }
                    has_looked = true;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(NoReply::Failed(error)) if error.kind() == RequestErrorKind::NoResponders => {
                    return Err(self.why_no_controller(&subject).await);
                }
                Err(NoReply::Failed(error)) => {
                    tracing::debug!(%error, verb, "a controller did not answer");
                    return Err(Error::no_answer(
                        format!("{verb} (it may have been done or not)"),
                        error,
                    ));
                }
            }
        }
    }
}

fn read<Q: Question>(reply: &[u8]) -> Result<Reply<Q::Answer>, Error> {
    serde_json::from_slice(reply).map_err(|error| Error::api(format!("reading the answer to {}", Q::VERB), error))
}
