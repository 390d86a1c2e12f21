//! Converts envelopes between the model in memory and the forms of other majors.
//!
//! The model is the envelope of this build's own major; Baton reads and writes it without this module. Every other
//! major is one entry of [`FORMS`]: two functions between documents, and the names of the fields that only this form
//! has. `extra` keeps fields unknown to the model, under the key of their form, until the envelope is written in that
//! form again. Any other form drops and reports them.

mod v2;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};

use crate::base::error::{DecodeError, decode, excerpt, locate};
use crate::base::json::Json;
use crate::base::protocol::{AnyMajor, PROTOCOL, Protocol, newest_of};
use crate::base::wire::Extra;
use crate::message::envelope::Envelope;
use crate::message::error::UnknownForm;

const ENVELOPE: &str = "envelope";

/// The members of an object, by name.
type Document = BTreeMap<String, Json>;

/// The form of an envelope in a major other than the model's.
struct Form {
    /// The newest version of that major that this build knows.
    newest: Protocol,
    /// The field of the model that keeps what only this form can express.
    keeps: &'static str,
    /// The paths of the fields that only this form has.
    own: &'static [&'static str],
    /// Those of them that describe the payload. A new payload drops them.
    of_payload: &'static [&'static str],
    /// Converts a document of this form to the model's.
    read: fn(Document) -> Result<Document, DecodeError>,
    /// Converts a document of the model to this form.
    write: fn(Document) -> Document,
    /// The path in this form of a field of the model.
    place: fn(&str) -> Option<&'static str>,
}

/// Every form except the model's, oldest first.
static FORMS: [Form; 1] = [v2::FORM];

fn form_of(major: u32) -> Option<&'static Form> {
    FORMS.iter().find(|form| form.newest.major() == major)
}

impl Serialize for Envelope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.protocol.is_native() {
            self.write_fields(serializer)
        } else {
            write(self, serializer)
        }
    }
}

impl Envelope {
    /// Reads an envelope in any form that this build knows; `protocol` then names the form.
    ///
    /// # Errors
    /// Names the field, the value and the problem; for a document of an unknown major, the readable versions.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        serde_json::from_slice(bytes).or_else(|error| read_envelope(bytes, &error))
    }

    /// The same envelope in another form, and the paths of the fields that the form cannot express. Whoever writes it
    /// to the ledger reports these paths there. Fields that no form knows survive in every form.
    ///
    /// # Errors
    /// When this build does not write the major of `form`.
    pub fn in_form(mut self, form: Protocol) -> Result<(Self, Vec<String>), UnknownForm> {
        if newest_of(form.major()).is_none() {
            return Err(UnknownForm { form });
        }
        let mut lost = Vec::new();
        for other in FORMS.iter().filter(|other| other.newest.major() != form.major()) {
            lost.extend(drop_kept(&mut self.extra, other.keeps, other.own));
        }
        self.protocol = form;
        Ok((self, lost))
    }

    /// The envelope as a JSON document, in a form that a handler of that version can read.
    ///
    /// # Errors
    /// When this build does not write the major of `form`.
    pub fn document(&self, form: Protocol) -> Result<Json, UnknownForm> {
        let (envelope, _) = self.clone().in_form(form)?;
        // Writing an envelope cannot fail: the keys of its maps are strings.
        Ok(Json::of(&envelope).unwrap_or_default())
    }
}

/// Removes kept fields that describe the payload, because the payload is about to change.
pub(crate) fn forget_payload(extra: &mut Extra) {
    for form in &FORMS {
        drop_kept(extra, form.keeps, form.of_payload);
    }
}

/// Removes paths from the kept fields, and returns those that were present.
fn drop_kept(extra: &mut Extra, keeps: &str, paths: &[&str]) -> Vec<String> {
    let Some(mut kept) = extra.get(keeps).and_then(|kept| kept.read::<Document>().ok()) else {
        return Vec::new();
    };
    let dropped = paths.iter().filter_map(|path| kept.remove_entry(*path));
    let dropped: Vec<String> = dropped.map(|(path, _)| path).collect();
    if !dropped.is_empty() {
        extra.remove(keeps);
        put(extra, keeps, &kept);
    }
    dropped
}

/// Removes a member if it is an object, and returns its members.
fn take(document: &mut Document, name: &str) -> Document {
    let members = document.get(name).and_then(|value| value.read::<Document>().ok());
    if members.is_some() {
        document.remove(name);
    }
    members.unwrap_or_default()
}

