//! The payload of pgaudit: nine CSV fields, ten with `pgaudit.log_rows`.
//!
//! Source: `log_audit_event` and `append_valid_csv` in pgaudit.c.

use event::vocabulary::Action;

use super::command;
use crate::framing::csv::push_undoubled;

/// What stands in front of the payload.
pub(crate) const MARK: &str = "AUDIT: ";

/// A text in place of what pgaudit did not write.
const NONE: &str = "<none>";
const NOT_LOGGED: &str = "<not logged>";
const PREVIOUSLY_LOGGED: &str = "<previously logged>";

/// The fields of one row, decoded once: parameters are still a CSV list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Payload<'a> {
    pub(crate) statement_id: i64,
    pub(crate) class: &'a str,
    pub(crate) command: &'a str,
    pub(crate) object_kind: &'a str,
    pub(crate) object: &'a str,
    pub(crate) statement: Text<'a>,
    pub(crate) parameters: Text<'a>,
    pub(crate) rows: Option<i64>,
    /// An unquoted field holds what the server would have quoted.
    pub(crate) is_irregular: bool,
    /// The payload ends in the middle.
    pub(crate) is_cut: bool,
}

/// A text, or what stands in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Text<'a> {
    /// There is none to log.
    None,
    /// The settings forbid to log it.
    NotLogged,
    /// It stands in an earlier row of the same statement.
    PreviouslyLogged,
    Logged(&'a str),
}

/// Why a payload is none.
pub(crate) type Flaw = &'static str;

/// One field as it stands in the payload.
#[derive(Clone, Copy, Default)]
struct Field<'a> {
    raw: &'a str,
    /// It holds doubled quotes.
    doubled: bool,
    is_quoted: bool,
}

const FIELDS_MAX: usize = 10;

/// Reads what follows `AUDIT: `. Texts are borrowed from `payload`, or from `scratch` where quotes
/// had to be undone. `cut` says that the carrier knows that the end is missing.
pub(crate) fn read<'a>(
    payload: &'a str,
    cut: bool,
    scratch: &'a mut String,
) -> Result<Payload<'a>, Flaw> {
    let (fields, count, open) = split(payload)?;
    let is_cut = cut || open;
    if count < 9 && !is_cut {
        return Err("it has fewer than nine fields");
    }
    if count < 7 {
        return Err("it is cut before the statement");
    }
    if !matches!(fields[0].raw, "SESSION" | "OBJECT") {
        return Err("its type is neither SESSION nor OBJECT");
    }
    let number = |field: Field<'_>| field.raw.parse::<i64>().ok().filter(|number| *number >= 0);
    let statement_id = number(fields[1]).ok_or("its statement number is no number")?;
    number(fields[2]).ok_or("its substatement number is no number")?;
    let class = fields[3].raw;
    if !matches!(class, "READ" | "WRITE" | "FUNCTION" | "ROLE" | "DDL" | "MISC") {
        return Err("its class is not one of pgaudit's");
    }
    let rows = match count {
        FIELDS_MAX if !is_cut => Some(number(fields[9]).ok_or("its rows are no number")?),
        FIELDS_MAX => number(fields[9]),
        _ => None,
    };
    let is_irregular = fields[..count].iter().any(|field| {
        !field.is_quoted && memchr::memchr3(b'"', b'\n', b'\r', field.raw.as_bytes()).is_some()
    });
    let [command, object_kind, object, statement, parameters] =
        undouble([fields[4], fields[5], fields[6], fields[7], fields[8]], scratch);
    Ok(Payload {
        statement_id,
        class,
        command,
        object_kind,
        object,
        statement: Text::read(statement, fields[7].is_quoted),
        parameters: Text::read(parameters, fields[8].is_quoted),
        rows,
        is_irregular,
        is_cut,
    })
}

impl Payload<'_> {
    /// Whether the executor ran it, which counts rows; utilities have none to count.
    pub(crate) fn is_counted(&self) -> bool {
        let counted = ["SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "???"];
        matches!(self.class, "READ" | "WRITE") && counted.contains(&self.command)
    }

    /// The kind of thing done, by class; MISC is told by the command.
    pub(crate) fn action(&self) -> Action {
        match self.class {
            "READ" => Action::Read,
            "WRITE" => Action::Write,
            "FUNCTION" => Action::Call,
            "ROLE" => Action::Grant,
            "DDL" if self.command == "ALTER SYSTEM" => Action::Set,
            "DDL" => Action::Define,
            _ => command::action_of(self.command),
        }
    }
}

