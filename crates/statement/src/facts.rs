//! What a statement does: command, tables, columns, functions, flags.

use serde::Serialize;

use crate::names::Names;
use crate::outline::Outline;
use crate::relation::Relations;
use crate::syntax::{self, Syntax};
use crate::{Command, Dialect, Flag, Normalizer, mention, remark};

/// Facts of a statement. They are read from the normal form alone, so that all texts with one
/// fingerprint share them. Lists are sorted and without repeats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The tag as PostgreSQL reports it (`SELECT`, `ALTER ROLE`); of the first statement of a
    /// batch; `UNKNOWN` if the text begins like no statement.
    pub command: String,
    /// Tables that rows are read from, with their schema if it is written.
    pub tables_read: Vec<String>,
    /// Tables whose rows or definition change.
    pub tables_written: Vec<String>,
    /// Columns without their table; `*` if it is used.
    pub columns: Vec<String>,
    /// Functions that are called, with their schema if it is written.
    pub functions: Vec<String>,
    /// What is remarkable; without the flags of the text (`Normalized::text_flags`).
    pub flags: Vec<Flag>,
    /// Whether a parser understood all of it; if not, the tokens alone gave the facts.
    pub parsed: bool,
}

impl Facts {
    /// The facts of `sql`. Tens of microseconds: see `Analyzer` for one statement after another.
    pub fn of(sql: &str, dialect: Dialect) -> Self {
        Self::of_normal_form(Normalizer::default().normalize(sql, dialect).normal_form, dialect)
    }

    pub(crate) fn of_normal_form(normal_form: &str, dialect: Dialect) -> Self {
        let outline = Outline::of(normal_form, dialect);
        let phrases = outline.phrases();
        let mut names = Names::default();
        for phrase in &phrases {
            let relations = Relations::find(phrase, &mut names);
            mention::functions(phrase, &relations, &mut names);
            mention::columns(phrase, &relations, &mut names);
        }
        let mut flags = remark::flags(&outline, &phrases);
        let mut temporary = remark::writes_only_temporary(&phrases, &names);
        remark::names(&names, &mut flags);
        let syntax = syntax::parse(normal_form, &outline, dialect);
        let parsed = !matches!(syntax, Syntax::Unparsed);
        if let Syntax::Rows(finer) = syntax {
            // Each of the two readings may find what is hidden from the other.
            remark::names(&finer, &mut flags);
            temporary &= remark::writes_only_temporary(&phrases, &finer);
            names = finer;
        }
        if names.is_truncated() {
            flags.insert(Flag::FactsTruncated);
        } else if temporary && !flags.contains(Flag::DynamicSql) {
            flags.insert(Flag::Temporary);
        }
        Self {
            command: Command::of(normal_form, dialect).tag.to_owned(),
            tables_read: names.read.into_vec(),
            tables_written: names.written.into_vec(),
            columns: names.columns.into_vec(),
            functions: names.functions.into_lower_case(),
            flags: flags.iter().collect(),
            parsed,
        }
    }
}

#[cfg(test)]
mod tests;
