//! What a user may say about a source of log files.

use serde::{Deserialize, Serialize};

use crate::PostgresqlSettings;

/// How to read one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StreamSettings {
    /// Name of the source, as events show it.
    pub source: String,
    /// Name of the server or cluster that writes the logs.
    pub instance: String,
    /// Name of the log format; none: recognised from the first lines of each file.
    pub format: Option<String>,
    /// IANA name of the server's `log_timezone`; needed where the log writes abbreviations.
    #[serde(with = "zone_name")]
    pub timezone: Option<chrono_tz::Tz>,
    /// The longest record that is read, in bytes, what ends it aside; of a longer one only the head
    /// is kept, as a truncated statement or a reject.
    pub record_bytes_max: usize,
    /// Sessions that are remembered at once; beyond it the least recent ones are forgotten.
    pub sessions_max: usize,
    /// What only a log of PostgreSQL needs.
    pub postgresql: PostgresqlSettings,
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            source: "logs".to_owned(),
            instance: "default".to_owned(),
            format: None,
            timezone: None,
            record_bytes_max: 4 << 20,
            sessions_max: 16_384,
            postgresql: PostgresqlSettings::default(),
        }
    }
}

/// A time zone as its IANA name.
pub(crate) mod zone_name {
    use chrono_tz::Tz;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(
        zone: &Option<Tz>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        zone.map(Tz::name).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Tz>, D::Error> {
        let name = Option::<String>::deserialize(deserializer)?;
        let parse = |name: String| {
            let message = format!("`{name}` is no IANA time zone; write one such as Europe/Berlin");
            name.parse::<Tz>().map_err(|_| de::Error::custom(message))
        };
        name.map(parse).transpose()
    }
}
