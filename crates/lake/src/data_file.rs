//! One Parquet file of a table, as the log describes it.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use chrono::{DateTime, Days, NaiveDate};
use deltalake_core::kernel::{Add, Remove};
use serde_json::{Map, Value, json};

use crate::columns::{Columns, DATE};

/// One Parquet file of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// Path of the file, beneath the table's folder.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
    /// Days since 1970-01-01: the value of the partition column `date`.
    pub day: i32,
    /// No row is earlier (microseconds since 1970; of `received` in `rejects`).
    pub time_min: i64,
    /// No row is later.
    pub time_max: i64,
    /// When it was written, milliseconds since 1970.
    pub written: i64,
    /// Statistics as they stand in the log.
    pub(crate) stats: String,
}

/// The smallest and largest value of a column.
pub(crate) type Bounds = Vec<(&'static str, i64, i64)>;

impl DataFile {
    /// Day as it stands in the folder's name.
    pub(crate) fn date(&self) -> String {
        date_text(self.day)
    }

    pub(crate) fn add(&self, data_change: bool) -> Add {
        Add {
            path: self.path.clone(),
            partition_values: partition(self.day),
            size: self.bytes as i64,
            modification_time: self.written,
            data_change,
            stats: Some(self.stats.clone()),
            tags: None,
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
            clustering_provider: None,
        }
    }

    pub(crate) fn remove(&self, data_change: bool, now: i64) -> Remove {
        Remove {
            path: self.path.clone(),
            data_change,
            deletion_timestamp: Some(now),
            extended_file_metadata: Some(true),
            partition_values: Some(partition(self.day)),
            size: Some(self.bytes as i64),
            tags: None,
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
        }
    }

    /// Reads what the log says of a file; without statistics it may hold any time.
    pub(crate) fn from_add(add: Add, columns: &Columns) -> Option<Self> {
        if !stays_beneath(&add.path) || add.deletion_vector.is_some() {
            return None;
        }
        let day = day_of(add.partition_values.get(DATE)?.as_deref()?)?;
        let text = add.stats.unwrap_or_default();
        let stats: Value = serde_json::from_str(&text).unwrap_or_default();
        let bound = |name: &str| moment(stats.get(name)?.get(columns.time)?);
        Some(Self {
            path: add.path,
            bytes: u64::try_from(add.size).ok()?,
            rows: stats.get("numRecords").and_then(Value::as_u64).unwrap_or(0),
            day,
            time_min: bound("minValues").unwrap_or(i64::MIN),
            time_max: bound("maxValues").unwrap_or(i64::MAX),
            written: add.modification_time,
            stats: text,
        })
    }
}

/// The statistics of a file as Delta writes them: moments to the millisecond, rounded outwards.
pub(crate) fn stats(rows: u64, bounds: &Bounds) -> String {
    let (mut least, mut most, mut nulls) = (Map::new(), Map::new(), Map::new());
    for (name, min, max) in bounds {
        let values = match *name {
            "position" => (Some(json!(min)), Some(json!(max))),
            _ => (moment_text(min.div_euclid(1_000)), moment_text(ceiling(*max))),
        };
        // A moment that cannot be written as text is left out: the file is then never skipped.
        if let (Some(min), Some(max)) = values {
            least.insert((*name).to_owned(), min);
            most.insert((*name).to_owned(), max);
            nulls.insert((*name).to_owned(), json!(0));
        }
    }
    json!({ "numRecords": rows, "minValues": least, "maxValues": most, "nullCount": nulls })
        .to_string()
}

/// Path of a new file: its day, and a random name that no other process chooses.
pub(crate) fn new_path(day: i32) -> String {
    format!("{DATE}={}/rows-{}.parquet", date_text(day), uuid::Uuid::new_v4().simple())
}

/// Whether [`new_path`] could have named the file, this version's or an older one's, whose names
/// also had a number.
pub(crate) fn is_ours(path: &str) -> bool {
    let name = path.rsplit('/').next().and_then(|name| name.strip_prefix("rows-"));
    let random = name.and_then(|name| name.strip_suffix(".parquet")?.rsplit('-').next());
    random.is_some_and(|random| {
        random.len() == 32 && random.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// The day as `2026-11-21`.
pub(crate) fn date_text(day: i32) -> String {
    let epoch = NaiveDate::default();
    let days = Days::new(u64::from(day.unsigned_abs()));
    let date = if day < 0 { epoch.checked_sub_days(days) } else { epoch.checked_add_days(days) };
    // The days of a batch are clamped to years of four digits.
    date.unwrap_or_default().to_string()
}

fn day_of(date: &str) -> Option<i32> {
    let days = date.parse::<NaiveDate>().ok()?.signed_duration_since(NaiveDate::default());
    i32::try_from(days.num_days()).ok()
}

fn partition(day: i32) -> HashMap<String, Option<String>> {
    HashMap::from([(DATE.to_owned(), Some(date_text(day)))])
}

/// A log that names files elsewhere was not written by us; such a path is never followed.
fn stays_beneath(path: &str) -> bool {
    let path = PathBuf::from(path);
    path.components().all(|part| matches!(part, Component::Normal(_))) && !has_scheme(&path)
}

fn has_scheme(path: &Path) -> bool {
    path.to_str().is_none_or(|text| text.contains(':'))
}

fn ceiling(micros: i64) -> i64 {
    micros.div_euclid(1_000).saturating_add(i64::from(micros.rem_euclid(1_000) > 0))
}

fn moment_text(millis: i64) -> Option<Value> {
    let moment = DateTime::from_timestamp_millis(millis)?;
    let text = moment.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    (text.len() == "2026-11-21T00:00:00.000Z".len()).then(|| json!(text))
}

fn moment(value: &Value) -> Option<i64> {
    Some(DateTime::parse_from_rfc3339(value.as_str()?).ok()?.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_reads_back() {
        let bounds = vec![("time", -1_500, 2_001), ("received", 0, i64::MAX), ("position", 3, 4)];
        let file = DataFile {
            path: new_path(-1),
            bytes: 12,
            rows: 2,
            day: -1,
            // Rounded outwards to the millisecond.
            time_min: -2_000,
            time_max: 3_000,
            written: 5,
            stats: stats(2, &bounds),
        };
        assert!(file.path.starts_with("date=1969-12-31/rows-"), "{}", file.path);
        assert!(is_ours(&file.path));
        assert!(!file.stats.contains("received"), "{}", file.stats);
        assert_eq!(DataFile::from_add(file.add(true), Columns::events()), Some(file));
    }

    #[test]
    fn files_outside_the_folder_are_not_followed() {
        for path in ["../x.parquet", "/etc/passwd", "s3://bucket/x", "a/../../b"] {
            assert!(!stays_beneath(path), "{path}");
        }
        assert!(stays_beneath("date=2026-11-21/part-1.parquet"));
        assert!(!is_ours("date=2026-11-21/part-00000-1.parquet"));
    }
}
