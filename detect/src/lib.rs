//! Stage: events become cases.
//!
//! # Layout
//!
//! In the order of the flow: **analysis** (what a statement does) → **context** (what is usual) →
//! **signals** (what rules and baselines say) → **risk** (what it adds up to) → **cases** (what a
//! person judges).
//!
//! - [`Detector`]: the stage itself; pure, so that a replay gives the same bytes.
//! - `analysis`, `rule_event`: what a statement does, and an event as rules see it.
//! - `context`: what is usual for an identity, and what is missing; `held_models`: what others do.
//! - [`Rule`], [`RuleSet`]: Sigma files with explanations and tests of their own; `rule_engine`
//!   and `correlator` (over `correlation`) run them, `rule_signal` and `explanation` tell.
//! - `anomaly`, `signal`, `risk`: from the unusual to risk points.
//! - `cases`, `repeats`, `decisions`: one case a cause, what was told before, what people decided.

mod analysis;
mod anomaly;
mod cases;
mod context;
mod correlation;
mod correlator;
mod decisions;
mod detector;
mod explanation;
mod held_models;
mod repeats;
mod risk;
mod rule;
mod rule_engine;
mod rule_event;
mod rule_signal;
mod sensitivity;
mod settings;
mod signal;
mod snapshot;
mod statistics;

pub use context::Clocks;
pub use detector::{DetectError, Detector, Observed, Told, counted_by_client};
pub use held_models::{InstanceModels, Models};
pub use rule::{Rule, RuleError, RuleSet, TestOutcome};
pub use settings::{
    BaselineSettings, CaseSettings, DetectSettings, IdentitySettings, JobSettings, RuleSettings,
    SensitiveSettings,
};
pub use statistics::Statistics;
