//! From write(2) to webhook: how long an attack in a busy log takes to become a signed delivery.
//!
//! `cargo bench --bench latency -- [EVENTS_PER_SECOND [SECONDS]]`. The log grows on a schedule that
//! waits for nobody, so a stall shows in every attack that it delays.
#![expect(clippy::print_stdout, reason = "figures are what a bench is for")]

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ExitCode};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};

#[path = "../tests/binary.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests use the rest")]
mod binary;
#[path = "../tests/webhook.rs"]
#[allow(unreachable_pub, reason = "the tests use the rest")]
mod webhook;

use binary::Querywatch;
use webhook::{Delivery, Receiver};

const EVENTS_PER_SECOND: u64 = 5_000;
const SECONDS: u64 = 20;
/// Before anything counts: the file is found, caches and connections are warm.
const WARM_UP: Duration = Duration::from_secs(3);
const ATTACK_EVERY: Duration = Duration::from_millis(200);
/// The writer looks at its schedule so often.
const TICK: Duration = Duration::from_millis(1);
/// The last alerts may take so long.
const PATIENCE: Duration = Duration::from_secs(15);
const SESSIONS: u64 = 40;

fn main() -> ExitCode {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse().ok());
    let rate = numbers.next().unwrap_or(EVENTS_PER_SECOND).max(1);
    let length = Duration::from_secs(numbers.next().unwrap_or(SECONDS).max(1));

    let receiver = Receiver::start();
    let querywatch = Querywatch::new();
    let log = querywatch.folder().join("orders.csv");
    let file = OpenOptions::new().create(true).append(true).open(&log).expect("a log file");
    let mut writer = Writer { file, rate, lines: 0, attacks: Vec::new(), late: Duration::ZERO };
    let running = Running::start(&querywatch, &log, &receiver.url);

    writer.write_for(WARM_UP);
    receiver.wait_for(writer.attacks.len());
    writer.attacks.clear();
    writer.late = Duration::ZERO;
    receiver.take();

    let (begun, used) = (Instant::now(), running.cpu());
    writer.write_for(length);
    let cpu = (running.cpu() - used).div_duration_f64(begun.elapsed());
    receiver.wait_for(writer.attacks.len());
    let latencies = latencies(&writer.attacks, &receiver.take());
    let is_whole = latencies.len() == writer.attacks.len();
    report(&writer, &latencies, length);
    println!("process: {:.0} % of one core, {}", cpu * 100.0, running.memory());
    if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Receiver {
    /// Waits until so many alerts have come, or patience ends.
    fn wait_for(&self, alerts: usize) {
        let until = Instant::now() + PATIENCE;
        while self.alerts() < alerts && Instant::now() < until {
            std::thread::sleep(TICK);
        }
    }
}

/// Milliseconds from each attack's write to the first delivery that names its user, sorted.
fn latencies(attacks: &[Attack], deliveries: &[Delivery]) -> Vec<f64> {
    let first_of = |attack: &Attack| {
        let its = deliveries.iter().filter(|delivery| {
            delivery.alert["rule"] == "B01" && delivery.alert["user"] == attack.user.as_str()
        });
        its.map(|delivery| delivery.received).min()
    };
    let took = |attack: &Attack| first_of(attack)?.duration_since(attack.written).ok();
    let mut found: Vec<f64> =
        attacks.iter().filter_map(took).map(|took| took.as_secs_f64() * 1e3).collect();
    found.sort_by(f64::total_cmp);
    found
}

fn report(writer: &Writer, latencies: &[f64], length: Duration) {
    let (rate, late) = (writer.rate, writer.late.as_millis());
    println!(
        "{rate} events/s for {} s; the writer was at most {late} ms behind its schedule",
        length.as_secs()
    );
    println!("alerts: {} expected, {} received", writer.attacks.len(), latencies.len());
    let Some(longest) = latencies.last() else { return };
    // The smallest latency that this share of the alerts did not exceed.
    let share = |percent: usize| latencies[(latencies.len() * percent).div_ceil(100) - 1];
    println!(
        "write(2) to webhook, ms: p50 {:.1}, p90 {:.1}, p99 {:.1}, max {longest:.1}",
        share(50),
        share(90),
        share(99)
    );
}

/// A line that must become an alert.
struct Attack {
    user: String,
    written: SystemTime,
}

/// Appends to the log as a server would.
struct Writer {
    file: File,
    rate: u64,
    /// Ordinary lines so far.
    lines: u64,
    attacks: Vec<Attack>,
    /// How far it fell behind its schedule at worst.
    late: Duration,
}

