//! Records a raw intent that cannot become an intent: the reason and the whole message, for a person to examine and
//! redrive. No published message is lost.

use baton_envelope::control::ControlError;
use baton_envelope::{
    Author, Envelope, ErrorInfo, IntentId, Json, RawIntent, RawKept, RawRejection, Unique, act, codes, quoted,
};
use baton_envelope::{Submission, compare_submission};
use baton_forms::Form;
use baton_jetstream::{Advanced, Decision, Error, Head, KEPT_BODY_BYTES, Known, Mesh};

/// In a kept raw intent: the id of its intake message, so that a redelivery finds its own rejection.
const KEPT_MESSAGE: &str = "message";
/// The longest value that a rejection quotes.
const QUOTED: usize = 200;
/// The longest text of a rejection.
const MESSAGE_LIMIT: usize = 4_000;
/// Room for the headers of the record and for the note about what was cut.
const HEADROOM: usize = 4 * 1024;

/// Refuses an envelope that claims a parent: in a secured mesh controllers alone submit children, so that nobody puts work of
/// their own in the place of what another agent has asked for.
pub(crate) fn no_child(envelope: &Envelope) -> Result<(), RawRejection> {
    match &envelope.parent {
        None => Ok(()),
        Some(parent) => Err(RawRejection {
            code: codes::MALFORMED_ENVELOPE,
            field: "parent".to_owned(),
            value: parent.to_string(),
            problem: "is not a publisher's to say in a secured mesh: controllers submit children".to_owned(),
            fix: "leave `parent` out; an agent asks others by a call".to_owned(),
        }),
    }
}

/// Refuses a schema that no result can be compared with: no agent could complete the work.
pub(crate) fn usable_schema(envelope: &Envelope) -> Result<(), RawRejection> {
    let schema = envelope.expects.as_ref().and_then(|expects| expects.schema.as_ref());
    let Some(schema) = schema else { return Ok(()) };
    match Form::read(schema.get()) {
        Ok(_) => Ok(()),
        Err(refused) => Err(RawRejection {
            code: codes::BAD_HEADER,
            field: "expects.schema".to_owned(),
            value: quoted(schema.get(), QUOTED),
            problem: refused.to_string(),
            fix: "give a JSON schema without references, or leave it out".to_owned(),
        }),
    }
}

/// Why a raw intent is refused permanently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// What programs branch on.
    pub(crate) code: String,
    /// What people read.
    pub(crate) message: String,
}

impl Rejection {
    pub(crate) fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: shortened(&message.into(), MESSAGE_LIMIT),
        }
    }

    /// The rejection of work whose unique key other work holds.
    pub(crate) fn not_unique(unique: &Unique, holder: &Head) -> Self {
        let (intent, status) = (&holder.record.intent, &holder.record.snapshot.status);
        let text = format!(
            "the unique key {:?} is held by intent \"{intent}\" ({status}); fix: wait for its end, or give another key",
            unique.key
        );
        Self::new(codes::NOT_UNIQUE, text)
    }

    /// As an answer: what is wrong, and apart from it what to do.
    pub(crate) fn refusal(&self) -> ControlError {
        ControlError::of_rejection(&self.code, &self.message)
    }

    /// The rejection for an error, if another try could not help.
    pub(crate) fn of_error(error: &Error) -> Option<Self> {
        let refuses = error.refuses();
        refuses.map(|_| Self::new(error.code(), error.to_string()))
    }
}

impl From<RawRejection> for Rejection {
    fn from(mut rejection: RawRejection) -> Self {
        rejection.value = shortened(&rejection.value, QUOTED);
        Self::new(rejection.code, rejection.to_string())
    }
}

/// The result of recording a rejection.
#[derive(Debug)]
pub(crate) enum Recorded {
    /// It was written under this id.
    Rejected(IntentId),
    /// An earlier delivery of the same message already became an intent or a rejection, with this head.
    Before(Box<Head>),
}

