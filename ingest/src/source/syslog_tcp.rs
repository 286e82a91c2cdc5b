//! Syslog over TCP, as RFC 6587 has it: each message becomes a line of the spool, durable before
//! more is taken from its connection. What a sender has handed to its own system when this one
//! crashes is lost, as TCP has no acknowledgement of its own.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use open_set::KindSettings;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::kind::{Examined, Kind, Source, SourceError, Start, WrongSetting};
use super::received::Received;
use super::spool::{Spool, SpoolWriter, check_spool};
use crate::framing::{Frame, syslog};

/// Bytes that are read of a connection, and made durable, at once.
const READ_BYTES: usize = 64 << 10;

/// How a TLS client begins.
const TLS_HELLO: [u8; 2] = [0x16, 0x03];

/// How soon a quiet connection sees that it shall end.
const STOP_SEEN_WITHIN: Duration = Duration::from_millis(200);

/// Settings of syslog over TCP as a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SyslogTcpSettings {
    /// Address and port; TLS, if any, ends before it.
    pub listen: SocketAddr,
    /// Connections at once; further ones are closed.
    pub connections_max: usize,
    /// A connection that sends a longer message is closed.
    pub message_bytes_max: usize,
    /// The most bytes spooled and not yet read; then senders wait.
    pub spool_bytes_max: u64,
}

impl Default for SyslogTcpSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 6_514)),
            connections_max: 256,
            message_bytes_max: 1 << 20,
            spool_bytes_max: 4 << 30,
        }
    }
}

impl KindSettings for SyslogTcpSettings {
    const NAME: &'static str = "syslog_tcp";
}

impl Kind for SyslogTcpSettings {
    fn places(&self) -> Vec<String> {
        vec![format!("syslog over TCP at {}", self.listen)]
    }

    fn exclusive(&self) -> Option<String> {
        Some(format!("syslog over TCP at {}", self.listen))
    }

    fn check(&self) -> Result<(), WrongSetting> {
        check_spool(self.spool_bytes_max)?;
        for (setting, number) in [
            ("connections_max", self.connections_max),
            ("message_bytes_max", self.message_bytes_max),
        ] {
            if number == 0 {
                return Err(WrongSetting(format!("{setting} is 0; allow at least 1")));
            }
        }
        Ok(())
    }

    fn examine(&self, _format: Option<&str>) -> Vec<Examined> {
        let place = self.places().remove(0);
        vec![match TcpListener::bind(self.listen) {
            Ok(_) => Examined { place, problem: None },
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let place = format!("{place} (in use, by `run` or by another program)");
                Examined { place, problem: None }
            }
            Err(error) => {
                let cure = "set syslog_tcp.listen to an address of this machine";
                Examined { place, problem: Some(format!("{error}; {cure}")) }
            }
        }]
    }

    fn open(&self, start: Start<'_>) -> Result<Box<dyn Source>, SourceError> {
        let listen = self.listen;
        let what = || format!("syslog over TCP cannot listen at {listen}; choose another address");
        let failed = |error| SourceError::Receive { what: what(), error };
        let listener = TcpListener::bind(listen).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let spool = Spool::open(&start, self.spool_bytes_max)?;
        let server = Arc::new(Server {
            settings: self.clone(),
            spool: Mutex::new(spool.writer()),
            connections: AtomicUsize::new(0),
            shutdown: start.shutdown.clone(),
        });
        let thread = std::thread::Builder::new().name("syslog".to_owned());
        thread.spawn(move || accept(&server, &listener)).map_err(failed)?;
        Received::follow(spool, &start)
    }
}

struct Server {
    settings: SyslogTcpSettings,
    spool: Mutex<SpoolWriter>,
    connections: AtomicUsize,
    shutdown: CancellationToken,
}

fn accept(server: &Arc<Server>, listener: &TcpListener) {
    while !server.shutdown.is_cancelled() {
        let Ok((connection, peer)) = listener.accept() else {
            // Nobody is there, or the system is out of descriptors: both pass.
            std::thread::sleep(STOP_SEEN_WITHIN / 10);
            continue;
        };
        if server.connections.fetch_add(1, Ordering::Relaxed) >= server.settings.connections_max {
            server.connections.fetch_sub(1, Ordering::Relaxed);
            tracing::warn!(%peer, "connection closed: syslog_tcp.connections_max is reached");
            continue;
        }
        let serving = Serving(Arc::clone(server));
        let run = move || {
            if let Err(error) = serving.0.serve(connection) {
                tracing::warn!(%peer, %error, "syslog connection closed");
            }
            drop(serving);
        };
        if let Err(error) = std::thread::Builder::new().name("syslog".to_owned()).spawn(run) {
            tracing::warn!(%peer, %error, "connection closed: there is no thread for it");
        }
    }
}

/// Counts a connection until it ends, however it does.
struct Serving(Arc<Server>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Server {
    fn serve(&self, mut connection: TcpStream) -> io::Result<()> {
        connection.set_nonblocking(false)?;
        connection.set_read_timeout(Some(STOP_SEEN_WITHIN))?;
        let (mut pending, mut lines) = (Vec::new(), Vec::new());
        while !self.shutdown.is_cancelled() {
            let from = pending.len();
            pending.resize(from + READ_BYTES, 0);
            let read = match connection.read(&mut pending[from..]) {
                Ok(read) => read,
                Err(error) if is_pause(&error) => {
                    pending.truncate(from);
                    continue;
                }
                Err(error) => return Err(error),
            };
            pending.truncate(from + read);
            if pending.starts_with(&TLS_HELLO) {
                return Err(refusal("it speaks TLS, which must end before it comes here"));
            }
            let taken = self.messages(&pending, read == 0, &mut lines);
            if !lines.is_empty() {
                let mut spool = self.spool.lock().unwrap_or_else(PoisonError::into_inner);
                spool.wait_for_room(&self.shutdown);
                spool.keep(&lines, &self.shutdown)?;
                lines.clear();
            }
            pending.drain(..taken?);
            if read == 0 {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Puts the whole messages of `input` into `lines`; returns the bytes they take.
    fn messages(&self, input: &[u8], end: bool, lines: &mut Vec<u8>) -> io::Result<usize> {
        let limit = self.settings.message_bytes_max;
        let mut taken = 0;
        while taken < input.len() {
            let rest = &input[taken..];
            let message = syslog::frame(rest, end, limit);
            match message.frame {
                Frame::Skip(length) => taken += length,
                Frame::Record(length) => {
                    push_line(&rest[message.head..length], lines);
                    taken += length;
                }
                Frame::Partial => break,
                Frame::TooLong => return Err(refusal("message_bytes_max is exceeded")),
                Frame::Malformed => return Err(refusal("no frame of RFC 6587")),
            }
        }
        Ok(taken)
    }
}

fn is_pause(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

fn refusal(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Appends one message as one line; a newline within it is written as rsyslog does.
fn push_line(message: &[u8], lines: &mut Vec<u8>) {
    let message = message.trim_ascii_end();
    if message.is_empty() {
        return;
    }
    for (index, part) in message.split(|byte| *byte == b'\n').enumerate() {
        if index > 0 {
            lines.extend_from_slice(b"#012");
        }
        lines.extend_from_slice(part);
    }
    lines.push(b'\n');
}
