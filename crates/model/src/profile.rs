//! What one identity did on one day of one instance: the only thing that models are trained from.

use serde::{Deserialize, Serialize};

/// What a value of a profile is: each family has its own space of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// A table that was read or written.
    Table,
    /// The fingerprint of a statement.
    Statement,
    /// The command of a statement, such as `SELECT`.
    Command,
    /// The network that a session came from.
    Network,
    /// The application that a session named.
    Application,
}

impl Family {
    /// How many families there are.
    pub const COUNT: usize = 5;

    /// Every family, in the order of `family as usize`.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Table, Self::Statement, Self::Command, Self::Network, Self::Application];

    /// The name in figures and files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Statement => "statement",
            Self::Command => "command",
            Self::Network => "network",
            Self::Application => "application",
        }
    }
}

/// One closed day of one identity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DayProfile {
    /// The database instance.
    pub instance: String,
    /// The account, or what stands for it.
    pub identity: String,
    /// Days since 1970-01-01, UTC.
    pub day: i32,
    /// The kind of identity, such as a person or a service.
    pub kind: String,
    /// On how many days the identity was active, this one included.
    pub active_days: u32,
    /// Sessions that were opened.
    pub sessions: u64,
    /// Statements that were run.
    pub statements: u64,
    /// Statements that failed.
    pub errors: u64,
    /// Log-ins that failed.
    pub failed_logins: u64,
    /// Rows that were read or written.
    pub rows: u64,
    /// The UTC hours of activity: bit 0 is midnight to one o'clock.
    pub hours: u32,
    /// Rows of sensitive tables.
    pub sensitive_rows: u64,
    /// The distinct values of the day, sorted.
    pub values: Vec<(Family, String)>,
    /// How many values of each family (`family as usize`) the identity had never had before.
    pub new_values: [u32; Family::COUNT],
    /// Whether values are missing because the day had too many.
    pub truncated: bool,
    /// How unusual the day was: the higher, the more unusual.
    #[serde(default)]
    pub score: f64,
}

impl DayProfile {
    /// Whether the identity is still new: on its first days everything is new to it.
    pub fn is_newcomer(&self) -> bool {
        self.active_days <= NEWCOMER_DAYS_MAX
    }
}

/// Up to this many active days, an identity is a newcomer.
const NEWCOMER_DAYS_MAX: u32 = 7;

/// How many of a set of identities have a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// The identities that have it.
    pub holders: u32,
    /// All identities of the set.
    pub identities: u32,
}
