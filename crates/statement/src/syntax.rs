//! Tables, columns and functions as `sqlparser` understands them; finer than tokens can tell.

mod effort;
mod visit;

use std::ops::ControlFlow;

use sqlparser::ast::{Statement, Visit};
use sqlparser::dialect::{MySqlDialect, PostgreSqlDialect};
use sqlparser::parser::Parser;

use crate::Dialect;
use crate::lexer::{Expect, Kind, Lexer};
use crate::names::Names;
use crate::token_tree::TokenTree;
use crate::word::Role;
use effort::is_parsed_quickly;
use visit::Walk;

/// The parser's own guard, for nesting that tokens do not show.
const RECURSION_MAX: usize = 50;

/// What the parser understood.
pub(crate) enum Syntax {
    /// Rows are read or written: these are the names.
    Rows(Names),
    /// Another kind of statement.
    Other,
    /// Nothing.
    Unparsed,
}

/// Parses a normal form, if it is of a size and shape to be trusted to a parser.
pub(crate) fn parse(normal_form: &str, tree: &TokenTree<'_>, dialect: Dialect) -> Syntax {
    if tree.has_code() || !is_parsed_quickly(normal_form, tree) {
        return Syntax::Unparsed;
    }
    let sql = with_literals(normal_form, dialect);
    let parsed = match dialect {
        Dialect::PostgreSql => statements(&PostgreSqlDialect {}, &sql),
        Dialect::MySql => statements(&MySqlDialect {}, &sql),
    };
    let Some(parsed) = parsed.filter(|parsed| !parsed.is_empty()) else {
        return Syntax::Unparsed;
    };
    if !parsed.iter().all(moves_rows) {
        return Syntax::Other;
    }
    let mut walk = Walk::default();
    let ControlFlow::Continue(()) = parsed.visit(&mut walk);
    Syntax::Rows(walk.names)
}

fn statements(dialect: &dyn sqlparser::dialect::Dialect, sql: &str) -> Option<Vec<Statement>> {
    let parser = Parser::new(dialect).with_recursion_limit(RECURSION_MAX);
    parser.try_with_sql(sql).ok()?.parse_statements().ok()
}

fn moves_rows(statement: &Statement) -> bool {
    match statement {
        Statement::Query(_)
        | Statement::Insert(_)
        | Statement::Update(_)
        | Statement::Delete(_)
        | Statement::Merge(_) => true,
        Statement::Explain { statement, .. } => moves_rows(statement),
        _ => false,
    }
}

/// The normal form with a literal for each `?`: text after a word (`date ?`), else a number.
fn with_literals(normal_form: &str, dialect: Dialect) -> String {
    let mut lexer = Lexer::new(normal_form.as_bytes(), dialect);
    let mut sql = String::with_capacity(normal_form.len() + 64);
    let (mut copied, mut after_word, mut before): (_, _, &[u8]) = (0, false, b"");
    loop {
        let token = lexer.next(Expect::default());
        if token.kind == Kind::End {
            break;
        }
        // The parser takes `FROM ONLY t` for a table named `only`.
        let only = token.text == b"only" && matches!(before, b"from" | b"join" | b"update");
        if only {
            sql.push_str(normal_form.get(copied..token.start).unwrap_or_default());
            copied = token.end;
        }
        if token.kind == Kind::Parameter {
            sql.push_str(normal_form.get(copied..token.start).unwrap_or_default());
            sql.push_str(if after_word { "'1'" } else { "1" });
            copied = token.end;
        }
        let role = Role::of(token.text);
        let takes_number = matches!(role, Role::Clause | Role::Query | Role::In)
            && !matches!(token.text, b"from" | b"to" | b"escape" | b"like" | b"ilike");
        let takes_text = token.kind == Kind::Word && !takes_number && token.text != b"fetch";
        after_word = takes_text || token.kind == Kind::At;
        before = token.text;
    }
    sql.push_str(normal_form.get(copied..).unwrap_or_default());
    sql
}