impl<'a> Text<'a> {
    fn read(text: &'a str, is_quoted: bool) -> Self {
        match text {
            "" | NONE if !is_quoted => Self::None,
            NOT_LOGGED => Self::NotLogged,
            PREVIOUSLY_LOGGED => Self::PreviouslyLogged,
            text => Self::Logged(text),
        }
    }
}

/// The fields, how many there are, and whether the last one's quote is not closed.
fn split(payload: &str) -> Result<([Field<'_>; FIELDS_MAX], usize, bool), Flaw> {
    let bytes = payload.as_bytes();
    let mut fields = [Field::default(); FIELDS_MAX];
    let mut at = 0;
    for count in 1..=FIELDS_MAX {
        let (field, next) = if bytes.get(at) == Some(&b'"') {
            let (field, next) = quoted(payload, at + 1);
            fields[count - 1] = field;
            let Some(next) = next else { return Ok((fields, count, true)) };
            (field, next)
        } else {
            let length = memchr::memchr(b',', &bytes[at..]).unwrap_or(bytes.len() - at);
            (Field { raw: &payload[at..at + length], ..Field::default() }, at + length)
        };
        fields[count - 1] = field;
        match bytes.get(next) {
            None => return Ok((fields, count, false)),
            Some(b',') => at = next + 1,
            Some(_) => return Err("text follows a closing quote"),
        }
    }
    Err("it has more than ten fields")
}

/// The field that begins after its quote, and where it ends, unless it does not.
fn quoted(payload: &str, start: usize) -> (Field<'_>, Option<usize>) {
    let bytes = payload.as_bytes();
    let (mut from, mut doubled) = (start, false);
    while let Some(found) = memchr::memchr(b'"', &bytes[from..]) {
        let at = from + found;
        if bytes.get(at + 1) != Some(&b'"') {
            return (Field { raw: &payload[start..at], doubled, is_quoted: true }, Some(at + 1));
        }
        doubled = true;
        from = at + 2;
    }
    (Field { raw: &payload[start..], doubled, is_quoted: true }, None)
}

/// The texts of fields; those with doubled quotes are written to `scratch` first.
fn undouble<'a, const N: usize>(fields: [Field<'a>; N], scratch: &'a mut String) -> [&'a str; N] {
    scratch.clear();
    let mut ends = [0; N];
    for (field, end) in fields.iter().zip(&mut ends) {
        if field.doubled {
            push_undoubled(field.raw, scratch);
        }
        *end = scratch.len();
    }
    let scratch: &'a str = scratch;
    let mut start = 0;
    let mut texts = [""; N];
    for ((text, field), end) in texts.iter_mut().zip(fields).zip(ends) {
        *text = if field.doubled { &scratch[start..end] } else { field.raw };
        start = end;
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_fields_with_quotes_within_quotes() {
        let mut scratch = String::new();
        let payload = read(
            "OBJECT,8,2,READ,SELECT,TABLE,\"hr.\"\"Pay, 2024\"\"\",\"select *\n  from hr.\"\"Pay, \
             2024\"\"\",<not logged>,17",
            false,
            &mut scratch,
        );
        let payload = payload.expect("valid");
        assert_eq!(payload.object, "hr.\"Pay, 2024\"");
        assert_eq!(payload.statement, Text::Logged("select *\n  from hr.\"Pay, 2024\""));
        assert_eq!((payload.parameters, payload.rows), (Text::NotLogged, Some(17)));
    }

    #[test]
    fn flaws_are_named() {
        let cases = [
            ("SESSION,1,1,READ,SELECT,,,select 1", "it has fewer than nine fields"),
            ("SESSION,1,1,READ,SELECT,,,\"a\"b,<none>", "text follows a closing quote"),
            ("SESSION,x,1,READ,SELECT,,,a,<none>", "its statement number is no number"),
            ("SESSION,1,1,READS,SELECT,,,a,<none>", "its class is not one of pgaudit's"),
            ("SESSION,1,1,READ,SELECT,,,a,<none>,x", "its rows are no number"),
            ("SESSION,1,1,READ,SELECT,,,a,<none>,1,", "it has more than ten fields"),
        ];
        for (payload, flaw) in cases {
            assert_eq!(read(payload, false, &mut String::new()), Err(flaw), "{payload}");
        }
    }

    #[test]
    fn a_cut_statement_is_kept() {
        let mut scratch = String::new();
        let payload = read("SESSION,1,1,READ,SELECT,,,\"select a,", true, &mut scratch);
        let payload = payload.expect("readable");
        assert_eq!((payload.statement, payload.is_cut), (Text::Logged("select a,"), true));
    }
}
