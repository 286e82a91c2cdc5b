//! What an operator can set about detection; every limit is here.

use std::path::PathBuf;

use event::vocabulary::ActorKind;
use serde::{Deserialize, Serialize};

/// Section `detect` of the settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DetectSettings {
    /// Which rules run, and their limits.
    pub rules: RuleSettings,
    /// What is learnt about identities.
    pub baseline: BaselineSettings,
    /// What becomes a case.
    pub cases: CaseSettings,
    /// What is known about identities; the first entry that fits counts.
    pub identities: Vec<IdentitySettings>,
    /// Jobs that are meant to do what a rule looks for.
    pub jobs: Vec<JobSettings>,
    /// Tables that hold sensitive data; the highest level counts.
    pub sensitive: Vec<SensitiveSettings>,
}

/// Section `detect.rules`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RuleSettings {
    /// Whether the rules in the binary run.
    pub builtin: bool,
    /// Files, or folders with `*.yml`, with more rules.
    pub paths: Vec<PathBuf>,
    /// Ids of rules that shall not run.
    pub disabled: Vec<String>,
    /// Most remembered matches of rules, each 100–400 bytes.
    pub matches_max: usize,
    /// Most groups, such as (rule, user), that correlations count at once.
    pub groups_max: usize,
    /// Most hits that one group of a correlation keeps.
    pub group_hits_max: usize,
}

impl Default for RuleSettings {
    fn default() -> Self {
        Self {
            builtin: true,
            paths: Vec::new(),
            disabled: Vec::new(),
            matches_max: 65_536,
            groups_max: 100_000,
            group_hits_max: 1_000,
        }
    }
}

/// Section `detect.baseline`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BaselineSettings {
    /// Whether identities are compared with what is usual for them.
    pub enabled: bool,
    /// What was seen counts half after so many days.
    pub half_life_days: f64,
    /// No alert before the identity was active on so many days…
    pub active_days_min: u32,
    /// …and in so many different hours.
    pub active_hours_min: u32,
    /// How many cases an identity may open in a day, 0–1: one day in 316 has a score of 2.5 or
    /// more where chances are true. The newest model says what score so few days exceed.
    pub cases_per_identity_day: f64,
    /// How many days of the identity the habits of its peers weigh.
    pub organisation_days: f64,
    /// What came with a grave alert is not learnt for so many hours.
    pub quarantine_hours: u32,
    /// Most identities; the one that was silent longest makes room.
    pub identities_max: usize,
    /// Most tables remembered for one identity.
    pub tables_max: usize,
    /// Most fingerprints remembered for one identity.
    pub fingerprints_max: usize,
    /// Most commands, networks and applications, each, remembered for one identity.
    pub values_max: usize,
}

impl Default for BaselineSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            half_life_days: 30.0,
            active_days_min: 7,
            active_hours_min: 20,
            cases_per_identity_day: 0.003_162,
            organisation_days: 2.0,
            quarantine_hours: 24,
            identities_max: 20_000,
            tables_max: 320,
            fingerprints_max: 768,
            values_max: 48,
        }
    }
}

/// Section `detect.cases`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CaseSettings {
    /// Most cases that are open to new signals; a case is for a day.
    pub open_max: usize,
    /// Unusual things of one identity within a day that add up to so much are a case.
    pub risk_sum_min: f64,
}

impl Default for CaseSettings {
    fn default() -> Self {
        Self { open_max: 20_000, risk_sum_min: 12.0 }
    }
}

/// An entry of `detect.identities`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentitySettings {
    /// The account, or the person where known.
    pub identity: String,
    /// Only on this instance.
    #[serde(default)]
    pub instance: Option<String>,
    /// What it is, if detection shall not guess.
    #[serde(default)]
    pub kind: Option<ActorKind>,
    /// How a manager calls it, such as `the order service`.
    #[serde(default)]
    pub name: Option<String>,
}

/// An entry of `detect.jobs`; what is left out fits all.
///
/// Rules that say so are silent about a registered job; for the others the alert is `low`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSettings {
    /// What the job is called.
    pub name: String,
    /// Ids of the rules it is meant to match.
    pub rules: Vec<String>,
    /// Account or person.
    pub identity: String,
    /// Only on this instance.
    #[serde(default)]
    pub instance: Option<String>,
    /// Only from this client address, host, or network as detection writes it (`10.0.3.0/24`).
    #[serde(default)]
    pub client: Option<String>,
    /// Only with this application name.
    #[serde(default)]
    pub application: Option<String>,
    /// Only in these hours, UTC: `[1, 4]` is 01:00–04:59; `[22, 3]` passes midnight.
    #[serde(default)]
    pub hours: Option<[u8; 2]>,
}

/// An entry of `detect.sensitive`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SensitiveSettings {
    /// Globs over table names, such as `hr.*` or `*.customers`.
    pub tables: Vec<String>,
    /// 1 (internal) to 3 (most sensitive).
    pub level: i32,
    /// How a manager calls it, such as `salary data`.
    #[serde(default)]
    pub name: Option<String>,
}
