//! The secrets themselves. They are made here from random bytes, handed to files, and shown nowhere else.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::{KeyPair, KeyPairType};

use crate::error::AccessError;
use crate::login::{PasswordHash, UserKey};

/// How many random bytes a secret takes.
pub const RANDOM_BYTES: usize = 48;
/// How many of them a password is made of: 192 bits, so that nobody guesses it whatever the hash costs.
const PASSWORD_BYTES: usize = 24;
/// The work factor of bcrypt, as the `nats` CLI has it. The server does this work at every login with a password.
const COST: u32 = 11;

/// Which kind of secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A key: the server knows its public half only.
    Key,
    /// A password: the server keeps its hash.
    Password,
}

/// A secret, and what the server keeps of it.
#[derive(Clone)]
pub enum Secret {
    /// The seed of a key.
    Key {
        /// The seed.
        seed: String,
        /// Its public half.
        public: UserKey,
    },
    /// A password.
    Password {
        /// The password.
        text: String,
        /// Its hash.
        hash: PasswordHash,
    },
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { public, .. } => f.debug_struct("Key").field("public", public).finish_non_exhaustive(),
            Self::Password { .. } => f.debug_struct("Password").finish_non_exhaustive(),
        }
    }
}

impl Secret {
    /// A secret made of random bytes.
    ///
    /// # Errors
    /// None that random bytes cause: the libraries that make keys and hashes can fail by their signatures.
    pub fn make(form: Form, random: [u8; RANDOM_BYTES]) -> Result<Self, AccessError> {
        match form {
            Form::Key => Self::key(random),
            Form::Password => Self::password(random),
        }
    }

    fn key(random: [u8; RANDOM_BYTES]) -> Result<Self, AccessError> {
        let mut raw = [0; 32];
        for (to, from) in raw.iter_mut().zip(random) {
            *to = from;
        }
        let failed = |problem: String| unmade("key", problem);
        let pair = KeyPair::new_from_raw(KeyPairType::User, raw).map_err(|error| failed(error.to_string()))?;
        Ok(Self::Key {
            seed: pair.seed().map_err(|error| failed(error.to_string()))?,
            public: pair.public_key().parse().map_err(failed)?,
        })
    }

    fn password(random: [u8; RANDOM_BYTES]) -> Result<Self, AccessError> {
        let (password, rest) = random.split_at(PASSWORD_BYTES);
        let text = URL_SAFE_NO_PAD.encode(password);
        let mut salt = [0; 16];
        for (to, from) in salt.iter_mut().zip(rest) {
            *to = *from;
        }
        let hash = hash(&text, COST, salt)?;
        Ok(Self::Password { text, hash })
    }
}

fn hash(text: &str, cost: u32, salt: [u8; 16]) -> Result<PasswordHash, AccessError> {
    let parts = bcrypt::hash_with_salt(text, cost, salt).map_err(|error| unmade("password", error.to_string()))?;
    parts
        .format_for_version(bcrypt::Version::TwoA)
        .parse()
        .map_err(|problem| unmade("password", problem))
}

fn unmade(what: &str, problem: String) -> AccessError {
    AccessError::Invalid {
        place: format!("the new {what}"),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_in_its_debug_form() {
        let random = [7; RANDOM_BYTES];
        let Secret::Key { seed, public } = Secret::make(Form::Key, random).expect("made") else {
            panic!("a key");
        };
        assert!(seed.starts_with("SU") && public.as_str().starts_with('U'));
        let key = Secret::Key {
            seed: seed.clone(),
            public,
        };
        assert!(!format!("{key:?}").contains(&seed));
        let made = Secret::make(Form::Password, random).expect("made");
        let Secret::Password { text, hash } = &made else {
            panic!("a password");
        };
        assert!(bcrypt::verify(text, hash.as_str()).expect("a hash"));
        assert!(!format!("{made:?}").contains(text.as_str()));
    }
}
