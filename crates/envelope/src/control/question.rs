//! What a question is: a verb, what it takes and gives, whether it changes anything, and how long to wait.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Something that may be asked of a controller. Its JSON form is the body of the request.
///
/// A question is declared by one line in the list of [`control`](crate::control); the controller answers it with one
/// handler.
pub trait Question: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its name on the wire: the end of the subject `mesh.control.<verb>`.
    const VERB: &'static str;
    /// Whether an answer may leave the mesh changed.
    const EFFECT: Effect;
    /// How long to look for a controller. One that dies is replaced within this time.
    const FIND: Duration = Duration::from_secs(10);
    /// How long to wait for the answer: longer than a server takes to restart. A controller that dies does not answer
    /// at all, and nobody says so.
    const ANSWER: Duration = Duration::from_secs(15);
    /// What a controller answers.
    type Answer: Serialize + DeserializeOwned + Send + Sync + 'static;
}

/// Whether an answer may leave the mesh changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It changes nothing, so it may be asked again at will.
    Reads,
    /// It may change something. One that was not answered may have been carried out.
    Changes,
}

/// Looks at every question, each as its own type: see [`each`](crate::control::each).
pub trait Visitor {
    /// Looks at one.
    fn visit<Q: Question>(&mut self);
}

/// Declares the questions, each in one line: `Type = "verb" -> Answer, Reads or Changes` and, where the usual time to
/// answer is too short, another one.
macro_rules! questions {
    ($($question:ty = $verb:literal -> $answer:ty, $effect:ident $(, $wait:expr)?;)+) => {
        $(impl Question for $question {
            const VERB: &'static str = $verb;
            const EFFECT: Effect = Effect::$effect;
            $(const ANSWER: Duration = $wait;)?
            type Answer = $answer;
        })+

        /// The verbs of all questions, in the order of the list.
        pub const VERBS: &[&str] = &[$($verb),+];

        /// Shows every question to `visitor`, in the order of the list.
        pub fn each(visitor: &mut impl Visitor) {
            $(visitor.visit::<$question>();)+
        }
    };
}
pub(super) use questions;
