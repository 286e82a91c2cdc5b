//! What a network source receives, kept in files until it is read: bytes are on the disk before
//! the sender may forget them, and are then followed like any log.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::position::FilePosition;

/// How large a file becomes before the next one is begun.
const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// Ends the name of each file.
const EXTENSION: &str = "log";

/// The files of one source, of which the last one grows.
pub(super) struct Spool {
    folder: PathBuf,
    file: File,
    number: u64,
    length: u64,
    bytes_max: u64,
}

impl Spool {
    /// Begins a new file in `folder`, which is made if it is missing; all files together take
    /// about `bytes_max` bytes at most.
    pub(super) fn open(folder: &Path, bytes_max: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let number = segments(folder)?.last().map_or(0, |(number, _)| number + 1);
        let file = create(folder, number)?;
        Ok(Self { folder: folder.to_owned(), file, number, length: 0, bytes_max })
    }

    /// Whether it takes no more until something of it has been read and removed.
    pub(super) fn is_full(&self) -> io::Result<bool> {
        let mut bytes = 0;
        for (_, path) in segments(&self.folder)? {
            // One that has just been removed takes no room.
            bytes += fs::metadata(path).map_or(0, |metadata| metadata.len());
        }
        Ok(bytes >= self.bytes_max)
    }

    /// Appends whole lines. When it returns they are on the disk.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.length >= SEGMENT_BYTES_MAX {
            self.file = create(&self.folder, self.number + 1)?;
            self.number += 1;
            self.length = 0;
        }
        let appended = self.file.write_all(lines).and_then(|()| self.file.sync_data());
        if appended.is_err() {
            // Whatever part of them is there goes, since they will come again.
            self.file.set_len(self.length)?;
            return appended;
        }
        self.length += lines.len() as u64;
        Ok(())
    }
}

/// Removes the files that are durable elsewhere to their end, but for the one that grows.
pub(super) fn remove_read(folder: &Path, durable: &[FilePosition]) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let mut segments = segments(folder)?;
    segments.pop();
    for (_, path) in segments {
        let metadata = fs::metadata(&path)?;
        let is_read = durable.iter().any(|position| {
            // An inode is given to another file once its own is removed; a name never is.
            Path::new(&position.path) == path
                && (position.device, position.inode) == (metadata.dev(), metadata.ino())
                && position.offset >= metadata.len()
        });
        if is_read || metadata.len() == 0 {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// The files, oldest first.
fn segments(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_segment = path.extension().is_some_and(|extension| extension == EXTENSION);
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        segments.extend(number.filter(|_| is_segment).map(|number: u64| (number, path)));
    }
    segments.sort();
    Ok(segments)
}

/// A new file whose name survives a crash of the machine.
fn create(folder: &Path, number: u64) -> io::Result<File> {
    let path = folder.join(format!("{number:020}.{EXTENSION}"));
    let file = File::options().append(true).create_new(true).open(path)?;
    File::open(folder)?.sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_spool_takes_more_once_something_was_read() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().expect("a folder");
        let mut spool = Spool::open(folder.path(), 4).expect("opened");
        assert!(!spool.is_full().expect("listed"));
        spool.append(b"line\n").expect("appended");
        assert!(spool.is_full().expect("listed"));
        let again = Spool::open(folder.path(), 4).expect("opened again");
        remove_read(folder.path(), &[]).expect("nothing is read");
        assert!(again.is_full().expect("listed"));
        let first = &segments(folder.path()).expect("listed")[0].1;
        let metadata = fs::metadata(first).expect("there");
        let mut position = FilePosition::default();
        (position.device, position.inode) = (metadata.dev(), metadata.ino());
        position.offset = 5;
        position.path = "removed/00000000000000000000.log".to_owned();
        remove_read(folder.path(), &[position.clone()]).expect("another file had this inode");
        assert!(again.is_full().expect("listed"));
        position.path = first.display().to_string();
        remove_read(folder.path(), &[position]).expect("removed");
        assert!(!again.is_full().expect("listed"));
    }
}
