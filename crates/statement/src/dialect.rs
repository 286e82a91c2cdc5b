//! The SQL dialects that are understood.

use std::fmt;
use std::str::FromStr;

/// Whose lexical rules a statement follows.
///
/// PostgreSQL is read with `standard_conforming_strings = on`, MySQL (and MariaDB) without
/// `ANSI_QUOTES` and `NO_BACKSLASH_ESCAPES`: the defaults of both servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// PostgreSQL: nested comments, dollar quotes, `"identifier"`.
    PostgreSql,
    /// MySQL and MariaDB: `#` comments, `/*! code */`, `` `identifier` ``, `"string"`.
    MySql,
}

/// The text names no dialect.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("dialect `{0}` is not known; use `postgresql` or `mysql`")]
pub struct UnknownDialect(String);

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(text: &str) -> Result<Self, UnknownDialect> {
        match text {
            "postgresql" => Ok(Self::PostgreSql),
            "mysql" | "mariadb" => Ok(Self::MySql),
            _ => Err(UnknownDialect(text.to_owned())),
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PostgreSql => "postgresql",
            Self::MySql => "mysql",
        })
    }
}
