//! The few file operations the log is built on, so that tests can put a disk beneath it that
//! crashes, tears writes, fails to sync or is full. [`FileDisk`] is the real one.

use std::any::Any;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise, statvfs};

/// A folder tree. What it changes survives a crash only after [`Disk::sync_directory`].
pub trait Disk: Send + Sync + 'static {
    /// Creates a folder and its parents; it may exist.
    fn create_directory(&self, directory: &Path) -> io::Result<()>;
    /// The names in a folder, in any order.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;
    /// Creates a file for reading and writing; an existing one is an error.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Renames a file, replacing the target in one step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes creations, removals and renames in a folder durable.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;
    /// How long ago a file was last written.
    fn age(&self, path: &Path) -> io::Result<Duration>;
    /// Bytes that are free where the folder is.
    fn free(&self, directory: &Path) -> io::Result<u64>;
    /// Takes a lock that one process can hold, until the returned value is dropped.
    /// `WouldBlock` if it is held.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>>;
}

/// A file. What is written survives a crash only after [`DiskFile::sync`].
pub trait DiskFile: Send + Sync {
    /// Reads up to `buffer.len()` bytes; fewer only at the end of the file.
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes all bytes; after an error any part of them may be in the file.
    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()>;
    /// Size in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Cuts the file to a size.
    fn truncate(&self, size: u64) -> io::Result<()>;
    /// Makes all writes durable. After an error nothing is known about any write since the last
    /// success, and another call on this file may succeed without having written them.
    fn sync(&self) -> io::Result<()>;
    /// Drops what memory caches of the file, so that reads show what the medium holds.
    fn forget_cache(&self) -> io::Result<()>;
}

/// The operating system's file system.
#[derive(Debug, Clone, Copy)]
pub struct FileDisk;

impl Disk for FileDisk {
    fn create_directory(&self, directory: &Path) -> io::Result<()> {
        fs::create_dir_all(directory)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(directory)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).create_new(true).open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        File::open(directory)?.sync_all()
    }

    fn age(&self, path: &Path) -> io::Result<Duration> {
        // A clock that was set back makes a file look young: it is kept longer, never shorter.
        Ok(fs::metadata(path)?.modified()?.elapsed().unwrap_or_default())
    }

    fn free(&self, directory: &Path) -> io::Result<u64> {
        let numbers = statvfs(directory)?;
        Ok(numbers.f_bavail.saturating_mul(numbers.f_frsize))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        // A process that was just killed, or a child that was forked and is about to become
        // another program, lets go within moments.
        let until = Instant::now() + Duration::from_millis(300);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Box::new(file)),
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::WouldBlock.into()),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }
}

impl DiskFile for File {
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match FileExt::read_at(self, &mut buffer[filled..], position + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, position)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn forget_cache(&self) -> io::Result<()> {
        Ok(fadvise(self, 0, None, Advice::DontNeed)?)
    }
}
