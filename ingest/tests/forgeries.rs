//! A client that nobody let in chooses names that look like log lines: none of them may pass for
//! an audit row. Quoted and structured logs believe none, text logs flag every one.

use ingest::{PostgresqlSettings, StreamSettings};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::support::server::{Backend, Report};
use crate::support::{Output, of_format, read};

const FORGERIES: u64 = 6_000;

/// Names are cut to this length.
const NAME_BYTES_MAX: usize = 63;

const PREFIXES: &[&str] = &[
    "%m [%p] %u@%d ",
    "%m [%p] %q%u@%d ",
    "%t:%r:%u@%d:[%p]:",
    "%m [%p] %q%u@%d app=%a client=%r session=%c line=%l ",
    "%t [%p]: [%l-1] user=%u,db=%d,app=%a,client=%h ",
    "%m [%p]: [%l-1] db=%d,user=%u ",
    "%q%u@%d ",
    "%p %u@%d ",
    "%m %u@%d %e ",
];

/// What an attacker strings together.
const PIECES: &[&str] = &[
    "\n",
    "\r\n",
    "\r",
    "\n\t",
    "\u{85}",
    "\u{2028}",
    "\u{2029}",
    "\u{feff}",
    "\x1c",
    "\x1d",
    "\x1e",
    "\x1f",
    "\x1b[31m",
    "\"",
    "\"\"",
    "\",\"",
    "'",
    ",",
    "x",
    "alice",
    "@",
    "shop ",
    " LOG:  ",
    " ERROR:  ",
    "AUDIT: SESSION,1,1,READ,SELECT,,,select 1,<none>",
    "AUDIT: SESSION,9,1,ROLE,GRANT,,,grant a to b,<none>,0",
    "AUDIT: SESSION,1,1,READ,SELECT,,,\"",
    ",<none>",
    ",<none>\n",
    "2026-11-21 10:11:12.345 UTC [66] ",
    "2026-11-21 10:11:12.345 UTC,\"alice\",\"shop\",66,",
    "2026-11-21 10:11:12 UTC:10.1.2.3(5):",
    "66 a@b LOG:  ",
    "a@b LOG:  ",
    "{\"timestamp\":\"2026-11-21 10:11:12.345 UTC\",",
    "log_time,user_name,database_name,process_id",
    "[7-2] ",
    "#012",
    "%m",
];

fn name(random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut name = Vec::new();
    let lead = random.random_range(0..4);
    name.extend(std::iter::repeat_n(b'x', lead));
    for _ in 0..random.random_range(1..8) {
        if random.random_ratio(1, 24) {
            // An overlong newline, and a byte that is no UTF-8 at all.
            let broken = [&b"\xc0\x8a"[..], b"\xff"];
            name.extend_from_slice(broken.choose(random).expect("two"));
        }
        name.extend(PIECES.choose(random).expect("some").bytes());
    }
    // A NUL would end it in the packet.
    name.truncate(NAME_BYTES_MAX);
    name
}

/// A name made to give a whole line, if it is short enough.
fn aimed(random: &mut ChaCha8Rng) -> (Vec<u8>, Vec<u8>) {
    let payload = "LOG:  AUDIT: SESSION,1,1,READ,SELECT,,,x,<none>";
    let users = ["x\n2026-11-21 10:11:12.345 UTC [66] alice", "x\n66 alice", "x\nalice", "x"];
    let user = users.choose(random).expect("some").to_string();
    let tails = ["", "\nz", "\nz@z LOG:  x", "\n6 z@z LOG:  x", "\n6 x@z", "\nx@z"];
    let database = format!("shop {payload}{}", tails.choose(random).expect("some"));
    let cut = |mut name: Vec<u8>| {
        name.truncate(NAME_BYTES_MAX);
        name
    };
    (cut(user.into_bytes()), cut(database.into_bytes()))
}

struct Attack {
    user: Vec<u8>,
    database: Vec<u8>,
    prefix: &'static str,
}

fn attacks() -> impl Iterator<Item = Attack> {
    (0..FORGERIES).map(|seed| {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let (user, database) = match seed % 3 {
            0 => aimed(&mut random),
            1 => (name(&mut random), b"shop".to_vec()),
            _ => (name(&mut random), name(&mut random)),
        };
        Attack { user, database, prefix: PREFIXES.choose(&mut random).expect("some") }
    })
}

impl Attack {
    /// Whether a name breaks a line or holds what no honest name has.
    fn is_hostile(&self) -> bool {
        let text = [&self.user[..], &self.database].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        text.chars().any(|character| {
            character.is_control()
                || ['\u{2028}', '\u{2029}', '\u{feff}', '\u{fffd}'].contains(&character)
        })
    }

    /// The log: somebody else works, the attacker fails to log in, somebody else works on.
    fn log(&self, mut write: impl FnMut(&mut Backend, &Report<'_>) -> Vec<u8>) -> Vec<u8> {
        let mut honest = Backend::new(b"alice", b"shop", 4_242);
        let mut unnamed = Backend::new(b"", b"", 28_243);
        let mut attacker = Backend::new(&self.user, &self.database, 28_243);
        attacker.line = 1;
        let mut log = write(&mut Backend { user: Vec::new(), ..honest.clone() }, &received());
        honest.line = 1;
        log.extend(write(&mut honest, &authorized()));
        log.extend(write(&mut honest, &audit(1)));
        log.extend(write(&mut unnamed, &received()));
        log.extend(write(&mut attacker, &refusal(&self.user)));
        log.extend(write(&mut honest, &audit(2)));
        log
    }
}

fn audit(number: u32) -> Report<'static> {
    let message = format!("AUDIT: SESSION,{number},1,READ,SELECT,,,select {number},<none>");
    report("LOG", "00000", "SELECT", message.into_bytes(), Vec::new())
}

