//! The data folder: where everything that is kept has its place.

use std::path::{Path, PathBuf};

use anyhow::Context;
use bus::{BusKind, BusSettings};

/// Name of the checkpoint of what `ingest` has learnt where it is of no partition.
pub const INGEST: &str = "ingest";

/// Paths beneath the data folder.
#[derive(Clone, Debug)]
pub struct DataFolder(PathBuf);

impl DataFolder {
    /// The folder, created if it is missing and closed to others: it holds audit data.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(|| {
            format!("the data folder {} cannot be made; set `data` to one that can", path.display())
        })?;
        Self::existing(path)
    }

    /// The folder, if it is there. Its path is made absolute: queries name files by it.
    pub fn existing(path: &Path) -> anyhow::Result<Self> {
        let hint = "`querywatch ingest FILE` or `querywatch run` fills it";
        anyhow::ensure!(path.is_dir(), "there is no data folder {}; {hint}", path.display());
        let absolute = path.canonicalize();
        let absolute = absolute
            .with_context(|| format!("the data folder {} cannot be found", path.display()))?;
        std::fs::read_dir(&absolute).with_context(|| {
            let path = path.display();
            format!("the data folder {path} cannot be read; be the user whom it belongs to")
        })?;
        Ok(Self(absolute))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Delta tables.
    pub fn lake(&self) -> PathBuf {
        self.0.join("lake")
    }

    /// The embedded bus.
    pub fn bus(&self) -> PathBuf {
        self.0.join("bus")
    }

    /// Alerts, deliveries, tokens.
    pub fn state(&self) -> PathBuf {
        self.0.join("state.sqlite")
    }

    /// Where queries spill.
    pub fn spill(&self) -> PathBuf {
        self.0.join("spill")
    }

    /// What a source has received and nobody has read yet. Its name may be no name of a folder.
    pub fn spool(&self, source: &str) -> PathBuf {
        let is_plain = |c: &u8| c.is_ascii_alphanumeric() || b"-_".contains(c);
        let parts = source.bytes().map(|byte| match is_plain(&byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02x}"),
        });
        self.0.join("spool").join(parts.collect::<String>())
    }

    /// How far the sources of `run` are read.
    pub fn sources(&self) -> PathBuf {
        self.0.join("sources.checkpoint")
    }

    /// What detection of each partition knows.
    pub fn detection(&self) -> PathBuf {
        self.0.join("detection")
    }

    /// Trained models, beside the lake.
    pub fn models(&self) -> PathBuf {
        self.0.join("models")
    }

    /// Closed days of identities, from which models are trained.
    pub fn profiles(&self) -> PathBuf {
        self.0.join("detection").join("profiles")
    }

    /// Held by the one process that trains.
    pub fn training_lock(&self) -> PathBuf {
        self.0.join("detection").join("training.lock")
    }

    /// Makes that folder.
    pub fn make_detection(&self) -> anyhow::Result<()> {
        let path = self.detection();
        std::fs::create_dir_all(&path)
            .with_context(|| format!("the folder {} cannot be made", path.display()))
    }

    /// What detection of one partition knows.
    pub fn detection_of(&self, partition: &str) -> PathBuf {
        self.detection().join(format!("{partition}.checkpoint"))
    }

    /// What `ingest` has learnt: of the only partition where there is one, which then goes on
    /// from it; else of all identities, which each partition begins with.
    pub fn detection_of_ingest(&self, bus: &BusSettings) -> PathBuf {
        let is_one = bus.kind == BusKind::Embedded && bus.partitions == 1;
        self.detection_of(if is_one { "0" } else { INGEST })
    }
}
