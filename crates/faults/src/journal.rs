//! The journal of a run.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use baton_checker::Journal as Line;
use baton_jetstream::{Clock as _, SystemClock};

/// The journal of a run: one JSON line for each thing that the load tried, heard and did.
#[derive(Debug)]
pub struct Journal {
    file: Mutex<BufWriter<File>>,
}

impl Journal {
    /// A new journal.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| path.display().to_string())?;
        let file = Mutex::new(BufWriter::new(file));
        Ok(Self { file })
    }

    /// Writes a line.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn write(&self, line: &Line) -> Result<()> {
        let text = serde_json::to_string(line)?;
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(file, "{text}").context("the journal cannot be written")
    }

    /// Writes a note for readers.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn note(&self, text: impl Into<String>) -> Result<()> {
        let text = text.into();
        tracing::info!("{text}");
        self.write(&Line::Note { at_ms: now_ms(), text })
    }

    /// Flushes everything to the file.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn flush(&self) -> Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.flush().context("the journal cannot be written")
    }
}

/// The machine's time in milliseconds since 1970.
pub fn now_ms() -> i64 {
    SystemClock.now().unix_millis()
}
