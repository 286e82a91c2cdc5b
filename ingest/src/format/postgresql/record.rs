//! One record of the server's log, whatever carried it: what the columns of csvlog are.

use event::Timestamp;
use event::vocabulary::{Evidence, TimeBasis};

use super::severity::Severity;
use crate::session::Client;

/// Texts are empty where the carrier has none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    /// Position of its first byte in the file.
    pub(crate) position: u64,
    /// The record as it was read.
    pub(crate) bytes: &'a [u8],
    pub(crate) evidence: Evidence,
    pub(crate) time: Timestamp,
    pub(crate) time_basis: TimeBasis,
    pub(crate) user: &'a str,
    pub(crate) database: &'a str,
    pub(crate) process: &'a str,
    pub(crate) client: Client<'a>,
    /// The session id, where the carrier has it.
    pub(crate) session: &'a str,
    /// Number of the line within the session.
    pub(crate) line: Option<u64>,
    /// What the process was doing, as `ps` shows it.
    pub(crate) activity: &'a str,
    pub(crate) transaction: &'a str,
    pub(crate) severity: Severity,
    pub(crate) code: &'a str,
    pub(crate) message: &'a str,
    pub(crate) detail: &'a str,
    pub(crate) context: &'a str,
    pub(crate) query: &'a str,
    pub(crate) application: &'a str,
    pub(crate) backend: &'a str,
    /// The carrier knows that the end of the message is missing.
    pub(crate) is_cut: bool,
    /// What speaks against the record being the server's own, found by the carrier.
    pub(crate) suspicion: Option<&'static str>,
}

/// What RDS writes where it cut a message.
const CUT_MARK: &str = "...[Your log message was truncated]";

impl<'a> Record<'a> {
    /// A record with nothing but its place and time.
    pub(crate) fn new(position: u64, bytes: &'a [u8], evidence: Evidence) -> Self {
        Self {
            position,
            bytes,
            evidence,
            time: Timestamp::default(),
            time_basis: TimeBasis::Assumed,
            user: "",
            database: "",
            process: "",
            client: Client::default(),
            session: "",
            line: None,
            activity: "",
            transaction: "",
            severity: Severity::Message,
            code: "",
            message: "",
            detail: "",
            context: "",
            query: "",
            application: "",
            backend: "",
            is_cut: false,
            suspicion: None,
        }
    }

    /// What the session is remembered by.
    pub(crate) fn session_key(&self) -> &'a str {
        if self.session.is_empty() { self.process } else { self.session }
    }

    /// The message without the mark that says that it was cut, and whether it was.
    pub(crate) fn uncut_message(&self) -> (&'a str, bool) {
        match self.message.strip_suffix(CUT_MARK) {
            Some(message) => (message, true),
            None => (self.message, self.is_cut),
        }
    }

    /// Whether nobody had been authenticated when the record was written.
    pub(crate) fn is_before_login(&self) -> bool {
        self.activity.starts_with("authentication")
            || self.activity.starts_with("startup")
            || self.backend == "not initialized"
    }
}
