//! Messages of the server that say more than their text: connections, statements, durations.
//!
//! Texts: `postmaster.c`, `postinit.c`, `auth.c`, `postgres.c`.

use crate::session::Client;

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Message<'a> {
    /// `AUDIT: …`, without the mark.
    Audit(&'a str),
    Received(Client<'a>),
    Authenticated {
        identity: &'a str,
        method: &'a str,
    },
    Authorized(Authorization<'a>),
    Disconnection {
        duration_us: Option<i64>,
        client: Client<'a>,
    },
    /// A statement is about to run.
    Statement {
        text: &'a str,
    },
    /// A statement has run; its text is there if it was slow enough to be logged alone.
    Duration {
        duration_us: i64,
        step: Step,
        text: Option<&'a str>,
    },
    Other,
}

/// The part of the extended protocol that a duration is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Parse,
    Bind,
    Execute,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Authorization<'a> {
    pub(crate) user: &'a str,
    pub(crate) database: Option<&'a str>,
    pub(crate) application: Option<&'a str>,
    pub(crate) tls: Option<&'a str>,
}

impl<'a> Message<'a> {
    pub(crate) fn read(message: &'a str) -> Self {
        let read = match message.as_bytes().first() {
            Some(b'A') => message.strip_prefix(super::pgaudit::MARK).map(Self::Audit),
            Some(b'c') => connection(message),
            Some(b'r') => message
                .strip_prefix("replication connection authorized: ")
                .and_then(authorization)
                .map(Self::Authorized),
            Some(b'd') => disconnection(message).or_else(|| duration(message)),
            Some(b's' | b'e') => statement(message),
            _ => None,
        };
        read.unwrap_or(Self::Other)
    }
}

fn connection(message: &str) -> Option<Message<'_>> {
    let message = message.strip_prefix("connection ")?;
    if let Some(rest) = message.strip_prefix("received: host=") {
        let (host, port) = rest.rsplit_once(" port=").unwrap_or((rest, ""));
        return Some(Message::Received(Client::new(host, port.parse().ok())));
    }
    if let Some(rest) = message.strip_prefix("authorized: ") {
        return authorization(rest).map(Message::Authorized);
    }
    let rest = message.strip_prefix("authenticated: ")?;
    // The name is a client's to choose and is not escaped: the last mark counts.
    let (identity, method) = rest.rsplit_once(" method=").or_else(|| rest.split_once("method="))?;
    let identity = identity.strip_prefix("identity=\"").and_then(|rest| rest.strip_suffix('"'));
    let method = method.split(' ').next().unwrap_or(method);
    Some(Message::Authenticated { identity: identity.unwrap_or_default(), method })
}

/// `user=U database=D application_name=A SSL enabled (…)`: no value is quoted, so the known ends
/// are taken off first and the application is what is left.
fn authorization(text: &str) -> Option<Authorization<'_>> {
    let text = text.strip_prefix("user=")?;
    let (text, tls) = split_encryption(text);
    let (text, application) = match text.split_once(" application_name=") {
        Some((text, application)) => (text, Some(application)),
        None => (text, None),
    };
    let (user, database) = match text.rsplit_once(" database=") {
        Some((user, database)) => (user, Some(database)),
        None => (text, None),
    };
    Some(Authorization { user, database, application, tls })
}

/// Takes off ` SSL enabled (protocol=P, …)` and ` GSS (…encrypted=yes…)`.
fn split_encryption(text: &str) -> (&str, Option<&str>) {
    let Some(inner) = text.strip_suffix(')') else { return (text, None) };
    if let Some((text, details)) = inner.rsplit_once(" SSL enabled (protocol=") {
        return (text, details.split(',').next());
    }
    match inner.rsplit_once(" GSS (") {
        Some((text, details)) if details.contains("encrypted=yes") => (text, Some("GSS")),
        Some((text, _)) => (text, None),
        None => (text, None),
    }
}

fn disconnection(message: &str) -> Option<Message<'_>> {
    let rest = message.strip_prefix("disconnection: session time: ")?;
    let (duration, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let client = rest.rsplit_once(" host=").map_or(Client::default(), |(_, host)| {
        let (host, port) = host.rsplit_once(" port=").unwrap_or((host, ""));
        Client::new(host, port.parse().ok())
    });
    Some(Message::Disconnection { duration_us: session_time(duration), client })
}

