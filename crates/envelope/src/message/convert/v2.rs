//! The draft of 2.0: the receiver, the payload and the deadline are objects.
//!
//! The tests and the agents that declare the draft use it. It may change until it is released.

use super::{Document, ENVELOPE, Form, put, take};
use crate::base::error::{DecodeError, excerpt};
use crate::base::json::Json;
use crate::base::protocol::DRAFT;

pub(super) const FORM: Form = Form {
    newest: DRAFT,
    keeps: KEPT,
    own: &["content.type", "due.grace_seconds"],
    of_payload: &["content.type"],
    read,
    write,
    place,
};

/// The field of the model that keeps what the model cannot express.
const KEPT: &str = "baton-2";
/// The field of this form that keeps what *this form* cannot express: an author's own fields whose names it uses.
const ASIDE: &str = "baton-1";

/// The default of `content.type`.
const JSON_TYPE: &str = "application/json";

/// An object of this form that replaces single fields of the model.
struct Object {
    name: &'static str,
    /// Its members, with the fields of the model that they replace.
    moved: &'static [(&'static str, &'static str)],
    /// Its members that the model lacks.
    own: &'static [(&'static str, Check)],
}

/// Checks the value of a member that the model lacks.
type Check = fn(&Json) -> Own;

/// What such a value means.
enum Own {
    /// The same as an absent value.
    Default,
    /// A value to keep.
    Said,
    /// An invalid value.
    Bad(&'static str),
}

static OBJECTS: [Object; 3] = [
    Object {
        name: "content",
        moved: &[
            ("data", "payload"),
            ("encoding", "payload_encoding"),
            ("ref", "payload_ref"),
        ],
        own: &[("type", media_type)],
    },
    Object {
        name: "to",
        moved: &[("agent", "to"), ("version", "to_version")],
        own: &[],
    },
    Object {
        name: "due",
        moved: &[("at", "deadline")],
        own: &[("grace_seconds", seconds)],
    },
];

fn media_type(value: &Json) -> Own {
    match value.read::<String>() {
        Ok(text) if text == JSON_TYPE => Own::Default,
        Ok(_) => Own::Said,
        Err(_) => Own::Bad("expected a media type, a string"),
    }
}

fn seconds(value: &Json) -> Own {
    match value.read::<u64>() {
        Ok(0) => Own::Default,
        Ok(_) => Own::Said,
        Err(_) => Own::Bad("expected a whole number of seconds, 0 or more"),
    }
}

impl Object {
    /// The member of this object at a kept path, if it may stand there.
    fn kept_member<'a>(&self, path: &'a str, value: &Json) -> Option<&'a str> {
        let member = path.strip_prefix(self.name)?.strip_prefix('.')?;
        if self.moved.iter().any(|(name, _)| *name == member) {
            return None;
        }
        let own = self.own.iter().find(|(name, _)| *name == member);
        match own.map(|(_, check)| check(value)) {
            Some(Own::Default | Own::Bad(_)) => None,
            Some(Own::Said) | None => Some(member),
        }
    }
}

/// Names of model fields that this form places elsewhere. In this form they are ordinary names.
fn names_of_the_model() -> impl Iterator<Item = &'static str> {
    let fields = OBJECTS.iter().flat_map(|object| object.moved).map(|(_, field)| *field);
    fields.filter(|field| OBJECTS.iter().all(|object| object.name != *field))
}

/// Names of objects in this form that the model does not use. In the model they are ordinary names.
fn names_of_this_form() -> impl Iterator<Item = &'static str> {
    let is_field = |name: &str| {
        OBJECTS
            .iter()
            .flat_map(|object| object.moved)
            .any(|(_, field)| *field == name)
    };
    OBJECTS
        .iter()
        .map(|object| object.name)
        .filter(move |name| !is_field(name))
}

