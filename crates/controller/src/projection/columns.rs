//! Reads columns, and tells when a file is damaged.

use std::fmt::Display;
use std::str::FromStr;

use baton_envelope::{AgentName, AgentVersion};
use rusqlite::types::Type;
use rusqlite::{ErrorCode, Row};

/// A version of an agent, as most tables name it.
pub(super) type Version = (AgentName, AgentVersion);

/// Whether a failure means that the stored data is damaged, so that another try cannot help.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    ) || matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
    )
}

/// The error for a column with invalid content.
pub(super) fn malformed(column: usize, problem: impl Display) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, problem.to_string().into())
}

/// Parses a name from a column.
pub(super) fn parsed<T: FromStr<Err: Display>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|error| malformed(column, error))
}