/// Inserts an object unless it is empty.
fn put(document: &mut Document, name: &str, members: &Document) {
    if !members.is_empty() {
        document.insert(name.to_owned(), Json::of(members).unwrap_or_default());
    }
}

/// Writes an envelope in the form it names, which is not the model's.
fn write<S: Serializer>(envelope: &Envelope, serializer: S) -> Result<S::Ok, S::Error> {
    use serde::ser::Error;
    /// The envelope in the model's form, whatever form it names.
    struct Model<'a>(&'a Envelope);
    impl Serialize for Model<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.write_fields(serializer)
        }
    }
    let form = form_of(envelope.protocol.major()).ok_or(UnknownForm {
        form: envelope.protocol,
    });
    let form = form.map_err(Error::custom)?;
    let model = Json::of(&Model(envelope)).map_err(Error::custom)?;
    let members = model.read::<Document>().map_err(Error::custom)?;
    (form.write)(members).serialize(serializer)
}

/// Reads an envelope of another major. If the document is of no other major, says what is wrong with it.
fn read_envelope(bytes: &[u8], error: &serde_json::Error) -> Result<Envelope, DecodeError> {
    let document = serde_json::from_slice::<Document>(bytes).ok();
    match document.and_then(|document| Some((other_major(&document)?, document))) {
        Some((version, document)) => read(version, document),
        None => Err(locate::<Envelope>(ENVELOPE, bytes, error)),
    }
}

/// Reads a document that contains an envelope of another major, and that envelope. If it contains none, says what is
/// wrong with the document.
pub(crate) fn read_around<T: DeserializeOwned>(
    what: &'static str,
    bytes: &[u8],
    error: &serde_json::Error,
) -> Result<(T, Envelope), DecodeError> {
    let mut document = serde_json::from_slice::<Document>(bytes).unwrap_or_default();
    if let Some(version) = other_major(&document) {
        return Err(unreadable(what, version, &document));
    }
    let envelope = document
        .remove("envelope")
        .and_then(|envelope| envelope.read::<Document>().ok());
    let Some((version, envelope)) = envelope.and_then(|envelope| Some((other_major(&envelope)?, envelope))) else {
        return Err(locate::<T>(what, bytes, error));
    };
    let around = decode(what, &bytes_of(&document))?;
    let envelope = read(version, envelope).map_err(|error| DecodeError {
        what,
        field: format!("{ENVELOPE}.{}", error.field),
        ..error
    })?;
    Ok((around, envelope))
}

/// The version of a document, if its major is not the model's.
fn other_major(document: &Document) -> Option<Protocol> {
    let AnyMajor(version) = serde_json::from_str(document.get("protocol")?.get()).ok()?;
    (!version.is_native()).then_some(version)
}

/// Converts a document of another major to the model.
fn read(version: Protocol, document: Document) -> Result<Envelope, DecodeError> {
    let form = form_of(version.major()).ok_or_else(|| unreadable(ENVELOPE, version, &document))?;
    let mut members = (form.read)(document)?;
    members.insert("protocol".to_owned(), Json::of(&PROTOCOL).unwrap_or_default());
    let mut envelope: Envelope = decode(ENVELOPE, &bytes_of(&members)).map_err(|error| placed(form, error))?;
    envelope.protocol = version;
    Ok(envelope)
}

/// The same error with the field's path in the form: an author knows only the document they sent.
fn placed(form: &Form, mut error: DecodeError) -> DecodeError {
    if let Some(place) = (form.place)(&error.field) {
        error.problem = error
            .problem
            .replace(&format!("`{}`", error.field), &format!("`{place}`"));
        error.field = place.to_owned();
    }
    error
}

/// The path of a model field in an envelope of that version.
pub(crate) fn place_of(version: Protocol, field: &'static str) -> &'static str {
    let form = form_of(version.major());
    form.and_then(|form| (form.place)(field)).unwrap_or(field)
}

fn unreadable(what: &'static str, version: Protocol, document: &Document) -> DecodeError {
    let value = document.get("protocol");
    DecodeError {
        what,
        field: "protocol".to_owned(),
        value: value.map(|value| excerpt(value.get().as_bytes())),
        problem: version.refusal(),
    }
}

fn bytes_of(document: &Document) -> Vec<u8> {
    serde_json::to_vec(document).unwrap_or_default()
}
