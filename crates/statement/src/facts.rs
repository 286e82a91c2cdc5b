//! What a statement does: command, tables, columns, functions, flags.

use serde::Serialize;

use crate::baseline_form::baseline_fingerprint;
use crate::names::Names;
use crate::plain::is_plain;
use crate::syntax::{self, Syntax};
use crate::tables::Tables;
use crate::token_tree::{Phrase, TokenTree};
use crate::{Command, Dialect, Fingerprint, Flag, Normalizer, flags, references};

/// Facts of a statement. They are read from the normal form alone, so that all texts with one
/// fingerprint share them. Lists are sorted and without repeats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// The tag as PostgreSQL reports it (`SELECT`, `ALTER ROLE`); of the first statement of a
    /// batch; `UNKNOWN` if the text begins like no statement.
    pub command: String,
    /// Tables that rows are read from, with their schema if it is written.
    pub tables_read: Vec<String>,
    /// Tables whose rows, definition or rights change.
    pub tables_written: Vec<String>,
    /// Columns without their table; `*` if it is used.
    pub columns: Vec<String>,
    /// Functions that are called, with their schema if it is written.
    pub functions: Vec<String>,
    /// What is remarkable; without the flags of the text (`Normalized::text_flags`).
    pub flags: Vec<Flag>,
    /// By which baselines know the statement. That of the normal form, unless it holds names that
    /// are made anew each time: of savepoints, prepared statements, cursors, temporary tables and
    /// partitions.
    pub baseline_fingerprint: Fingerprint,
    /// Whether all of it was understood: it is plain, or a parser read it. If not, the tokens of a
    /// text that is more than plain gave the facts.
    pub parsed: bool,
}

impl Facts {
    /// The facts of `sql`. Tens of microseconds: see `Analyzer` for one statement after another.
    pub fn of(sql: &str, dialect: Dialect) -> Self {
        let mut normalizer = Normalizer::default();
        let normalized = normalizer.normalize(sql, dialect);
        Self::of_normal_form(normalized.normal_form, normalized.fingerprint, dialect)
    }

    pub(crate) fn of_normal_form(
        normal_form: &str,
        fingerprint: Fingerprint,
        dialect: Dialect,
    ) -> Self {
        let tree = TokenTree::of(normal_form, dialect);
        let phrases = tree.phrases();
        let (mut names, plain) = names_of_tokens(&phrases);
        let mut flags = flags::of_tokens(&tree, &phrases);
        let mut temporary = flags::writes_only_temporary(&phrases, &names);
        flags::of_names(&names, &phrases, &mut flags);
        let syntax = if plain { Syntax::Other } else { syntax::parse(normal_form, &tree, dialect) };
        let parsed = !matches!(syntax, Syntax::Unparsed);
        if let Syntax::Rows(finer) = syntax {
            // Each of the two readings may find what is hidden from the other.
            flags::of_names(&finer, &phrases, &mut flags);
            temporary &= flags::writes_only_temporary(&phrases, &finer);
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
            baseline_fingerprint: baseline_fingerprint(&phrases).unwrap_or(fingerprint),
            parsed,
        }
    }
}

/// The names that tokens tell, and whether these are all.
fn names_of_tokens(phrases: &[Phrase<'_>]) -> (Names, bool) {
    let mut names = Names::default();
    let mut plain = phrases.len() == 1;
    for phrase in phrases {
        let tables = Tables::find(phrase, &mut names);
        references::functions(phrase, &tables, &mut names);
        references::columns(phrase, &tables, &mut names);
        plain = plain && is_plain(phrase, &tables);
    }
    (names, plain)
}

#[cfg(test)]
mod tests;