impl Writer {
    fn write_for(&mut self, length: Duration) {
        let (begun, before) = (Instant::now(), self.lines);
        let mut attack_due = ATTACK_EVERY;
        let mut woken = Duration::ZERO;
        while woken < length {
            let elapsed = begun.elapsed();
            self.late = self.late.max(elapsed.saturating_sub(woken + TICK));
            woken = elapsed;
            let due = (woken.min(length).as_secs_f64() * self.rate as f64) as u64;
            let text: String = (self.lines..before + due).map(ordinary).collect();
            self.file.write_all(text.as_bytes()).expect("appended");
            self.lines = before + due;
            if attack_due <= woken.min(length) {
                self.attack();
                attack_due += ATTACK_EVERY;
            }
            std::thread::sleep(TICK.saturating_sub(begun.elapsed() - woken));
        }
    }

    /// Each is of an account of its own: one account would be one episode, thus one alert.
    fn attack(&mut self) {
        let number = self.lines;
        let user = format!("intruder{number}");
        let sql = format!("alter role u{number} superuser");
        let message = format!("AUDIT: SESSION,1,1,ROLE,ALTER ROLE,,,{sql},<not logged>");
        let text = line(&user, 1_000_000 + number, 1, "ALTER ROLE", &message);
        let written = SystemTime::now();
        self.file.write_all(text.as_bytes()).expect("appended");
        self.attacks.push(Attack { user, written });
    }
}

/// A statement of an application; sessions take turns and number their records.
fn ordinary(number: u64) -> String {
    let (session, entry) = (number % SESSIONS, number / SESSIONS + 1);
    let sql = format!("select id, total from shop.orders where customer_id = {number}");
    let message = format!("AUDIT: SESSION,{entry},1,READ,SELECT,,,\"{sql}\",<not logged>");
    line("app", session, entry, "SELECT", &message)
}

/// One record of csvlog, now.
fn line(user: &str, session: u64, entry: u64, tag: &str, message: &str) -> String {
    let now = DateTime::<Utc>::from(SystemTime::now()).format("%Y-%m-%d %H:%M:%S%.3f");
    let (process, message) = (4_000 + session, message.replace('"', "\"\""));
    format!(
        "{now} UTC,\"{user}\",\"shop\",{process},\"10.1.2.3:51022\",67c42e10.{process:x},{entry},\
         \"{tag}\",2026-11-16 00:00:00 UTC,3/17,0,LOG,00000,\"{message}\",,,,,,,,,\"app\",\
         \"client backend\",,0\n"
    )
}

/// `querywatch run`; killed when dropped.
struct Running {
    child: Child,
}

impl Running {
    /// Returns once the service listens.
    fn start(querywatch: &Querywatch, log: &Path, url: &str) -> Self {
        let webhook = format!(
            "[[respond.channels]]\nname = \"bench\"\nwebhook.url = {url:?}\n\
             webhook.allow_private = true\n\
             webhook.secrets = [{{ env = \"QUERYWATCH_BENCH_SECRET\" }}]\n"
        );
        let settings = querywatch.settings(log, &webhook);
        let mut command = querywatch.command(&["run", "--config", binary::path_text(&settings)]);
        command.env("QUERYWATCH_BENCH_SECRET", Receiver::SECRET);
        command.stderr(std::process::Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut said = BufReader::new(child.stderr.take().expect("piped"));
        let running = Self { child };
        let mut first = String::new();
        said.read_line(&mut first).expect("a line");
        assert!(first.contains("http://"), "it does not listen: {first}");
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::stderr()));
        running
    }

    fn about(&self, file: &str) -> String {
        let path = format!("/proc/{}/{file}", self.child.id());
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// CPU time used so far.
    fn cpu(&self) -> Duration {
        let stat = self.about("stat");
        let fields = stat.rsplit(") ").next().unwrap_or_default();
        let ticks = |field: &str| field.parse::<u64>().unwrap_or_default();
        let ticks: u64 = fields.split(' ').skip(11).take(2).map(ticks).sum();
        // Linux shows times to programs in hundredths of a second, whatever its own clock is.
        Duration::from_millis(ticks * 10)
    }

    /// Memory in words: now and at most.
    fn memory(&self) -> String {
        let status = self.about("status");
        let mebibytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1_024)
        };
        let (now, most) = (mebibytes("VmRSS:"), mebibytes("VmHWM:"));
        format!("{} MiB resident, {} at most", now.unwrap_or(0), most.unwrap_or(0))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
