//! One rule: a Sigma file with what people need to act on it, and its own tests.

mod file;
mod rule_test;
mod set;
mod template;

pub use file::RuleError;
pub use rule_test::TestOutcome;
pub use set::RuleSet;

pub(crate) use set::{fields_of, fields_of_selection};
pub(crate) use template::{Deed, Template};

use event::alert::Severity;
use event::vocabulary::CauseFamily;

/// What people need to know of a rule; the Sigma documents stay in the [`RuleSet`].
#[derive(Clone, Debug)]
pub struct Rule {
    /// Id in the catalogue, such as `D01`.
    pub id: String,
    /// File it was read from.
    pub path: String,
    /// What it is, in a few words.
    pub title: String,
    /// What it looks for, in a sentence or two.
    pub description: String,
    /// How bad a match is.
    pub severity: Severity,
    /// MITRE ATT&CK techniques, such as `T1059.004`.
    pub attack: Vec<String>,
    /// Controls a match is evidence for, such as `SOC 2 CC6.8`.
    pub controls: Vec<String>,
    /// What else may cause a match.
    pub false_positives: Vec<String>,
    /// What to check first, in order.
    pub investigation: Vec<String>,
    /// What it cannot see.
    pub known_gaps: Vec<String>,
    /// How many tests it carries.
    pub tests: usize,
    pub(crate) details: Details,
}

/// What detection needs of a rule when it has matched.
#[derive(Clone, Debug)]
pub(crate) struct Details {
    pub(crate) explanation: Explanation,
    /// Columns shown as observed.
    pub(crate) observed: Vec<String>,
    /// Columns that tell one cause from another.
    pub(crate) cause: Vec<String>,
    /// What kind of cause it is.
    pub(crate) family: CauseFamily,
    /// Whether a registered job is no alert at all.
    pub(crate) silent_for_jobs: bool,
    pub(crate) rule_tests: Vec<rule_test::RuleTest>,
}

/// The texts of an alert.
#[derive(Clone, Debug)]
pub(crate) struct Explanation {
    pub(crate) engineer: Template,
    pub(crate) manager: Template,
    pub(crate) silent_engineer: Template,
    pub(crate) silent_manager: Template,
}
