//! Checkpoints: what spares a restart from beginning at the beginning.
//!
//! They are never the truth of what is stored: that is in the table itself. A checkpoint may be
//! older than the table; what lies between is read again, recognised by its position, and not
//! written again. So the one before the newest is as good, only older: it is kept too, for when
//! the newest is damaged.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use ingest::source::Position;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::detect::high_water_marks::HighWaterMarks;

const MAGIC: &[u8; 8] = b"QWCHECK1";

/// How far a source was read, and what its reader then knew.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SourceCheckpoint {
    /// Ends of the log's partitions when this was taken: what the source has published since is
    /// beyond them.
    pub log: Vec<u64>,
    /// Position in each of its streams.
    pub positions: Vec<Position>,
    /// Snapshot of the stream at those positions.
    #[serde(with = "serde_bytes")]
    pub stream: Vec<u8>,
}

/// `sources.checkpoint`: how far `run` has read its sources.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SourceCheckpoints {
    /// By name of the source.
    pub sources: BTreeMap<String, SourceCheckpoint>,
}

/// `detection/<partition>.checkpoint`: what detection of a partition knows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DetectionCheckpoint {
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
    pub files: HighWaterMarks,
    /// Over how many partitions the stream is divided; one if the detector knows all identities.
    pub partitions: u32,
}

/// Reads the newest checkpoint, or the one before if that is damaged; none if there is none yet.
///
/// # Errors
/// If a file cannot be read, or all that are there are damaged.
pub fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    let (newest, before) = (read_one(path), with_suffix(path, "before"));
    match newest {
        Ok(Some(checkpoint)) => Ok(Some(checkpoint)),
        // A crash between two renames leaves only the one before.
        Ok(None) => read_one(&before),
        Err(error) => match read_one(&before) {
            Ok(Some(checkpoint)) => {
                tracing::warn!("{error:#}; the one before it is used");
                // Put aside: the next to be written must not take the place of the whole one.
                match std::fs::rename(path, with_suffix(path, "damaged")) {
                    // Another reader was quicker.
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(Some(checkpoint)),
                    put => put
                        .with_context(|| format!("{} cannot be put aside", path.display()))
                        .map(|()| Some(checkpoint)),
                }
            }
            _ => Err(error),
        },
    }
}

fn read_one<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Option<T>> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
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
    rmp_serde::from_slice(body).map(Some).map_err(|error| anyhow!("{}: {error}", damaged()))
}

/// Writes a checkpoint so that a crash leaves either the old one or the new one, and keeps the old
/// one beside it.
///
/// # Errors
/// If it cannot be written; the ones that were there still hold.
pub fn write<T: Serialize>(path: &Path, checkpoint: &T) -> anyhow::Result<()> {
    let body = rmp_serde::to_vec_named(checkpoint).context("a checkpoint cannot be encoded")?;
    // Of each process its own: one that was stopped in the middle must not write into what
    // another has put in place since.
    let new = with_suffix(path, &format!("{}.new", std::process::id()));
    let write = || -> std::io::Result<()> {
        put(&new, &body)?;
        match std::fs::rename(path, with_suffix(path, "before")) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => std::fs::rename(&new, path)?,
        }
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().with_context(|| format!("the checkpoint {} cannot be written", path.display()))
}

/// Writes a file that is never written again, with nothing kept beside it.
///
/// # Errors
/// If it cannot be written.
pub fn write_alone<T: Serialize>(path: &Path, content: &T) -> anyhow::Result<()> {
    let body = rmp_serde::to_vec_named(content).context("a file cannot be encoded")?;
    let new = with_suffix(path, &format!("{}.new", std::process::id()));
    let write = || -> std::io::Result<()> {
        put(&new, &body)?;
        std::fs::rename(&new, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}

fn put(path: &Path, body: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(MAGIC)?;
    file.write_all(blake3::hash(body).as_bytes())?;
    file.write_all(body)?;
    file.sync_all()
}

/// The path with `.suffix` behind its whole name: files that differ only in their extension must
/// not share one.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoints(position: u64) -> SourceCheckpoints {
        let kept = SourceCheckpoint { log: vec![position], ..Default::default() };
        SourceCheckpoints { sources: [("orders".to_owned(), kept)].into() }
    }

    fn position(path: &Path) -> anyhow::Result<Option<u64>> {
        let read = read::<SourceCheckpoints>(path)?;
        Ok(read.map(|read| read.sources["orders"].log[0]))
    }

    #[test]
    fn a_damaged_checkpoint_is_named_never_believed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sources.checkpoint");
        assert_eq!(position(&path).expect("absent is fine"), None);
        write(&path, &checkpoints(7)).expect("written");
        assert_eq!(position(&path).expect("whole"), Some(7));
        let whole = std::fs::read(&path).expect("bytes");
        for index in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[index] ^= 1;
            std::fs::write(&path, &damaged).expect("written");
            let error = position(&path).expect_err("damaged").to_string();
            assert!(error.contains("sources.checkpoint is damaged"), "{error}");
        }
    }

    #[test]
    fn the_one_before_stands_in_for_a_damaged_or_missing_newest() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("0.checkpoint");
        for number in [7, 8, 9] {
            write(&path, &checkpoints(number)).expect("written");
        }
        assert_eq!(position(&path).expect("whole"), Some(9));
        let whole = std::fs::read(&path).expect("bytes");
        for damaged in [&whole[..0], &whole[..50], b"something else"] {
            std::fs::write(&path, damaged).expect("written");
            assert_eq!(position(&path).expect("the one before"), Some(8));
            assert_eq!(position(&path).expect("it is missing now"), Some(8));
        }
        // What is damaged never takes the place of the whole one before it.
        write(&path, &checkpoints(10)).expect("written");
        assert_eq!(position(&path).expect("whole"), Some(10));
        std::fs::write(&path, b"").expect("written");
        assert_eq!(position(&path).expect("the one before"), Some(8));
    }

    #[test]
    fn files_that_differ_in_their_extension_share_no_temporary_file() {
        let [one, two] = ["a.checkpoint", "a.learnt"].map(|name| with_suffix(name.as_ref(), "new"));
        assert_ne!(one, two);
    }
}
