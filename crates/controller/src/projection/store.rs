//! The database: open, create, discard, rebuild; one transaction per batch of records.

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use baton_envelope::{Event, RecordSummary, Status, Timestamp};
use baton_jetstream::{LedgerBatch, LedgerEnd, LedgerMark};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, TransactionBehavior, params};

use super::columns::malformed;
use super::completeness::Views;
use super::suspects::Suspects;
use super::tables::archive;
use super::tables::counts::{Changes, Counts};
use super::tables::evidence::{self, Gathered};
use super::tables::intents::{self, Intents, OutOfTurn};
use super::tables::odd;
use super::tables::streaks::{self, Streaks};
use super::tables::turns;
use super::tables::{children, memories, timers};
use super::touched::Touched;

/// Change this with every change of the tables or of their content: a file with an older schema is rebuilt.
const SCHEMA: i64 = 10;
/// How often to delete rows that no question needs any more.
const PRUNE_EVERY: Duration = Duration::from_secs(10 * 60);

/// Who may read and write the file: it says who does what, and with what outcome.
const OWNER_ONLY: u32 = 0o600;

const TABLES: &str = "
    CREATE TABLE meta (one INTEGER PRIMARY KEY CHECK (one = 1),
        schema INTEGER NOT NULL, ledger TEXT NOT NULL, position INTEGER NOT NULL, stored INTEGER NOT NULL);
    CREATE TABLE open_intents (intent TEXT PRIMARY KEY, seq INTEGER NOT NULL, status TEXT NOT NULL, agent TEXT,
        version TEXT, cause TEXT, since INTEGER NOT NULL, code TEXT, kind TEXT, submitted INTEGER NOT NULL,
        timed INTEGER NOT NULL, accept_within INTEGER, resume INTEGER, ordered INTEGER NOT NULL,
        has_children INTEGER NOT NULL, root TEXT) WITHOUT ROWID;
    CREATE INDEX open_intents_of_root ON open_intents (root) WHERE root IS NOT NULL;
    CREATE INDEX open_intents_to_resume ON open_intents (resume) WHERE resume IS NOT NULL;
    CREATE INDEX open_intents_capped ON open_intents (agent, since) WHERE code = 'CAP_REACHED';
    CREATE INDEX open_intents_to_accept ON open_intents (accept_within) WHERE accept_within IS NOT NULL;
    CREATE TABLE holds (agent TEXT NOT NULL, version TEXT NOT NULL, cause TEXT NOT NULL, since INTEGER NOT NULL,
        intent TEXT NOT NULL, PRIMARY KEY (intent, agent, version)) WITHOUT ROWID;
    CREATE INDEX holds_of_version ON holds (agent, version, cause, since, intent);
    CREATE TABLE evidence (agent TEXT NOT NULL, version TEXT NOT NULL, second INTEGER NOT NULL, ok INTEGER NOT NULL,
        retryable INTEGER NOT NULL, terminal INTEGER NOT NULL, declined INTEGER NOT NULL, cost REAL NOT NULL,
        costed INTEGER NOT NULL, latency BLOB NOT NULL, PRIMARY KEY (agent, version, second)) WITHOUT ROWID;
    CREATE TABLE ended (agent TEXT NOT NULL, version TEXT NOT NULL, second INTEGER NOT NULL, count INTEGER NOT NULL,
        PRIMARY KEY (agent, version, second)) WITHOUT ROWID;
    CREATE TABLE exhausted (agent TEXT NOT NULL, version TEXT NOT NULL, in_a_row INTEGER NOT NULL,
        ends TEXT NOT NULL, PRIMARY KEY (agent, version)) WITHOUT ROWID;
    CREATE TABLE done_hops (agent TEXT NOT NULL, version TEXT NOT NULL, seq INTEGER NOT NULL, intent TEXT NOT NULL,
        hop INTEGER NOT NULL, PRIMARY KEY (agent, version, seq)) WITHOUT ROWID;
";