fn read(mut theirs: Document) -> Result<Document, DecodeError> {
    let mut kept = take(&mut theirs, KEPT);
    let mut aside = take(&mut theirs, ASIDE);
    let mut moved = Document::new();
    for object in &OBJECTS {
        let Some(value) = theirs.remove(object.name).filter(|value| !value.is_null()) else {
            continue;
        };
        let members = value.read::<Document>();
        let members = members.map_err(|_| bad(object.name.to_owned(), &value, "expected an object"))?;
        for (member, value) in members {
            let path = format!("{}.{member}", object.name);
            if let Some((_, field)) = object.moved.iter().find(|(name, _)| *name == member) {
                moved.insert((*field).to_owned(), value);
            } else if let Some((_, check)) = object.own.iter().find(|(name, _)| *name == member) {
                let said = if value.is_null() { Own::Default } else { check(&value) };
                match said {
                    Own::Default => {}
                    Own::Said => drop(kept.insert(path, value)),
                    Own::Bad(problem) => return Err(bad(path, &value, problem)),
                }
            } else {
                kept.insert(path, value);
            }
        }
    }
    for name in names_of_the_model() {
        kept.extend(theirs.remove_entry(name));
    }
    for name in names_of_this_form() {
        theirs.extend(aside.remove_entry(name));
    }
    theirs.extend(moved);
    put(&mut theirs, KEPT, &kept);
    put(&mut theirs, ASIDE, &aside);
    Ok(theirs)
}

fn write(mut ours: Document) -> Document {
    let mut kept = take(&mut ours, KEPT);
    let mut aside = take(&mut ours, ASIDE);
    let mut objects = Document::new();
    for object in &OBJECTS {
        let mut members = Document::new();
        for (member, field) in object.moved {
            let value = ours.remove(*field);
            members.extend(value.map(|value| ((*member).to_owned(), value)));
        }
        kept.retain(|path, value| {
            let member = object.kept_member(path, value).map(str::to_owned);
            let stays = member.is_none();
            members.extend(member.map(|member| (member, value.clone())));
            stays
        });
        put(&mut objects, object.name, &members);
    }
    for name in names_of_this_form() {
        aside.extend(ours.remove_entry(name));
    }
    for name in names_of_the_model() {
        ours.extend(kept.remove_entry(name));
    }
    ours.extend(objects);
    put(&mut ours, KEPT, &kept);
    put(&mut ours, ASIDE, &aside);
    ours
}

fn place(field: &str) -> Option<&'static str> {
    match field {
        "to" => Some("to.agent"),
        "to_version" => Some("to.version"),
        "payload_encoding" => Some("content.encoding"),
        "payload_ref" => Some("content.ref"),
        "deadline" => Some("due.at"),
        _ => None,
    }
}

fn bad(field: String, value: &Json, problem: &str) -> DecodeError {
    DecodeError {
        what: ENVELOPE,
        field,
        value: Some(excerpt(value.get().as_bytes())),
        problem: problem.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        serde_json::from_str(text).expect("an object")
    }

    #[test]
    fn the_reserved_names_are_fields_like_any_other_when_they_hold_something_else() {
        for text in [
            r#"{"baton-1":5,"baton-2":[1],"to":{"agent":"a"}}"#,
            r#"{"baton-1":{"x":1},"baton-2":{"x":1},"to":{"agent":"a"}}"#,
        ] {
            let there = read(document(text)).expect("the model");
            assert_eq!(write(there.clone()), document(text));
            assert_eq!(there["baton-1"], document(text)["baton-1"]);
        }
    }

    #[test]
    fn a_reserved_name_never_changes_what_the_envelope_says() {
        let model = read(document(
            r#"{"baton-1":{"to":"b","payload":1},"to":{"version":"1.0.0"}}"#,
        ))
        .expect("the model");
        assert!(!model.contains_key("to") && !model.contains_key("payload"));
        let kept = r#"{"to":"a","payload":7,"baton-2":{"content.data":8,"to.agent":"b","content.type":9,"hop":3}}"#;
        let theirs = write(document(kept));
        assert_eq!(theirs["content"].get(), r#"{"data":7}"#);
        assert_eq!(theirs["to"].get(), r#"{"agent":"a"}"#);
        assert!(!theirs.contains_key("hop"));
    }
}
