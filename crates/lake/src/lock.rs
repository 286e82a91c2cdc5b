//! Who may do what in a folder: advisory locks that the system drops when a process ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::LakeError;

/// How long a lock may linger: a process that was just killed, or a child that was forked and is
/// about to become another program, lets go within moments.
const PATIENCE: Duration = Duration::from_millis(300);

/// How long another process may take to create the tables or to change their schema.
const OPENING: Duration = Duration::from_secs(10);

const PAUSE: Duration = Duration::from_millis(10);

/// What the note in `lake.lock` says while several processes have it.
const SHARED: &str = "shared";

/// Whether other processes may write the lake at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody else may. Positions need no claim.
    Alone,
    /// Others who share it may. Only positions that were claimed are moved.
    Shared,
}

/// Holds a file's lock for as long as it lives.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Says who keeps the lake in `folder` from being written so, if anybody; changes nothing.
    pub(crate) fn look(folder: &Path, sharing: Sharing) -> Result<(), LakeError> {
        let path = folder.join("lake.lock");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(LakeError::io(&path)(error)),
        };
        match is_taken(&file, &path, sharing, Duration::ZERO)? {
            true => Ok(()),
            false => Err(locked(folder, holder(file))),
        }
    }

    /// Takes the right to write the lake in `folder`, or says who has it.
    pub(crate) fn write(folder: &Path, sharing: Sharing) -> Result<Self, LakeError> {
        let path = folder.join("lake.lock");
        let mut file = create(&path)?;
        if !is_taken(&file, &path, sharing, PATIENCE)? {
            return Err(locked(folder, holder(file)));
        }
        // For the message above only: the lock is what counts.
        let note = match sharing {
            Sharing::Alone => std::process::id().to_string(),
            Sharing::Shared => SHARED.to_owned(),
        };
        let noted = file
            .set_len(0)
            .and_then(|()| file.seek(SeekFrom::Start(0)))
            .and_then(|_| file.write_all(note.as_bytes()));
        noted.map_err(LakeError::io(&path))?;
        Ok(Self { _file: file })
    }

    /// Takes the right to create the tables or to change their schema; waits for others who do.
    pub(crate) async fn open(folder: &Path) -> Result<Self, LakeError> {
        let path = folder.join("open.lock");
        let file = create(&path)?;
        let until = Instant::now() + OPENING;
        while !is_taken(&file, &path, Sharing::Alone, Duration::ZERO)? {
            if Instant::now() >= until {
                return Err(locked(folder, "a process that does not end to open it".to_owned()));
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(Self { _file: file })
    }

    /// Takes the right to merge and delete files, if nobody has it.
    pub(crate) fn upkeep(folder: &Path) -> Result<Option<Self>, LakeError> {
        let path = folder.join("upkeep.lock");
        let file = create(&path)?;
        let is_taken = is_taken(&file, &path, Sharing::Alone, Duration::ZERO)?;
        Ok(is_taken.then_some(Self { _file: file }))
    }
}

fn create(path: &Path) -> Result<File, LakeError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).map_err(LakeError::io(path))
}

fn is_taken(
    file: &File,
    path: &Path,
    sharing: Sharing,
    patience: Duration,
) -> Result<bool, LakeError> {
    let until = Instant::now() + patience;
    loop {
        let taken = match sharing {
            Sharing::Alone => file.try_lock(),
            Sharing::Shared => file.try_lock_shared(),
        };
        match taken {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(LakeError::io(path)(error)),
        }
    }
}

fn locked(folder: &Path, holder: String) -> LakeError {
    LakeError::Locked { folder: folder.to_owned(), holder }
}

fn holder(mut file: File) -> String {
    let mut note = String::new();
    match file.read_to_string(&mut note) {
        Ok(_) if note.parse::<u32>().is_ok() => format!("process {note}"),
        Ok(_) if note == SHARED => "processes that share it".to_owned(),
        _ => "another process".to_owned(),
    }
}
