//! `querywatch doctor`: what would keep Querywatch from working here, and the cure.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use bus::{BusError, BusKind};
use clap::Args;
use detect::RuleSet;
use ingest::source::Examined;
use lake::{Lake, Sharing};
use pipeline::{Calibration, DataFolder, ProcessReport, Settings, SourceSettings, clock};
use query::api::PartitionLag;
use respond::Respond;

use crate::config;
use crate::terminal::{count, printable};

/// Below this a disk is called nearly full.
const FREE_BYTES_MIN: u64 = 1 << 30;

/// More records of a partition than this, each a batch of events, are called a lag.
const LAG_MAX: u64 = 10_000;

/// How long what listens at our address may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Bytes of a log, or of an answer, looked at.
const SAMPLE_BYTES: usize = 64 << 10;

const NOBODY: &str = "processes: none has reported yet";

/// Arguments of `doctor`.
#[derive(Args)]
pub struct Doctor {
    /// Settings
    #[arg(long)]
    config: Option<PathBuf>,
}

/// One thing looked at.
struct Finding {
    what: String,
    problem: Option<String>,
}

impl Doctor {
    /// Exit code 1 if anything is wrong.
    #[expect(clippy::print_stdout, reason = "the findings are the command's output")]
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut findings = Vec::new();
        match config::load(self.config.as_deref()) {
            Ok(config) => examine(&config, &mut findings),
            Err(error) => findings.push(Finding::bad("settings", format!("{error:#}"))),
        }
        for finding in &findings {
            match &finding.problem {
                None => println!("ok    {}", printable(&finding.what)),
                Some(problem) => {
                    println!("WRONG {}: {}", printable(&finding.what), printable(problem));
                }
            }
        }
        let is_well = findings.iter().all(|finding| finding.problem.is_none());
        Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

impl Finding {
    fn good(what: impl Into<String>) -> Self {
        Self { what: what.into(), problem: None }
    }

