//! Defines a question: its verb, body and answer, whether it changes anything, and how long to wait.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A question to a controller. Its JSON form is the body of the request.
///
/// One line in the list of [`control`](crate::control) declares a question, and one handler in the controller answers
/// it.
pub trait Question: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its name on the wire: the end of the subject `mesh.control.<verb>`.
    const VERB: &'static str;
    /// Whether an answer may leave the mesh changed.
    const EFFECT: Effect;
    /// How long to look for a controller. A controller that dies is replaced within this time.
    const FIND: Duration = Duration::from_secs(10);
    /// How long to wait for the answer: longer than a server restart. A controller that dies does not answer, and
    /// nothing reports its death.
    const ANSWER: Duration = Duration::from_secs(15);
    /// What a controller answers.
    type Answer: Serialize + DeserializeOwned + Send + Sync + 'static;
}

/// Whether an answer may leave the mesh changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It changes nothing, so it is safe to ask again.
    Reads,
    /// It may change something. Without an answer, it may still have been carried out.
    Changes,
}

/// Visits every question, each as its own type: see [`each`](crate::control::each).
pub trait Visitor {
    /// Visits one question.
    fn visit<Q: Question>(&mut self);
}

/// Declares the questions, one line each: `Type = "verb" -> Answer, Reads or Changes`, and a longer time to answer
/// where the usual one is too short.
macro_rules! questions {
    ($($question:ty = $verb:literal -> $answer:ty, $effect:ident $(, $wait:expr)?;)+) => {
        $(impl Question for $question {
            const VERB: &'static str = $verb;
            const EFFECT: Effect = Effect::$effect;
            $(const ANSWER: Duration = $wait;)?
            type Answer = $answer;
        })+

        /// The verbs of all questions, in declaration order.
        pub const VERBS: &[&str] = &[$($verb),+];

        /// Shows every question to `visitor`, in declaration order.
        pub fn each(visitor: &mut impl Visitor) {
            $(visitor.visit::<$question>();)+
        }
    };
}
pub(super) use questions;
