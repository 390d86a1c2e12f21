//! Putting the layers together: each key of the file and of the environment lands on a key that exists, or is refused.

use std::path::Path;

use baton_envelope::codes;
use toml::{Table, Value};

use super::{Config, Environment};
use crate::error::{CliError, Kind};

const PREFIX: &str = "BATON_";
/// The key whose value no message repeats.
const SECRET: &str = "connection.password";

/// Reads the configuration: defaults, then the file, then the variables `BATON_SECTION__KEY`.
pub(crate) fn load(file: Option<&Path>, environment: &Environment) -> Result<Config, CliError> {
    let mut config = Config::default();
    let mut table = Table::try_from(&config).map_err(|error| {
        CliError::new(
            Kind::Bug,
            codes::BUG,
            anyhow::Error::new(error).context("the defaults cannot be written"),
        )
    })?;
    if let Some(path) = file {
        let place = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|error| bad(&format!("configuration file {place}: {error}")))?;
        let layer: Table = text
            .parse()
            .map_err(|error: toml::de::Error| bad(&unreadable(&place, &text, &error)))?;
        merge(&mut table, layer, &place)?;
        config = read(&table, &place)?;
    }
    for (name, value) in environment {
        // A variable without `__` is a flag's, or somebody else's.
        let Some((section, key)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once("__")) else {
            continue;
        };
        let (section, key) = (section.to_lowercase(), key.to_lowercase());
        let place = format!("environment variable {name}");
        let slot = slot(&mut table, &section, &key, &place)?;
        *slot = typed(slot, value).ok_or_else(|| {
            bad(&format!(
                "{place}: \"{value}\" is not valid: expected {}",
                expected(slot)
            ))
        })?;
        config = read(&table, &place)?;
    }
    Ok(config)
}

fn merge(table: &mut Table, layer: Table, place: &str) -> Result<(), CliError> {
    for (section, keys) in layer {
        let Value::Table(keys) = keys else {
            return Err(bad(&format!(
                "{place}: `{section}` must be a section: write [{section}]"
            )));
        };
        if keys.is_empty() {
            section_of(table, &section, place)?;
        }
        for (key, value) in keys {
            *slot(table, &section, &key, place)? = value;
        }
    }
    Ok(())
}

fn section_of<'a>(table: &'a mut Table, section: &str, place: &str) -> Result<&'a mut Table, CliError> {
    let known = names(table);
    match table.get_mut(section) {
        Some(Value::Table(keys)) => Ok(keys),
        Some(_) | None => Err(bad(&format!("{place}: unknown section `{section}`")).hint(format!("known: {known}"))),
    }
}

fn slot<'a>(table: &'a mut Table, section: &str, key: &str, place: &str) -> Result<&'a mut Value, CliError> {
    let keys = section_of(table, section, place)?;
    let known = names(keys);
    keys.get_mut(key).ok_or_else(|| {
        bad(&format!("{place}: unknown key `{section}.{key}`")).hint(format!("known in [{section}]: {known}"))
    })
}

/// The text of a variable as a value of the type that is there.
fn typed(there: &Value, text: &str) -> Option<Value> {
    match there {
        Value::Integer(_) => text.trim().parse().ok().map(Value::Integer),
        Value::Boolean(_) => text.trim().parse().ok().map(Value::Boolean),
        Value::Array(_) => Some(Value::Array(
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(|item| Value::String(item.to_owned()))
                .collect(),
        )),
        Value::String(_) | Value::Float(_) | Value::Datetime(_) | Value::Table(_) => {
            Some(Value::String(text.to_owned()))
        }
    }
}

fn expected(there: &Value) -> &'static str {
    match there {
        Value::Integer(_) => "a whole number",
        Value::Boolean(_) => "true or false",
        Value::String(_) | Value::Float(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => "text",
    }
}

fn read(table: &Table, place: &str) -> Result<Config, CliError> {
    let config: Config = serde_path_to_error::deserialize(Value::Table(table.clone())).map_err(|error| {
        let place_of = error.path().to_string();
        // The message would repeat the value.
        let problem = if place_of == SECRET {
            "expected text in quotes".to_owned()
        } else {
            error.inner().to_string()
        };
        bad(&format!("{place}: `{}`: {}", error.path(), problem.trim()))
    })?;
    if (1..=5).contains(&config.connection.replicas) {
        Ok(config)
    } else {
        Err(bad(&format!(
            "{place}: `connection.replicas`: {} is out of range: expected 1 to 5",
            config.connection.replicas
        )))
    }
}

/// Where a file is no TOML; not with the line itself, which may hold a password.
fn unreadable(place: &str, text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map_or(1, |span| {
        let before = text.get(..span.start).unwrap_or(text);
        before.matches('\n').count() + 1
    });
    format!("{place}: TOML parse error at line {line}: {}", error.message())
}

fn names(table: &Table) -> String {
    table.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn bad(message: &str) -> CliError {
    CliError::say(Kind::BadConfig, codes::BAD_CONFIG, message)
}

#[cfg(test)]
mod tests;
