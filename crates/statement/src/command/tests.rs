//! The tag and class of statements as written, and that facts agree.

use super::*;
use crate::{Facts, Normalizer};

use CommandClass::{Admin, Call, Define, Grant, Other, Read, Set, Write};

#[test]
fn postgresql_statements_have_their_tag_and_class() {
    let cases = [
        ("select 1", "SELECT", Read),
        (";; -- hint\n /* a /* b */ */ ((select 1))", "SELECT", Read),
        ("create or replace temp view v as select 1", "CREATE VIEW", Define),
        ("create table t (a int)", "CREATE TABLE", Define),
        ("create table t as select 1", "CREATE TABLE AS", Define),
        ("create aggregate f (int) (sfunc = g)", "CREATE AGGREGATE", Define),
        ("create gadget g", "CREATE", Define),
        ("alter user bo password 'x'", "ALTER ROLE", Grant),
        ("drop user mapping for bo server s", "DROP USER MAPPING", Define),
        ("create policy p on t", "CREATE POLICY", Grant),
        ("with a as (select 1) insert into t select * from a", "INSERT", Write),
        ("with a as (delete from t returning 1) select * from a", "SELECT", Read),
        ("with values as (select 1) delete from t", "DELETE", Write),
        ("with delete as (select 1), update (a) as (select 2) select 1", "SELECT", Read),
        ("with a as (select ')' \"(\", '\"') (select 1)", "SELECT", Read),
        ("copy t from stdin", "COPY", Write),
        ("copy t (\"from\") to stdout", "COPY", Read),
        ("copy (select a from t) to stdout", "COPY", Read),
        ("copy (delete from t returning *) to stdout", "COPY", Write),
        ("explain delete from t", "EXPLAIN", Other),
        ("explain (analyze, buffers) delete from t", "EXPLAIN", Write),
        ("analyze t", "ANALYZE", Admin),
        ("grant select on t to bo", "GRANT", Grant),
        ("grant admin to bo", "GRANT ROLE", Grant),
        ("alter system set a = 1", "ALTER SYSTEM", Set),
        ("do $$begin end$$", "DO", Call),
        ("close c", "CLOSE CURSOR", Other),
        ("vacuum full", "VACUUM", Admin),
        ("begin", "BEGIN", Other),
        ("selec 1", "UNKNOWN", Other),
        ("\"select\" 1", "UNKNOWN", Other),
        ("'select'", "UNKNOWN", Other),
        ("", "UNKNOWN", Other),
    ];
    for (sql, tag, class) in cases {
        let expected = Command { tag, class };
        assert_eq!(Command::of(sql, Dialect::PostgreSql), expected, "{sql}");
    }
}

#[test]
fn mysql_statements_have_their_tag_and_class() {
    let cases = [
        ("/*!50001 create definer=`a`@`b` view v as select 1 */", "CREATE VIEW", Define),
        ("# note\nreplace into t values (1)", "REPLACE", Write),
        ("/*! delete */ from t", "DELETE", Write),
        ("create user 'a'@'b'", "CREATE USER", Grant),
        ("load data infile '/etc/passwd' into table t", "LOAD DATA", Write),
        ("set password = 'x'", "SET PASSWORD", Grant),
        ("analyze update t set a = 1", "ANALYZE", Write),
        ("create aggregate function f returns int soname 'x.so'", "CREATE FUNCTION", Define),
    ];
    for (sql, tag, class) in cases {
        assert_eq!(Command::of(sql, Dialect::MySql), Command { tag, class }, "{sql}");
    }
}

#[test]
fn a_prepared_statement_tells_what_execute_does() {
    let prepared = |sql| Command::prepared(sql, Dialect::PostgreSql).map(|c| (c.tag, c.class));
    assert_eq!(prepared("PREPARE p AS select 1"), Some(("SELECT", Read)));
    assert_eq!(prepared("prepare \"as\" (int, text) as delete from t"), Some(("DELETE", Write)));
    assert_eq!(prepared("prepare transaction 'x'"), None);
    assert_eq!(prepared("select 1"), None);
    assert_eq!(prepared("prepare"), None);
}

/// One table serves both ways: the class of each tag that SQL can have is known.
#[test]
fn every_tag_has_the_class_of_its_statement() {
    for verb in VERBS {
        let twin = VERBS.iter().find(|other| other.tag == verb.tag);
        assert_eq!(twin.map(|twin| twin.class), Some(verb.class), "{}", verb.words);
        assert_eq!(CommandClass::of_tag(verb.tag), verb.class, "{}", verb.tag);
    }
    for object in OBJECTS {
        for tag in object.tags {
            assert_eq!(CommandClass::of_tag(tag), object.class, "{tag}");
            let command = Command::of(tag, Dialect::MySql);
            assert_eq!((command.tag, command.class), (tag, object.class));
        }
    }
    assert_eq!(CommandClass::of_tag("DROP ROLE"), Grant);
    assert_eq!(CommandClass::of_tag("CREATE TABLE AS"), Define);
    assert_eq!(CommandClass::of_tag("idle in transaction"), Other);
}

/// Every statement of the test data and every prefix of it: as written, as normal form, in facts.
#[test]
fn facts_agree() {
    let files = [
        include_str!("../../../../testdata/statements/facts.tsv"),
        include_str!("../../../../testdata/statements/names.tsv"),
    ];
    let json = include_str!("../../../../testdata/statements/fingerprints.json");
    let json: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let mut statements: Vec<String> = Vec::new();
    strings(&json, &mut statements);
    for line in files.iter().flat_map(|file| file.lines()) {
        statements.extend(line.rsplit('\t').next().map(str::to_owned));
    }
    assert!(statements.len() > 700, "{}", statements.len());
    let mut normalizer = Normalizer::default();
    for sql in &statements {
        for dialect in [Dialect::PostgreSql, Dialect::MySql] {
            let command = Command::of(sql, dialect);
            let normal_form = normalizer.normalize(sql, dialect).normal_form.to_owned();
            assert_eq!(command, Command::of(&normal_form, dialect), "{sql}\n{normal_form}");
            assert_eq!(command.tag, Facts::of(sql, dialect).command, "{sql}");
            for (end, _) in sql.char_indices() {
                Command::of(&sql[..end], dialect);
            }
        }
    }
}

fn strings(json: &serde_json::Value, found: &mut Vec<String>) {
    match json {
        serde_json::Value::String(text) => found.push(text.clone()),
        serde_json::Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        serde_json::Value::Object(map) => map.values().for_each(|item| strings(item, found)),
        _ => {}
    }
}