/// A cache may lose its last transactions but must never be inconsistent: wrong counts would retire a version that
/// still has work. So the database has a write-ahead log, whose checksums find damage, and `NORMAL` syncs the log only
/// at a checkpoint. `OFF` would save little more and leave an undetected mixture after a power cut. One process has the
/// file exclusively: two would mix each other's records in.
const SETTINGS: &str = "
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    PRAGMA wal_autocheckpoint = 4000;
    PRAGMA temp_store = MEMORY;
    PRAGMA cache_size = -32768;
";

/// The projection in SQLite, in a file or in memory.
#[derive(Debug)]
pub(super) struct Store {
    db: Connection,
    file: Option<PathBuf>,
    ledger: String,
    mark: LedgerMark,
    streaks: Streaks,
    /// How many open intents hold which version.
    counts: Counts,
    pruned_at: Timestamp,
    /// When the indexed archive was created, and the index's position in it.
    archive: (String, LedgerMark),
    /// Likewise of the spaces.
    memories: (String, LedgerMark),
    /// How often the store was rebuilt.
    generation: u64,
    suspects: Suspects,
    views: Views,
    touched: Touched,
}

impl Store {
    /// Loads the file, or starts over if it is damaged or has another ledger or schema. Without a usable file
    /// everything is in memory: a missing cache must not keep the controller from starting.
    pub(super) fn open(file: Option<PathBuf>, ledger: &str) -> rusqlite::Result<Self> {
        let Some(path) = file.as_deref().filter(|path| path.exists()) else {
            return Self::make(file, ledger);
        };
        match Self::stored(path, ledger) {
            Ok(Some(store)) => return Ok(store),
            Ok(None) => tracing::info!(file = %path.display(), "the projection belongs to another ledger or schema"),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                tracing::warn!(file = %path.display(), "another process has the projection; it is kept in memory here");
                return Self::make(None, ledger);
            }
            Err(error) => tracing::info!(%error, file = %path.display(), "cannot read the projection"),
        }
        Self::make(file, ledger)
    }

    /// Discards everything and starts over.
    pub(super) fn rebuild(&mut self, ledger: &str) -> rusqlite::Result<()> {
        let (file, generation) = (self.file.take(), self.generation + 1);
        // Close the old file before deleting it.
        *self = Self::make(None, ledger)?;
        *self = Self::make(file, ledger)?;
        self.generation = generation;
        Ok(())
    }

    /// The content of a file; `None` if it has another ledger or schema.
    fn stored(path: &Path, ledger: &str) -> rusqlite::Result<Option<Self>> {
        let db = connect(Some(path))?;
        let meta = "SELECT position, stored FROM meta WHERE schema = ?1 AND ledger = ?2";
        let mark = db.query_row(meta, params![SCHEMA, ledger], |row| {
            Ok(LedgerMark {
                seq: row.get(0)?,
                stored: row.get(1)?,
            })
        });
        let Some(mark) = mark.optional()? else {
            return Ok(None);
        };
        let verdict: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(malformed(0, verdict));
        }
        let streaks = streaks::read(&db)?;
        let counts = intents::counts(&db)?;
        let archive = archive::place(&db)?;
        let memories = memories::place(&db)?;
        tracing::info!(file = %path.display(), position = mark.seq, "loaded the projection");
        Ok(Some(Self {
            db,
            file: Some(path.to_owned()),
            ledger: ledger.to_owned(),
            mark,
            streaks,
            counts,
            pruned_at: Timestamp::default(),
            archive,
            memories,
            generation: 0,
            suspects: Suspects::default(),
            views: Views::default(),
            touched: Touched::all(),
        }))
    }

    /// Makes an empty store.
    fn make(file: Option<PathBuf>, ledger: &str) -> rusqlite::Result<Self> {
        let made = file.as_deref().map(|path| {
            tracing::info!(file = %path.display(), "building the projection from the ledger");
            remove(path);
            create(Some(path), ledger)
        });
        let (db, file) = match made {
            Some(Ok(db)) => (db, file),
            Some(Err(error)) => {
                tracing::warn!(%error, "cannot keep the projection in a file; keeping it in memory");
                (create(None, ledger)?, None)
            }
            None => (create(None, ledger)?, None),
        };
        Ok(Self {
            db,
            file,
            ledger: ledger.to_owned(),
            mark: LedgerMark::default(),
            streaks: Streaks::new(),
            counts: Counts::new(),
            pruned_at: Timestamp::default(),
            archive: (String::new(), LedgerMark::default()),
            memories: (String::new(), LedgerMark::default()),
            generation: 0,
            suspects: Suspects::default(),
            views: Views::default(),
            touched: Touched::all(),
        })
    }

    /// Applies records in ledger order. It skips those that were applied before.
    ///
    /// A purge is not announced. Baton purges only closed intents, and only after the archive has them; a projection
    /// that missed the end of one learns it from the archive.
    pub(super) fn apply(&mut self, batch: &LedgerBatch, now: Timestamp) -> rusqlite::Result<()> {
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (mut intents, mut gathered) = (Intents::default(), Gathered::new(now));
        let mut strange = Vec::new();
        let mut last = self.mark.seq;
        for (seq, body) in &batch.records {
            if *seq <= last {
                continue;
            }
            last = *seq;
            match RecordSummary::decode(body) {
                Ok(summary) => {
                    if is_odd(batch.subject(*seq), &summary) {
                        strange.push(*seq);
                    }
                    gathered.note(*seq, &summary, &self.streaks);
                    if let (Some(read), Some(agent), Some(version)) =
                        (&summary.context, &summary.by.agent, &summary.by.version)
                    {
                        let (intent, at) = (&summary.intent, summary.at);
                        self.views.note((agent, version), (intent, at), read, now);
                    }
                    let at = summary.at;
                    let noted =
                        intents.note(&transaction, *seq, batch.stored_ms(*seq), summary, || batch.guard(*seq))?;
                    if noted.reopens {
                        strange.push(*seq);
                    }
                    for version in noted.released {
                        gathered.note_end(version, at);
                    }
                    if let Some(OutOfTurn { agent, intent, problem }) = noted.out_of_turn {
                        self.suspects.note(&agent, &intent, *seq, at, problem);
                    }
                }
                // The intent stays as its last readable record says; `list` does the same.
                Err(error) => {
                    tracing::warn!(%error, seq, "cannot read a ledger record");
                    strange.push(*seq);
                }
            }
        }
        let stored = i64::try_from(batch.through.stored / 1_000_000).ok();
        let (changes, returned) = intents.write(&transaction, stored.filter(|stored| *stored > 0))?;
        let new_void = batch.void().iter().copied().filter(|seq| *seq > self.mark.seq);
        for seq in strange.into_iter().chain(returned).chain(new_void) {
            if let Some(subject) = batch.subject(seq) {
                odd::note(&transaction, subject, seq)?;
            }
        }
        let changed = gathered.write(&transaction)?;
        let prune = now.since(self.pruned_at) > PRUNE_EVERY;
        if prune {
            evidence::prune(&transaction, now)?;
        }
        let mark = if batch.through.seq > self.mark.seq {
            batch.through
        } else {
            self.mark
        };
        transaction
            .prepare_cached("UPDATE meta SET position = ?1, stored = ?2")?
            .execute([mark.seq, mark.stored])?;
        transaction.commit()?;
        self.mark = mark;
        self.recount(changes);
        self.streaks.extend(changed);
        if prune {
            self.pruned_at = now;
        }
        Ok(())
    }

    /// Starts over with the archive if the index belongs to another one, or knows more than the archive holds.
    pub(super) fn take_up_archive(&mut self, end: &LedgerEnd) -> rusqlite::Result<()> {
        if self.archive.0 != end.created || self.archive.1.seq > end.last_seq {
            self.reset_archive(&end.created)?;
        }
        Ok(())
    }

    pub(super) fn reset_archive(&mut self, created: &str) -> rusqlite::Result<()> {
        self.transact(|db| archive::reset(db, created))?;
        self.archive = (created.to_owned(), LedgerMark::default());
        Ok(())
    }

    /// Changes the database in one transaction.
    pub(super) fn transact<T>(
        &mut self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let transaction = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = change(&transaction)?;
        transaction.commit()?;
        Ok(done)
    }

    /// Takes note of what a transaction has changed of the counts, and of the turns that it has touched.
    pub(super) fn recount(&mut self, changes: Changes) {
        let lanes = changes.apply(&mut self.counts);
        self.touched.touch(lanes);
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) fn archive(&self) -> (&str, LedgerMark) {
        (&self.archive.0, self.archive.1)
    }

    pub(super) fn set_archive_mark(&mut self, mark: LedgerMark) {
        self.archive.1 = mark;
    }

    pub(super) fn memories(&self) -> (&str, LedgerMark) {
        (&self.memories.0, self.memories.1)
    }

    pub(super) fn set_memories(&mut self, created: &str, mark: LedgerMark) {
        self.memories = (created.to_owned(), mark);
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn db(&self) -> &Connection {
        &self.db
    }

    pub(super) fn ledger(&self) -> &str {
        &self.ledger
    }

    pub(super) fn mark(&self) -> LedgerMark {
        self.mark
    }

    /// The lanes that were touched since the last call.
    pub(super) fn take_touched(&mut self) -> Touched {
        std::mem::take(&mut self.touched)
    }

    pub(super) fn views(&self) -> &Views {
        &self.views
    }

    pub(super) fn suspects(&self) -> &Suspects {
        &self.suspects
    }

    pub(super) fn streaks(&self) -> &Streaks {
        &self.streaks
    }
}

