//! `querywatch run`: watches the configured sources until it is told to stop.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use event::Alert;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::pipeline::Running;
use crate::pipeline::folder::DataFolder;
use crate::terminal::printable;

/// Arguments of `run`.
#[derive(Args)]
pub struct Run {
    /// Settings
    #[arg(long)]
    config: Option<PathBuf>,
    /// Folder to store into
    #[arg(long)]
    data: Option<PathBuf>,
    /// Which part of the work; several machines need a shared bus
    #[arg(long, value_enum, default_value_t = Role::All)]
    role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    All,
    Collect,
    Detect,
    Serve,
}

impl Run {
    /// Runs until SIGINT or SIGTERM, or until a part fails.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut config = Config::load(self.config.as_deref())?;
        if let Some(data) = self.data {
            config.data = data;
        }
        ensure!(
            self.role == Role::All,
            "the embedded bus serves one process; use `--role all` (parts on several machines \
             need a bus that is shared, which this version does not have)"
        );
        ensure!(
            !config.sources.is_empty(),
            "no sources are configured; add [[sources]] with name and files.paths \
             (`querywatch config defaults` shows how)"
        );
        let folder = DataFolder::open(&config.data)?;
        let runtime = tokio::runtime::Runtime::new().context("no threads for the runtime")?;
        runtime.block_on(async {
            let running = Running::start(&config, &folder, Arc::new(log_alert)).await?;
            announce(&running, &config);
            wait(&running).await?;
            running.stop().await?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// Says where to ask.
#[expect(clippy::print_stderr, reason = "a service says where it listens")]
fn announce(running: &Running, config: &Config) {
    let sources = config.sources.len();
    eprintln!("querywatch: {sources} sources; http://{}/api/v1", running.address);
    if let Some(token) = &running.new_token {
        eprintln!("querywatch: the first token is in {}", token.display());
    }
}

/// Waits for a signal, or for a part that fails.
pub async fn wait(running: &Running) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("no signals here")?;
    let failed = running.failed();
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted.context("no signals here")?,
        () = failed.cancelled() => {}
    }
    Ok(())
}

fn log_alert(alert: &Alert) {
    let severity = alert.severity.as_str();
    let identity = printable(alert.identity.as_deref().unwrap_or("?"));
    tracing::info!(severity, rule = alert.rule, identity, "{}", printable(&alert.title));
}
