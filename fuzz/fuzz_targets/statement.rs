//! Any text as SQL: no panic, the normal form is its own normal form, masks hold.
#![no_main]

use libfuzzer_sys::fuzz_target;
use statement::{Analyzer, Dialect, Normalizer, comment_tags, redact_secrets};

fuzz_target!(|data: &[u8]| {
    let sql = String::from_utf8_lossy(data);
    for dialect in [Dialect::PostgreSql, Dialect::MySql] {
        let mut normalizer = Normalizer::default();
        let first = normalizer.normalize(&sql, dialect);
        let (normal_form, fingerprint) = (first.normal_form.to_owned(), first.fingerprint);
        let again = normalizer.normalize(&normal_form, dialect);
        assert_eq!(fingerprint, again.fingerprint, "{normal_form:?} → {:?}", again.normal_form);
        let analysis = Analyzer::new(8).analyze(&sql, dialect);
        assert_eq!(analysis.fingerprint, fingerprint);
        let masked = redact_secrets(&sql, dialect).into_owned();
        let twice = redact_secrets(&masked, dialect);
        assert_eq!(masked, twice, "masking twice is masking once");
        let _ = comment_tags(&sql);
    }
});