/// `H:MM:SS.mmm` in microseconds.
fn session_time(text: &str) -> Option<i64> {
    let (hours, rest) = text.split_once(':')?;
    let (minutes, seconds) = rest.split_once(':')?;
    let number = |text: &str| text.parse::<i64>().ok();
    let minutes = number(hours)?.checked_mul(60)?.checked_add(number(minutes)?)?;
    minutes.checked_mul(60_000_000)?.checked_add(decimal(seconds, 6)?)
}

/// A decimal number, in units of 10⁻ᵈⁱᵍⁱᵗˢ; further digits are left out.
fn decimal(text: &str, digits: usize) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let number = |text: &str| {
        let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if all { text.parse::<i64>().ok() } else { None }
    };
    let fraction = fraction.get(..fraction.len().min(digits))?;
    let scale = |places: usize| 10_i64.checked_pow(places as u32);
    let small = if fraction.is_empty() { 0 } else { number(fraction)? };
    let small = small.checked_mul(scale(digits - fraction.len())?)?;
    number(whole)?.checked_mul(scale(digits)?)?.checked_add(small)
}

/// `statement: SQL` or `execute NAME: SQL`.
fn statement(message: &str) -> Option<Message<'_>> {
    if let Some(text) = stated(message) {
        return Some(Message::Statement { text });
    }
    let (_, text) = step(message).filter(|(step, _)| *step == Step::Execute)?;
    Some(Message::Statement { text })
}

/// What follows `statement: `, whose blank a collector may have taken off the end of the line.
fn stated(message: &str) -> Option<&str> {
    let text = message.strip_prefix("statement:")?;
    text.strip_prefix(' ')
        .or_else(|| Some(text).filter(|text| text.is_empty() || text.starts_with('\n')))
}

/// `duration: N.NNN ms`, alone or with the statement after two spaces.
fn duration(message: &str) -> Option<Message<'_>> {
    let rest = message.strip_prefix("duration: ")?;
    let (number, rest) = rest.split_once(" ms")?;
    let duration_us = decimal(number, 3)?;
    if rest.is_empty() {
        return Some(Message::Duration { duration_us, step: Step::Execute, text: None });
    }
    let rest = rest.strip_prefix("  ")?;
    let (step, text) = match stated(rest) {
        Some(text) => (Step::Execute, text),
        None => step(rest)?,
    };
    Some(Message::Duration { duration_us, step, text: Some(text) })
}

/// `parse|bind|execute NAME: SQL`; the name is the client's, the first `: ` ends it.
fn step(text: &str) -> Option<(Step, &str)> {
    let (verb, rest) = text.split_once(' ')?;
    let step = match verb {
        "parse" => Step::Parse,
        "bind" => Step::Bind,
        "execute" => Step::Execute,
        _ => return None,
    };
    let rest = rest.strip_prefix("fetch from ").unwrap_or(rest);
    Some((step, rest.split_once(": ")?.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_may_be_called_anything() {
        let message = Message::read(
            "connection authorized: user=app database=shop application_name=puma: cluster \
             worker 2: 44125 [myapp] SSL enabled (protocol=TLSv1.3, cipher=C, bits=256)",
        );
        let expected = Authorization {
            user: "app",
            database: Some("shop"),
            application: Some("puma: cluster worker 2: 44125 [myapp]"),
            tls: Some("TLSv1.3"),
        };
        assert_eq!(message, Message::Authorized(expected));
    }

    #[test]
    fn a_statement_may_begin_on_the_next_line() {
        for (message, text) in
            [("statement: a", "a"), ("statement:\n b", "\n b"), ("statement: \n b", "\n b")]
        {
            assert_eq!(Message::read(message), Message::Statement { text });
            let message = format!("duration: 1 ms  {message}");
            let (step, text) = (Step::Execute, Some(text));
            let expected = Message::Duration { duration_us: 1_000, step, text };
            assert_eq!(Message::read(&message), expected);
        }
        assert_eq!(Message::read("statement:x"), Message::Other);
    }

    #[test]
    fn durations_are_in_microseconds() {
        let message = Message::read("duration: 12.034 ms  execute s1: select 1");
        let (step, text) = (Step::Execute, Some("select 1"));
        assert_eq!(message, Message::Duration { duration_us: 12_034, step, text });
        assert_eq!(session_time("1:02:03.004"), Some(3_723_004_000));
        assert_eq!(Message::read("duration: 1.5x ms"), Message::Other);
    }

    #[test]
    fn names_with_marks_in_them_do_not_mislead() {
        let message =
            "connection authenticated: identity=\"x\" method=trust (a)\" method=md5 (f:1)";
        let expected = Message::Authenticated { identity: "x\" method=trust (a)", method: "md5" };
        assert_eq!(Message::read(message), expected);
    }
}
