//! Declares statuses and events: on the wire, an object with a name, and in some cases a `code` or a `reason`.

use serde::ser::SerializeMap;

use crate::intent::wait_reason::WaitReason;

/// The fields beside the name.
pub(crate) struct Parts {
    pub(crate) code: Option<String>,
    pub(crate) reason: Option<WaitReason>,
}

/// The field of one variant.
pub(crate) trait Part: Sized {
    /// Takes it from the fields that were read.
    fn take<E: serde::de::Error>(parts: Parts) -> Result<Self, E>;

    /// Writes it under the name of its field.
    fn write<M: SerializeMap>(&self, field: &'static str, map: &mut M) -> Result<(), M::Error>;
}

/// A required code. If the writer omitted it, it is empty.
impl Part for String {
    fn take<E: serde::de::Error>(parts: Parts) -> Result<Self, E> {
        Ok(parts.code.unwrap_or_default())
    }

    fn write<M: SerializeMap>(&self, field: &'static str, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry(field, self)
    }
}

impl Part for Option<String> {
    fn take<E: serde::de::Error>(parts: Parts) -> Result<Self, E> {
        Ok(parts.code)
    }

    fn write<M: SerializeMap>(&self, field: &'static str, map: &mut M) -> Result<(), M::Error> {
        match self {
            Some(code) => map.serialize_entry(field, code),
            None => Ok(()),
        }
    }
}

impl Part for WaitReason {
    fn take<E: serde::de::Error>(parts: Parts) -> Result<Self, E> {
        parts.reason.ok_or_else(|| E::missing_field("reason"))
    }

    fn write<M: SerializeMap>(&self, field: &'static str, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry(field, self)
    }
}

/// Declares an enum that is an object on the wire. The field `$tag` holds its name; some variants add a `code` or a
/// `reason`. `Unknown { name }` keeps any other name.
macro_rules! wire_tagged {
    (
        $(#[$meta:meta])*
        pub enum $name:ident by $tag:literal {
            $(
                $(#[$vmeta:meta])*
                $variant:ident $( { $(#[$fmeta:meta])* $field:ident : $ty:ty } )? = $text:literal,
            )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $( $(#[$vmeta])* $variant $( { $(#[$fmeta])* $field: $ty } )?, )+
            /// A name of a newer minor version, kept as written.
            Unknown {
                /// Its name on the wire.
                name: String,
            },
        }

        impl $name {
            /// The names on the wire that this build knows, in the order of the protocol.
            pub const NAMES: &'static [&'static str] = &[$( $text ),+];

            /// The name on the wire.
            pub fn name(&self) -> &str {
                match self {
                    $( Self::$variant $( { $field: _ } )? => $text, )+
                    Self::Unknown { name } => name,
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry($tag, self.name())?;
                match self {
                    $( Self::$variant $( { $field } )? => {
                        $( $crate::intent::tagged::Part::write($field, stringify!($field), &mut map)?; )?
                    } )+
                    Self::Unknown { .. } => {}
                }
                map.end()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(serde::Deserialize)]
                struct Form<'a> {
                    #[serde(rename = $tag, borrow)]
                    name: std::borrow::Cow<'a, str>,
                    #[serde(default)]
                    code: Option<String>,
                    #[serde(default)]
                    reason: Option<$crate::intent::wait_reason::WaitReason>,
                }
                let form = Form::deserialize(deserializer)?;
                let parts = $crate::intent::tagged::Parts { code: form.code, reason: form.reason };
                Ok(match &*form.name {
                    $( $text => Self::$variant $( { $field: $crate::intent::tagged::Part::take(parts)? } )?, )+
                    _ => Self::Unknown { name: form.name.into_owned() },
                })
            }
        }
    };
}
pub(crate) use wire_tagged;
