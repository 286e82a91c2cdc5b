//! Which files the configured paths name at this moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::io;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use thiserror::Error;

use super::content::{FileId, Stamp, describe};
use super::item::Notice;
use super::order::RotationOrder;
use super::settings::FileSourceSettings;

/// The paths cannot be understood.
#[derive(Debug, Error)]
pub enum SelectionError {
    /// A glob pattern is wrong.
    #[error("{pattern}: not a glob pattern: {problem}; escape special characters with []")]
    Pattern {
        /// As configured.
        pattern: String,
        /// What the parser says.
        problem: String,
    },
    /// Nothing to read.
    #[error("paths is empty; name files, folders or patterns")]
    NoPaths,
}

/// The configured paths, parsed.
pub(super) struct Selection {
    roots: Vec<Root>,
    exclude: Vec<(GlobMatcher, bool)>,
    depth_max: usize,
    files_max: usize,
}

struct Root {
    said: String,
    /// The path itself, or the folder in which a pattern begins.
    base: PathBuf,
    pattern: Option<(GlobMatcher, usize)>,
}

/// A file that is there.
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) id: FileId,
    pub(super) stamp: Stamp,
}

/// What one look at the file system gave.
#[derive(Default)]
pub(super) struct Listing {
    /// Oldest first; one file may stand here under several names.
    pub(super) files: Vec<Found>,
    pub(super) problems: Vec<Notice>,
    /// Folders in which a change matters.
    pub(super) folders: BTreeSet<PathBuf>,
}

impl Selection {
    pub(super) fn new(settings: &FileSourceSettings) -> Result<Self, SelectionError> {
        if settings.paths.is_empty() {
            return Err(SelectionError::NoPaths);
        }
        let depth_max = settings.depth_max;
        let roots = settings.paths.iter().map(|said| Root::new(said, depth_max));
        let exclude = settings.exclude.iter().map(|p| Ok((glob(p)?, p.contains('/'))));
        Ok(Self {
            roots: roots.collect::<Result<_, _>>()?,
            exclude: exclude.collect::<Result<_, _>>()?,
            depth_max,
            files_max: settings.files_listed_max,
        })
    }

    pub(super) fn list(&self) -> Listing {
        let mut listing = Listing::default();
        let mut found = BTreeMap::new();
        for root in &self.roots {
            self.list_root(root, &mut found, &mut listing);
        }
        if found.len() > self.files_max {
            listing.problems.push(Notice::TooManyListed { limit: self.files_max });
        }
        listing.files = found.into_values().collect();
        listing.files.sort_by_cached_key(|file| RotationOrder::of(&file.path));
        listing.files.truncate(self.files_max);
        listing
    }

    fn list_root(&self, root: &Root, into: &mut BTreeMap<PathBuf, Found>, listing: &mut Listing) {
        let before = into.len();
        match (std::fs::metadata(&root.base), &root.pattern) {
            (Ok(metadata), pattern) if metadata.is_dir() => {
                let depth = pattern.as_ref().map_or(self.depth_max, |pattern| pattern.1);
                self.list_folder(root, &root.base, depth, into, listing);
            }
            (Ok(metadata), None) => self.keep(root.base.clone(), &metadata, into, listing),
            (Err(error), _) if !is_absent(&root.base, &error) => {
                listing.problems.push(Notice::unreadable(&root.base, &error));
            }
            _ => {}
        }
        let parent = root.base.ancestors().skip(1).find(|folder| folder.is_dir());
        listing.folders.extend(parent.map(Path::to_path_buf));
        if into.len() == before && !root.base.exists() {
            listing.problems.push(Notice::Absent { pattern: root.said.clone() });
        }
    }

