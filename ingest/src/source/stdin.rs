//! What is piped into the program: whole lines go to the spool before more is read.

use std::io::{self, Read};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::kind::SourceError;
use super::spool::Spool;

/// Bytes that are read, and made durable, at once.
const READ_BYTES: usize = 256 << 10;

/// How long a full spool, or a disk that refuses, is waited for.
const PAUSE: Duration = Duration::from_millis(100);

/// Settings of the standard input as a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StdinSettings {
    /// The most bytes spooled and not yet read; then the writer of the pipe waits.
    pub spool_bytes_max: u64,
}

impl Default for StdinSettings {
    fn default() -> Self {
        Self { spool_bytes_max: 4 << 30 }
    }
}

impl StdinSettings {
    pub(super) fn start(
        &self,
        spool: Spool,
        shutdown: &CancellationToken,
    ) -> Result<(), SourceError> {
        let shutdown = shutdown.clone();
        let run = move || {
            if let Err(error) = copy(&mut io::stdin().lock(), spool, &shutdown) {
                tracing::error!(%error, "the standard input cannot be read any more");
            }
        };
        let thread = std::thread::Builder::new().name("stdin".to_owned()).spawn(run);
        let what = "the standard input needs a thread".to_owned();
        thread.map(drop).map_err(|error| SourceError::Receive { what, error })
    }
}

/// Copies whole lines until the input ends; a last line without an end gets one.
fn copy(input: &mut impl Read, mut spool: Spool, shutdown: &CancellationToken) -> io::Result<()> {
    let mut pending = Vec::with_capacity(READ_BYTES);
    loop {
        let read = read_some(input, &mut pending)?;
        if read == 0 && !pending.is_empty() {
            pending.push(b'\n');
        }
        let lines = memchr::memrchr(b'\n', &pending).map_or(0, |newline| newline + 1);
        if lines > 0 {
            if !store(&mut spool, &pending[..lines], shutdown)? {
                return Ok(());
            }
            pending.drain(..lines);
        }
        if read == 0 || shutdown.is_cancelled() {
            return Ok(());
        }
    }
}

/// Appends the lines once there is room; false if the program is to end before that. What was read
/// is tried once even then: standard input cannot be read again.
pub(super) fn store(
    spool: &mut Spool,
    lines: &[u8],
    shutdown: &CancellationToken,
) -> io::Result<bool> {
    let mut is_reported = false;
    loop {
        let stored = match spool.is_full() {
            Ok(true) => None,
            Ok(false) => Some(spool.append(lines)),
            Err(error) => Some(Err(error)),
        };
        match stored {
            Some(Ok(())) => return Ok(true),
            Some(Err(error)) if !is_reported => {
                is_reported = true;
                tracing::warn!(%error, "the spool cannot be written; senders wait");
            }
            _ => {}
        }
        if shutdown.is_cancelled() {
            return Ok(false);
        }
        std::thread::sleep(PAUSE);
    }
}

/// Appends what one read gives.
fn read_some(input: &mut impl Read, out: &mut Vec<u8>) -> io::Result<usize> {
    let from = out.len();
    out.resize(from + READ_BYTES, 0);
    let read = loop {
        match input.read(&mut out[from..]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => break read,
        }
    };
    out.truncate(from + read.as_ref().map_or(0, |read| *read));
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_a_stop_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(folder.path(), u64::MAX).expect("opened");
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        copy(&mut &b"one\n"[..], spool, &shutdown).expect("copied");
        let mut files = std::fs::read_dir(folder.path()).expect("a folder");
        let file = files.next().expect("a file").expect("readable");
        assert_eq!(std::fs::read_to_string(file.path()).expect("readable"), "one\n");
    }

    #[test]
    fn lines_are_spooled_whole_and_the_last_one_is_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = Spool::open(folder.path(), u64::MAX).expect("opened");
        let mut input = (&b"one\ntw"[..]).chain(&b"o\nthree"[..]);
        copy(&mut input, spool, &CancellationToken::new()).expect("copied");
        let files = std::fs::read_dir(folder.path()).expect("a folder");
        let texts = files
            .map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("readable"));
        assert_eq!(texts.collect::<String>(), "one\ntwo\nthree\n");
    }
}
