//! Checkpoints: what spares a restart from beginning at the beginning.
//!
//! They are never the truth of what is stored: that is in the table itself. A checkpoint may be
//! older than the table; what lies between is read again, recognised by its position, and not
//! written again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use ingest::source::FilePosition;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::ends::Ends;

const MAGIC: &[u8; 8] = b"QWCHECK1";

/// How far a source was read, and what its reader then knew.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SourceCheckpoint {
    /// Ends of the log's partitions when this was taken: what the source has published since is
    /// beyond them.
    pub log: Vec<u64>,
    /// Position of each file.
    pub files: Vec<FilePosition>,
    /// Snapshot of the stream at those positions.
    #[serde(with = "serde_bytes")]
    pub stream: Vec<u8>,
}

/// `reading.checkpoint`: how far `run` has read its sources.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Reading {
    /// By name of the source.
    pub sources: BTreeMap<String, SourceCheckpoint>,
}

/// `detection.checkpoint`, or of several partitions one in `detection/`: what detection knows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Detection {
    /// Next offset of the bus.
    pub bus: u64,
    /// Snapshot of the detector at that point.
    #[serde(with = "serde_bytes")]
    pub detector: Vec<u8>,
    /// How far `ingest` has read, by name of the source, at that point.
    pub ingested: BTreeMap<String, SourceCheckpoint>,
    /// Mark of the record before that offset: tells this bus from another with the same name.
    #[serde(default)]
    pub mark: Option<[u8; 16]>,
    /// How far the files on the partition have come.
    #[serde(default)]
    pub ends: Ends,
}

/// Reads a checkpoint; none if there is none yet.
pub fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be read", path.display()));
        }
    };
    let damaged = || {
        format!(
            "{} is damaged; remove it to begin again (stored events are not written twice, \
             baselines are learned anew)",
            path.display()
        )
    };
    let Some((head, body)) = bytes.split_first_chunk::<40>() else { bail!(damaged()) };
    if &head[..8] != MAGIC || head[8..] != blake3::hash(body).as_bytes()[..] {
        bail!(damaged());
    }
    rmp_serde::from_slice(body).map(Some).with_context(damaged)
}

/// Writes a checkpoint so that a crash leaves either the old one or the new one.
pub fn write<T: Serialize>(path: &Path, checkpoint: &T) -> anyhow::Result<()> {
    place(path, checkpoint, true)
}

/// Likewise; what is not `durable` may be damaged when the machine goes down, which is seen.
pub fn place<T: Serialize>(path: &Path, checkpoint: &T, durable: bool) -> anyhow::Result<()> {
    let body = rmp_serde::to_vec_named(checkpoint).context("a checkpoint cannot be encoded")?;
    // Of each process its own: one that was stopped in the middle must not write into what
    // another has put in place since.
    let mut new = path.to_path_buf();
    new.set_extension(format!("{}.new", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&new)?;
        file.write_all(MAGIC)?;
        file.write_all(blake3::hash(&body).as_bytes())?;
        file.write_all(&body)?;
        if !durable {
            return std::fs::rename(&new, path);
        }
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    };
    write().with_context(|| format!("the checkpoint {} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_checkpoint_is_named_never_believed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("reading.checkpoint");
        assert!(read::<Reading>(&path).expect("absent is fine").is_none());
        let kept = SourceCheckpoint { log: vec![7], stream: vec![1, 2, 3], ..Default::default() };
        let reading = Reading { sources: [("orders".to_owned(), kept)].into() };
        write(&path, &reading).expect("written");
        let back = read::<Reading>(&path).expect("whole").expect("there");
        assert_eq!(back.sources["orders"].log, [7]);
        let whole = std::fs::read(&path).expect("bytes");
        for index in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[index] ^= 1;
            std::fs::write(&path, &damaged).expect("written");
            let error = read::<Reading>(&path).expect_err("damaged").to_string();
            assert!(error.contains("reading.checkpoint is damaged"), "{error}");
        }
    }
}
