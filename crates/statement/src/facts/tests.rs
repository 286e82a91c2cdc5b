//! Facts of the statements in `testdata/statements`, and what hostile text costs.

use proptest::prelude::*;

use super::*;
use crate::names::Set;

/// The rows of a table whose last column is a statement.
fn rows<const N: usize>(text: &str) -> impl Iterator<Item = [&str; N]> {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let columns: Vec<_> = line.splitn(N, '\t').collect();
        columns.try_into().unwrap_or_else(|_| panic!("{N} columns: {line}"))
    })
}

fn list(text: &str) -> Vec<String> {
    let mut names: Vec<_> = text.split(',').filter(|n| !n.is_empty()).map(str::to_owned).collect();
    names.sort();
    names
}

fn names(flags: &[Flag]) -> Vec<String> {
    let mut names: Vec<_> = flags.iter().map(ToString::to_string).collect();
    names.sort();
    names
}

#[test]
fn facts_are_as_listed() {
    let text = include_str!("../../../../testdata/statements/facts.tsv");
    let mut wrong = String::new();
    for [dialect, command, read, written, flags, sql] in rows(text) {
        let facts = Facts::of(sql, dialect.parse().expect("a dialect"));
        let got = (
            facts.command.as_str(),
            facts.tables_read.clone(),
            facts.tables_written.clone(),
            names(&facts.flags),
        );
        let expected = (command, list(read), list(written), list(flags));
        if got != expected {
            wrong += &format!("{sql}\n  got {got:?}\n  not {expected:?}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn columns_and_functions_are_as_listed() {
    let text = include_str!("../../../../testdata/statements/names.tsv");
    let mut wrong = String::new();
    for [dialect, parsed, columns, functions, sql] in rows(text) {
        let facts = Facts::of(sql, dialect.parse().expect("a dialect"));
        let got = (facts.parsed.to_string(), facts.columns, facts.functions);
        let expected = (parsed.to_owned(), list(columns), list(functions));
        if got != expected {
            wrong += &format!("{sql}\n  got {got:?}\n  not {expected:?}\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Whether tokens and parser name the same things in a plain statement; nothing if it is not plain
/// or no statement. After `USING` only tokens see a column.
fn is_read_alike(sql: &str, dialect: Dialect) -> Option<bool> {
    let mut normalizer = Normalizer::default();
    let normal_form = normalizer.normalize(sql, dialect).normal_form;
    let tree = TokenTree::of(normal_form, dialect);
    let (tokens, plain) = names_of_tokens(&tree.phrases());
    let Syntax::Rows(parser) = syntax::parse(normal_form, &tree, dialect) else { return None };
    let hides = parser.columns.iter().any(|column| !tokens.columns.contains(column));
    let same = |one: Set, other: Set| one.into_vec() == other.into_vec();
    let columns =
        normal_form.contains(" using ") || tokens.columns.iter().eq(parser.columns.iter());
    let alike = same(tokens.read, parser.read)
        && same(tokens.written, parser.written)
        && same(tokens.functions, parser.functions)
        && columns
        && !hides;
    plain.then_some(alike)
}

#[test]
fn plain_statements_need_no_parser() {
    let text = include_str!("../../../../testdata/statements/facts.tsv");
    let mut plain = 0;
    for [dialect, .., sql] in rows::<6>(text) {
        let alike = is_read_alike(sql, dialect.parse().expect("a dialect"));
        assert_ne!(alike, Some(false), "{sql}");
        plain += usize::from(alike.is_some());
    }
    assert!(plain > 40, "{plain}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Words of plain statements in any order: where a parser understands them, it finds no other
    /// names than the tokens tell.
    #[test]
    fn what_seems_plain_is_read_alike(
        head in proptest::sample::select(&[
            "select a from t where", "select a, b from t", "select", "update t set a = 1",
            "insert into t (a, b) values (1, f(c))", "delete from t where", "select * from s.t x",
        ][..]),
        tail in proptest::collection::vec(proptest::sample::select(&[
            "a", "b", "t", "x", "x.a", "s.t", "f", "(", ")", ",", "=", "*", "+", "1", "'v'", "and",
            "or", "not", "null", "is", "in", "as", "from", "join", "on", "using", "where", "order",
            "by", "group", "limit", "set", "left", "returning", "default", "values", "\"q\"", ".",
            "between", "like", "distinct", "having", "cross", "coalesce", "desc", "all", "first",
        ][..]), 0..12),
    ) {
        let sql = format!("{head} {}", tail.join(" "));
        for dialect in [Dialect::PostgreSql, Dialect::MySql] {
            prop_assert_ne!(is_read_alike(&sql, dialect), Some(false), "{}", sql);
        }
    }
}

/// Shapes that make parsers recurse, backtrack or build deep trees, below and above the limits
/// of what the parser is given. A slow or crashing one would show here.
#[test]
fn hostile_text_has_facts() {
    for (head, open, middle, close) in HOSTILE {
        for repeats in [10, 30, 60, 400, 1_500, 50_000] {
            let sql = format!("{head}{}{middle}{}", open.repeat(repeats), close.repeat(repeats));
            for dialect in [Dialect::PostgreSql, Dialect::MySql] {
                let facts = Facts::of(&sql, dialect);
                assert!(!facts.command.is_empty(), "{open} {repeats}");
            }
        }
    }
}

#[test]
fn names_are_limited_and_the_limit_shows() {
    let tables: Vec<_> = (0..3_000).map(|number| format!("t{number}")).collect();
    let facts = Facts::of(&format!("select 1 from {}", tables.join(",")), Dialect::PostgreSql);
    assert_eq!(facts.tables_read.len(), 1024);
    assert!(facts.flags.contains(&Flag::FactsTruncated));
}

/// PostgreSQL takes bytes above 127 for letters (`ident_cont` of its `scan.l`), so a non-breaking
/// space belongs to the name: another function is called, and the name shows it.
#[test]
fn a_non_breaking_space_is_part_of_a_name() {
    for sql in ["select pg_sleep\u{a0}(10)", "select a from t where f(pg_sleep\u{a0} (1)) = 2"] {
        let facts = Facts::of(sql, Dialect::PostgreSql);
        assert!(facts.functions.contains(&"pg_sleep\u{a0}".to_owned()), "{facts:?}");
        assert!(!facts.flags.contains(&Flag::Sleep), "{facts:?}");
    }
    let facts = Facts::of("select a from t\u{a0}where b = 1", Dialect::PostgreSql);
    assert_eq!(facts.tables_read, ["t\u{a0}where"]);
    let facts = Facts::of("delete\u{a0}from t", Dialect::PostgreSql);
    assert_eq!(facts.command, "UNKNOWN");
}

#[test]
fn facts_serialise_with_their_names() {
    let facts = Facts::of("DELETE FROM users", Dialect::PostgreSql);
    let json = serde_json::to_value(&facts).expect("facts are plain data");
    assert_eq!(json["command"], "DELETE");
    assert_eq!(json["tables_written"][0], "users");
    assert_eq!(json["flags"][0], "no_where");
    assert_eq!(json["parsed"], true);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Mixed nesting, deep enough to show a parser that tries twice at each level.
    #[test]
    fn mixed_nesting_has_facts(
        pieces in prop::collection::vec(prop::sample::select(NESTING.to_vec()), 0..40),
        closes in any::<bool>(),
    ) {
        let opening: String = pieces.iter().map(|(open, _)| *open).collect();
        let closing: String = pieces.iter().rev().map(|(_, close)| *close).collect();
        let sql = format!("select {opening}a{}", if closes { &closing } else { "" });
        for dialect in [Dialect::PostgreSql, Dialect::MySql] {
            prop_assert_eq!(Facts::of(&sql, dialect).command, "SELECT");
        }
    }
}

/// Each pair of levels by turns; finishing at all is what is proved.
#[test]
fn paired_nesting_has_facts() {
    for (one, one_end) in NESTING {
        for (other, other_end) in NESTING {
            for repeats in [4, 20] {
                let opening = format!("{one}{other}").repeat(repeats);
                let closing = format!("{other_end}{one_end}").repeat(repeats);
                for dialect in [Dialect::PostgreSql, Dialect::MySql] {
                    for sql in [format!("select {opening}a{closing}"), format!("select {opening}")]
                    {
                        assert_eq!(Facts::of(&sql, dialect).command, "SELECT");
                    }
                }
            }
        }
    }
}

const NESTING: &[(&str, &str)] = &[
    ("(", ")"),
    ("f(", ")"),
    ("array[", "]"),
    ("not ", ""),
    ("- ", ""),
    ("case when ", " then 1 end"),
    ("case a when ", " then 1 else 2 end"),
    ("interval ", ""),
    ("(select ", ")"),
    ("a in (", ")"),
    ("a + ", ""),
    ("a between b and ", ""),
    ("a and ", ""),
    ("cast(", " as int)"),
    ("exists (select ", ")"),
    ("* from (", ")"),
    ("* from (select ", ") x"),
    ("* from a join (", ") on true"),
    ("any(", ")"),
    ("extract(day from ", ")"),
    ("row(", ")"),
    ("a::int[", "]"),
    ("date ", ""),
    ("x.y(", ")"),
    ("a, ", ""),
    ("a < ", ""),
    ("position(a in ", ")"),
    ("if(", ", 1, 2)"),
    ("a[", "]"),
    ("1 union select ", ""),
];

/// Head, what is repeated, middle, what closes as often.
const HOSTILE: &[(&str, &str, &str, &str)] = &[
    ("select ", "(", "1", ")"),
    ("select * from ", "(", "t", ")"),
    ("select ", "(select ", "1", ")"),
    ("select * from ", "(select * from ", "t", ") x"),
    ("select ", "f(", "a", ")"),
    ("select ", "not ", "a", ""),
    ("select ", "- ", "a", ""),
    ("select ", "case when ", "a", " then b end"),
    ("select ", "cast(", "a", " as int)"),
    ("select ", "array[", "a", "]"),
    ("select ", "a in (", "b", ")"),
    ("", "with x as (", "select 1", ") select 1"),
    ("select ", "a or ", "b", ""),
    ("select ", "a + ", "b", ""),
    ("", "select 1 union ", "select 2", ""),
    ("", "explain ", "select 2", ""),
    ("", "explain analyze ", "select 2", ""),
    ("", "describe ", "select 2", ""),
    ("", "prepare x as ", "select 2", ""),
    ("", "if a then ", "select 2;", " end if;"),
    ("", "while a do ", "select 2;", " end while;"),
    ("", "begin ", "select 2;", " end;"),
    ("", "declare c cursor for ", "select 2", ""),
    ("", "create view v as ", "select 2", ""),
    ("", "merge into t using ", "t", ""),
    ("", "alter table t add check ((", "a", "))"),
    ("create table t (a ", "array<", "int", ">)"),
    ("create table t (a ", "struct<x ", "int", ">)"),
    ("select a from t where x = ", "any(", "select 1", ")"),
    ("select a from t where ", "exists (select 1 from u where ", "a = 1", ")"),
    ("insert into t ", "with x as (", "select 1", ") select 1"),
    ("select a ", "over (partition by f(", "a", "))"),
    ("select ", "extract(day from ", "a", ")"),
    ("select ", "substring(a from ", "1", ")"),
    ("select ", "trim(", "a", ")"),
    ("select ", "position(a in ", "b", ")"),
    ("select ", "row(", "b", ")"),
    ("select ", "x.f(a => ", "b", ")"),
    ("select ", "{fn f(", "b", ")}"),
    ("select ", "date '", "", ""),
    ("select ", "a.", "b", ""),
    ("select * from a", " join b on true", "", ""),
    ("select * from a", ", lateral (b", "", ")"),
    ("select a", "::int", "", ""),
    ("select a", "[1]", "", ""),
    ("do $$ ", "begin update ", "", ""),
    ("", "delete from t; ", "", ""),
    ("", "create function f() begin ", "", ""),
    ("select a from t where ", "a between b and ", "c", ""),
    ("select ", "interval ", "a", ""),
    ("select a < ", "b < ", "c", ""),
    ("select * from a", ", b", "", ""),
    ("select * from ", "(a, ", "b", ")"),
    ("select * from a", ", (b, c)", "", ""),
    ("select * from ", "a join b using (c), ", "d", ""),
    ("select ", "set_config(", "'a'", ")"),
    ("select set_config(", "cast(", "'a'", " as text)"),
    ("select ", "set_config('a'::", "b", ", 1)"),
    ("delete from t where ", "true and ", "true", ""),
    ("delete from t ", "where true and ", "true", ""),
    ("delete from t where ", "not (", "true", ")"),
    ("delete ", "a, ", "b from a join b", ""),
    ("delete a from a", " join a", "", ""),
    ("set a to b", ", c to d", "", ""),
    ("set a = b", ", c = d", "", ""),
    ("alter role a ", "set b to c, ", "d", ""),
    ("create role a ", "in role ", "b", ""),
    ("grant ", "a, ", "b to c", ""),
    ("", "drop table tmp_a; ", "", ""),
    ("drop table ", "tmp_", "a", ""),
    ("", "update a join b ", "set c = 1", ""),
];
