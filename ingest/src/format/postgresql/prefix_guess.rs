//! Which `log_line_prefix` a file has, told from its first lines.

use super::prefix::{Line, Prefix, is_code, session_length, time_length};
use super::severity::Tag;

/// Prefixes that are in wide use: PostgreSQL's own, Debian, RDS, Azure, Cloud SQL, pgBadger.
const KNOWN: &[&str] = &[
    "%m [%p] ",
    "%m [%p] %q%u@%d ",
    "%m [%p] %u@%d ",
    "%t:%r:%u@%d:[%p]:",
    "%m:%r:%u@%d:[%p]:%l:%e:%s:%v:%x:%c:%q%a:",
    "%t-%c-",
    "%m [%p]: [%l-1] db=%d,user=%u ",
    "%t [%p]: [%l-1] user=%u,db=%d,app=%a,client=%h ",
    "%t [%p]: user=%u,db=%d,app=%a,client=%h ",
    "%t [%p]: [%l-1] user=%u,db=%d ",
    "%t [%p]: [%l] user=%u,db=%d,app=%a,client=%h ",
    "%t [%p-%l] %q%u@%d ",
    "%m [%p-%l] %q%u@%d ",
    "%m %u@%d [%p] ",
    "%t %u@%d %r [%p] ",
    "%m %8p %-12u|%12d|%-6e ",
    "%n %p %e %b|%i|%P|%Q|%v|%x|%s|%% ",
    "[%p] [%l] %u@%d %a ",
    "%t ",
    "%m ",
    "",
];

/// Lines of which a prefix is made up.
const LINES_LOOKED_AT: usize = 16;

/// Names that people write in front of a value, and the escape of that value.
const KEYS: &[(&str, &str)] = &[
    ("user=", "%u"),
    ("usr=", "%u"),
    ("u=", "%u"),
    ("db=", "%d"),
    ("database=", "%d"),
    ("d=", "%d"),
    ("app=", "%a"),
    ("application=", "%a"),
    ("application_name=", "%a"),
    ("client=", "%r"),
    ("host=", "%r"),
    ("remote=", "%r"),
    ("ip=", "%r"),
    ("pid=", "%p"),
    ("process=", "%p"),
    ("session=", "%c"),
    ("sid=", "%c"),
    ("line=", "%l"),
    ("code=", "%e"),
    ("sqlstate=", "%e"),
    ("error=", "%e"),
    ("vxid=", "%v"),
    ("vtid=", "%v"),
    ("xid=", "%x"),
    ("txid=", "%x"),
    ("tx=", "%x"),
];

/// The prefix that most of the lines begin with, and how many of them; none if no line does.
///
/// A line that begins with a TAB goes on with a text, which a client may have written.
pub(crate) fn guess(lines: &[&str]) -> Option<(Prefix, usize)> {
    let lines: Vec<&str> = lines
        .iter()
        .copied()
        .filter(|line| !line.starts_with('\t') && !line.starts_with("#011"))
        .collect();
    let mut best: Option<(Prefix, usize)> = None;
    let mut consider = |text: &str| {
        let prefix = Prefix::compile(text);
        let reads = |line: &&&str| prefix.read(line).is_some_and(|read| !has_brackets(&read));
        let matched = lines.iter().filter(reads).count();
        let better = best
            .as_ref()
            .is_none_or(|(known, most)| (matched, prefix.escapes()) > (*most, known.escapes()));
        if matched > 0 && better {
            best = Some((prefix, matched));
        }
    };
    KNOWN.iter().for_each(|text| consider(text));
    for line in lines.iter().take(LINES_LOOKED_AT) {
        let Some(made) = make(line) else { continue };
        consider(&made);
        // Server processes may write less than sessions do.
        for (at, _) in made.match_indices(['%', ' ', '[']).filter(|(at, _)| *at > 0) {
            consider(&format!("{}%q{}", &made[..at], &made[at..]));
        }
    }
    best
}

/// Whether the user seems to be called `[ann]`: the brackets are the prefix's.
fn has_brackets(line: &Line<'_>) -> bool {
    let user = line.values.user;
    user.len() > 2 && user.starts_with('[') && user.ends_with(']')
}

/// The prefix that would have written this very line.
fn make(line: &str) -> Option<String> {
    let mut rest = head(line)?;
    let mut prefix = String::new();
    while let Some(character) = rest.chars().next() {
        let (escape, length) =
            at_key(&prefix, rest).or_else(|| value(&prefix, rest)).unwrap_or_else(|| {
                let escaped =
                    if character == '%' { "%%".to_owned() } else { character.to_string() };
                (escaped, character.len_utf8())
            });
        prefix.push_str(&escape);
        rest = &rest[length..];
    }
    Some(prefix)
}

/// What stands in front of the tag.
fn head(line: &str) -> Option<&str> {
    let (end, word) = line.match_indices(":  ").find_map(|(at, _)| {
        let before = &line[..at];
        let start = before
            .rfind(|c: char| !c.is_alphanumeric())
            .map_or(0, |space| space + before[space..].chars().next().map_or(0, char::len_utf8));
        Some((start, Tag::read(&before[start..])?))
    })?;
    matches!(word, Tag::Severity(_)).then_some(&line[..end])
}

