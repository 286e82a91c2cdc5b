//! Equality classes from `testdata/statements`, and properties of every text.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

const DIALECTS: [Dialect; 2] = [Dialect::PostgreSql, Dialect::MySql];

fn form(sql: &str, dialect: Dialect) -> String {
    Normalizer::default().normalize(sql, dialect).normal_form.to_owned()
}

fn fingerprint(sql: &str, dialect: Dialect) -> Fingerprint {
    Normalizer::default().normalize(sql, dialect).fingerprint
}

/// The classes of statements under `key`.
fn classes(key: &str) -> Vec<(Dialect, Vec<String>)> {
    let text = include_str!("../../../../testdata/statements/fingerprints.json");
    let file: Value = serde_json::from_str(text).expect("fingerprints.json");
    let class = |class: &Value| {
        let dialect = class["dialect"].as_str().expect("dialect").parse().expect("a dialect");
        let list = class["sql"].as_array().expect("sql");
        (dialect, list.iter().map(|sql| sql.as_str().expect("text").to_owned()).collect())
    };
    file[key].as_array().expect("classes").iter().map(class).collect()
}

#[test]
fn what_differs_in_literals_and_layout_has_one_fingerprint() {
    for (dialect, class) in classes("same") {
        let first = form(&class[0], dialect);
        for sql in &class {
            assert_eq!(form(sql, dialect), first, "{sql}");
            assert_eq!(fingerprint(sql, dialect), fingerprint(&class[0], dialect), "{sql}");
        }
    }
}

#[test]
fn what_differs_in_meaning_has_another_fingerprint() {
    for (dialect, class) in classes("different") {
        for (index, one) in class.iter().enumerate() {
            for other in class.iter().skip(index + 1) {
                let (one_form, other_form) = (form(one, dialect), form(other, dialect));
                assert_ne!(one_form, other_form, "{one}\n{other}");
            }
        }
    }
}

#[test]
fn the_fingerprint_is_pinned() {
    let mut normalizer = Normalizer::default();
    let one = normalizer.normalize("SELECT * FROM t WHERE id IN (1, 2)", Dialect::PostgreSql);
    assert_eq!(one.normal_form, "select * from t where id in (?)");
    let hash = blake3::hash(b"select * from t where id in (?)").to_hex();
    assert_eq!(one.fingerprint.to_string(), hash.as_str()[..16]);
}

#[test]
fn texts_tell_of_their_comments() {
    let flags = |sql: &str, dialect| -> Vec<&str> {
        Normalizer::default().normalize(sql, dialect).text_flags().map(Flag::name).collect()
    };
    let postgresql = |sql: &str| flags(sql, Dialect::PostgreSql);
    assert_eq!(postgresql("SELECT 1 /* x */"), ["comment"]);
    assert_eq!(postgresql("SELECT 1 /*+ hint */ /*app='x',action='y%20z'*/"), [""; 0]);
    assert_eq!(postgresql("SELECT 1 -- x"), ["comment", "comment_truncation"]);
    assert_eq!(postgresql("SELECT 1 --"), ["comment", "comment_truncation"]);
    assert_eq!(postgresql("-- x\nSELECT 1"), ["comment"]);
    assert_eq!(postgresql("SELECT 'a -- b'"), [""; 0]);
    assert_eq!(postgresql("SELECT 'a"), ["unterminated"]);
    assert_eq!(postgresql("SELECT /* /* */"), ["comment", "unterminated"]);
    let mysql = |sql: &str| flags(sql, Dialect::MySql);
    assert_eq!(mysql("SELECT 1 # x"), ["comment", "comment_truncation"]);
    assert_eq!(mysql("SELECT 5--1"), [""; 0]);
    assert_eq!(mysql("SELECT /*!50000 1 */"), ["executable_comment"]);
}

