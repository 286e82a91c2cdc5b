//! Which of two files is older, by their names.
//!
//! Names, not modification times: a copied or restored folder keeps its names, and with them
//! the order, the keys and the events. Rotation numbers fall, dates rise, the file without
//! either is the youngest: `x.log.2.gz`, `x.log.1`, `x.log-20260101`, `x.log`.

use std::cmp::Reverse;
use std::path::{Path, PathBuf};

/// Sorts oldest first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RotationOrder {
    folder: PathBuf,
    /// The name without what rotation added; names with a date inside sort by it.
    base: String,
    age: Age,
    name: String,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    Numbered(Reverse<u32>),
    Dated(String),
    Current,
}

impl RotationOrder {
    pub(super) fn of(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let plain = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst"));
        let (base, age) = split(plain.unwrap_or(&name));
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        Self { folder, base: base.to_owned(), age, name }
    }
}

/// Base and age: the digits behind the last letter, if a separator stands between.
fn split(name: &str) -> (&str, Age) {
    let is_mark = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '_' | ':' | 'T');
    let base = name.trim_end_matches(is_mark);
    let suffix = &name[base.len()..];
    let digits = suffix.trim_start_matches(['.', '-', '_']);
    if base.is_empty() || digits.is_empty() || digits.len() == suffix.len() {
        return (name, Age::Current);
    }
    match digits.parse() {
        Ok(number) if digits.len() < 6 => (base, Age::Numbered(Reverse(number))),
        _ => (base, Age::Dated(digits.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotated_names_come_before_the_current_one() {
        let oldest_first = [
            "/l/a.log.10.gz",
            "/l/a.log.2.zst",
            "/l/a.log.1",
            "/l/a.log-20260101.gz",
            "/l/a.log-20260102",
            "/l/a.log",
            "/l/pg-2026-01-01_000000.csv",
            "/l/pg-2026-01-02_000000.csv.gz",
            "/l/pg-2026-01-03_000000.csv",
        ];
        let mut sorted = oldest_first.map(Path::new);
        sorted.reverse();
        sorted.sort_by_key(|path| RotationOrder::of(path));
        assert_eq!(sorted, oldest_first.map(Path::new));
    }
}
