//! What a user may say about the log of one source.

use serde::{Deserialize, Serialize};

use crate::{PostgresqlSettings, StreamSettings};

/// How the log of a source is read; `sources.log` in the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// Name of the log format; none: recognised from the first lines of each file.
    pub format: Option<String>,
    /// IANA name of the server's `log_timezone`; needed where the log writes abbreviations.
    #[serde(with = "crate::stream::settings::zone_name")]
    pub timezone: Option<chrono_tz::Tz>,
    /// The longest record that is read; longer ones become rejects.
    pub record_bytes_max: usize,
    /// Sessions that are remembered at once; beyond it the least recent ones are forgotten.
    pub sessions_max: usize,
    /// What only a log of PostgreSQL needs.
    pub postgresql: PostgresqlSettings,
}

/// A setting of a log is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogSettingsError {
    /// No format has this name.
    #[error("there is no format `{0}`; there are auto, {known}", known = known())]
    Format(String),
    /// The prefix cannot be matched.
    #[error("log_line_prefix `{prefix}`: {problem}")]
    Prefix {
        /// As it was given.
        prefix: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No zone has this name.
    #[error("there is no time zone `{0}`; IANA names are like Europe/Berlin")]
    Timezone(String),
}

fn known() -> String {
    let names: Vec<&str> = crate::format_names().collect();
    names.join(", ")
}

impl Default for LogSettings {
    fn default() -> Self {
        let StreamSettings { format, timezone, record_bytes_max, sessions_max, postgresql, .. } =
            StreamSettings::default();
        Self { format, timezone, record_bytes_max, sessions_max, postgresql }
    }
}

impl LogSettings {
    /// Settings as they are given on a command line.
    pub fn from_arguments(
        format: Option<String>,
        log_line_prefix: Option<String>,
        timezone: Option<&str>,
    ) -> Result<Self, LogSettingsError> {
        let zone =
            |name: &str| name.parse().map_err(|_| LogSettingsError::Timezone(name.to_owned()));
        let timezone = timezone.map(zone).transpose()?;
        let postgresql = PostgresqlSettings { log_line_prefix };
        let settings = Self { format, timezone, postgresql, ..Self::default() };
        settings.check()?;
        Ok(settings)
    }

    /// Refuses what cannot be meant.
    pub fn check(&self) -> Result<(), LogSettingsError> {
        if let Some(format) = &self.format
            && !crate::format_names().any(|name| name == format)
        {
            return Err(LogSettingsError::Format(format.clone()));
        }
        self.postgresql.check().map_err(|(prefix, problem)| LogSettingsError::Prefix {
            prefix: prefix.to_owned(),
            problem,
        })
    }

    /// The settings of a stream of this source and server.
    pub fn stream(&self, source: &str, instance: &str) -> StreamSettings {
        let Self { format, timezone, record_bytes_max, sessions_max, postgresql } = self.clone();
        StreamSettings {
            source: source.to_owned(),
            instance: instance.to_owned(),
            format,
            timezone,
            record_bytes_max,
            sessions_max,
            postgresql,
        }
    }
}
