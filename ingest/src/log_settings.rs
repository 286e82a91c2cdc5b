//! What a user may say about the log of one source.

use serde::{Deserialize, Serialize};

use crate::StreamSettings;

/// How the log of a source is read; `sources.log` in the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// Name of the log format; none: recognised from the first lines of each file.
    pub format: Option<String>,
    /// The server's `log_line_prefix`; none: recognised from the first lines of each file.
    pub log_line_prefix: Option<String>,
    /// IANA name of the server's `log_timezone`; needed where the log writes abbreviations.
    #[serde(with = "crate::stream::settings::zone_name")]
    pub timezone: Option<chrono_tz::Tz>,
    /// The longest record that is read; longer ones become rejects.
    pub record_bytes_max: usize,
    /// Sessions that are remembered at once; beyond it the least recent ones are forgotten.
    pub sessions_max: usize,
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
        let StreamSettings {
            format,
            log_line_prefix,
            timezone,
            record_bytes_max,
            sessions_max,
            ..
        } = StreamSettings::default();
        Self { format, log_line_prefix, timezone, record_bytes_max, sessions_max }
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
        let settings = Self { format, log_line_prefix, timezone, ..Self::default() };
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
        if let Some(prefix) = &self.log_line_prefix
            && let Err(problem) = ambiguity(prefix)
        {
            return Err(LogSettingsError::Prefix { prefix: prefix.clone(), problem });
        }
        Ok(())
    }

    /// The settings of a stream of this source and server.
    pub fn stream(&self, source: &str, instance: &str) -> StreamSettings {
        let Self { format, log_line_prefix, timezone, record_bytes_max, sessions_max } =
            self.clone();
        StreamSettings {
            source: source.to_owned(),
            instance: instance.to_owned(),
            format,
            log_line_prefix,
            timezone,
            record_bytes_max,
            sessions_max,
        }
    }
}

/// Escapes whose values may hold any character, so that only what follows tells their end.
const FREE_TEXT: &str = "audbirh";

/// What keeps a prefix from being read back, if anything.
fn ambiguity(prefix: &str) -> Result<(), String> {
    let mut characters = prefix.chars().peekable();
    let mut free_before: Option<char> = None;
    let mut escapes = 0;
    while let Some(character) = characters.next() {
        if character != '%' {
            free_before = None;
            continue;
        }
        while characters.next_if(|c| c.is_ascii_digit() || *c == '-').is_some() {}
        match characters.next() {
            None => return Err("ends in `%`; write `%%` for a percent sign".to_owned()),
            Some('%') => free_before = None,
            Some('q') => {}
            Some(letter) => {
                escapes += 1;
                let is_free = FREE_TEXT.contains(letter);
                if let Some(before) = free_before.filter(|_| is_free) {
                    return Err(format!(
                        "nothing tells where %{before} ends and %{letter} begins; put a \
                         character between them that names do not have"
                    ));
                }
                free_before = is_free.then_some(letter);
            }
        }
    }
    if escapes == 0 {
        return Err("has no escapes such as %m or %p, so no line says when or who".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_that_cannot_be_read_back_are_refused() {
        for prefix in ["%a%u%d", "%u%d ", "", "no escapes", "%m %"] {
            assert!(ambiguity(prefix).is_err(), "`{prefix}` was accepted");
        }
        for prefix in ["%m [%p] ", "%t:%r:%u@%d:[%p]:", "%t-%c-", "%m [%p] %q%u@%d/%a ", "%10u %m"]
        {
            assert_eq!(ambiguity(prefix), Ok(()), "`{prefix}`");
        }
    }
}
