//! What is piped into the program: it goes to the spool before more is read.

use std::io::{self, Read};

use open_set::KindSettings;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::kind::{Examined, Kind, Source, SourceError, Start, WrongSetting};
use super::received::Received;
use super::spool::{Spool, SpoolWriter, check_spool};

/// Bytes that are read, and made durable, at once.
const READ_BYTES: usize = 256 << 10;

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

impl KindSettings for StdinSettings {
    const NAME: &'static str = "stdin";
}

impl Kind for StdinSettings {
    fn places(&self) -> Vec<String> {
        vec!["standard input".to_owned()]
    }

    fn exclusive(&self) -> Option<String> {
        Some("standard input".to_owned())
    }

    fn check(&self) -> Result<(), WrongSetting> {
        check_spool(self.spool_bytes_max)
    }

    fn examine(&self, _format: Option<&str>) -> Vec<Examined> {
        vec![Examined { place: "standard input".to_owned(), problem: None }]
    }

    fn open(&self, start: Start<'_>) -> Result<Box<dyn Source>, SourceError> {
        let spool = Spool::open(&start, self.spool_bytes_max)?;
        let (writer, shutdown) = (spool.writer(), start.shutdown.clone());
        let run = move || {
            if let Err(error) = copy(&mut io::stdin().lock(), writer, &shutdown) {
                tracing::error!("standard input is read no more: {error}");
            }
        };
        let thread = std::thread::Builder::new().name("stdin".to_owned()).spawn(run);
        thread.map_err(|error| {
            let what = "standard input needs a thread".to_owned();
            SourceError::Receive { what, error }
        })?;
        Received::follow(spool, &start)
    }
}

/// Copies until the input ends. A part of a line is kept too: its rest follows, or never comes.
fn copy(
    input: &mut impl Read,
    mut writer: SpoolWriter,
    shutdown: &CancellationToken,
) -> io::Result<()> {
    let mut buffer = vec![0; READ_BYTES];
    while !shutdown.is_cancelled() {
        writer.wait_for_room(shutdown);
        match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => writer.keep(&buffer[..read], shutdown)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a last part of a line as the program is told to stop.
    struct Stop(CancellationToken);

    impl Read for Stop {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            self.0.cancel();
            out[..3].copy_from_slice(b"thr");
            Ok(3)
        }
    }

    #[test]
    fn what_was_read_is_kept_to_the_last_byte() {
        let folder = tempfile::tempdir().expect("a folder");
        let shutdown = CancellationToken::new();
        let start = Start {
            instance: "orders",
            spool: folder.path(),
            positions: &[],
            shutdown: shutdown.clone(),
        };
        let spool = Spool::open(&start, u64::MAX).expect("opened");
        let mut input = (&b"one\ntw"[..]).chain(&b"o\n"[..]).chain(Stop(shutdown.clone()));
        copy(&mut input, spool.writer(), &shutdown).expect("copied");
        let files = std::fs::read_dir(folder.path()).expect("a folder");
        let texts = files
            .map(|file| std::fs::read_to_string(file.expect("a file").path()).expect("readable"));
        assert_eq!(texts.collect::<String>(), "one\ntwo\nthr");
    }
}
