//! `querywatch demo`: a simulated company on this machine, three weeks of history, live traffic,
//! and attacks that Querywatch tells of as they happen.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;
use event::Alert;
use event::alert::Severity;
use pipeline::{DataFolder, Pipeline, Role, Settings, SourceSettings, clock};
use simulate::{Attack, Company, Simulation};

use crate::terminal::{self, printable};

const DAY: i64 = 86_400_000_000;
const HISTORY_DAYS: i64 = 21;
const SEED: u64 = 2_026;

/// How often live traffic is written.
const TICK: Duration = Duration::from_millis(250);

/// Time between two attacks.
const BETWEEN_ATTACKS: Duration = Duration::from_secs(12);

/// How much busier the live traffic is than history, so that there is something to see.
const PACE: f64 = 40.0;

/// How long `--once` waits for the alerts of its attack.
const ONCE_WAIT: Duration = Duration::from_secs(20);

/// Quiet time after which `--once` has seen all of them.
const ONCE_QUIET: Duration = Duration::from_secs(3);

/// File that says that a folder is a demo's, to be emptied by the next one.
const MARK: &str = "querywatch-demo";

/// Arguments of `demo`.
#[derive(Args)]
pub struct Demo {
    /// Folder for the demo; emptied at the start
    #[arg(long, default_value = "querywatch-demo")]
    data: PathBuf,
    /// Back-fill, play one attack, print its alerts, end
    #[arg(long)]
    once: bool,
}

impl Demo {
    /// Runs until it is stopped; with `--once` until the alerts of one attack are there.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let begun = Instant::now();
        prepare(&self.data)?;
        let mut simulation = Simulation::new(Company::small(), SEED);
        let log = self.data.join("log");
        std::fs::create_dir_all(&log).context("the demo's log folder cannot be made")?;
        history(&mut simulation, &log)?;
        let mut config = Settings { data: self.data.join("data"), ..Settings::default() };
        let paths = vec![log.display().to_string()];
        let source = SourceSettings::of_files("shop", "shop-db", paths)?;
        let folder = DataFolder::open(&config.data)?;
        let summary = super::ingest::run(&config, &source, &folder, "learning")?;
        tell(&format!(
            "{HISTORY_DAYS} days of history: {} of {}, learnt in {:.1} s; {} in it",
            terminal::count(summary.events, "event"),
            terminal::count(Company::small().accounts() as u64, "account"),
            summary.seconds,
            terminal::count(summary.alerts, "alert")
        ));
        config.sources = vec![source];
        if self.once || std::net::TcpListener::bind(config.query.address).is_err() {
            // Any free port: a demo should not fail because something else listens on the usual.
            config.query.address.set_port(0);
        }
        let runtime = tokio::runtime::Runtime::new().context("no threads for the runtime")?;
        let (sender, alerts) = channel();
        let on_alert = Arc::new(move |alert: &Alert| {
            let _ = sender.send(alert.clone());
        });
        let running = runtime.block_on(Pipeline::start(&config, &folder, Role::All, on_alert))?;
        let sql = format!("{} sql --data {}", terminal::program(), config.data.display());
        let live = Live { simulation, log: log.join("live.csv"), alerts, shown: 0, sql };
        let exit = if self.once {
            live.once(begun)?
        } else {
            announce(&running, &config, &live.sql);
            live.run(&runtime, &running)?
        };
        runtime.block_on(running.stop())?;
        Ok(exit)
    }
}

/// Empties a folder that an earlier demo made; refuses any other that is not empty.
fn prepare(folder: &PathBuf) -> anyhow::Result<()> {
    let mark = folder.join(MARK);
    lake::Lake::check_unused(&folder.join("data/lake"), lake::Sharing::Alone)
        .context("a demo is running there; stop it first, or name another folder with --data")?;
    if folder.exists() {
        let is_empty = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none());
        if !is_empty && !mark.exists() {
            bail!("{} is not empty and no demo's; name another with --data", folder.display());
        }
        std::fs::remove_dir_all(folder)
            .with_context(|| format!("{} cannot be emptied", folder.display()))?;
    }
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&mark, "made by `querywatch demo`, emptied by the next\n"))
        .with_context(|| format!("{} cannot be made", folder.display()))
}

