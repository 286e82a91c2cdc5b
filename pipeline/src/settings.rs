//! All settings: each section is owned by the crate or module that it configures.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::collect::source::SourceSettings;

/// All settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Folder for everything that is kept.
    pub data: PathBuf,
    /// What is watched.
    pub sources: Vec<SourceSettings>,
    /// What events move on.
    pub bus: bus::BusSettings,
    /// The tables.
    pub lake: lake::LakeSettings,
    /// Rules and baselines.
    pub detect: ::detect::DetectSettings,
    /// Where alerts are sent.
    pub respond: respond::RespondSettings,
    /// The HTTP service, and what a query may take.
    pub query: query::QuerySettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: PathBuf::from("querywatch-data"),
            sources: Vec::new(),
            bus: bus::BusSettings::default(),
            lake: lake::LakeSettings::default(),
            detect: ::detect::DetectSettings::default(),
            respond: respond::RespondSettings::default(),
            query: query::QuerySettings::default(),
        }
    }
}

impl Settings {
    /// Refuses settings under which nothing could work; the error names the setting and the cure.
    ///
    /// # Errors
    /// The first setting that is wrong.
    pub fn check(&self) -> anyhow::Result<()> {
        for (index, source) in self.sources.iter().enumerate() {
            let name = &source.name;
            ensure!(!name.is_empty(), "sources[{index}].name is empty; give the source a name");
            let again = self.sources[..index].iter().any(|other| other.name == *name);
            ensure!(!again, "two sources are called `{name}`; give each its own name");
            source.check().with_context(|| format!("the source `{name}`"))?;
            let Some(exclusive) = source.kind.exclusive() else { continue };
            let is_same =
                |other: &&SourceSettings| other.kind.exclusive().as_ref() == Some(&exclusive);
            if let Some(other) = self.sources[..index].iter().find(is_same) {
                let other = &other.name;
                bail!("the sources `{other}` and `{name}` read {exclusive}; keep one of them");
            }
        }
        self.bus.check()?;
        let levels = 1..=22;
        ensure!(
            levels.contains(&self.lake.zstd_level),
            "lake.zstd_level is {}; zstd has the levels 1 to 22",
            self.lake.zstd_level
        );
        for (setting, number) in [
            ("query.rows_max", self.query.rows_max as u64),
            ("query.timeout_seconds", self.query.timeout_seconds),
            ("query.queries_max", self.query.queries_max as u64),
            ("query.sql_bytes_max", self.query.sql_bytes_max as u64),
            ("query.operators_max", self.query.operators_max as u64),
        ] {
            ensure!(number > 0, "{setting} is 0; no query could be answered");
        }
        Ok(())
    }
}