/// Whether a record stands on the subject of another intent, or says what is not known here.
fn is_odd(subject: Option<&str>, summary: &RecordSummary) -> bool {
    let is_elsewhere = subject
        .and_then(|subject| subject.rsplit('.').next())
        .is_some_and(|intent| intent != summary.intent.as_str());
    is_elsewhere
        || matches!(summary.event, Event::Unknown { .. })
        || matches!(summary.snapshot.status, Status::Unknown { .. })
}

fn connect(file: Option<&Path>) -> rusqlite::Result<Connection> {
    let db = match file {
        Some(path) => {
            if let Err(error) = keep_private(path) {
                tracing::warn!(%error, file = %path.display(), "others may be able to read the projection");
            }
            Connection::open(path)?
        }
        None => Connection::open_in_memory()?,
    };
    // Whoever has the file keeps it.
    db.busy_timeout(Duration::ZERO)?;
    db.set_prepared_statement_cache_capacity(64);
    db.execute_batch(SETTINGS)?;
    Ok(db)
}

fn create(file: Option<&Path>, ledger: &str) -> rusqlite::Result<Connection> {
    let db = connect(file)?;
    db.execute_batch(TABLES)?;
    db.execute_batch(archive::TABLES)?;
    db.execute_batch(timers::TABLES)?;
    db.execute_batch(turns::TABLES)?;
    db.execute_batch(odd::TABLES)?;
    db.execute_batch(children::TABLES)?;
    db.execute_batch(memories::TABLES)?;
    db.execute("INSERT INTO meta VALUES (1, ?1, ?2, 0, 0)", params![SCHEMA, ledger])?;
    Ok(db)
}

