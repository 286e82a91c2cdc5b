//! The database server of the company, as far as its csvlog shows: 26 columns, pgaudit lines,
//! connections, errors.

use std::fmt::Write;

use chrono::{DateTime, Utc};

use crate::act::{Act, ActKind, Client};
use crate::company::Statement;

/// Counters that the server keeps across sessions.
#[derive(Debug)]
pub(crate) struct Server {
    next_pid: u32,
    next_transaction: u64,
}

/// A session while it is open.
#[derive(Debug)]
pub(crate) struct Backend {
    pid: u32,
    started: i64,
    line: u32,
    statement: u64,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self { next_pid: 2_000, next_transaction: 700 }
    }

    /// Starts a process for a session that begins at `time`.
    pub(crate) fn backend(&mut self, time: i64) -> Backend {
        self.next_pid = if self.next_pid >= 4_000_000 { 2_000 } else { self.next_pid + 1 };
        Backend { pid: self.next_pid, started: time, line: 0, statement: 0 }
    }

    /// Writes what the server logs about an act.
    pub(crate) fn log(
        &mut self,
        act: &Act,
        client: &Client,
        backend: &mut Backend,
        out: &mut Vec<u8>,
    ) {
        let mut line = Line { server: self, client, backend, time: act.time, out };
        match &act.kind {
            ActKind::Connect => line.connect(),
            ActKind::FailToConnect => line.fail_to_connect(),
            ActKind::Run(statement) => line.run(statement),
            ActKind::Fail(statement, state, error) => {
                let query = statement.sql.as_str();
                line.write("ERROR", state, &statement.command, error, "", query, true);
            }
            ActKind::Disconnect => line.disconnect(),
        }
    }
}

/// What one line of the log needs to know.
struct Line<'a> {
    server: &'a mut Server,
    client: &'a Client,
    backend: &'a mut Backend,
    time: i64,
    out: &'a mut Vec<u8>,
}

impl Line<'_> {
    fn connect(&mut self) {
        let Client { user, database, application, address, port } = self.client;
        let received = format!("connection received: host={address} port={port}");
        self.write("LOG", "00000", "", &received, "", "", false);
        let authenticated = format!(
            "connection authenticated: identity=\"{user}\" method=scram-sha-256 \
             (/etc/postgresql/15/main/pg_hba.conf:97)"
        );
        self.write("LOG", "00000", "authentication", &authenticated, "", "", true);
        let authorized = format!(
            "connection authorized: user={user} database={database} \
             application_name={application} SSL enabled (protocol=TLSv1.3, \
             cipher=TLS_AES_256_GCM_SHA384, bits=256)"
        );
        self.write("LOG", "00000", "authentication", &authorized, "", "", true);
    }

    fn fail_to_connect(&mut self) {
        let Client { user, address, port, .. } = self.client;
        let received = format!("connection received: host={address} port={port}");
        self.write("LOG", "00000", "", &received, "", "", false);
        let failed = format!("password authentication failed for user \"{user}\"");
        let detail = "Connection matched pg_hba.conf line 97: \
                      \"hostssl all all 10.0.0.0/8 scram-sha-256\"";
        self.write("FATAL", "28P01", "authentication", &failed, detail, "", true);
    }

    fn run(&mut self, statement: &Statement) {
        self.backend.statement += 1;
        let number = self.backend.statement;
        let (kind, object) = match &statement.object {
            Some(object) => ("TABLE", object.as_str()),
            None => ("", ""),
        };
        let mut message =
            format!("AUDIT: SESSION,{number},1,{},{},", statement.class, statement.command);
        csv_field(&mut message, kind);
        message.push(',');
        csv_field(&mut message, object);
        message.push(',');
        csv_field(&mut message, &statement.sql);
        message.push_str(",<not logged>");
        self.write("LOG", "00000", &statement.command, &message, "", "", true);
    }

    fn disconnect(&mut self) {
        let Client { user, database, address, port, .. } = self.client;
        let milliseconds = (self.time - self.backend.started) / 1_000;
        let (seconds, rest) = (milliseconds / 1_000, milliseconds % 1_000);
        let message = format!(
            "disconnection: session time: {}:{:02}:{:02}.{rest:03} user={user} \
             database={database} host={address} port={port}",
            seconds / 3_600,
            seconds / 60 % 60,
            seconds % 60,
        );
        self.write("LOG", "00000", "idle", &message, "", "", true);
    }

    /// Writes one record; `known` says whether the server already knows user and database.
    #[expect(clippy::too_many_arguments, reason = "a csvlog record has that many columns")]
    fn write(
        &mut self,
        severity: &str,
        state: &str,
        command: &str,
        message: &str,
        detail: &str,
        query: &str,
        known: bool,
    ) {
        self.backend.line += 1;
        self.server.next_transaction += 1;
        let Client { user, database, application, address, port } = self.client;
        let Backend { pid, started, line, .. } = *self.backend;
        let (user, database) = if known { (user.as_str(), database.as_str()) } else { ("", "") };
        let started_seconds = started / 1_000_000;
        let mut record = String::with_capacity(message.len() + 400);
        write_time(&mut record, self.time, true);
        record.push(',');
        quoted(&mut record, user);
        record.push(',');
        quoted(&mut record, database);
        let _ = write!(record, ",{pid},\"{address}:{port}\",{started_seconds:x}.{pid:x},{line},");
        quoted(&mut record, command);
        record.push(',');
        write_time(&mut record, started, false);
        let transaction = self.server.next_transaction;
        let _ = write!(record, ",{}/{transaction},0,{severity},{state},", pid % 64 + 3);
        quoted(&mut record, message);
        record.push(',');
        quoted(&mut record, detail);
        record.push_str(",,,,,");
        quoted(&mut record, query);
        record.push_str(",,,");
        quoted(&mut record, if known { application } else { "" });
        let backend = if known { "client backend" } else { "not initialized" };
        let _ = writeln!(record, ",\"{backend}\",,0");
        self.out.extend_from_slice(record.as_bytes());
    }
}

fn write_time(record: &mut String, micros: i64, milliseconds: bool) {
    let time = DateTime::<Utc>::from_timestamp_micros(micros).unwrap_or_default();
    let format = if milliseconds { "%Y-%m-%d %H:%M:%S%.3f UTC" } else { "%Y-%m-%d %H:%M:%S UTC" };
    let _ = write!(record, "{}", time.format(format));
}

/// A text column of csvlog: nothing for nothing, else always quoted.
fn quoted(record: &mut String, text: &str) {
    if !text.is_empty() {
        record.push('"');
        record.push_str(&text.replace('"', "\"\""));
        record.push('"');
    }
}

/// A field of pgaudit's payload: quoted only if it must be.
fn csv_field(message: &mut String, text: &str) {
    if text.contains([',', '"', '\n', '\r']) {
        quoted(message, text)
    } else {
        message.push_str(text)
    }
}