    fn list_folder(
        &self,
        root: &Root,
        folder: &Path,
        depth: usize,
        into: &mut BTreeMap<PathBuf, Found>,
        listing: &mut Listing,
    ) {
        listing.folders.insert(folder.to_path_buf());
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return listing.problems.push(Notice::unreadable(folder, &error)),
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder && depth > 0 && !name.starts_with('.') {
                self.list_folder(root, &path, depth - 1, into, listing);
            }
            let wanted = match &root.pattern {
                Some((pattern, _)) => pattern.is_match(&path),
                None => is_log_name(&name),
            };
            if is_folder || !wanted || into.len() > self.files_max {
                continue;
            }
            match std::fs::metadata(&path) {
                Ok(metadata) => self.keep(path, &metadata, into, listing),
                // A name that vanished is no problem; one that leads nowhere is.
                Err(error) if path.is_symlink() || error.kind() != io::ErrorKind::NotFound => {
                    listing.problems.push(Notice::unreadable(&path, &error));
                }
                Err(_) => {}
            }
        }
    }

    fn keep(
        &self,
        path: PathBuf,
        metadata: &Metadata,
        into: &mut BTreeMap<PathBuf, Found>,
        listing: &mut Listing,
    ) {
        let name = path.file_name().unwrap_or_default();
        let excluded = |(glob, whole): &(GlobMatcher, bool)| {
            if *whole { glob.is_match(&path) } else { glob.is_match(name) }
        };
        if self.exclude.iter().any(excluded) || metadata.is_dir() {
            return;
        }
        if !metadata.is_file() || is_foreign_archive(&path) {
            let error = io::Error::new(io::ErrorKind::Unsupported, "not a file that can be read");
            return listing.problems.push(Notice::unreadable(&path, &error));
        }
        if path.is_symlink() {
            let target = path.canonicalize().ok();
            listing.folders.extend(target.and_then(|t| t.parent().map(Path::to_path_buf)));
        }
        let (id, stamp) = describe(metadata);
        into.insert(path.clone(), Found { path, id, stamp });
    }
}

impl Root {
    fn new(said: &str, depth_max: usize) -> Result<Self, SelectionError> {
        // Absolute, as are the paths of notifications.
        let path = std::path::absolute(said).unwrap_or_else(|_| PathBuf::from(said));
        if !said.contains(['*', '?', '[', '{']) || path.exists() {
            return Ok(Self { said: said.to_owned(), base: path, pattern: None });
        }
        let fixed = |part: &Component<'_>| {
            !part.as_os_str().to_string_lossy().contains(['*', '?', '[', '{'])
        };
        let base: PathBuf = path.components().take_while(fixed).collect();
        let levels = path.components().skip_while(fixed).count();
        let depth = if said.contains("**") { depth_max.max(levels) } else { levels - 1 };
        let pattern = glob(&path.to_string_lossy())?;
        Ok(Self { said: said.to_owned(), base, pattern: Some((pattern, depth)) })
    }
}

/// All regular files beside `path` whose names begin as its name does: where rotation put it.
pub(super) fn siblings(path: &Path) -> Vec<Found> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let stem = name.split('.').find(|part| !part.is_empty()).unwrap_or(&name);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let entries = std::fs::read_dir(folder.unwrap_or(Path::new("."))).into_iter().flatten();
    let mut found: Vec<Found> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(stem))
        .filter_map(|entry| {
            let path = entry.path();
            let metadata = std::fs::metadata(&path).ok().filter(Metadata::is_file)?;
            let (id, stamp) = describe(&metadata);
            Some(Found { path, id, stamp })
        })
        .collect();
    found.sort_by_cached_key(|file| RotationOrder::of(&file.path));
    found
}

fn glob(pattern: &str) -> Result<GlobMatcher, SelectionError> {
    let built = GlobBuilder::new(pattern).literal_separator(true).build();
    built.map(|glob| glob.compile_matcher()).map_err(|error| SelectionError::Pattern {
        pattern: pattern.to_owned(),
        problem: error.kind().to_string(),
    })
}

/// A dangling link is there, but broken.
fn is_absent(path: &Path, error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound && !path.is_symlink()
}

fn is_foreign_archive(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("bz2" | "xz" | "lz4" | "zip" | "7z"))
}

/// `x.log`, `x.csv.1.gz`, `syslog`; not `.x.log`, `x.log.tmp`, `x.log.swp`.
fn is_log_name(name: &str) -> bool {
    let kinds = ["log", "csv", "json", "jsonl", "ndjson", "txt", "xml", "audit", "out", "err"];
    let unfinished = ["tmp", "temp", "swp", "swx", "part", "partial", "pid", "lock", "filepart"];
    let mut parts = name.split(['.', '-', '_']);
    let is_kind = |part: &str| kinds.contains(&part) || part.ends_with("log");
    let last = name.rsplit('.').next().unwrap_or(name);
    !name.starts_with('.')
        && !name.ends_with('~')
        && !unfinished.contains(&last)
        && parts.any(is_kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_logs_are_told_from_others() {
        for name in ["x.log", "x.csv.1.gz", "mysqld-slow.log", "syslog", "pg_log-2026.json"] {
            assert!(is_log_name(name), "{name}");
        }
        for name in [".x.log", "x.log.tmp", "x.log.swp", "x.log~", "README.md", "catalog.db.pid"] {
            assert!(!is_log_name(name), "{name}");
        }
    }
}