/// Writes a rejection under the first free id of `ids`.
///
/// An earlier delivery of the message may have become an intent, even if the message is refused now (its deadline has
/// passed, for example). If the ledger holds `envelope`, what the message would become, this leaves that intent as it
/// is.
pub(crate) async fn record(
    mesh: &Mesh,
    by: &Author,
    raw: &RawIntent<'_>,
    ids: Vec<IntentId>,
    envelope: Option<&Envelope>,
    rejection: &Rejection,
) -> Result<Recorded, Error> {
    // The last resort, in case somebody took the derived id too.
    let last = mesh.clock().intent_id();
    for id in ids.iter().chain([&last]) {
        let written = match write(mesh, by, raw, (id, &ids), rejection).await {
            // What stands under this id is nobody's record, and the id is taken all the same.
            Err(Error::NoneReadable { .. }) => continue,
            written => written?,
        };
        match written {
            None => return Ok(Recorded::Rejected(id.clone())),
            Some(head) if is_of(&head, raw) => return Ok(Recorded::Before(head)),
            Some(head) => {
                if let Some(envelope) = envelope
                    && is_same(mesh, id, envelope).await?
                {
                    mesh.settle(&head).await?;
                    return Ok(Recorded::Before(head));
                }
            }
        }
    }
    Err(Error::no_answer(
        format!("recording that {} was rejected", raw.derived_id),
        "every id is taken",
    ))
}

/// Whether this record is the rejection of this very message, or of one with the same content: a sender that got no
/// acknowledgement sends it again.
pub(crate) fn is_of(head: &Head, raw: &RawIntent<'_>) -> bool {
    let Some(there) = &head.record.raw else { return false };
    let message = there.extra.get(KEPT_MESSAGE);
    if message.is_some_and(|message| *message == Json::string(raw.derived_id.as_str())) {
        return true;
    }
    let here = raw.keep();
    // Headers have no order.
    let sorted = |kept: &RawKept| {
        let mut headers = kept.headers.clone();
        headers.sort();
        headers
    };
    there.subject == here.subject && there.body_base64 == here.body_base64 && sorted(there) == sorted(&here)
}

async fn is_same(mesh: &Mesh, id: &IntentId, envelope: &Envelope) -> Result<bool, Error> {
    let first = mesh.trail(id).await?.into_iter().next();
    let there = first.and_then(|first| first.record.envelope);
    Ok(there.is_some_and(|there| compare_submission(&there, envelope) == Submission::Same))
}

/// Writes a rejection under an id; returns the head if the id is taken.
async fn write(
    mesh: &Mesh,
    by: &Author,
    raw: &RawIntent<'_>,
    (id, chosen): (&IntentId, &[IntentId]),
    rejection: &Rejection,
) -> Result<Option<Box<Head>>, Error> {
    // A sender may use an id that its message named again.
    let is_chosen = *id != raw.derived_id && chosen.contains(id);
    let refuse = async |kept: &RawKept, message: &str| {
        let refused = mesh.advance(id, by, Known::Absent, |head, stamp| {
            if head.is_some() {
                return Ok::<_, Error>(Decision::Nothing);
            }
            let mut draft = act::refuse(stamp.at, ErrorInfo::new(rejection.code.as_str(), message), kept.clone());
            draft.generated_id = !is_chosen;
            Ok(draft.into())
        });
        Ok::<_, Error>(match refused.await? {
            Advanced::Committed(_) => None,
            Advanced::Unchanged(head) => head,
        })
    };
    let mut kept = raw.keep();
    kept.extra
        .insert(KEPT_MESSAGE.to_owned(), Json::string(raw.derived_id.as_str()));
    match refuse(&kept, &rejection.message).await {
        Err(Error::TooLarge { size, limit, .. }) => {
            let note = cut(&mut kept, raw.body.len(), size, limit);
            tracing::warn!(intent = %id, "a rejected raw intent is too large to keep whole: {note}");
            refuse(&kept, &format!("{} ({note})", rejection.message)).await
        }
        written => written,
    }
}

/// Cuts the kept message until a record of `size` bytes fits into `limit`; says what was cut.
fn cut(kept: &mut RawKept, body: usize, size: usize, limit: usize) -> String {
    let mut overhead = size.saturating_sub(kept.body_base64.len());
    let had = kept.headers.len();
    // The server accepts at most 64 KiB of headers, so this matters only for one with a very small message limit.
    if overhead + HEADROOM > limit {
        overhead -= serde_json::to_vec(&kept.headers)
            .map_or(0, |text| text.len())
            .min(overhead);
        kept.headers.clear();
    }
    // Base64 is ASCII, and four characters are three whole bytes.
    let room = limit.saturating_sub(overhead + HEADROOM) / 4 * 4;
    kept.body_base64.truncate(room);
    kept.extra.insert(
        KEPT_BODY_BYTES.to_owned(),
        Json::parse(&body.to_string()).unwrap_or_else(|_| Json::null()),
    );
    format!(
        "kept: the first {} of {body} bytes of the body, {} of {had} headers",
        (kept.body_base64.len() / 4 * 3).min(body),
        kept.headers.len()
    )
}

fn shortened(text: &str, limit: usize) -> String {
    let mut short: String = text.chars().take(limit).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