    fn bad(what: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { what: what.into(), problem: Some(problem.into()) }
    }
}

fn examine(config: &Settings, findings: &mut Vec<Finding>) {
    let is_shared = config.bus.kind == BusKind::Kafka;
    findings.push(match config.sources.len() {
        0 if is_shared => Finding::good("settings: no sources, for a worker or a server"),
        0 => Finding::bad("settings", "no sources are configured; add [[sources]]"),
        number => Finding::good(format!("settings: {}", count(number as u64, "source"))),
    });
    let sharing = if is_shared { Sharing::Shared } else { Sharing::Alone };
    let answers = Answers::at(config);
    findings.push(data_folder(&config.data, sharing, answers));
    findings.push(match RuleSet::from_settings(&config.detect.rules) {
        Ok(rules) => Finding::good(format!("rules: {}", rules.rules().len())),
        Err(error) => Finding::bad("rules", error.to_string()),
    });
    examine_models(config, findings);
    findings.push(match Respond::check(&config.respond) {
        Ok(()) => Finding::good(format!("channels: {}", config.respond.channels.len())),
        Err(error) => Finding::bad("channels", error.to_string()),
    });
    findings.push(address(config.query.address, answers));
    for source in &config.sources {
        examine_source(source, findings);
    }
    if is_shared && let Err(error) = examine_bus(config, findings) {
        findings.push(Finding::bad("bus", format!("{error:#}")));
    }
}

/// The topic, who reads it, and how far the table in this data folder is behind.
fn examine_bus(config: &Settings, findings: &mut Vec<Finding>) -> anyhow::Result<()> {
    let kafka = &config.bus.kafka;
    let runtime = tokio::runtime::Runtime::new().context("no threads for the runtime")?;
    let state = runtime.block_on(pipeline::bus_state(config))?;
    let replicas = &state.replicas_missing;
    let what = format!(
        "bus: topic {}, {}, {}",
        kafka.topic,
        count(state.brokers as u64, "broker"),
        count(state.lags.len() as u64, "partition")
    );
    findings.push(match replicas.first() {
        Some(partition) => Finding::bad(
            what,
            format!("partition {partition} lacks copies; see that all brokers are up"),
        ),
        None => Finding::good(what),
    });
    let workers = count(state.workers as u64, "worker");
    findings.push(Finding::good(match &state.group {
        Some(group) => format!("group: {workers} ({group})"),
        None => "group: no worker has joined yet; `run --role detect` starts one".to_owned(),
    }));
    for lag in state.lags {
        let PartitionLag { partition, end, stored, lag, worker } = lag;
        let worker = worker.map_or_else(|| "nobody reads it".to_owned(), |who| format!("by {who}"));
        let what = format!("partition {partition}: {stored} of {end} records stored, {worker}");
        findings.push(if lag > LAG_MAX {
            Finding::bad(what, "it lags; start more workers, or see what holds them up")
        } else {
            Finding::good(what)
        });
    }
    match state.processes {
        Ok(processes) if processes.is_empty() => findings.push(Finding::good(NOBODY)),
        Ok(processes) => findings.extend(processes.iter().map(examine_process)),
        // Whoever runs makes the topic.
        Err(BusError::TopicMissing(_)) if kafka.create_topic => {
            findings.push(Finding::good(NOBODY));
        }
        Err(error) => findings.push(Finding::bad("processes", error.to_string())),
    }
    runtime.shutdown_background();
    Ok(())
}

/// What a process reported last, with its tasks that do not go on.
fn examine_process(report: &ProcessReport) -> Finding {
    let process = &report.process;
    let ago = clock().0.saturating_sub(process.reported.0) / 1_000_000;
    let mut told = vec![format!(
        "{} {}: heard of {ago} s ago, on {} at {}",
        process.role, process.name, process.host, process.address
    )];
    if !report.sources.is_empty() {
        told.push(count(report.sources.len() as u64, "source"));
    }
    if let Some(forward) = &process.forward {
        told.push(format!("{} to be forwarded", count(forward.waiting_records, "record")));
    }
    if let Some(kafka) = &process.kafka {
        if process.detect.is_some() {
            let lag = kafka.partitions.iter().map(|partition| partition.lag);
            let lag = count(lag.fold(0, u64::saturating_add), "record");
            let partitions = count(kafka.partitions.len() as u64, "partition");
            told.push(format!("{partitions}, {lag} behind"));
            told.push(count(kafka.rebalances, "rebalance"));
        }
        let (records, bytes) = (kafka.producer_queue_records, kafka.producer_queue_bytes);
        told.push(format!("{} in the producer queue ({bytes} bytes)", count(records, "record")));
    }
    if let Some(detect) = &process.detect {
        told.push(format!("{} judged", count(detect.events, "event")));
    }
    if let Some(lake) = &process.lake {
        told.push(count(lake.commits, "commit"));
        told.push(count(lake.commit_conflicts, "commit conflict"));
        told.push(format!("{} superseded", lake.superseded));
    }
    let restarts = process.tasks.iter().map(|task| task.restarts).sum::<u64>();
    told.push(format!("{}, {restarts} restarted", count(process.tasks.len() as u64, "task")));
    Finding { what: told.join("; "), problem: process.problem.clone() }
}

/// Who answers at the address of the API.
#[derive(Clone, Copy, PartialEq)]
enum Answers {
    /// Querywatch, which takes the token of this data folder.
    Ours,
    /// Querywatch, which does not take it.
    Another,
    /// Querywatch; this data folder has no token to ask with.
    Somebody,
    /// No Querywatch.
    Nobody,
}

impl Answers {
    fn at(config: &Settings) -> Self {
        let address = config.query.address;
        if !ask(address, "/metrics", None).contains("\n# HELP querywatch_") {
            return Self::Nobody;
        }
        let Ok(token) = std::fs::read_to_string(config.data.join("admin.token")) else {
            return if config.data.exists() { Self::Somebody } else { Self::Another };
        };
        let answer = ask(address, "/api/v1/sources", Some(token.trim()));
        if answer.split("\r\n").next().is_some_and(|status| status.contains(" 200 ")) {
            Self::Ours
        } else {
            Self::Another
        }
    }
}

fn address(address: SocketAddr, answers: Answers) -> Finding {
    match TcpListener::bind(address) {
        Ok(_) => Finding::good(format!("address: {address} is free")),
        Err(_) if answers == Answers::Another => Finding::bad(
            format!("address {address}"),
            "another Querywatch with other data answers there; stop it, or set query.address",
        ),
        Err(_) if answers != Answers::Nobody => readiness(address),
        Err(error) => Finding::bad(
            format!("address {address}"),
            format!("{error}; stop what listens there, or set query.address"),
        ),
    }
}

/// Whether the process that listens there is ready, and each of its tasks.
fn readiness(address: SocketAddr) -> Finding {
    let what = format!("address: Querywatch answers at {address}");
    let answer = ask(address, "/readyz", None);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    if head.contains(" 200 ") {
        let tasks: Vec<&str> = body.lines().skip(1).collect();
        return Finding::good(format!("{what}, ready; {}", tasks.join(", ")));
    }
    let problem: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let problem = problem["detail"].as_str().unwrap_or("it does not say whether it is ready");
    Finding::bad(what, problem)
}

/// What an HTTP service there answers; nothing if there is none.
fn ask(address: SocketAddr, path: &str, token: Option<&str>) -> String {
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
    let authorization = authorization.unwrap_or_default();
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        let request = format!("GET {path} HTTP/1.0\r\n{authorization}\r\n");
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(SAMPLE_BYTES as u64).read_to_end(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    String::from_utf8_lossy(&ask().unwrap_or_default()).into_owned()
}

fn data_folder(path: &Path, sharing: Sharing, answers: Answers) -> Finding {
    let what = format!("data folder {}", path.display());
    let is_new = !path.exists();
    let probe = path.join(".doctor");
    let tried = std::fs::create_dir_all(path)
        .and_then(|()| std::fs::write(&probe, b"probe"))
        .and_then(|()| std::fs::remove_file(&probe));
    if let Err(error) = tried {
        return Finding::bad(what, format!("{error}; set `data` to a folder that can be written"));
    }
    if let Err(error) = Lake::check_unused(&path.join("lake"), sharing) {
        return match answers {
            Answers::Ours => Finding::good(format!("{what}: the one that answers writes to it")),
            _ => Finding::bad(what, error.to_string()),
        };
    }
    let disk = rustix::fs::statvfs(path);
    if is_new {
        // It was only a query. If it cannot be removed, an empty folder stays.
        let _ = std::fs::remove_dir(path);
    }
    match disk {
        Ok(disk) if disk.f_bavail * disk.f_frsize < FREE_BYTES_MIN => {
            Finding::bad(what, "less than 1 GiB is free; make room or move `data`")
        }
        Ok(_) => Finding::good(what),
        Err(error) => Finding::bad(what, format!("its free space cannot be told: {error}")),
    }
}

/// How true the chances of baselines are, and from which score on a day opens a case.
fn examine_models(config: &Settings, findings: &mut Vec<Finding>) {
    let budget = config.detect.baseline.cases_per_identity_day;
    let found = match config.data.exists() {
        true => DataFolder::existing(&config.data).and_then(|it| Calibration::of_all(&it, budget)),
        false => Ok(Vec::new()),
    };
    match found {
        Ok(all) => findings.extend(all.iter().map(|model| Finding::good(calibration(model)))),
        Err(error) => findings.push(Finding::bad("models", format!("{error:#}"))),
    }
}

fn calibration(model: &Calibration) -> String {
    let Calibration { instance, version, days, shares, score_min } = model;
    let shares: Vec<_> = shares
        .iter()
        .map(|(p, share)| format!("{:.2} % with p below {} %", share * 100.0, p * 100.0))
        .collect();
    format!(
        "model of {instance}: {version}; of its {}, {}; cases from score {score_min:.1}",
        count(*days, "identity-day"),
        shares.join(", ")
    )
}

fn examine_source(source: &SourceSettings, findings: &mut Vec<Finding>) {
    for Examined { place, problem } in source.kind.examine(source.log.format.as_deref()) {
        let what = format!("source {}: {place}", source.name);
        findings.push(match problem {
            None => Finding::good(what),
            Some(problem) => Finding::bad(what, problem),
        });
    }
}
