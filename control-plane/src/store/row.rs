//! Reading typed values out of rows, with an error that names what could not be read.
//!
//! It knows no table.

use std::str::FromStr;

use hostler_proto::time::UtcMillis;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::any::AnyRow;

use super::StoreError;

/// A row and what kind of thing it holds, for errors.
#[derive(Clone, Copy)]
pub(super) struct Columns<'r> {
    row: &'r AnyRow,
    what: &'static str,
}

impl<'r> Columns<'r> {
    pub(super) fn of(what: &'static str, row: &'r AnyRow) -> Self {
        Self { row, what }
    }

    fn get<T>(self, column: &str) -> Result<T, StoreError>
    where
        T: sqlx::Decode<'r, sqlx::Any> + sqlx::Type<sqlx::Any>,
    {
        sqlx::Row::try_get(self.row, column).map_err(StoreError::unreadable(self.what))
    }

    pub(super) fn text(self, column: &str) -> Result<String, StoreError> {
        self.get(column)
    }

    pub(super) fn maybe_text(self, column: &str) -> Result<Option<String>, StoreError> {
        self.get(column)
    }

    pub(super) fn bytes(self, column: &str) -> Result<Vec<u8>, StoreError> {
        self.get(column)
    }

    pub(super) fn maybe_bytes(self, column: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(column)
    }

    pub(super) fn number(self, column: &str) -> Result<i64, StoreError> {
        self.get(column)
    }

    pub(super) fn maybe_number(self, column: &str) -> Result<Option<i64>, StoreError> {
        self.get(column)
    }

    /// A number that is never negative.
    pub(super) fn count(self, column: &str) -> Result<u64, StoreError> {
        u64::try_from(self.number(column)?).map_err(StoreError::unreadable(self.what))
    }

    pub(super) fn flag(self, column: &str) -> Result<bool, StoreError> {
        Ok(self.number(column)? != 0)
    }

    pub(super) fn time(self, column: &str) -> Result<UtcMillis, StoreError> {
        self.number(column).map(UtcMillis)
    }

    pub(super) fn maybe_time(self, column: &str) -> Result<Option<UtcMillis>, StoreError> {
        Ok(self.maybe_number(column)?.map(UtcMillis))
    }

    pub(super) fn parsed<T>(self, column: &str) -> Result<T, StoreError>
    where
        T: FromStr,
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        parse(self.what, &self.text(column)?)
    }

    pub(super) fn maybe_parsed<T>(self, column: &str) -> Result<Option<T>, StoreError>
    where
        T: FromStr,
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        let text = self.maybe_text(column)?;
        text.map(|text| parse(self.what, &text)).transpose()
    }

    pub(super) fn json<T: DeserializeOwned>(self, column: &str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(column)?).map_err(StoreError::unreadable(self.what))
    }

    pub(super) fn maybe_json<T: DeserializeOwned>(
        self,
        column: &str,
    ) -> Result<Option<T>, StoreError> {
        let text = self.maybe_text(column)?;
        text.map(|text| serde_json::from_str(&text).map_err(StoreError::unreadable(self.what)))
            .transpose()
    }

    /// An enum stored as its JSON word, without the quotes.
    pub(super) fn word<T: DeserializeOwned>(self, column: &str) -> Result<T, StoreError> {
        let word = serde_json::Value::String(self.text(column)?);
        serde_json::from_value(word).map_err(StoreError::unreadable(self.what))
    }
}

/// A value as its JSON text.
pub(super) fn json<T: Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(StoreError::unreadable(what))
}

/// An enum without data as its JSON word, without the quotes.
pub(super) fn word<T: Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    Ok(json(what, value)?.trim_matches('"').to_owned())
}

/// Text for LIKE with `!` as the escape character.
pub(super) fn escaped(text: &str) -> String {
    text.replace('!', "!!")
        .replace('%', "!%")
        .replace('_', "!_")
}

/// An unsigned count as the database keeps it, saturating.
pub(super) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A substring in any case, with `!` before what LIKE takes for something else.
pub(super) fn like_pattern(part: &str) -> String {
    let mut pattern = String::from("%");
    for character in part.to_lowercase().chars() {
        if matches!(character, '!' | '%' | '_') {
            pattern.push('!');
        }
        pattern.push(character);
    }
    pattern + "%"
}

fn parse<T>(what: &'static str, text: &str) -> Result<T, StoreError>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    text.parse().map_err(StoreError::unreadable(what))
}
