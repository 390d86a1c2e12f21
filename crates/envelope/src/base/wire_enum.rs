//! Declares wire enums: each variant once, with its name on the wire. The name, the parser, the list and serde follow
//! from that. A name from a newer version is kept as written.

/// Declares an enum of bare names. `Unknown` keeps any other name.
macro_rules! wire_enum {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $( $(#[$vmeta:meta])* $variant:ident = $text:literal, )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum $name {
            $( $(#[$vmeta])* $variant, )+
            /// A name of a newer version, kept as written.
            Unknown(String),
        }

        impl $name {
            /// Every variant that this version of the protocol knows.
            pub const ALL: &'static [Self] = &[$( Self::$variant ),+];

            /// The name on the wire.
            pub fn name(&self) -> &str {
                match self {
                    $( Self::$variant => $text, )+
                    Self::Unknown(name) => name,
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <$crate::base::wire::Text<'de> as serde::Deserialize<'de>>::deserialize(deserializer)?;
                Ok(match &*text {
                    $( $text => Self::$variant, )+
                    _ => Self::Unknown(text.0.into_owned()),
                })
            }
        }
    };
}
pub(crate) use wire_enum;
