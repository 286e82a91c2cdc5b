//! One version of a model on disk: a folder with two files that is written beside, made durable,
//! and renamed; a reader believes nothing of it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::manifest::Manifest;
use crate::registry::{Found, RegistryError};
use crate::trainer::FORMAT_VERSION;

const MODEL: &str = "model";
const MANIFEST: &str = "manifest.json";
const MODEL_BYTES_MAX: u64 = 1 << 29;
const MANIFEST_BYTES_MAX: u64 = 1 << 20;
/// Folders that are being written or removed; no version begins like this.
const UNFINISHED: &str = ".unfinished-";
/// Nobody writes a model for so long: what is left is of a crash.
const UNFINISHED_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Longer names of instances are hashed.
const PLAIN_NAME_MAX: usize = 64;

/// A folder name for a hostile name: the name itself if it is short and plain; otherwise its plain
/// characters and its BLAKE3, parted by `~`, which no plain name has.
pub(crate) fn folder_name(name: &str) -> String {
    let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    let is_whole = name.len() <= PLAIN_NAME_MAX
        && name.bytes().all(is_plain)
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && !name.ends_with('.');
    if is_whole {
        return String::from(name);
    }
    let shown: String = name
        .bytes()
        .filter(|byte| is_plain(*byte) && *byte != b'.')
        .take(32)
        .map(char::from)
        .collect();
    format!("{shown}~{}", blake3::hash(name.as_bytes()).to_hex())
}

/// Writes a version unless its folder is there.
pub(crate) fn create(
    target: &Path,
    folder: &Path,
    manifest: &Manifest,
    model: &[u8],
) -> Result<(), RegistryError> {
    if target.exists() {
        return Ok(());
    }
    let json = serde_json::to_vec_pretty(manifest)
        .map_err(|error| RegistryError::invalid(target, error.to_string()))?;
    let unfinished = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(folder)
        .map_err(|error| RegistryError::io(folder, error))?;
    write_synced(&unfinished.path().join(MODEL), model)?;
    write_synced(&unfinished.path().join(MANIFEST), &json)?;
    sync_folder(unfinished.path())?;
    match fs::rename(unfinished.path(), target) {
        Ok(()) => {
            // The temporary folder has become the version: nothing is left to remove.
            let _ = unfinished.keep();
            Ok(())
        }
        // Another publisher was first.
        Err(_) if target.exists() => Ok(()),
        Err(error) => Err(RegistryError::io(target, error)),
    }
}

/// Reads a version of this kind and instance.
pub(crate) fn read(target: &Path, kind: &str, instance: &str) -> Result<Found, RegistryError> {
    let path = target.join(MANIFEST);
    let json = read_bounded(&path, MANIFEST_BYTES_MAX)?;
    let manifest: Manifest = serde_json::from_slice(&json)
        .map_err(|error| RegistryError::invalid(&path, error.to_string()))?;
    let version = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if (&*manifest.kind, &*manifest.instance, &manifest.version) != (kind, instance, &version) {
        return Err(RegistryError::invalid(&path, "is of another kind, instance or version"));
    }
    let path = target.join(MODEL);
    let model = read_bounded(&path, MODEL_BYTES_MAX)?;
    check(&path, &manifest, &model)?;
    Ok((version, model, manifest))
}

/// Reads a version of the kind and instance that its own manifest names, if they belong in the
/// folder.
pub(crate) fn read_located(target: &Path, folder: &Path) -> Result<Found, RegistryError> {
    let path = target.join(MANIFEST);
    let json = read_bounded(&path, MANIFEST_BYTES_MAX)?;
    let manifest: Manifest = serde_json::from_slice(&json)
        .map_err(|error| RegistryError::invalid(&path, error.to_string()))?;
    let place = Path::new(&folder_name(&manifest.kind)).join(folder_name(&manifest.instance));
    if !folder.ends_with(place) {
        return Err(RegistryError::invalid(&path, "lies in the folder of another instance"));
    }
    read(target, &manifest.kind, &manifest.instance)
}

/// Whether the manifest tells the truth about the model.
pub(crate) fn check(path: &Path, manifest: &Manifest, model: &[u8]) -> Result<(), RegistryError> {
    let invalid = |reason: &str| Err(RegistryError::invalid(path, reason));
    if model.len() as u64 != manifest.bytes || manifest.bytes > MODEL_BYTES_MAX {
        return invalid("has another size than its manifest says, or over 512 MiB");
    }
    if *blake3::hash(model).to_hex() != *manifest.sum {
        return invalid("has another sum than its manifest says");
    }
    if model.first() != Some(&FORMAT_VERSION) {
        return invalid("has a format that this program version does not read");
    }
    if manifest.evaluation.values().any(|figure| !figure.is_finite()) {
        return invalid("has a figure in its evaluation that is no number");
    }
    Ok(())
}

/// Removes a version: first out of the sight of readers, then from the disk.
pub(crate) fn remove(target: &Path, folder: &Path) -> Result<(), RegistryError> {
    let doomed = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempdir_in(folder)
        .map_err(|error| RegistryError::io(folder, error))?;
    fs::rename(target, doomed.path()).map_err(|error| RegistryError::io(target, error))?;
    doomed.close().map_err(|error| RegistryError::io(target, error))
}

/// Removes the temporary folders that crashes left.
pub(crate) fn remove_unfinished(folder: &Path) -> Result<(), RegistryError> {
    let entries = fs::read_dir(folder).map_err(|error| RegistryError::io(folder, error))?;
    for entry in entries {
        let entry = entry.map_err(|error| RegistryError::io(folder, error))?;
        let is_unfinished = entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes());
        let age = entry.metadata().and_then(|found| found.modified()).map(|at| at.elapsed());
        let is_old = matches!(age, Ok(Ok(age)) if age > UNFINISHED_AGE_MAX);
        if is_unfinished && is_old {
            let path = entry.path();
            fs::remove_dir_all(&path).map_err(|error| RegistryError::io(&path, error))?;
        }
    }
    Ok(())
}

/// The folders in a folder that are not hidden, sorted.
pub(crate) fn subfolders(folder: &Path) -> Result<Vec<PathBuf>, RegistryError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(RegistryError::io(folder, error)),
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| RegistryError::io(folder, error))?;
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !is_hidden && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            folders.push(entry.path());
        }
    }
    folders.sort();
    Ok(folders)
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), RegistryError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| RegistryError::io(folder, error))
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), RegistryError> {
    File::create_new(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(|error| RegistryError::io(path, error))
}

fn read_bounded(path: &Path, bytes_max: u64) -> Result<Vec<u8>, RegistryError> {
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(RegistryError::invalid(path, "is missing"));
        }
        Err(error) => return Err(RegistryError::io(path, error)),
    };
    // Neither a pipe that never ends nor a file that fills the memory.
    if !found.is_file() || found.len() > bytes_max {
        return Err(RegistryError::invalid(path, "is no file, or too large"));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(bytes_max).read_to_end(&mut bytes))
        .map_err(|error| RegistryError::io(path, error))?;
    Ok(bytes)
}
