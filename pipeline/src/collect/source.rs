//! The settings of a source, and its reader.

use anyhow::{Context, ensure};
use ingest::source::FileSourceSettings;
use ingest::{LogSettings, Stream};
use serde::{Deserialize, Serialize};

/// `[[sources]]`: one set of log files of one server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSettings {
    /// Name of the source; unique.
    pub name: String,
    /// Name of the server or cluster the logs are of; the source's name if not given.
    pub instance: Option<String>,
    /// What is read, and where it is.
    #[serde(default)]
    pub files: FileSourceSettings,
    /// How it is read.
    #[serde(default)]
    pub log: LogSettings,
}

impl SourceSettings {
    /// Name of the server.
    pub fn instance(&self) -> &str {
        self.instance.as_deref().unwrap_or(&self.name)
    }

    /// Refuses settings by which nothing could be read.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let is_given = !self.files.paths.is_empty();
        ensure!(is_given, "it has no files.paths; name files, folders or patterns");
        self.log.check()?;
        ingest::source::list(&self.files)?;
        Ok(())
    }

    /// The reader, as its snapshot left it.
    pub(crate) fn stream(&self, snapshot: Option<&[u8]>) -> anyhow::Result<Stream> {
        let settings = self.log.stream(&self.name, self.instance());
        match snapshot {
            Some(snapshot) if !snapshot.is_empty() => Stream::restore(settings, snapshot)
                .with_context(|| format!("the reader of source `{}`", self.name)),
            _ => Ok(Stream::new(settings)),
        }
    }
}
