//! Passwords among the arguments of programs: `curl -u ann:x`, `mysql -px`, `PGPASSWORD=x`
//! aside, which reads like any setting.

use std::ops::Range;

use memchr::memmem;

use super::value::{Text, is_quote};

/// Options whose value is a name and a password with a colon between.
const ACCOUNTS: [&[u8]; 3] = [b"-u", b"--user", b"--proxy-user"];
/// Programs and the option behind which their password stands.
const PROGRAMS: [(&[u8], &[u8]); 5] = [
    (b"mysql", b"-p"),
    (b"mariadb", b"-p"),
    (b"sshpass", b"-p"),
    (b"redis-cli", b"-a"),
    (b"ldap", b"-w"),
];
/// What a header of HTTP says before the secret.
const SCHEMES: [&[u8]; 4] = [b"bearer", b"basic", b"token", b"digest"];

/// Ranges of the secrets in a text in lower case.
pub(super) fn program_secrets(text: &mut Text<'_>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    options(text, &mut found);
    headers(text, &mut found);
    found
}

/// Word by word through commands.
fn options(text: &mut Text<'_>, found: &mut Vec<Range<usize>>) {
    let mut secret_option: Option<&[u8]> = None;
    let mut at = 0;
    while at < text.len() {
        let marks = |b: u8| {
            b.is_ascii_whitespace() || is_quote(b) || matches!(b, b'|' | b';' | b'&' | b'(')
        };
        let start = text.skip(at, marks);
        let gap = text.bytes.get(at..start).unwrap_or_default();
        if gap.iter().any(|b| matches!(b, b'|' | b';' | b'&' | b'\n')) {
            secret_option = None;
        }
        let end = text.skip(start, |b| !marks(b));
        let word = text.bytes.get(start..end).unwrap_or_default();
        at = end.max(start + 1);
        if word.first() != Some(&b'-') {
            let program = word.rsplit(|&b| b == b'/').next().unwrap_or_default();
            let named = PROGRAMS.iter().find(|(name, _)| program.starts_with(name));
            secret_option = named.map(|(_, option)| *option).or(secret_option);
            continue;
        }
        let value = match secret_option {
            Some(option) if word.starts_with(option) && !word.starts_with(b"--") => {
                let joined = word.len() > option.len();
                // `mysql -p db` asks for a password and names a database.
                let takes_next = option != b"-p" || is_sshpass(text.bytes, start);
                let follows = !joined && takes_next;
                let from = if joined { start + option.len() } else { text.skip_blanks(end) };
                (joined || follows).then(|| argument(text, from))
            }
            _ => account(text, word, start, end),
        };
        if let Some(value) = value {
            at = value.end.max(at);
            found.push(value);
        }
    }
}

fn is_sshpass(text: &[u8], option: usize) -> bool {
    text.get(..option).is_some_and(|before| before.trim_ascii_end().ends_with(b"sshpass"))
}

/// A word of a command, or what stands in quotes.
fn argument(text: &mut Text<'_>, at: usize) -> Range<usize> {
    text.quoted(at).unwrap_or_else(|| at..text.bare_end(at, false))
}

/// The password of `-u ann:x`, `-uann:x`, `--user=ann:x`.
fn account(text: &mut Text<'_>, word: &[u8], start: usize, end: usize) -> Option<Range<usize>> {
    let option = ACCOUNTS.iter().find(|option| {
        word.strip_prefix(**option).is_some_and(|rest| {
            rest.is_empty() || rest.starts_with(b"=") || (option.len() == 2 && rest.contains(&b':'))
        })
    })?;
    let from = start + option.len();
    let from = if word.len() == option.len() { text.skip_blanks(end) } else { from };
    let from = from + usize::from(text.byte(from) == b'=');
    let name = text.skip(from, |b| is_quote(b) || b == b'\\');
    let colon = text.skip(name, |b| !b.is_ascii_whitespace() && !is_quote(b) && b != b':');
    if text.byte(colon) != b':' || colon == name {
        return None;
    }
    let value = argument(text, from);
    let account = text.bytes.get(name..value.end)?;
    // `docker run -u 1000:1000` names a user and a group; `http://` is no account.
    let numbers = account.iter().all(|&b| b.is_ascii_digit() || b == b':');
    let is_account = !numbers && text.bytes.get(colon..colon + 3) != Some(b"://");
    (is_account && colon + 1 < value.end).then_some(colon + 1..value.end)
}

/// `Authorization: Bearer x`.
fn headers(text: &mut Text<'_>, found: &mut Vec<Range<usize>>) {
    let finder = memmem::Finder::new(b"authorization");
    let mut at = 0;
    text.work += text.len();
    while let Some(hit) = text.bytes.get(at..).and_then(|rest| finder.find(rest)) {
        let marks =
            |b: u8| b.is_ascii_whitespace() || is_quote(b) || matches!(b, b':' | b'\\' | b'=');
        at += hit + b"authorization".len();
        let scheme = text.skip(at, marks);
        let scheme_end = text.skip(scheme, |b| b.is_ascii_alphabetic());
        let told = SCHEMES.contains(&text.bytes.get(scheme..scheme_end).unwrap_or_default());
        if !told {
            continue;
        }
        let start = text.skip_blanks(scheme_end);
        let end = text.bare_end(start, false);
        if end > start {
            found.push(start..end);
        }
        at = end;
    }
}
