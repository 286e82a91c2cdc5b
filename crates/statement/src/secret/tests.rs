//! What is masked and what is not; the cases are data.

use super::*;

fn cases() -> Vec<(String, String, String)> {
    let text = include_str!("../../../../testdata/statements/secrets.json");
    serde_json::from_str(text).expect("secrets.json is a list of [dialect, sql, masked]")
}

#[test]
fn secrets_are_masked_and_nothing_else() {
    for (dialect, sql, expected) in cases() {
        let dialect: Dialect = dialect.parse().expect("a dialect");
        assert_eq!(redact_secrets(&sql, dialect), expected, "{sql}");
    }
}

#[test]
fn what_is_masked_stays_as_it_is() {
    for (dialect, _, expected) in cases() {
        let dialect: Dialect = dialect.parse().expect("a dialect");
        assert_eq!(redact_secrets(&expected, dialect), expected);
    }
}
