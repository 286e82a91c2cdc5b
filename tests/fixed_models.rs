//! Models that no run replaces: those of later weeks are always the newest.

use std::path::{Path, PathBuf};

use crate::binary::{Querywatch, path_text};
use crate::weeks::{MONDAY, write_weeks};

/// A registry that was trained beforehand. The promise of detection is for fixed versions.
pub struct FixedModels(Querywatch);

impl FixedModels {
    /// Trains models of each instance from three weeks after the tests' own.
    pub fn of(instances: &[&str]) -> Self {
        const NINE_WEEKS: i64 = 9 * 7 * 86_400_000_000;
        let teacher = Querywatch::new();
        let data = teacher.data();
        for instance in instances {
            let log = write_weeks(teacher.folder(), 77, MONDAY + NINE_WEEKS);
            teacher.succeed(&[
                "ingest",
                "--data",
                path_text(&data),
                "--instance",
                instance,
                path_text(&log),
            ]);
            std::fs::remove_file(log).expect("removed");
        }
        let models = Self(teacher);
        assert!(models.folder().exists(), "the weeks are over: their days have closed");
        models
    }

    fn folder(&self) -> PathBuf {
        self.0.data().join("models")
    }

    /// Puts them into a data folder that has none.
    pub fn put(&self, querywatch: &Querywatch) {
        copy(&self.folder(), &querywatch.data().join("models"));
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(std::fs::copy(entry.path(), to).expect("copied")),
        }
    }
}
