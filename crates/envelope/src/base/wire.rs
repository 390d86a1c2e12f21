//! Declares wire objects: known fields by name, and every unknown field kept.
//!
//! `serde(flatten)` would do the same, but it buffers the whole object, changes the spelling of numbers, and cannot
//! carry raw JSON. Unknown fields must come out exactly as they went in (I11).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use serde::de::{Deserialize, Deserializer, Visitor};

use crate::base::json::Json;

/// Fields that this version of the protocol does not know. Baton keeps them and passes them on.
pub type Extra = BTreeMap<String, Json>;

/// A string that borrows from the input unless it has escapes. (serde always reads a plain `Cow` as owned.)
pub(crate) struct Text<'de>(pub(crate) Cow<'de, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// Declares a wire object. Each field is `req` (required), `opt` (an `Option`, omitted when `None`) or `def` (the
/// default when missing or null, omitted when equal to it). With `as`, a required field is read as another type, and
/// its first field taken. With `by_hand` in front, the module implements `Serialize` itself.
macro_rules! wire_object {
    (by_hand $($object:tt)*) => {
        $crate::base::wire::wire_object!(@object $($object)*);
    };
    (
        $(#[$meta:meta])*
        pub struct $name:ident { $($fields:tt)* }
    ) => {
        $crate::base::wire::wire_object!(@object $(#[$meta])* pub struct $name { $($fields)* });

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.write_fields(serializer)
            }
        }
    };
    (
        @object $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[$fmeta:meta])* $kind:ident $field:ident : $ty:ty $(as $via:ty)? , )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $( $(#[$fmeta])* pub $field: $crate::base::wire::wire_object!(@type $kind $ty), )*
            /// Fields of a newer minor version or of the author's own, kept as written and passed on.
            pub extra: $crate::base::wire::Extra,
        }

        impl $name {
            /// Writes the fields under their names in the model.
            pub(crate) fn write_fields<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;
                let mut map = serializer.serialize_map(None)?;
                $( $crate::base::wire::wire_object!(@write $kind map self $field $ty); )*
                for (key, value) in &self.extra {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct ObjectVisitor;
                impl<'de> serde::de::Visitor<'de> for ObjectVisitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(concat!("an object (", stringify!($name), ")"))
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name, A::Error> {
                        $( let mut $field: Option<$crate::base::wire::wire_object!(@read $ty $(as $via)?)> = None; )*
                        let mut extra = $crate::base::wire::Extra::new();
                        while let Some(key) = map.next_key::<$crate::base::wire::Text<'de>>()? {
                            match &*key {
                                $( stringify!($field) => { $field = map.next_value()?; } )*
                                _ if $crate::base::mutants::Mutant::I11UnknownDropped.is_on() => {
                                    map.next_value::<serde::de::IgnoredAny>()?;
                                }
                                _ => { extra.insert(key.0.into_owned(), map.next_value()?); }
                            }
                        }
                        Ok($name {
                            $( $field: $crate::base::wire::wire_object!(@take $kind $field $(as $via)?), )*
                            extra,
                        })
                    }
                }
                deserializer.deserialize_map(ObjectVisitor)
            }
        }
    };
    (@type req $ty:ty) => { $ty };
    (@type opt $ty:ty) => { Option<$ty> };
    (@type def $ty:ty) => { $ty };
    (@read $ty:ty) => { $ty };
    (@read $ty:ty as $via:ty) => { $via };
    (@write req $map:ident $self:ident $field:ident $ty:ty) => {
        $map.serialize_entry(stringify!($field), &$self.$field)?
    };
    (@write opt $map:ident $self:ident $field:ident $ty:ty) => {
        if let Some(value) = &$self.$field { $map.serialize_entry(stringify!($field), value)?; }
    };
    (@write def $map:ident $self:ident $field:ident $ty:ty) => {
        if $self.$field != <$ty>::default() { $map.serialize_entry(stringify!($field), &$self.$field)?; }
    };
    (@take req $field:ident) => {
        $field.ok_or_else(|| serde::de::Error::missing_field(stringify!($field)))?
    };
    (@take req $field:ident as $via:ty) => {
        $field.ok_or_else(|| serde::de::Error::missing_field(stringify!($field)))?.0
    };
    (@take opt $field:ident) => { $field };
    (@take def $field:ident) => { $field.unwrap_or_default() };
}
pub(crate) use wire_object;