/// The database and the files that SQLite puts beside it.
fn files(path: &Path) -> impl Iterator<Item = PathBuf> {
    ["", "-wal", "-shm", "-journal"].into_iter().map(move |suffix| {
        let mut name = OsString::from(path);
        name.push(suffix);
        name.into()
    })
}

/// Makes the file, where it is missing, readable for this user alone. SQLite gives those beside it the same mode; one that
/// an earlier build has left gets it here.
fn keep_private(path: &Path) -> io::Result<()> {
    // One that is there is not opened: to close it would end the locks that this process may have on it.
    match File::options().write(true).create_new(true).mode(OWNER_ONLY).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    for file in files(path).filter(|file| file.exists()) {
        std::fs::set_permissions(file, Permissions::from_mode(OWNER_ONLY))?;
    }
    Ok(())
}

/// Removes a database and the files that SQLite puts beside it. A file that cannot be removed cannot be opened either;
/// the opening then reports it.
fn remove(path: &Path) {
    for name in files(path) {
        match std::fs::remove_file(&name) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%error, file = %name.display(), "cannot remove an old file"),
        }
    }
    if let Some(folder) = path.parent()
        && let Err(error) = std::fs::create_dir_all(folder)
    {
        tracing::warn!(%error, folder = %folder.display(), "cannot create the projection's folder");
    }
}
