//! Which part of the work a process does.

use clap::ValueEnum;

/// A part of the work; several machines need a bus that they share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Everything.
    All,
    /// Reads sources and publishes what they hold.
    Collect,
    /// Judges what was published, stores it, sends alerts.
    Detect,
    /// Answers questions over HTTP.
    Serve,
}

impl Role {
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

    /// Whether it answers questions.
    pub fn serves(self) -> bool {
        matches!(self, Self::All | Self::Serve)
    }
}
