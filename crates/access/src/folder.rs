//! The files that are made, with the modes that secrets need.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::AccessError;
use crate::file::Access;
use crate::handout::{Given, Handout};
use crate::secret::Secret;

/// Secrets: for their owner alone.
const SECRET: u32 = 0o600;
/// The folder of secrets.
const FOLDER: u32 = 0o700;
/// The configuration of the server, which has hashes of passwords: the server may run as another user of the same group.
const CONFIG: u32 = 0o640;
/// The file that people write.
const OPEN: u32 = 0o644;

/// The file of accounts, and the files beside it that are made from it.
#[derive(Debug, Clone)]
pub struct Folder {
    file: PathBuf,
}

impl Folder {
    /// By the path of the file of accounts.
    pub fn of(file: impl Into<PathBuf>) -> Self {
        Self { file: file.into() }
    }

    /// The file of accounts.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The text of the file of accounts.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self) -> Result<String, AccessError> {
        fs::read_to_string(&self.file).map_err(failed("reading", &self.file))
    }

    /// Writes the file of accounts for the first time.
    ///
    /// # Errors
    /// When it is there, or cannot be written.
    pub fn create(&self, text: &str) -> Result<(), AccessError> {
        if self.file.exists() {
            return Err(AccessError::Exists {
                path: self.file.clone(),
            });
        }
        let parent = parent(&self.file);
        fs::create_dir_all(&parent).map_err(failed("making", &parent))?;
        self.write(text)
    }

    /// Writes the file of accounts, all of it or nothing.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, text: &str) -> Result<(), AccessError> {
        replace(&self.file, text, OPEN)
    }

    /// Where the configuration of the server goes.
    pub fn config(&self, access: &Access) -> PathBuf {
        parent(&self.file).join(&access.files.config)
    }

    /// The folder of the credentials.
    pub fn credentials(&self, access: &Access) -> PathBuf {
        parent(&self.file).join(&access.files.credentials)
    }

    /// The file of variables of a user.
    pub fn variables(&self, access: &Access, name: &str) -> PathBuf {
        self.credentials(access).join(format!("{name}.env"))
    }

    /// The file with the seed of a user.
    pub fn seed(&self, access: &Access, name: &str) -> PathBuf {
        self.credentials(access).join(format!("{name}.nk"))
    }

    /// The context of a user: where the `nats` CLI finds it with `XDG_CONFIG_HOME` set to the folder of the credentials.
    pub fn context(&self, access: &Access, name: &str) -> PathBuf {
        self.credentials(access)
            .join("nats/context")
            .join(format!("{name}.json"))
    }

    /// Writes what a user is given; gives the paths.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn hand_out(&self, access: &Access, name: &str, secret: &Secret) -> Result<Vec<PathBuf>, AccessError> {
        let folder = self.credentials(access);
        for folder in [folder.clone(), folder.join("nats"), folder.join("nats/context")] {
            keep_secret(&folder).map_err(failed("making", &folder))?;
        }
        self.write_handout(access, name, secret.into())
    }

    /// Writes what a user was given once more, where it is here: the address of the server or its TLS may be others now.
    ///
    /// # Errors
    /// When something cannot be read or written.
    pub fn hand_out_again(&self, access: &Access, name: &str) -> Result<(), AccessError> {
        let (seed_file, context) = (self.seed(access, name), self.context(access, name));
        if !context.exists() {
            return Ok(());
        }
        if seed_file.exists() {
            let seed = fs::read_to_string(&seed_file).map_err(failed("reading", &seed_file))?;
            return self.write_handout(access, name, Given::Seed(seed.trim())).map(drop);
        }
        let text = fs::read_to_string(&context).map_err(failed("reading", &context))?;
        let there: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| failed("reading", &context)(error.into()))?;
        match there.get("password").and_then(serde_json::Value::as_str) {
            Some(password) => self.write_handout(access, name, Given::Password(password)).map(drop),
            None => Ok(()),
        }
    }

    fn write_handout(&self, access: &Access, name: &str, given: Given<'_>) -> Result<Vec<PathBuf>, AccessError> {
        let seed_file = self.seed(access, name);
        let absolute = std::path::absolute(&seed_file).map_err(failed("finding", &seed_file))?;
        let handout = Handout::of(access, name, given, &absolute.to_string_lossy()).map_err(|error| {
            let path = self.context(access, name);
            failed("writing", &path)(error.into())
        })?;
        let mut written = Vec::new();
        match &handout.seed {
            Some(seed) => {
                replace(&seed_file, seed, SECRET)?;
                written.push(seed_file);
            }
            // It had a key before.
            None => forget(&seed_file)?,
        }
        let (variables, context) = (self.variables(access, name), self.context(access, name));
        replace(&variables, &handout.variables, SECRET)?;
        replace(&context, &handout.context, SECRET)?;
        written.extend([variables, context]);
        Ok(written)
    }

    /// Removes what a user was given; gives the paths of what was there.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn take_back(&self, access: &Access, name: &str) -> Result<Vec<PathBuf>, AccessError> {
        let paths = [
            self.seed(access, name),
            self.variables(access, name),
            self.context(access, name),
        ];
        let mut removed = Vec::new();
        for path in paths {
            if path.exists() {
                forget(&path)?;
                removed.push(path);
            }
        }
        Ok(removed)
    }
}

