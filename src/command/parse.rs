//! `querywatch parse`: the events of one log as NDJSON; what could not be read on standard error.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use detect::{DetectSettings, Detector, RuleSet};
use event::EventId;
use ingest::{LogSettings, Stream};

use super::WrongUsage;
use super::ingest::format;

/// Bytes read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Arguments of `parse`.
#[derive(Args)]
pub struct Parse {
    /// Name of the log format, or auto
    #[arg(long, default_value = "auto")]
    format: String,
    /// The server's `log_line_prefix`, if it cannot be recognised
    #[arg(long)]
    log_line_prefix: Option<String>,
    /// The server's time zone (IANA name), for logs that write abbreviations
    #[arg(long)]
    timezone: Option<String>,
    /// The log; `-` or nothing is standard input
    file: Option<PathBuf>,
}

impl Parse {
    /// Reads to the end. A log that gives no event at all is an error.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let log = LogSettings::from_arguments(
            format(&self.format),
            self.log_line_prefix,
            self.timezone.as_deref(),
        )
        .context(WrongUsage)?;
        let name = self.file.as_ref().map_or("-".to_owned(), |file| file.display().to_string());
        let mut input: Box<dyn Read> = match &self.file {
            Some(file) if file.as_os_str() != "-" => Box::new(
                File::open(file).with_context(|| format!("{} cannot be read", file.display()))?,
            ),
            _ => Box::new(std::io::stdin().lock()),
        };
        let mut reader = Reader {
            stream: Stream::new(log.stream("parse", "default")),
            out: BufWriter::new(std::io::stdout().lock()),
            rejects: BufWriter::new(std::io::stderr().lock()),
            detector: Detector::new(&DetectSettings::default(), RuleSet::builtin()?)?,
            events: 0,
        };
        let read = reader.read(&mut *input, &name)?;
        reader.out.flush().context("standard output cannot be written")?;
        reader.rejects.flush().context("standard error cannot be written")?;
        if read > 0 && reader.events == 0 {
            drop(reader);
            let hint = "name its format with --format";
            anyhow::bail!("{name}: {read} bytes and not one event; {hint}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

struct Reader<'a> {
    stream: Stream,
    out: BufWriter<std::io::StdoutLock<'a>>,
    rejects: BufWriter<std::io::StderrLock<'a>>,
    detector: Detector,
    events: u64,
}

impl Reader<'_> {
    fn read(&mut self, input: &mut dyn Read, name: &str) -> anyhow::Result<u64> {
        // The same input gives the same ids, whatever the file is called.
        let file = EventId::of(&[b"parse"]);
        let received = pipeline::clock();
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut offset = 0;
        loop {
            let length =
                input.read(&mut chunk).with_context(|| format!("{name} cannot be read"))?;
            self.stream.feed(file, offset, &chunk[..length], length == 0, received);
            offset += length as u64;
            self.write(length == 0)?;
            if length == 0 {
                return Ok(offset);
            }
        }
    }

    fn write(&mut self, flush: bool) -> anyhow::Result<()> {
        while let Some(decoded) = self.stream.take(flush) {
            self.events += decoded.events.len() as u64;
            let events = self.detector.observe(decoded.events).batch;
            for row in events.rows().iter() {
                serde_json::to_writer(&mut self.out, &row)?;
                self.out.write_all(b"\n").context("standard output cannot be written")?;
            }
            for reject in &decoded.rejects {
                serde_json::to_writer(&mut self.rejects, reject)?;
                self.rejects.write_all(b"\n").context("standard error cannot be written")?;
            }
        }
        Ok(())
    }
}
