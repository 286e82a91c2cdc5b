//! Bind values as one JSON list of texts and nulls, whatever wrote them.

/// Reads `$1 = 'o''clock', $2 = NULL` as DETAIL has it, into `out`; false if it is not that.
pub(crate) fn from_detail(detail: &str, out: &mut String) -> bool {
    let list = detail.strip_prefix("parameters: ").or_else(|| detail.strip_prefix("Parameters: "));
    list.is_some_and(|list| from_list(list, out))
}

/// Reads the list alone.
pub(crate) fn from_list(list: &str, out: &mut String) -> bool {
    out.clear();
    out.push('[');
    let mut rest = list;
    for number in 1_usize.. {
        let Some(value) = rest.strip_prefix('$').and_then(|rest| {
            let (digits, value) = rest.split_once(" = ")?;
            (digits.parse() == Ok(number)).then_some(value)
        }) else {
            return false;
        };
        if number > 1 {
            out.push(',');
        }
        rest = if let Some(rest) = value.strip_prefix("NULL") {
            out.push_str("null");
            rest
        } else if let Some(quoted) = value.strip_prefix('\'') {
            // The only quote that is not doubled ends the value.
            let Some(length) = quoted_length(quoted, b'\'') else { return false };
            push_json(out, &quoted[..length], '\'');
            let after = &quoted[length + 1..];
            after.strip_prefix("...").unwrap_or(after)
        } else {
            return false;
        };
        match rest.strip_prefix(", ") {
            Some(next) => rest = next,
            None => break,
        }
    }
    out.push(']');
    rest.trim_end().is_empty()
}

/// Reads pgaudit's list: CSV, where a null and an empty text are the same.
pub(crate) fn from_csv(list: &str, out: &mut String) -> bool {
    out.clear();
    out.push('[');
    let mut rest = list;
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let Some(length) = quoted_length(quoted, b'"') else { return false };
            push_json(out, &quoted[..length], '"');
            rest = &quoted[length + 1..];
        } else {
            let length = rest.find(',').unwrap_or(rest.len());
            push_json(out, &rest[..length], '\0');
            rest = &rest[length..];
        }
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None => break,
        }
        out.push(',');
    }
    out.push(']');
    rest.is_empty()
}

/// Bytes up to the first quote that is not doubled.
pub(crate) fn quoted_length(text: &str, quote: u8) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut from = 0;
    loop {
        let at = from + memchr::memchr(quote, &bytes[from..])?;
        if bytes.get(at + 1) != Some(&quote) {
            return Some(at);
        }
        from = at + 2;
    }
}

/// Appends a JSON text; of every doubled `quote` only one is kept.
fn push_json(out: &mut String, text: &str, quote: char) {
    out.push('"');
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == quote {
            characters.next_if_eq(&quote);
        }
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                out.push_str("\\u00");
                out.extend(char::from_digit(control as u32 >> 4, 16));
                out.extend(char::from_digit(control as u32 & 15, 16));
            }
            plain => out.push(plain),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lists_become_json() {
        let mut out = String::new();
        assert!(from_detail(
            "parameters: $1 = 'o''clock, $2 = ''x''', $2 = NULL, $3 = ''",
            &mut out
        ));
        assert_eq!(out, r#"["o'clock, $2 = 'x'",null,""]"#);
        assert!(from_csv("41,\"said \"\"hi\"\", left\",", &mut out));
        assert_eq!(out, r#"["41","said \"hi\", left",""]"#);
        for wrong in ["", "$1 = 'x", "$2 = 'x'", "$1 = x", "$1 = 'x' tail"] {
            assert!(!from_list(wrong, &mut out), "{wrong}");
        }
    }
}
