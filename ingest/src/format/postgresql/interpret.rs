//! Makes events of records: one record, one event.

use std::borrow::Cow;

use event::AuditEvent;
use event::vocabulary::{Action, Evidence, Outcome, StatementState};

use super::base::{base, is_masked, set_statement, some};
use super::message::{Authorization, Message, Step};
use super::pgaudit::{self, Payload, Text};
use super::record::Record;
use super::{command, forgery, outcome, parameters, secret};
use crate::joins;
use crate::parsed::Parsed;
use crate::session::{Carried, Client, Session, Sessions};

/// Turns records into events; its memory is only scratch.
#[derive(Default)]
pub(crate) struct Interpreter {
    scratch: String,
    parameters: String,
    carried: Carried,
}

/// What pgaudit writes for a statement that its release does not know, such as MERGE.
const UNKNOWN_TAG: &str = "???";

/// What there is to remember of the session once its event is out.
enum After {
    Nothing,
    Close,
}

impl Interpreter {
    /// Hands `out` the one event, or the one reject, that the record is.
    pub(crate) fn read(&mut self, record: &Record<'_>, out: &mut Parsed) {
        out.records += 1;
        let mut sessions = std::mem::take(&mut out.sessions);
        sessions.first_time.get_or_insert(record.time.0);
        let (text, is_cut) = record.uncut_message();
        let message = Message::read(text);
        match forgery::suspicion(record, &message, &sessions) {
            Some(suspicion) => {
                if record.evidence != Evidence::C {
                    // Quoted: the words are the server's, whatever name stands in them.
                    remember(record, &message, &mut sessions);
                }
                let is_login = matches!(message, Message::Authorized(_));
                forged(record, suspicion, is_login, &sessions, out);
            }
            None => self.trusted(record, &message, is_cut, &mut sessions, out),
        }
        out.sessions = sessions;
    }

    fn trusted(
        &mut self,
        record: &Record<'_>,
        message: &Message<'_>,
        is_cut: bool,
        sessions: &mut Sessions,
        out: &mut Parsed,
    ) {
        let key = record.session_key();
        if let Message::Audit(payload) = message {
            self.audited(record, payload, is_cut, sessions, out);
            return;
        }
        let after = remember(record, message, sessions);
        let session = sessions.get(key);
        match message {
            Message::Statement { text } => self.stated(record, text, session, out),
            Message::Duration { duration_us, step, text } => {
                self.timed(record, *duration_us, *step, *text, session, out);
            }
            _ if record.severity.is_error() => failed(record, session, out),
            _ => plain(record, message, session, out),
        }
        if matches!(after, After::Close) {
            sessions.close(key);
        }
    }

    /// A row of pgaudit.
    fn audited(
        &mut self,
        record: &Record<'_>,
        payload: &str,
        is_cut: bool,
        sessions: &mut Sessions,
        out: &mut Parsed,
    ) {
        let mut scratch = std::mem::take(&mut self.scratch);
        match pgaudit::read(payload, is_cut, &mut scratch) {
            Ok(payload) => self.row(record, &payload, sessions, out),
            Err(flaw) if record.evidence == Evidence::C => {
                forged(record, flaw, false, sessions, out);
            }
            Err(flaw) => {
                let reason = format!("the payload of pgaudit cannot be read: {flaw}");
                out.reject(record.position, reason, record.bytes);
            }
        }
        self.scratch = scratch;
    }

    fn row(
        &mut self,
        record: &Record<'_>,
        payload: &Payload<'_>,
        sessions: &mut Sessions,
        out: &mut Parsed,
    ) {
        let doubt = if record.evidence == Evidence::C && payload.is_irregular {
            Some("an audit row with a field that the server would have quoted")
        } else if forgery::number_goes_back(record, payload.statement_id, sessions) {
            Some("the statement number of the session goes backwards")
        } else {
            None
        };
        if let Some(doubt) = doubt {
            return forged(record, doubt, false, sessions, out);
        }
        let session = sessions.open(record.session_key());
        session.line = record.line.unwrap_or(session.line);
        let number = payload.statement_id;
        let is_same = session.statement.as_ref().is_some_and(|last| last.number == number);
        self.statement_of(payload, session, is_same);
        let row = AuditRow { payload, carried: &self.carried, session };
        let outcome = row.push(record, out);
        let ended = outcome == Outcome::Succeeded;
        session.set_statement(number, unmasked_head(&self.carried), record.transaction, ended);
        self.carried.limit();
        std::mem::swap(&mut session.carried, &mut self.carried);
    }

