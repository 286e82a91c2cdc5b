//! Log formats: each turns bytes into events, one file a format, listed once in [`FORMATS`].

mod mariadb_server_audit;
mod postgresql;

pub use postgresql::PostgresqlSettings;

use event::vocabulary::Action;
use statement::CommandClass;

use crate::parsed::Parsed;
use crate::stream::StreamSettings;

/// Turns the bytes of one log format into events. Never fails, never panics: what it cannot read
/// it hands back as a reject.
pub(crate) trait Format: Send {
    /// Reads the whole records at the head of `input`, which begins at byte `out.offset()` of
    /// its file, and returns the bytes they take; the rest is to be offered again with more.
    ///
    /// At `end_of_input` no more comes, so all of it is read.
    fn parse(&mut self, input: &[u8], end_of_input: bool, out: &mut Parsed) -> usize;

    /// Reads whole lines that might still have gone on as if they did not.
    fn flush(&mut self, _lines: &[u8], _out: &mut Parsed) -> usize {
        0
    }

    /// Where the first record begins that is read but not yet in `out`, if there is one.
    fn open_from(&self) -> Option<u64> {
        None
    }

    /// Everything that the format carries from one record to the next.
    fn snapshot(&self) -> Vec<u8>;

    /// Continues from what [`Format::snapshot`] gave; false if the bytes are not that.
    fn restore(&mut self, snapshot: &[u8]) -> bool;
}

/// What the house needs to know of a format.
pub(crate) struct Registration {
    /// One name everywhere: settings, column `format`, testdata folder, metric label.
    pub(crate) name: &'static str,
    /// Column `engine`.
    pub(crate) engine: &'static str,
    /// Makes a reader for one file.
    pub(crate) open: fn(&StreamSettings) -> Box<dyn Format>,
    /// How likely the sample, the head of a file, is of this format: 0 no, 100 certainly.
    pub(crate) score: fn(&[u8]) -> u8,
}

/// Every format. To add one, write its file and add its line.
pub(crate) const FORMATS: &[Registration] = &[
    postgresql::csvlog::REGISTRATION,
    postgresql::jsonlog::REGISTRATION,
    postgresql::logtofile::REGISTRATION,
    postgresql::stderr::REGISTRATION,
    postgresql::syslog::REGISTRATION,
    mariadb_server_audit::REGISTRATION,
];

/// The format of that name.
pub(crate) fn find(name: &str) -> Option<&'static Registration> {
    FORMATS.iter().find(|format| format.name == name)
}

/// The name of the format that the head of a file most likely has; none if none is likely.
pub fn recognise(sample: &[u8]) -> Option<&'static str> {
    let scored = FORMATS.iter().map(|format| ((format.score)(sample), format.name));
    scored.filter(|(score, _)| *score > 0).max_by_key(|(score, _)| *score).map(|(_, name)| name)
}

/// Names of every format, in the order in which they are tried.
pub fn names() -> impl Iterator<Item = &'static str> {
    FORMATS.iter().map(|format| format.name)
}

/// The action of a class of commands.
pub(crate) fn action(class: CommandClass) -> Action {
    match class {
        CommandClass::Read => Action::Read,
        CommandClass::Write => Action::Write,
        CommandClass::Define => Action::Define,
        CommandClass::Grant => Action::Grant,
        CommandClass::Call => Action::Call,
        CommandClass::Set => Action::Set,
        CommandClass::Admin => Action::Admin,
        CommandClass::Other => Action::Other,
    }
}

/// The bytes without the byte order mark that some tools write first.
pub(crate) fn byte_order_mark_length(input: &[u8]) -> usize {
    if input.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 }
}
