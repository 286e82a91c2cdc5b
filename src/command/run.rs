//! `querywatch run`: watches the configured sources until it is told to stop.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bus::BusKind;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use event::Alert;
use pipeline::{DataFolder, Pipeline, Role, Settings};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config;
use crate::terminal::{count, printable};

/// How long a stop may take. Service managers kill after 90 s as a rule.
const PATIENCE: Duration = Duration::from_secs(30);

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
    #[arg(long, value_parser = role(), default_value = "all")]
    role: Role,
}

impl Run {
    /// Runs until SIGINT or SIGTERM, or until a part fails.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut config = config::load(self.config.as_deref())?;
        if let Some(data) = self.data {
            config.data = data;
        }
        ensure!(
            self.role == Role::All || config.bus.kind == BusKind::Kafka,
            "the embedded bus serves one process; use `--role all`, or set bus.kind = \"kafka\" \
             and bus.kafka.brokers for parts in several processes"
        );
        ensure!(
            !self.role.collects() || !config.sources.is_empty(),
            "no sources are configured; add [[sources]] with a name and what brings the logs, \
             such as files.paths (`querywatch config defaults` shows how)"
        );
        let folder = DataFolder::open(&config.data)?;
        let runtime = tokio::runtime::Runtime::new().context("no threads for the runtime")?;
        let ended = runtime.block_on(async {
            let mut signals = Signals::new()?;
            let running = tokio::select! {
                // The start may wait for what others have to make first.
                () = signals.next() => return Ok(()),
                started = Pipeline::start(&config, &folder, self.role, Arc::new(log_alert)) => {
                    started?
                }
            };
            announce(&running, &config, self.role);
            wait(&running, &mut signals).await;
            stop(running, &mut signals).await
        });
        // Whatever is held up, by a full disk for one, must not hold up the end.
        runtime.shutdown_background();
        ended.map(|()| ExitCode::SUCCESS)
    }
}

/// Takes the name of a role, and lists all of them where one is wrong.
fn role() -> impl TypedValueParser<Value = Role> {
    let names = Role::ALL.map(Role::name);
    PossibleValuesParser::new(names).try_map(|name| name.parse::<Role>())
}

/// Says where to ask.
#[expect(clippy::print_stderr, reason = "a service says where it listens")]
fn announce(running: &Pipeline, config: &Settings, role: Role) {
    let mut parts = Vec::new();
    if role.collects() {
        parts.push(count(config.sources.len() as u64, "source"));
    }
    if config.bus.kind == BusKind::Kafka {
        parts.push(format!("topic {}", printable(&config.bus.kafka.topic)));
    }
    let path = if role.serves() { "/api/v1" } else { "/metrics" };
    parts.push(format!("http://{}{path}", running.address));
    eprintln!("querywatch: {}", parts.join("; "));
    if let Some(token) = &running.new_token {
        eprintln!("querywatch: the first token is in {}", token.display());
    }
}

/// What tells the program to stop. Made once: a signal that comes between two waits is seen by the
/// second.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on these signals do not end the program.
    fn new() -> anyhow::Result<Self> {
        let of = |kind| signal(kind).context("no signals here");
        Ok(Self {
            terminate: of(SignalKind::terminate())?,
            interrupt: of(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for a signal, or for a part that fails.
async fn wait(running: &Pipeline, signals: &mut Signals) {
    let failed = running.failed();
    tokio::select! {
        () = signals.next() => {}
        () = failed.cancelled() => {}
    }
}

/// Stops once everything is stored, or at a second signal, or when [`PATIENCE`] is over: the rest
/// is then where a crash would leave it, in logs and bus, and is read at the next start.
async fn stop(running: Pipeline, signals: &mut Signals) -> anyhow::Result<()> {
    let not_ready_because = running.not_ready_because();
    tokio::select! {
        stopped = running.stop() => return stopped,
        () = signals.next() => {}
        () = tokio::time::sleep(PATIENCE) => {}
    }
    let because = not_ready_because().map_or_else(String::new, |reason| format!(" ({reason})"));
    bail!("stopped before everything was stored{because}; the next start reads on from there")
}

fn log_alert(alert: &Alert) {
    let severity = alert.severity.as_str();
    let identity = printable(alert.identity.as_deref().unwrap_or("?"));
    tracing::info!(severity, rule = alert.rule, identity, "{}", printable(&alert.title));
}