/// Writes a configuration of the server, all of it or nothing; says whether it is another one than before.
///
/// # Errors
/// When it cannot be written.
pub fn write_config(path: &Path, text: &str) -> Result<bool, AccessError> {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(false);
    }
    replace(path, text, CONFIG)?;
    Ok(true)
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

fn forget(path: &Path) -> Result<(), AccessError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("removing", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A folder that only its owner may look into.
fn keep_secret(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    builder.mode(FOLDER);
    builder.create(folder)?;
    // It may have been there with another mode.
    #[cfg(unix)]
    fs::set_permissions(folder, fs::Permissions::from_mode(FOLDER))?;
    Ok(())
}

/// Writes a file beside the one that is there and moves it over: nobody ever reads half of it, or finds it with a wider mode.
fn replace(path: &Path, text: &str, mode: u32) -> Result<(), AccessError> {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    let new = parent(path).join(format!(".{}.new", name.unwrap_or_default()));
    let write = || {
        forget_quietly(&new);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        options.mode(mode);
        #[cfg(not(unix))]
        let _ = mode;
        let mut file = options.open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    let written = write();
    if written.is_err() {
        forget_quietly(&new);
    }
    written.map_err(failed("writing", path))
}

fn forget_quietly(path: &Path) {
    // Left by a run that was killed, or not there.
    drop(fs::remove_file(path));
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AccessError {
    let path = path.to_owned();
    move |source| AccessError::Io { action, path, source }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::secret::{Form, RANDOM_BYTES};

    #[test]
    fn secrets_are_for_their_owner_alone() {
        let home = tempfile::tempdir().expect("folder");
        let folder = Folder::of(home.path().join("config/access.toml"));
        folder.create("").expect("created");
        assert!(matches!(folder.create(""), Err(AccessError::Exists { .. })));
        let access = Access::default();
        // As a careless hand may have made it.
        fs::create_dir(folder.credentials(&access)).expect("made");
        fs::set_permissions(folder.credentials(&access), fs::Permissions::from_mode(0o755)).expect("set");
        let key = Secret::make(Form::Key, [1; RANDOM_BYTES]).expect("made");
        let written = folder.hand_out(&access, "ada", &key).expect("written");
        assert_eq!(written.len(), 3);
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&folder.credentials(&access)), FOLDER);
        for path in &written {
            assert_eq!(mode(path), SECRET, "{}", path.display());
        }
        // A password takes the place of the key, whose file goes.
        let password = Secret::make(Form::Password, [1; RANDOM_BYTES]).expect("made");
        assert_eq!(folder.hand_out(&access, "ada", &password).expect("written").len(), 2);
        assert_eq!(folder.take_back(&access, "ada").expect("removed").len(), 2);
        assert_eq!(folder.take_back(&access, "ada").expect("nothing").len(), 0);
    }

    #[test]
    fn what_a_user_was_given_follows_the_address_of_the_server() {
        let home = tempfile::tempdir().expect("folder");
        let folder = Folder::of(home.path().join("config/access.toml"));
        folder.create("").expect("created");
        let mut access = Access::default();
        for (user, form) in [("ada", Form::Key), ("bea", Form::Password)] {
            let secret = Secret::make(form, [1; RANDOM_BYTES]).expect("made");
            folder.hand_out(&access, user, &secret).expect("written");
            let read = |path: &Path| fs::read_to_string(path).expect("there");
            let before = read(&folder.variables(&access, user));
            access.server.listen = "127.0.0.1:24222".to_owned();
            folder.hand_out_again(&access, user).expect("written");
            let after = read(&folder.variables(&access, user));
            assert_eq!(after, before.replace(":4222", ":24222"), "{user}");
            assert!(read(&folder.context(&access, user)).contains(":24222"), "{user}");
            access = Access::default();
        }
        folder.hand_out_again(&access, "vic").expect("nothing is here");
        assert!(!folder.context(&access, "vic").exists());
    }

    #[test]
    fn the_same_configuration_is_not_written_again() {
        let home = tempfile::tempdir().expect("folder");
        let path = home.path().join("nats-server.conf");
        assert!(write_config(&path, "a").expect("written"));
        assert!(!write_config(&path, "a").expect("there"));
        assert!(write_config(&path, "b").expect("written"));
    }
}