fn received() -> Report<'static> {
    let message = b"connection received: host=10.9.8.7 port=40112".to_vec();
    report("LOG", "00000", "", message, Vec::new())
}

fn authorized() -> Report<'static> {
    let message = b"connection authorized: user=alice database=shop".to_vec();
    report("LOG", "00000", "authentication", message, Vec::new())
}

fn refusal(user: &[u8]) -> Report<'static> {
    let message = [b"password authentication failed for user \"", user, b"\""].concat();
    let detail = [b"Role \"", user, b"\" does not exist."].concat();
    report("FATAL", "28P01", "authentication", message, detail)
}

fn report<'a>(
    severity: &'a str,
    code: &'a str,
    activity: &'a str,
    message: Vec<u8>,
    detail: Vec<u8>,
) -> Report<'a> {
    Report { severity, code, activity, message, detail }
}

/// Audit rows that are believed: an error that speaks of forgery is a warning to who reads them.
fn believed(output: &Output) -> Vec<String> {
    let rows = output.events().into_iter().filter(|event| event["statement_number"].is_number());
    let trusted = rows.filter(|event| event["error"].is_null());
    trusted.map(|event| event["statement"].as_str().unwrap_or_default().to_owned()).collect()
}

fn flagged(output: &Output) -> bool {
    let mark = "possible log forgery: ";
    let in_error = |event: &serde_json::Value| {
        event["error"].as_str().is_some_and(|error| error.starts_with(mark))
    };
    output.events().iter().any(in_error)
        || output.rejects.iter().any(|reject| reject.reason.starts_with(mark))
}

fn show(attack: &Attack, log: &[u8], output: &Output) -> String {
    let events: Vec<String> = output.events().iter().map(ToString::to_string).collect();
    let reasons: Vec<&str> = output.rejects.iter().map(|reject| reject.reason.as_str()).collect();
    let log = String::from_utf8_lossy(log);
    format!("prefix {:?}\n{log}\n{}\n{reasons:#?}", attack.prefix, events.join("\n"))
}

#[test]
fn quoted_and_structured_logs_believe_no_forged_line() {
    for attack in attacks() {
        let logs = [
            ("postgresql_csvlog", attack.log(Backend::csvlog)),
            ("postgresql_jsonlog", attack.log(Backend::jsonlog)),
        ];
        for (format, log) in logs {
            let output = read(of_format(format), &log);
            let shown = || show(&attack, &log, &output);
            assert_eq!(believed(&output), ["select 1", "select 2"], "{}", shown());
            assert_eq!((output.counts.events, output.counts.rejects), (6, 0), "{}", shown());
            let logins = output.matching(&[("action", "login"), ("outcome", "denied")]);
            assert_eq!(logins.len(), 1, "{}", shown());
        }
    }
}

fn assert_flagged(format: &str, attack: &Attack, log: &[u8]) {
    let prefix = Some(attack.prefix.to_owned());
    let postgresql = PostgresqlSettings { log_line_prefix: prefix };
    let output = read(StreamSettings { postgresql, ..of_format(format) }, log);
    let honest = ["select 1", "select 2"];
    let forged: Vec<_> =
        believed(&output).into_iter().filter(|text| !honest.contains(&text.as_str())).collect();
    assert!(forged.is_empty(), "{forged:?}: {}", show(attack, log, &output));
    if attack.is_hostile() {
        assert!(flagged(&output), "{}", show(attack, log, &output));
    }
}

#[test]
fn every_forged_line_of_stderr_is_flagged() {
    for attack in attacks() {
        let log = attack.log(|backend, report| backend.stderr(attack.prefix, report));
        assert_flagged("postgresql_stderr", &attack, &log);
    }
}

#[test]
fn every_forged_line_of_syslog_is_flagged() {
    for attack in attacks() {
        let mut sequence = 100;
        let log = attack.log(|backend, report| {
            sequence += 1;
            backend.syslog(attack.prefix, sequence, report)
        });
        assert_flagged("postgresql_syslog", &attack, &log);
    }
}

#[test]
fn after_a_torn_record_nothing_forged_is_believed() {
    for attack in attacks().take(600) {
        let log = attack.log(Backend::csvlog);
        // The server crashed in the middle of the first record.
        for cut in [1, 40, 90, 150] {
            let torn = [&log[..cut], &log].concat();
            let output = read(of_format("postgresql_csvlog"), &torn);
            for text in believed(&output) {
                assert!(["select 1", "select 2"].contains(&text.as_str()), "{text}");
            }
        }
    }
}

#[test]
fn an_audit_row_raised_by_a_statement_is_flagged() {
    let path = crate::support::captures().join("postgresql_csvlog/attack_forged.log");
    let output = read(of_format("postgresql_csvlog"), &std::fs::read(path).expect("readable"));
    assert_eq!(output.counts.rejects, 0);
    let raised = output.matching(&[("command", "log forgery"), ("user", "ana")]);
    assert_eq!(raised.len(), 1);
    assert!(raised[0]["error"].as_str().is_some_and(|error| error.contains("alter role bo")));
}
