//! Where the evidence of a run goes.

use std::path::{Path, PathBuf};

use anyhow::Result;
use tempfile::TempDir;

/// The folder of a run: one that a person has named, or one that goes away if the run held.
pub(crate) struct Folder {
    path: PathBuf,
    temporary: Option<TempDir>,
}

impl Folder {
    /// Makes the folder; `prefix` names the temporary one.
    pub(crate) fn open(named: Option<PathBuf>, prefix: &str) -> Result<Self> {
        let temporary = match named {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix(prefix).tempdir()?),
        };
        let path = temporary.as_ref().map(|folder| folder.path().to_owned());
        let path = named.or(path).unwrap_or_default();
        std::fs::create_dir_all(&path)?;
        Ok(Self { path, temporary })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Ends the use of it. The temporary one stays after a run that did not hold; its path is the answer.
    pub(crate) fn close(self, held: bool) -> Option<PathBuf> {
        self.temporary.filter(|_| !held).map(TempDir::keep)
    }
}
