//! Stage: events become alerts.
//!
//! # Layout
//!
//! - [`Detector`]: the stage itself; pure, so that a replay gives the same bytes.
//! - `normaliser`, `subject`: what SQL means, and an event as rules see it.
//! - [`Rule`], [`RuleSet`]: Sigma files with explanations and tests of their own.
//! - `verdict`, `correlator`, `episode`: rules on one event, on several, and one alert a cause.
//! - `continuity`: whether audit records are missing.
//! - `baseline`: what is usual for an identity.
//! - `finding`: alerts and their texts.

mod baseline;
mod continuity;
#[cfg_attr(not(test), expect(dead_code, reason = "the correlator gives way to it"))]
mod correlation;
mod correlator;
mod detector;
mod episode;
mod finding;
mod normaliser;
mod rule;
mod sensitivity;
mod settings;
mod snapshot;
mod statistics;
mod subject;
mod verdict;

pub use baseline::{Figures, Learnt, Opening, newest_day};
pub use detector::{DetectError, Detector, Observed, counted_by_client};
pub use rule::{CaseOutcome, Rule, RuleError, RuleSet};
pub use settings::{
    BaselineSettings, DetectSettings, IdentitySettings, JobSettings, RuleSettings,
    SensitiveSettings,
};
pub use statistics::Statistics;