    /// Puts text and parameters of the row into `carried`, from the row itself or from the
    /// session's last one.
    fn statement_of(&mut self, payload: &Payload<'_>, session: &mut Session, is_same: bool) {
        let earlier = &session.carried;
        if payload.statement == Text::PreviouslyLogged && is_same {
            self.carried.clone_from(earlier);
            return;
        }
        let (text, state) = match payload.statement {
            Text::Logged(text) => (secret::redact(text), StatementState::Full),
            _ => (Cow::Borrowed(""), StatementState::Absent),
        };
        let is_redacted = matches!(text, Cow::Owned(_)) || text.ends_with("<REDACTED>");
        let state = match state {
            StatementState::Full if payload.is_cut => StatementState::Truncated,
            StatementState::Full if is_redacted => StatementState::Redacted,
            state => state,
        };
        let parameters = match payload.parameters {
            Text::Logged(_) if secret::may_bind_secrets(&text) => secret::MASKED_PARAMETERS,
            Text::Logged(list) if parameters::from_csv(list, &mut self.parameters) => {
                &self.parameters
            }
            Text::Logged(list) => list,
            _ => "",
        };
        self.carried.set(&text, state, parameters);
    }

    /// `log_statement`: a statement that is about to run.
    fn stated(
        &mut self,
        record: &Record<'_>,
        text: &str,
        session: Option<&Session>,
        out: &mut Parsed,
    ) {
        let origin = out.origin.clone();
        let mut event = base(record, session, &origin);
        let text = secret::redact(text);
        let known = command::of_statement(&text);
        event.command = known.map(|(command, _)| command).or(some(record.activity));
        event.action = known.map_or(Action::Other, |(_, action)| action);
        // EXECUTE does what was prepared, which the server writes beside it.
        if let Some((_, action)) = command::prepared(record.detail) {
            event.action = action;
        }
        set_statement(&mut event, &text, is_masked(&text), record.uncut_message().1);
        event.parameters = self.bound(record.detail, &text);
        push_statement(&event, record, out);
    }

    /// A duration, alone or with its statement.
    fn timed(
        &mut self,
        record: &Record<'_>,
        duration_us: i64,
        step: Step,
        text: Option<&str>,
        session: Option<&Session>,
        out: &mut Parsed,
    ) {
        let origin = out.origin.clone();
        let mut event = base(record, session, &origin);
        event.duration_us = Some(duration_us);
        event.outcome = Outcome::Succeeded;
        let text = text.map(secret::redact);
        let known = text.as_deref().and_then(command::of_statement);
        (event.command, event.action) = match (step, known) {
            // A step before the execution does nothing yet.
            (Step::Parse, _) => (Some("PARSE"), Action::Other),
            (Step::Bind, _) => (Some("BIND"), Action::Other),
            (Step::Execute, Some((command, action))) => (Some(command), action),
            (Step::Execute, None) if text.is_some() => (None, Action::Other),
            (Step::Execute, None) => (None, Action::Log),
        };
        if let Some(text) = &text {
            set_statement(&mut event, text, is_masked(text), record.uncut_message().1);
            event.parameters = self.bound(record.detail, text);
        }
        out.push(&event);
    }

    /// Bind values from DETAIL.
    fn bound(&mut self, detail: &str, statement: &str) -> Option<&str> {
        if !parameters::from_detail(detail, &mut self.parameters) {
            return None;
        }
        let masked = secret::may_bind_secrets(statement);
        Some(if masked { secret::MASKED_PARAMETERS } else { &self.parameters })
    }
}

/// One row of pgaudit on its way out.
struct AuditRow<'a> {
    payload: &'a Payload<'a>,
    carried: &'a Carried,
    session: &'a Session,
}

