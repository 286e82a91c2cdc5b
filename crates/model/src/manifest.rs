//! What a kept model says of itself: what it was trained from, by which program, with which sum.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use serde::{Deserialize, Serialize};

/// The `manifest.json` beside a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// `prior` or `peers`.
    pub kind: String,
    /// The database instance, as its profiles name it.
    pub instance: String,
    /// The last day of training, then eight digits of the sum: `2026-03-01-0123abcd`.
    pub version: String,
    /// The first day of the training range, UTC.
    pub from: NaiveDate,
    /// The last day of the training range, UTC.
    pub to: NaiveDate,
    /// The version of the events table when the profiles were read, if they come from it.
    pub events_table_version: Option<u64>,
    /// The version of the program that trained it.
    pub program_version: String,
    /// BLAKE3 of the model, 64 hexadecimal digits.
    pub sum: String,
    /// The size of the model in bytes.
    pub bytes: u64,
    /// Identity-days that it was trained from.
    pub profiles: u64,
    /// Identities that it was trained from.
    pub identities: u64,
    /// Figures on its quality; each model says what they mean.
    pub evaluation: BTreeMap<String, f64>,
}

impl Manifest {
    /// For each chance p that the model was evaluated at, in descending order: p and the share of
    /// its days that had a smaller one. Where chances are true the two are equal.
    pub fn calibration(&self) -> Vec<(f64, f64)> {
        let shares = self.evaluation.iter().filter_map(|(name, share)| {
            Some((name.strip_prefix("share_p_below_")?.parse().ok()?, *share))
        });
        let mut shares: Vec<(f64, f64)> = shares.collect();
        shares.sort_by(|a, b| b.0.total_cmp(&a.0));
        shares
    }
}

/// The date of a day since 1970, at the nearest year of four digits.
pub(crate) fn date(day: i32) -> NaiveDate {
    let epoch = NaiveDate::default();
    let days = Days::new(u64::from(day.unsigned_abs()));
    let date = if day < 0 { epoch.checked_sub_days(days) } else { epoch.checked_add_days(days) };
    let first = NaiveDate::from_ymd_opt(0, 1, 1).expect("a date");
    let last = NaiveDate::from_ymd_opt(9999, 12, 31).expect("a date");
    date.unwrap_or(if day < 0 { first } else { last }).clamp(first, last)
}

/// The name of a version: the last day of training and eight digits of the sum of the bytes.
pub(crate) fn version(to: NaiveDate, bytes: &[u8]) -> String {
    format!("{}-{}", to.format("%Y-%m-%d"), &blake3::hash(bytes).to_hex()[..8])
}

/// The training day of a version name; none if it is no such name.
pub(crate) fn version_date(version: &str) -> Option<NaiveDate> {
    let (to, sum) = version.rsplit_once('-')?;
    let is_sum =
        sum.len() == 8 && sum.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let to =
        (to.len() == 10 && is_sum).then(|| NaiveDate::parse_from_str(to, "%Y-%m-%d").ok())??;
    Some(to).filter(|to| version.starts_with(&to.format("%Y-%m-%d").to_string()))
}
