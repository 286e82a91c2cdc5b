//! The fingerprint by which baselines know a statement that holds names made anew each time:
//! of savepoints, prepared statements, cursors, temporary tables, partitions.

use crate::Fingerprint;
use crate::baseline_name::baseline_name;
use crate::token_tree::Phrase;

/// What stands for a name that is folded.
const FOLDED: &str = "?";

/// None if no name is folded: then the fingerprint of the normal form serves.
pub(crate) fn baseline_fingerprint(phrases: &[Phrase<'_>]) -> Option<Fingerprint> {
    if !phrases.iter().any(may_fold) {
        return None;
    }
    let mut form = String::new();
    let mut folds = false;
    for phrase in phrases {
        let session_name = session_name_at(phrase);
        let mut at = 0;
        while at < phrase.len() {
            let (name, end) = match phrase.qualified(at) {
                _ if session_name == Some(at) => (Some(FOLDED.to_owned()), at + 1),
                Some((name, end)) => (folded(&name), end),
                None => (None, at + 1),
            };
            folds |= name.is_some();
            match name {
                Some(name) => form.push_str(&name),
                None => {
                    (at..end).filter_map(|at| phrase.get(at)).for_each(|i| form.push_str(i.text))
                }
            }
            form.push(' ');
            at = end;
        }
        form.push(';');
    }
    folds.then(|| Fingerprint::of(form.as_bytes()))
}

/// Rules out most statements before anything is copied.
fn may_fold(phrase: &Phrase<'_>) -> bool {
    let may_fold_name = |text: &str| {
        let parts = text.contains('_') || text.starts_with("tmp") || text.starts_with("temp");
        (parts && text.bytes().any(|byte| byte.is_ascii_digit())) || text.starts_with("pg_temp")
    };
    let mut names = (0..phrase.len()).filter_map(|at| phrase.name(at));
    session_name_at(phrase).is_some() || names.any(may_fold_name)
}

fn folded(name: &str) -> Option<String> {
    match baseline_name(name) {
        std::borrow::Cow::Borrowed(same) if same.len() == name.len() => None,
        other => Some(other.into_owned()),
    }
}

/// Where a statement names what lives as long as its session.
fn session_name_at(phrase: &Phrase<'_>) -> Option<usize> {
    let after = |noise: &[&str]| {
        let at = (1..4).find(|&at| !noise.contains(&phrase.word(at)))?;
        phrase.name(at).map(|_| at)
    };
    match phrase.word(0) {
        "savepoint" | "prepare" | "declare" | "close" => after(&[]),
        "execute" if phrase.word(1) != "immediate" => after(&[]),
        "deallocate" => after(&["prepare"]),
        "release" => after(&["savepoint"]),
        "rollback" => {
            let to = phrase.find(&["to"])? + 1;
            let at =
                to + usize::from(phrase.word(to) == "savepoint" && phrase.name(to + 1).is_some());
            phrase.name(at).map(|_| at)
        }
        "fetch" | "move" => {
            let last = phrase.len().checked_sub(1).filter(|&last| last > 0)?;
            phrase.name(last).map(|_| last)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::{Dialect, Facts};

    fn form(sql: &str) -> crate::Fingerprint {
        Facts::of(sql, Dialect::PostgreSql).baseline_fingerprint
    }

    #[test]
    fn names_that_are_made_anew_make_no_new_statement() {
        for [one, other] in [
            ["SAVEPOINT a1", "savepoint \"sp 77\""],
            ["RELEASE SAVEPOINT a1", "release savepoint b"],
            ["ROLLBACK TO SAVEPOINT a1", "rollback to savepoint b2"],
            ["ROLLBACK TO a1", "rollback to b2"],
            [
                "PREPARE p1 AS SELECT a FROM t WHERE b = $1",
                "prepare s_9 as select a from t where b = $1",
            ],
            ["EXECUTE p1(1, 2)", "execute p2(3, 4)"],
            ["DEALLOCATE p1", "deallocate p2"],
            ["DECLARE c1 CURSOR FOR SELECT a FROM t", "declare c2 cursor for select a from t"],
            ["FETCH FORWARD 100 FROM c1", "fetch forward 50 from c2"],
            ["CLOSE c1", "close c2"],
            [
                "INSERT INTO m.log_2026_11_27 (a) VALUES (1)",
                "insert into m.log_2026_11_28 (a) values (2)",
            ],
            [
                "CREATE TEMP TABLE tmp_77 AS SELECT a FROM t",
                "create temp table tmp_78 as select a from t",
            ],
            ["SELECT a FROM pg_temp_3.x", "select a from pg_temp_9.y"],
        ] {
            assert_eq!(form(one), form(other), "{one}");
        }
    }

    #[test]
    fn other_names_make_a_new_statement() {
        for [one, other] in [
            ["SELECT a FROM t", "SELECT a FROM u"],
            ["DECLARE c CURSOR FOR SELECT a FROM t", "DECLARE c CURSOR FOR SELECT a FROM u"],
            ["PREPARE p AS SELECT a FROM t", "PREPARE p AS DELETE FROM t"],
            ["DROP TABLE log_2026_11_27", "DROP TABLE orders_2026_11_27"],
            ["EXECUTE IMMEDIATE 'a'", "EXECUTE p"],
            ["SAVEPOINT a", "RELEASE a"],
        ] {
            assert_ne!(form(one), form(other), "{one}");
        }
        let plain = "select a from t where b = 1";
        let facts = Facts::of(plain, Dialect::PostgreSql);
        let normal = crate::Normalizer::default().normalize(plain, Dialect::PostgreSql).fingerprint;
        assert_eq!(facts.baseline_fingerprint, normal);
    }
}