/// Writes the log of the last weeks, a file a day, up to now: a gap would be a silence.
fn history(simulation: &mut Simulation, log: &std::path::Path) -> anyhow::Result<()> {
    let now = clock().0;
    let today = now.div_euclid(DAY) * DAY;
    let bar = terminal::step_bar(HISTORY_DAYS as u64 + 1, "simulating");
    for day in 0..=HISTORY_DAYS {
        let midnight = today - (HISTORY_DAYS - day) * DAY;
        let mut lines = Vec::new();
        match midnight == today {
            true => simulation.traffic(today, now, 1.0, &mut lines),
            false => simulation.day(midnight, &mut lines),
        }
        let path = log.join(format!("day-{day:02}.csv"));
        std::fs::write(&path, lines)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// The live part: traffic, attacks, and the alerts they cause.
struct Live {
    simulation: Simulation,
    log: PathBuf,
    alerts: Receiver<Alert>,
    shown: u64,
    /// The command that asks a query.
    sql: String,
}

/// What to ask next, and why.
const NEXT: [(&str, &str); 3] = [
    ("SELECT title, signals, causes_total FROM cases", "what belongs together"),
    ("SELECT severity, manager FROM alerts ORDER BY time", "what happened, in plain words"),
    ("SELECT time, reasons FROM events WHERE risk > 50", "which acts were unusual, and why"),
];

impl Live {
    fn run(
        mut self,
        runtime: &tokio::runtime::Runtime,
        running: &Pipeline,
    ) -> anyhow::Result<ExitCode> {
        let stop = tokio_util::sync::CancellationToken::new();
        let (stopped, failed) = (stop.clone(), running.failed());
        runtime.spawn(async move {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                () = failed.cancelled() => {}
            }
            stopped.cancel();
        });
        let mut attacks = Attack::ALL.into_iter();
        let mut is_told = false;
        let mut attack_at = Instant::now() + Duration::from_secs(5);
        let mut from = clock().0;
        while !stop.is_cancelled() {
            let to = clock().0;
            let mut lines = Vec::new();
            self.simulation.traffic(from, to, PACE, &mut lines);
            from = to;
            if attack_at <= Instant::now() {
                attack_at = Instant::now() + BETWEEN_ATTACKS;
                match attacks.next() {
                    Some(attack) => {
                        tell(&format!("\nattack: {}", attack.story()));
                        self.simulation.attack(attack, to, &mut lines);
                    }
                    None if !is_told => {
                        is_told = true;
                        tell("\nThat was every attack; traffic goes on. What to ask next:");
                        for (query, why) in NEXT {
                            tell(&format!("  {why}:\n    {} '{query}'", self.sql));
                        }
                        tell("Ctrl-C ends it.");
                    }
                    None => {}
                }
            }
            self.append(&lines)?;
            let until = Instant::now() + TICK;
            while let Some(alert) = self.next_alert(until)? {
                self.show(&alert);
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn once(mut self, begun: Instant) -> anyhow::Result<ExitCode> {
        let attack = Attack::StolenCredential;
        tell(&format!("attack: {}", attack.story()));
        let mut lines = Vec::new();
        self.simulation.attack(attack, clock().0, &mut lines);
        let written = Instant::now();
        self.append(&lines)?;
        let mut until = written + ONCE_WAIT;
        while let Some(alert) = self.next_alert(until)? {
            self.show(&alert);
            until = Instant::now() + ONCE_QUIET;
        }
        if self.shown == 0 {
            bail!("the attack raised no alert");
        }
        tell(&format!(
            "{}; the whole demo took {:.1} s",
            terminal::count(self.shown, "alert"),
            begun.elapsed().as_secs_f64()
        ));
        Ok(ExitCode::SUCCESS)
    }

    fn append(&self, lines: &[u8]) -> anyhow::Result<()> {
        let append = || {
            let mut file = std::fs::OpenOptions::new().create(true).append(true).open(&self.log)?;
            file.write_all(lines)
        };
        append().with_context(|| format!("{} cannot be written", self.log.display()))
    }

    fn next_alert(&self, until: Instant) -> anyhow::Result<Option<Alert>> {
        match self.alerts.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(alert) => Ok(Some(alert)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("detection has ended; see the log"),
        }
    }

    fn show(&mut self, alert: &Alert) {
        self.shown += 1;
        let mark = match alert.severity {
            Severity::Critical => "CRITICAL",
            Severity::High => "HIGH    ",
            Severity::Medium => "medium  ",
            Severity::Low => "low     ",
        };
        let who = alert.identity.as_deref().unwrap_or("?");
        let head = format!("{mark} {} {who}: {}", alert.rule, alert.title);
        tell(&terminal::wrapped(&printable(&head), ""));
        for text in [&alert.explanation.manager, &alert.explanation.engineer] {
            tell(&terminal::wrapped(&printable(text), "         "));
        }
    }
}

fn announce(running: &Pipeline, config: &Settings, sql: &str) {
    let address = running.address;
    let token = running.new_token.as_ref().map(|path| path.display().to_string());
    let token = token.unwrap_or_else(|| config.data.join("admin.token").display().to_string());
    let query = r#"{"sql": "SELECT severity, identity, title, signals FROM cases"}"#;
    let busiest = r#"SELECT "user", count(*) FROM events GROUP BY 1 ORDER BY 2 DESC"#;
    tell("\nlive now. Ask it:");
    tell(&format!("  curl -s http://{address}/api/v1/query -d '{query}' \\"));
    tell(&format!("    -H \"Authorization: Bearer $(cat {token})\""));
    tell(&format!("  {sql} '{busiest}'"));
    tell("Ctrl-C ends it.");
}

/// What the demo says; hostile text of its logs cannot steer the terminal.
#[expect(clippy::print_stdout, reason = "the story is the command's output")]
fn tell(text: &str) {
    println!("{}", printable(text));
}
