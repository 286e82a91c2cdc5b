//! One writer per folder: an advisory lock that the system drops when the process ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::LakeError;

/// How long a lock may linger: a process that was just killed, or a child that was forked and is
/// about to become another program, lets go within moments.
const PATIENCE: Duration = Duration::from_millis(300);

const PAUSE: Duration = Duration::from_millis(10);

/// Holds `lake.lock` of a folder for as long as it lives.
#[derive(Debug)]
pub(crate) struct WriterLock {
    _file: File,
}

impl WriterLock {
    /// Says who has the lock, if anybody; changes nothing.
    pub(crate) fn look(folder: &Path) -> Result<(), LakeError> {
        let path = folder.join("lake.lock");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(LakeError::io(&path)(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(()),
            Err(TryLockError::WouldBlock) => {
                Err(LakeError::Locked { folder: folder.to_owned(), holder: holder(file) })
            }
            Err(TryLockError::Error(error)) => Err(LakeError::io(&path)(error)),
        }
    }

    /// Takes the lock, or says who has it.
    pub(crate) fn take(folder: &Path) -> Result<Self, LakeError> {
        let path = folder.join("lake.lock");
        let options =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).clone();
        let mut file = options.open(&path).map_err(LakeError::io(&path))?;
        let until = Instant::now() + PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if Instant::now() < until => {
                    std::thread::sleep(PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    let folder = folder.to_owned();
                    return Err(LakeError::Locked { folder, holder: holder(file) });
                }
                Err(TryLockError::Error(error)) => return Err(LakeError::io(&path)(error)),
            }
        }
        // For the message above only: the lock is what counts.
        let process = std::process::id().to_string();
        let note = file
            .set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(process.as_bytes()));
        note.map_err(LakeError::io(&path))?;
        Ok(Self { _file: file })
    }
}

fn holder(mut file: File) -> String {
    let mut process = String::new();
    match file.read_to_string(&mut process) {
        Ok(_) if process.parse::<u32>().is_ok() => format!("process {process}"),
        _ => "another process".to_owned(),
    }
}
