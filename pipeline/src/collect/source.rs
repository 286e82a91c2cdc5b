//! The settings of a source, and its reader.

use anyhow::Context;
use ingest::source::{FileSourceSettings, SourceKind};
use ingest::{LogSettings, Stream};
use serde::{Deserialize, Serialize};

/// `[[sources]]`: the logs of one server, and one table that is named for what brings them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceSettings {
    /// Name of the source; unique.
    pub name: String,
    /// Name of the server or cluster the logs are of; the source's name if not given.
    pub instance: Option<String>,
    /// How it is read.
    #[serde(default)]
    pub log: LogSettings,
    /// What brings it. Takes all fields that are left, so that none is unknown.
    #[serde(flatten)]
    pub kind: SourceKind,
}

impl SourceSettings {
    /// Of the files of one server, with all else by default.
    ///
    /// # Errors
    /// If the paths cannot be written as JSON.
    pub fn of_files(name: &str, instance: &str, paths: Vec<String>) -> anyhow::Result<Self> {
        let files = FileSourceSettings { paths, ..FileSourceSettings::default() };
        Ok(Self {
            name: name.to_owned(),
            instance: Some(instance.to_owned()),
            log: LogSettings::default(),
            kind: SourceKind::new(&files)?,
        })
    }

    /// Name of the server.
    pub fn instance(&self) -> &str {
        self.instance.as_deref().unwrap_or(&self.name)
    }

    /// Refuses settings by which nothing could be read.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.log.check()?;
        let wrong = |error| anyhow::anyhow!("{}.{error}", self.kind.name());
        self.kind.check().map_err(wrong)
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
