//! What makes a file of the cache one to run: its hash is known, and nobody but this user can have changed either.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::finder::Tool;
use crate::pins;

/// Who may read and write a folder of the cache.
const OWNER_ONLY: u32 = 0o700;
/// That its group, or anybody, may write a folder.
const GROUP_WRITES: u32 = 0o020;
const ANYBODY_WRITES: u32 = 0o002;
/// That of what others put there, nobody may rename or remove another's (`/tmp`).
const STICKY: u32 = 0o1000;

/// Makes the folder where it is missing, and refuses one that somebody else may write.
pub(super) fn safe_folder(path: &Path) -> Result<(), Error> {
    let unusable = |source| Error::Cache {
        path: path.to_owned(),
        source,
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(OWNER_ONLY)
        .create(path)
        .map_err(unusable)?;
    // Links are followed: what counts is where the files are.
    let path = path.canonicalize().map_err(unusable)?;
    check(&path, GROUP_WRITES | ANYBODY_WRITES)?;
    // Whoever may rename a folder on the way may put another in its place. A group of its own for each user is common
    // there, and no danger.
    for parent in path.ancestors().skip(1) {
        check(parent, ANYBODY_WRITES)?;
    }
    Ok(())
}

fn check(path: &Path, forbidden: u32) -> Result<(), Error> {
    let data = path.metadata().map_err(|source| Error::Cache {
        path: path.to_owned(),
        source,
    })?;
    let me = rustix::process::geteuid().as_raw();
    let is_shared = data.mode() & forbidden != 0 && data.mode() & STICKY == 0;
    let problem = if data.uid() != me && data.uid() != 0 {
        format!("it belongs to user {}, and this is user {me}", data.uid())
    } else if is_shared {
        format!("others may write it (mode {:04o})", data.mode() & 0o7777)
    } else {
        return Ok(());
    };
    Err(Error::UnsafeCache {
        path: path.to_owned(),
        problem,
    })
}

/// Whether the file is what was fetched: it has the pinned hash, or the one that was written down beside it then.
pub(super) fn check_hash(tool: &Tool, path: &Path) -> Result<(), String> {
    let found = sha256(path).map_err(|error| format!("it cannot be read: {error}"))?;
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    let pinned = pins::wheel_for(os, arch).filter(|_| tool.in_wheel);
    if pinned.is_some_and(|wheel| wheel.executable == found) {
        return Ok(());
    }
    match fs::read_to_string(note(path)) {
        Ok(noted) if noted.trim() == found => Ok(()),
        Ok(_) => Err(format!("it has SHA-256 {found}, which is not what was fetched")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err("its hash was not written down".to_owned()),
        Err(error) => Err(format!("its hash cannot be read: {error}")),
    }
}

/// Writes down the hash of a file that is about to be moved to `path`.
pub(super) fn note_hash(fetched: &Path, path: &Path) -> io::Result<()> {
    let hash = sha256(fetched)?;
    let draft = fetched.with_extension("sha256");
    fs::write(&draft, format!("{hash}\n"))?;
    fs::rename(draft, note(path))
}

/// Where the hash of a file is written down.
fn note(path: &Path) -> PathBuf {
    path.with_extension("sha256")
}

/// The SHA-256 of a file, in lowercase hexadecimal.
pub(super) fn sha256(path: &Path) -> io::Result<String> {
    let mut hasher = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::finder::CLI;

    #[test]
    fn hash_is_lowercase_hexadecimal() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "abc").unwrap();
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(file.path()).unwrap(), expected);
    }

    #[test]
    fn a_folder_that_others_may_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("a").join("b");
        safe_folder(&cache).unwrap();
        assert_eq!(cache.metadata().unwrap().mode() & 0o777, OWNER_ONLY);
        for (folder, mode, is_safe) in [
            (&cache, 0o770, false),
            (&cache, 0o702, false),
            (&cache, 0o755, true),
            (&dir.path().join("a"), 0o777, false),
            (&dir.path().join("a"), 0o1777, true),
            (&dir.path().join("a"), 0o775, true),
        ] {
            fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
            let checked = safe_folder(&cache);
            assert_eq!(checked.is_ok(), is_safe, "{mode:o}: {checked:?}");
            if let Err(error) = checked {
                let text = error.to_string();
                assert!(
                    text.contains("chmod") && text.contains(&*folder.to_string_lossy()),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn a_file_that_was_changed_or_whose_hash_is_unknown_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let (fetched, path) = (dir.path().join("fetched"), dir.path().join("nats"));
        fs::write(&fetched, "good").unwrap();
        note_hash(&fetched, &path).unwrap();
        fs::rename(&fetched, &path).unwrap();
        check_hash(&CLI, &path).unwrap();
        fs::write(&path, "evil").unwrap();
        assert!(check_hash(&CLI, &path).unwrap_err().contains("not what was fetched"));
        fs::remove_file(note(&path)).unwrap();
        assert!(check_hash(&CLI, &path).unwrap_err().contains("not written down"));
    }
}