impl AuditRow<'_> {
    /// Returns what the row says of its statement.
    fn push(&self, record: &Record<'_>, out: &mut Parsed) -> Outcome {
        let origin = out.origin.clone();
        let (payload, carried) = (self.payload, self.carried);
        let mut event = base(record, Some(self.session), &origin);
        (event.command, event.action) = (some(payload.command), payload.action());
        if payload.command == UNKNOWN_TAG
            && let Some((command, action)) = command::of_statement(&carried.text)
        {
            (event.command, event.action) = (Some(command), action);
        }
        event.statement_number = Some(payload.statement_id);
        event.object_kind = some(payload.object_kind);
        event.object = some(payload.object);
        event.statement = some(&carried.text);
        event.statement_state = carried.state();
        event.parameters = some(&carried.parameters);
        // Only the executor counts; elsewhere pgaudit writes a zero that says nothing.
        event.rows = payload.rows.filter(|rows| *rows > 0 || payload.is_counted());
        event.outcome = outcome::of_row(payload);
        push_statement(&event, record, out);
        event.outcome
    }
}

/// Takes the event of a statement, which a client may have forged where it can begin a line.
fn push_statement(event: &AuditEvent<'_>, record: &Record<'_>, out: &mut Parsed) {
    match record.evidence {
        Evidence::C => out.push_doubtable(event, record.bytes.len()),
        Evidence::A | Evidence::B => out.push(event),
    }
}

/// What stands before the first mask.
fn unmasked_head(carried: &Carried) -> &str {
    let text = &carried.text;
    if carried.state() != StatementState::Redacted {
        return text;
    }
    let masks = [" <REDACTED>", "<redacted>"];
    let end = masks.iter().filter_map(|mask| text.find(mask)).min();
    &text[..end.unwrap_or(text.len())]
}

/// Keeps what the record says of its session.
fn remember(record: &Record<'_>, message: &Message<'_>, sessions: &mut Sessions) -> After {
    let key = record.session_key();
    if key.is_empty() {
        return After::Nothing;
    }
    sessions.logs_connections |= matches!(message, Message::Received(_));
    sessions.logs_authorizations |= matches!(message, Message::Authorized(_));
    if matches!(message, Message::Received(_)) && record.session.is_empty() {
        // The process number of a session that ended without a word is in use again.
        sessions.close(key);
    }
    let session = sessions.open(key);
    session.line = record.line.unwrap_or(session.line);
    match message {
        Message::Received(client) => {
            session.received = true;
            session.set_client(*client);
        }
        Message::Authenticated { method, .. } => session.authentication = Some((*method).into()),
        Message::Authorized(authorization) => authorized(record, authorization, session),
        Message::Disconnection { client, .. } => {
            if session.client().is_empty() {
                session.set_client(*client);
            }
            return After::Close;
        }
        // Who is not let in says no goodbye.
        _ if outcome::is_refused_login(record) => return After::Close,
        _ => {}
    }
    After::Nothing
}

fn authorized(record: &Record<'_>, authorization: &Authorization<'_>, session: &mut Session) {
    let Authorization { user, database, application, tls } = *authorization;
    session.authorized = true;
    session.user = Some(user.into());
    session.database = database.map(Into::into);
    session.application = application.map(Into::into);
    let client = if record.client.is_empty() { session.client() } else { record.client };
    // A local socket needs none, so that its absence says nothing.
    let off = if client.is_local() { None } else { Some("off") };
    session.tls = tls.or(off).map(Into::into);
}

