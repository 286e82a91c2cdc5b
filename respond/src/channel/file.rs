//! A file that grows by one line of JSON for each case event, for whatever reads logs.
//!
//! A line is on the disk before it counts as delivered. Another program may rename or remove the
//! file: the next line starts a new one.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use open_set::KindSettings;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::channel::{Channel, Kind, Opened, Opening, Receipt, SendError};
use crate::notification::Notification;
use crate::respond::RespondError;

/// `file`: where lines are appended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileSettings {
    /// An absolute path in a folder that is there. A new file is its owner's alone (mode 0600);
    /// one that is there keeps its mode.
    pub path: String,
}

/// A file that lines are appended to.
struct FileChannel {
    path: PathBuf,
    timeout: Duration,
    open: Arc<Mutex<Option<File>>>,
}

impl KindSettings for FileSettings {
    const NAME: &'static str = "file";
}

impl Kind for FileSettings {
    fn receiver(&self) -> &str {
        &self.path
    }

    fn open(&self, opening: &Opening<'_>) -> Opened {
        let path = PathBuf::from(&self.path);
        let wrong = |problem: String| RespondError::Settings {
            setting: opening.setting::<Self>("path"),
            problem,
        };
        if !path.is_absolute() || path.file_name().is_none() {
            return Err(wrong("must be an absolute path of a file".to_owned()));
        }
        if !path.parent().is_some_and(Path::is_dir) {
            return Err(wrong(format!("is in a folder that is not there: {}", path.display())));
        }
        match path.symlink_metadata() {
            Ok(found) => refuse_irregular(&found).map_err(|error| wrong(error.to_string()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(wrong(format!("cannot be looked at: {error}"))),
        }
        let timeout = Duration::from_secs(opening.limits.timeout_seconds.into());
        Ok(Box::new(FileChannel { path, timeout, open: Arc::default() }))
    }
}

#[async_trait]
impl Channel for FileChannel {
    async fn send(&self, note: &Notification) -> Result<Receipt, SendError> {
        let line = note
            .line()
            .map_err(|error| SendError::Refused { reason: format!("no JSON: {error}") })?;
        let (path, open) = (self.path.clone(), Arc::clone(&self.open));
        let appending = async move {
            // Waited for here: a disk that hangs holds one thread, however many events come.
            let mut open = open.lock_owned().await;
            tokio::task::spawn_blocking(move || append(&mut open, &path, &line)).await
        };
        let retry = |reason: String| SendError::Retry { after: None, reason };
        match tokio::time::timeout(self.timeout, appending).await {
            Ok(Ok(Ok(()))) => Ok(Receipt { answer: "appended".to_owned() }),
            Ok(Ok(Err(error))) => Err(retry(format!("the file cannot be appended to: {error}"))),
            Ok(Err(error)) => Err(retry(format!("appending ended: {error}"))),
            Err(_) => Err(retry("the disk did not answer in time".to_owned())),
        }
    }
}

/// Appends the line to the file that has the path now, durably.
fn append(open: &mut Option<File>, path: &Path, line: &[u8]) -> io::Result<()> {
    let is_same = |file: &File| -> io::Result<bool> {
        let (ours, there) = (file.metadata()?, path.symlink_metadata()?);
        Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
    };
    let kept = open.take().filter(|file| is_same(file).unwrap_or(false));
    let mut file = match kept {
        Some(file) => file,
        None => open_durably(path)?,
    };
    // Processes that share the state append to one file.
    file.lock()?;
    let appended = write_line(&mut file, line);
    file.unlock()?;
    appended?;
    *open = Some(file);
    Ok(())
}

/// Opens or creates the file; a created one survives the loss of power.
fn open_durably(path: &Path) -> io::Result<File> {
    // Without `NONBLOCK` a pipe would be waited for before it could be refused.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let mut options = OpenOptions::new();
    options.create(true).append(true).read(true).mode(0o600).custom_flags(flags.cast_signed());
    let file = options.open(path)?;
    let found = file.metadata()?;
    refuse_irregular(&found)?;
    if found.len() == 0
        && let Some(folder) = path.parent()
    {
        File::open(folder)?.sync_all()?;
    }
    Ok(file)
}

/// A line that an attempt left unfinished is ended first.
fn write_line(file: &mut File, line: &[u8]) -> io::Result<()> {
    let mut whole = Vec::with_capacity(line.len() + 1);
    if let Some(last) = file.metadata()?.len().checked_sub(1) {
        let mut end = [0];
        file.read_exact_at(&mut end, last)?;
        if end != *b"\n" {
            whole.push(b'\n');
        }
    }
    whole.extend_from_slice(line);
    file.write_all(&whole)?;
    file.sync_data()
}

fn refuse_irregular(found: &Metadata) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    let kind = if found.is_symlink() { "a symbolic link" } else { "not a regular file" };
    Err(io::Error::other(format!("is {kind}; name the file itself")))
}