/// The value after a name such as `user=`, which goes up to the next name or the last separator.
fn at_key(prefix: &str, rest: &str) -> Option<(String, usize)> {
    let starts_word = |key: &str| {
        let before = &prefix[..prefix.len() - key.len()];
        !before.ends_with(|c: char| c.is_alphanumeric() || c == '_')
    };
    let key = KEYS.iter().find(|(key, _)| prefix.ends_with(key) && starts_word(key))?;
    if key.1 == "%p" || key.1 == "%l" || key.1 == "%x" || key.1 == "%c" {
        return value_length(key.1, rest).map(|length| (key.1.to_owned(), length));
    }
    let next_key = |separator: char| {
        let next = KEYS.iter().filter_map(|(key, _)| rest.find(&format!("{separator}{key}")));
        next.min()
    };
    let end = next_key(' ').into_iter().chain(next_key(',')).min();
    let last =
        rest.trim_end_matches(|c: char| !c.is_alphanumeric() && !matches!(c, ')' | ']' | '"'));
    Some((key.1.to_owned(), end.unwrap_or(last.len())))
}

fn value_length(escape: &str, rest: &str) -> Option<usize> {
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    match escape {
        "%c" => session_length(rest),
        _ => Some(digits).filter(|length| *length > 0),
    }
}

/// A value that shows by itself what it is.
fn value(prefix: &str, rest: &str) -> Option<(String, usize)> {
    if prefix.ends_with(|c: char| c.is_alphanumeric()) {
        return None;
    }
    let is_new = |escape: &str| !prefix.contains(escape);
    if let Some(length) = time_length(rest) {
        let is_first = is_new("%m") && is_new("%t");
        let escape = match (is_first, rest[..length].contains('.')) {
            (true, true) => "%m",
            (true, false) => "%t",
            (false, _) => "%s",
        };
        return Some((escape.to_owned(), length));
    }
    if let Some(length) = session_length(rest).filter(|length| *length >= 10 && is_new("%c")) {
        return Some(("%c".to_owned(), length));
    }
    if let Some(length) = client_length(rest).filter(|_| is_new("%r")) {
        return Some(("%r".to_owned(), length));
    }
    let word =
        rest.bytes().take_while(|byte| !matches!(byte, b' ' | b',' | b':' | b'|' | b'(')).count();
    if let Some((user, database)) = rest[..word].split_once('@').filter(|_| is_new("%u")) {
        let in_brackets = |name: &str| {
            name.len() > 2 && name.starts_with('[') && name.ends_with(']') && name != "[unknown]"
        };
        if in_brackets(user) && in_brackets(database) {
            return Some(("[%u]@[%d]".to_owned(), word));
        }
        let database = database.trim_end_matches(|c: char| c == ']' && !database.contains('['));
        return Some(("%u@%d".to_owned(), user.len() + 1 + database.len()));
    }
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let after = rest[digits..].chars().next();
    if is_code(rest.as_bytes().get(..5)) && rest[5..].starts_with([' ', ':', '|']) && is_new("%e") {
        return Some(("%e".to_owned(), 5));
    }
    if digits > 0 && !after.is_some_and(char::is_alphanumeric) {
        let escape = ["%p", "%l", "%x"].into_iter().find(|escape| is_new(escape))?;
        return Some((escape.to_owned(), digits));
    }
    None
}

/// Length of `host(port)` or `[local]`.
fn client_length(rest: &str) -> Option<usize> {
    if rest.starts_with("[local]") {
        return Some("[local]".len());
    }
    let host = rest
        .bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || b".:-_".contains(byte))
        .count();
    let port = rest[host..].strip_prefix('(')?;
    let digits = port.bytes().take_while(u8::is_ascii_digit).count();
    (host > 0 && digits > 0 && port[digits..].starts_with(')')).then_some(host + digits + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_nobody_knows_are_made_up() {
        let lines = [
            "2026-11-21 01:39:45.078 UTC [28257] LOG:  starting",
            "2026-11-21 01:39:45.078 UTC [28257] [unknown]@[unknown] app=[unknown] \
             client=[local] session=6b00f661.6e61 line=1 LOG:  connection received: host=[local]",
            "2026-11-21 01:39:45.106 UTC [28257] ana@shop app=a: b client=1.2.3.4(5) \
             session=6b00f661.6e61 line=4 LOG:  AUDIT: x",
        ];
        let (prefix, matched) = guess(&lines).expect("a prefix");
        assert_eq!(matched, 3, "{}", prefix.text());
        let values = prefix.read(lines[2]).expect("match").values;
        assert_eq!((values.user, values.application), ("ana", "a: b"));
        assert_eq!((values.session, values.line), ("6b00f661.6e61", Some(4)));
    }

    #[test]
    fn brackets_are_no_part_of_a_name() {
        let lines = [
            "2026-08-23 11:34:26.170 UTC [25297] LOG:  starting",
            "2026-08-23 11:34:26.170 UTC [25298] [ann]@[shop] LOG:  AUDIT: x",
            "2026-08-23 11:34:26.170 UTC [25299] [[unknown]]@[[unknown]] LOG:  x",
        ];
        let (prefix, matched) = guess(&lines).expect("a prefix");
        assert_eq!(matched, 3, "{}", prefix.text());
        let users = lines.map(|line| prefix.read(line).expect("match").values.user);
        assert_eq!(users, ["", "ann", ""]);
    }

    #[test]
    fn text_without_a_tag_has_no_prefix() {
        assert_eq!(guess(&["hello", "world: 1"]), None);
    }

    #[test]
    fn a_text_that_goes_on_has_no_say() {
        let lines = [
            "2026-11-21 01:39:45.078 UTC [28257] ana@shop LOG:  statement: select",
            "\tx 2026-11-21 01:39:45.078 UTC [1] eve@x LOG:  a",
            "\tx 2026-11-21 01:39:45.078 UTC [1] eve@x LOG:  b",
        ];
        assert_eq!(
            guess(&lines).map(|(prefix, _)| prefix.text().to_owned()).as_deref(),
            Some("%m [%p] %q%u@%d ")
        );
    }
}