/// A record that ended in an error: of a statement, of a login, or of the server itself.
fn failed(record: &Record<'_>, session: Option<&Session>, out: &mut Parsed) {
    let origin = out.origin.clone();
    let mut event = base(record, session, &origin);
    let is_login = outcome::is_refused_login(record);
    event.outcome = outcome::of_error(record);
    event.error_code = some(record.code);
    let statement = secret::redact(record.query);
    let mut error = match &statement {
        Cow::Owned(_) => secret::redact_message(record.message),
        Cow::Borrowed(_) => secret::redact(record.message),
    };
    let known = command::of_statement(&statement).filter(|_| !is_login);
    event.command = known.map(|(command, _)| command);
    // An error of no statement is only a record of the log.
    let unknown = if record.query.is_empty() { Action::Log } else { Action::Other };
    event.action = known.map_or(unknown, |(_, action)| action);
    if is_login {
        event.action = Action::Login;
        event.user = event.user.or(some(forgery::refused_user(record.message)));
        // Why, which the client is not told: no such role, no password, which line of pg_hba.conf.
        if let Some(why) = record.detail.lines().next() {
            error = format!("{error}: {}", secret::redact(why)).into();
        }
    } else {
        let is_cut = record.is_cut && !record.query.is_empty();
        set_statement(&mut event, &statement, is_masked(&statement), is_cut);
        event.statement_number = joins::failed_statement(session, record.query, record.transaction);
    }
    event.error = some(&error);
    out.push(&event);
}

/// Connections, and everything that has no meaning here but its text.
fn plain<'a>(
    record: &Record<'a>,
    message: &Message<'a>,
    session: Option<&Session>,
    out: &mut Parsed,
) {
    let origin = out.origin.clone();
    let mut event = base(record, session, &origin);
    let (command, action, outcome) = match message {
        Message::Received(_) => (Some("connection received"), Action::Other, Outcome::Unknown),
        Message::Authenticated { .. } => {
            (Some("connection authenticated"), Action::Other, Outcome::Succeeded)
        }
        Message::Authorized(_) => {
            (Some("connection authorized"), Action::Login, Outcome::Succeeded)
        }
        Message::Disconnection { .. } => {
            (Some("disconnection"), Action::Logout, Outcome::Succeeded)
        }
        _ => (None, Action::Log, Outcome::Unknown),
    };
    (event.command, event.action, event.outcome) = (command, action, outcome);
    fill_from_message(&mut event, message);
    if !matches!(record.code, "" | "00000") {
        event.error_code = Some(record.code);
    }
    let text = secret::redact(record.message);
    event.message = some(&text);
    out.push(&event);
}

/// What only the message says, where prefix and session are silent.
fn fill_from_message<'a>(event: &mut AuditEvent<'a>, message: &Message<'a>) {
    let mut client = Client::default();
    match message {
        Message::Received(received) => client = *received,
        Message::Authenticated { identity, .. } => event.user = event.user.or(some(identity)),
        Message::Authorized(authorization) => {
            event.user = event.user.or(some(authorization.user));
            event.database = event.database.or(authorization.database);
            event.application = event.application.or(authorization.application);
        }
        Message::Disconnection { duration_us, client: left } => {
            event.duration_us = *duration_us;
            client = *left;
        }
        _ => {}
    }
    if event.client_address.is_none() && event.client_host.is_none() {
        let Client { address, port, host } = client;
        (event.client_address, event.client_port, event.client_host) = (address, port, host);
    }
}

/// A record that may not be the server's: its words are shown, not believed.
fn forged(
    record: &Record<'_>,
    suspicion: &str,
    is_login: bool,
    sessions: &Sessions,
    out: &mut Parsed,
) {
    let origin = out.origin.clone();
    let session = match record.evidence {
        Evidence::C => None,
        Evidence::A | Evidence::B => sessions.get(record.session_key()),
    };
    let mut event = base(record, session, &origin);
    event.command = Some(forgery::COMMAND);
    if outcome::is_refused_login(record) || forgery::has_login_tail(record.message) {
        (event.action, event.outcome) = (Action::Login, Outcome::Denied);
    } else if is_login && record.evidence != Evidence::C {
        (event.action, event.outcome) = (Action::Login, Outcome::Succeeded);
    }
    event.error_code = some(record.code).filter(|code| *code != "00000");
    let message = secret::redact(record.message);
    let error = format!("{}{suspicion}: {message}", forgery::ERROR);
    event.error = Some(&error);
    out.push(&event);
    if record.evidence == Evidence::C {
        forgery::doubt_neighbours(record.position, out);
    }
}
