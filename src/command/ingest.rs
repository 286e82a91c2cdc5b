//! `querywatch ingest`: reads logs that exist to their end, then says what they held.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::Context;
use clap::Args;
use event::vocabulary::CaseChange;
use ingest::LogSettings;
use pipeline::{DataFolder, Settings, SourceSettings, Summary, backfill};

use super::WrongUsage;
use crate::config;
use crate::terminal;

/// Arguments of `ingest`.
#[derive(Args)]
pub struct Ingest {
    /// Folder to store into
    #[arg(long)]
    data: Option<PathBuf>,
    /// Settings; the sources in it are not read
    #[arg(long)]
    config: Option<PathBuf>,
    /// Name of the log format, or auto
    #[arg(long, default_value = "auto")]
    format: String,
    /// Name of the server the logs are of
    #[arg(long, default_value = "default")]
    instance: String,
    /// The server's `log_line_prefix`, if it cannot be recognised
    #[arg(long)]
    log_line_prefix: Option<String>,
    /// The server's time zone (IANA name), for logs that write abbreviations
    #[arg(long)]
    timezone: Option<String>,
    /// Print the summary as one JSON object
    #[arg(long)]
    json: bool,
    /// Files and folders, plain or compressed with gzip or zstd
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

impl Ingest {
    /// Reads everything, then prints the summary.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut config = config::load(self.config.as_deref())?;
        if let Some(data) = self.data {
            config.data = data;
        }
        for file in &self.files {
            let metadata = std::fs::metadata(file);
            metadata.with_context(|| format!("{} cannot be read", file.display()))?;
        }
        let log = LogSettings::from_arguments(
            format(&self.format),
            self.log_line_prefix,
            self.timezone.as_deref(),
        )
        .context(WrongUsage)?;
        let paths = self.files.iter().map(|file| file.display().to_string()).collect();
        let files = SourceSettings::of_files(&self.instance, &self.instance, paths)?;
        let source = SourceSettings { log, ..files };
        let folder = DataFolder::open(&config.data)?;
        let summary = run(&config, &source, &folder, "reading")?;
        if self.json {
            print_json(&summary)?;
        } else {
            print_words(&summary, &config);
        }
        let silent = !summary.files_without_events.is_empty() || summary.files == 0;
        let failed = silent || summary.unread > 0;
        Ok(if failed { ExitCode::from(1) } else { ExitCode::SUCCESS })
    }
}

/// Ingests with a progress bar.
pub fn run(
    config: &Settings,
    source: &SourceSettings,
    folder: &DataFolder,
    what: &'static str,
) -> anyhow::Result<Summary> {
    let runtime = tokio::runtime::Runtime::new().context("no threads for the runtime")?;
    let bar = terminal::byte_bar(0, what);
    let (alerts, cases) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (counted, opened) = (alerts.clone(), cases.clone());
    let shown = bar.clone();
    let mut summary = backfill(
        config,
        source,
        folder,
        runtime.handle(),
        Arc::new(move |alert| {
            counted.fetch_add(1, Relaxed);
            opened.fetch_add(u64::from(alert.change == CaseChange::Opened), Relaxed);
        }),
        Box::new(move |read, all, _events| {
            shown.set_length(all);
            shown.set_position(read);
        }),
    )?;
    bar.finish_and_clear();
    summary.alerts = alerts.load(Relaxed);
    summary.cases = cases.load(Relaxed);
    Ok(summary)
}

/// The name of a format; none for `auto`.
pub fn format(name: &str) -> Option<String> {
    (name != "auto").then(|| name.to_owned())
}

#[expect(clippy::print_stdout, reason = "the summary is the command's output")]
fn print_json(summary: &Summary) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(summary)?);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the summary is the command's output")]
fn print_words(summary: &Summary, config: &Settings) {
    let Summary { files, bytes, records, events, rejects, alerts, cases, seconds, .. } = summary;
    println!(
        "{}, {}: {}, {}, {}, {} of {} in {seconds:.1} s ({:.0} events/s)",
        terminal::count(*files, "file"),
        indicatif::HumanBytes(*bytes),
        terminal::count(*records, "record"),
        terminal::count(*events, "event"),
        terminal::count(*rejects, "reject"),
        terminal::count(*alerts, "new alert"),
        terminal::count(*cases, "new case"),
        summary.events_per_second
    );
    for notice in &summary.notices {
        println!("note: {}", terminal::printable(notice));
    }
    for file in &summary.files_without_events {
        println!("{}: not one event; name its format with --format", terminal::printable(file));
    }
    if std::io::stdout().is_terminal() {
        let data = config.data.display();
        let program = terminal::program();
        println!("\nask: {program} sql --data {data} 'SELECT * FROM alerts ORDER BY risk DESC'");
    }
}
