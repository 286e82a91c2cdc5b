//! The folder of models: `<root>/<kind>/<instance>/<version>/{model,manifest.json}`. A version is
//! written once and never changed; a reader sees all of it or nothing, also after a crash.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;

use crate::Trained;
use crate::folder::{
    check, create, folder_name, read, read_located, remove, remove_unfinished, subfolders,
    sync_folder,
};
use crate::manifest::{Manifest, date, version, version_date};

/// The models of all instances.
#[derive(Clone, Debug)]
pub struct Registry {
    root: PathBuf,
}

/// What a registry holds.
#[derive(Debug, Default)]
pub struct Listing {
    /// The manifests of the valid versions, by kind, instance and version.
    pub manifests: Vec<Manifest>,
    /// The versions that were skipped, and why.
    pub problems: Vec<RegistryError>,
}

/// Why a model was not written, or not read.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The file system refuses; may succeed later.
    #[error("{}: {error}: check the folder, its owner and the free space", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the file system says.
        error: io::Error,
    },
    /// What is on disk is no model of this program; readers take an older version.
    #[error("{}: {reason}: remove its folder and train the day again", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The version is there with other bytes; it stays as it is.
    #[error(
        "{}: holds other bytes than this version should: remove the folder and publish again",
        path.display()
    )]
    Conflict {
        /// The folder of the version.
        path: PathBuf,
    },
}

impl RegistryError {
    pub(crate) fn io(path: &Path, error: io::Error) -> Self {
        Self::Io { path: path.to_path_buf(), error }
    }

    pub(crate) fn invalid(path: &Path, reason: impl Into<String>) -> Self {
        Self::Invalid { path: path.to_path_buf(), reason: reason.into() }
    }
}

/// Version, bytes of the model, manifest.
pub(crate) type Found = (String, Vec<u8>, Manifest);

impl Registry {
    /// Opens the registry below `root`, which is made if it is not there.
    pub fn open(root: &Path) -> Result<Self, RegistryError> {
        fs::create_dir_all(root).map_err(|error| RegistryError::io(root, error))?;
        Ok(Self { root: root.to_path_buf() })
    }

    /// Writes a model and returns its version. The same bytes again are fine, others are refused.
    pub fn publish(&self, trained: &Trained) -> Result<String, RegistryError> {
        let manifest = &trained.manifest;
        let folder = self.folder(trained.kind, &manifest.instance);
        let target = folder.join(version(manifest.to, &trained.bytes));
        let expected = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        check(&target, manifest, &trained.bytes)?;
        if manifest.version != expected || manifest.kind != trained.kind {
            return Err(RegistryError::invalid(&target, "the manifest is of another version"));
        }
        fs::create_dir_all(&folder).map_err(|error| RegistryError::io(&folder, error))?;
        create(&target, &folder, manifest, &trained.bytes)?;
        for synced in folder.ancestors().take(3) {
            sync_folder(synced)?;
        }
        match read(&target, trained.kind, &manifest.instance) {
            Ok((_, bytes, _)) if bytes == trained.bytes => Ok(expected),
            Err(error @ RegistryError::Io { .. }) => Err(error),
            _ => Err(RegistryError::Conflict { path: target }),
        }
    }

    /// The newest valid model, of the day `on_or_before` (days since 1970) or earlier.
    pub fn newest(
        &self,
        kind: &str,
        instance: &str,
        on_or_before: Option<i32>,
    ) -> Result<Option<Found>, RegistryError> {
        self.newest_and_problems(kind, instance, on_or_before).map(|(found, _)| found)
    }

    /// As [`Self::newest`], with the newer versions that were skipped, and why.
    pub fn newest_and_problems(
        &self,
        kind: &str,
        instance: &str,
        on_or_before: Option<i32>,
    ) -> Result<(Option<Found>, Vec<RegistryError>), RegistryError> {
        let folder = self.folder(kind, instance);
        let mut problems = Vec::new();
        for (to, version) in versions(&folder)?.into_iter().rev() {
            if on_or_before.is_some_and(|day| to > date(day)) {
                continue;
            }
            match read(&folder.join(version), kind, instance) {
                Ok(found) => return Ok((Some(found), problems)),
                Err(problem) => problems.push(problem),
            }
        }
        Ok((None, problems))
    }

    /// Every version of every kind and instance, each read and checked.
    pub fn list(&self) -> Result<Listing, RegistryError> {
        let mut listing = Listing::default();
        for folder in self.instance_folders()? {
            for (_, version) in versions(&folder)? {
                match read_located(&folder.join(version), &folder) {
                    Ok((_, _, manifest)) => listing.manifests.push(manifest),
                    Err(problem) => listing.problems.push(problem),
                }
            }
        }
        listing.manifests.sort_by(|a, b| {
            (&a.kind, &a.instance, &a.version).cmp(&(&b.kind, &b.instance, &b.version))
        });
        Ok(listing)
    }

    /// The instances that have a valid model of this kind, sorted.
    pub fn instances(&self, kind: &str) -> Result<Vec<String>, RegistryError> {
        let mut instances = BTreeSet::new();
        for folder in subfolders(&self.root.join(folder_name(kind)))? {
            let newest = versions(&folder)?.into_iter().rev();
            let valid = newest
                .filter_map(|(_, version)| read_located(&folder.join(version), &folder).ok())
                .next();
            instances.extend(valid.map(|(_, _, manifest)| manifest.instance));
        }
        Ok(instances.into_iter().collect())
    }

    /// Removes what is older than the newest `keep` (at least one) valid versions of each kind and
    /// instance, but no version in `named`, and what crashes left; returns the versions removed.
    pub fn prune(
        &self,
        keep: usize,
        named: &BTreeSet<String>,
    ) -> Result<Vec<PathBuf>, RegistryError> {
        let mut removed = Vec::new();
        for folder in self.instance_folders()? {
            remove_unfinished(&folder)?;
            let mut valid = 0;
            for (_, version) in versions(&folder)?.into_iter().rev() {
                let path = folder.join(&version);
                if valid < keep.max(1) {
                    valid += usize::from(read_located(&path, &folder).is_ok());
                } else if !named.contains(&version) {
                    remove(&path, &folder)?;
                    removed.push(path);
                }
            }
        }
        Ok(removed)
    }

    fn folder(&self, kind: &str, instance: &str) -> PathBuf {
        self.root.join(folder_name(kind)).join(folder_name(instance))
    }

    fn instance_folders(&self) -> Result<Vec<PathBuf>, RegistryError> {
        let mut folders = Vec::new();
        for kind in subfolders(&self.root)? {
            folders.extend(subfolders(&kind)?);
        }
        Ok(folders)
    }
}

/// The versions in a folder, the oldest first; no folder, no versions.
fn versions(folder: &Path) -> Result<Vec<(NaiveDate, String)>, RegistryError> {
    let mut versions: Vec<(NaiveDate, String)> = subfolders(folder)?
        .iter()
        .filter_map(|path| path.file_name()?.to_str())
        .filter_map(|name| Some((version_date(name)?, String::from(name))))
        .collect();
    versions.sort();
    Ok(versions)
}
