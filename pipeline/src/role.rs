//! Which part of the work a process does.

use std::str::FromStr;

/// A part of the work; several machines need a bus that they share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    All,
    /// Reads sources and publishes what they hold.
    Collect,
    /// Judges what was published, stores it, sends alerts.
    Detect,
    /// Answers queries over HTTP.
    Serve,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::All, Self::Collect, Self::Detect, Self::Serve];

    /// As it is written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Collect => "collect",
            Self::Detect => "detect",
            Self::Serve => "serve",
        }
    }

    /// Whether it reads sources.
    pub fn collects(self) -> bool {
        matches!(self, Self::All | Self::Collect)
    }

    /// Whether it judges and stores.
    pub fn detects(self) -> bool {
        matches!(self, Self::All | Self::Detect)
    }

    /// Whether it answers queries.
    pub fn serves(self) -> bool {
        matches!(self, Self::All | Self::Serve)
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|role| role.name() == name);
        known.ok_or_else(|| format!("there is no role `{name}`; use all, collect, detect or serve"))
    }
}