#[test]
fn cost_is_linear_in_hostile_text() {
    let pieces = [
        "(",
        "in (",
        "in ((",
        "values (1),",
        "values ((",
        "array[",
        "[",
        "{",
        "'",
        "\"",
        "`",
        "/*",
        "/*!",
        "*/",
        "--",
        "$a$",
        "$a",
        "u&'a' ",
        "u&\"a",
        "- ",
        "+",
        "@",
        "?",
        "%(",
        ":",
        "1e",
        "0x",
        ".",
        "do $$",
        "do 'execute ''",
        "a in (1,(2),",
        "null,",
        "in (a,b,",
        "\\",
        "'\\",
        "1,",
        "x.",
        "é",
        "\0",
        ";",
        "set_config('",
        "set_config((",
        "(cast('a'",
        "load '",
        "do e'\\x27",
        "e'",
        "/*a='",
        "values (a),(b),",
        "%s",
    ];
    let mut normalizer = Normalizer::default();
    for dialect in DIALECTS {
        for piece in pieces {
            let mut work = |repeats: usize| {
                normalizer.normalize(&piece.repeat(repeats), dialect);
                normalizer.work().max(1_000)
            };
            let (one, two) = (work(20_000), work(40_000));
            assert!(two <= one * 21 / 10, "{dialect} {piece:?}: {one} then {two}");
        }
    }
}

/// What lexers trip over, between bars.
const PIECES: &str = "select ¦in (¦values (¦array[¦null¦default¦(¦)¦[¦]¦{¦}¦,¦;¦'¦\"¦`¦$$¦$a$¦\
    /*¦*/¦/*!50000¦--¦-- ¦#¦\n¦\\¦do ¦execute ¦language ¦set_config(¦'c'¦'a.b'¦-¦+¦- 1¦1¦1.5¦.¦\
    ..¦::¦:¦:=¦:a¦?¦?|¦%s¦% s¦%(a)s¦@¦@a¦@@¦u&'¦u&\"¦e'¦x'¦_a¦row(¦\"in\"¦\"Foo\"¦a b¦\
    uescape '!'¦load ¦cast(¦\\x61¦\\0061¦\\xff¦$1¦0x¦1e5¦2024_s¦é¦\0¦= ¦<¦||";

fn text() -> impl Strategy<Value = String> {
    let pieces: Vec<_> = PIECES.split('¦').map(str::to_owned).collect();
    let piece = prop_oneof!["[ -~]{0,6}", "\\PC{0,3}", prop::sample::select(pieces)];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Normal forms in which a blank is a blank and a letter has no case.
fn plain_forms() -> Vec<String> {
    let postgresql = classes("same").into_iter().filter(|(d, _)| *d == Dialect::PostgreSql);
    let forms = postgresql.map(|(dialect, class)| form(&class[0], dialect));
    forms.filter(|form| form.is_ascii() && !form.contains(['"', '\''])).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_normal_form_of_a_normal_form_is_itself(sql in text()) {
        for dialect in DIALECTS {
            let once = form(&sql, dialect);
            prop_assert_eq!(&form(&once, dialect), &once);
        }
    }

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let sql = String::from_utf8_lossy(&bytes);
        for dialect in DIALECTS {
            let once = form(&sql, dialect);
            prop_assert_eq!(&form(&once, dialect), &once);
            crate::Facts::of(&sql, dialect);
            crate::redact_secrets(&sql, dialect);
        }
        crate::comment_tags(&sql);
    }

    #[test]
    fn any_text_has_facts(sql in text()) {
        for dialect in DIALECTS {
            let facts = crate::Facts::of(&sql, dialect);
            prop_assert_eq!(crate::Facts::of(&form(&sql, dialect), dialect), facts);
            crate::redact_secrets(&sql, dialect);
        }
    }

    #[test]
    fn literals_and_layout_do_not_count(
        canonical in prop::sample::select(plain_forms()),
        literal in prop_oneof![
            Just("42".to_owned()), Just("$1".to_owned()), Just(".7e3".to_owned()), "'[a-z ]{0,8}'"
        ],
        gap in prop::sample::select(vec![" ", "\n", "\t ", " /* ; ' */ ", " --x\n"]),
    ) {
        let other = canonical.replace(' ', gap).replace('?', &literal).to_uppercase();
        prop_assert_eq!(form(&other, Dialect::PostgreSql), canonical);
    }

    #[test]
    fn another_word_is_another_fingerprint(
        class in prop::sample::select(classes("same")),
        place in any::<prop::sample::Index>(),
    ) {
        let (dialect, class) = class;
        let canonical = form(&class[0], dialect);
        let mut words: Vec<_> = canonical.split(' ').map(str::to_owned).collect();
        let is_plain = |at: &usize| words[*at].bytes().all(|byte| byte.is_ascii_lowercase());
        let plain: Vec<_> = (0..words.len()).filter(is_plain).collect();
        words[plain[place.index(plain.len())]] += "_x";
        prop_assert_ne!(fingerprint(&words.join(" "), dialect), fingerprint(&canonical, dialect));
    }
}
