//! What literals and names say once their escapes are undone. The result is UTF-8 if the text is.

use std::borrow::Cow;

use crate::Dialect;
use crate::lexer::Escapes;

/// The content of a literal as the server reads it.
pub(super) fn unescape(text: &[u8], escapes: Escapes, dialect: Dialect) -> Cow<'_, [u8]> {
    match escapes {
        Escapes::None => Cow::Borrowed(text),
        Escapes::Doubled => Cow::Owned(undouble(text)),
        Escapes::Unicode(escape) => Cow::Owned(decode_unicode(&undouble(text), escape)),
        Escapes::Backslash => Cow::Owned(decode_backslashes(text, dialect)),
    }
}

fn undouble(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.iter().peekable();
    while let Some(&byte) = rest.next() {
        plain.push(byte);
        if byte == b'\'' {
            rest.next_if_eq(&&b'\'');
        }
    }
    plain
}

fn decode_backslashes(text: &[u8], dialect: Dialect) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match (byte, tail) {
            (b'\\', [letter, after @ ..]) => backslash(*letter, tail, after, dialect, &mut plain),
            (b'\'', [b'\'', after @ ..]) => {
                plain.push(byte);
                after
            }
            _ => {
                plain.push(byte);
                tail
            }
        };
    }
    // `\xff` alone is no text, and the normal form has to be.
    match String::from_utf8(plain) {
        Ok(text) => text.into_bytes(),
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned().into_bytes(),
    }
}

/// Undoes one escape; `tail` begins with its letter. Gives what is left.
fn backslash<'t>(
    letter: u8,
    tail: &'t [u8],
    after: &'t [u8],
    dialect: Dialect,
    plain: &mut Vec<u8>,
) -> &'t [u8] {
    let numbers = dialect == Dialect::PostgreSql;
    let (digits, radix, least, most) = match letter {
        b'x' => (after, 16, 1, 2),
        b'0'..=b'7' => (tail, 8, 1, 3),
        b'u' => (after, 16, 4, 4),
        b'U' => (after, 16, 8, 8),
        _ => (after, 16, 1, 0),
    };
    let is_digit = |byte: &&u8| char::from(**byte).is_digit(radix);
    let length = digits.iter().take(most).take_while(is_digit).count();
    if numbers && length >= least {
        let (digits, rest) = digits.split_at(length);
        let value = std::str::from_utf8(digits).map_or(0, |digits| {
            // At most eight digits: always a number.
            u32::from_str_radix(digits, radix).unwrap_or_default()
        });
        match char::from_u32(value).filter(|_| least > 1) {
            Some(letter) => plain.extend(letter.encode_utf8(&mut [0; 4]).bytes()),
            None => plain.extend(value.to_le_bytes().first()),
        }
        return rest;
    }
    plain.push(match letter {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        b'b' => 8,
        b'f' if numbers => 12,
        b'0' => 0,
        other => other,
    });
    after
}

/// Undoes `\0061` and `\+000061` of `U&"…"`; what is no valid escape stays as written.
pub(super) fn decode_unicode(text: &[u8], escape: u8) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        let (digits, skip) = match tail {
            [b'+', more @ ..] => (more.get(..6), 7),
            _ => (tail.get(..4), 4),
        };
        let decoded = digits.filter(|_| byte == escape).and_then(hexadecimal);
        if let Some(letter) = decoded {
            plain.extend(letter.encode_utf8(&mut [0; 4]).bytes());
            rest = tail.get(skip..).unwrap_or_default();
        } else {
            plain.push(byte);
            let doubled = byte == escape && tail.first() == Some(&escape);
            rest = tail.get(usize::from(doubled)..).unwrap_or_default();
        }
    }
    plain
}

fn hexadecimal(digits: &[u8]) -> Option<char> {
    let digits = std::str::from_utf8(digits).ok()?;
    digits.bytes().all(|b| b.is_ascii_hexdigit()).then_some(())?;
    char::from_u32(u32::from_str_radix(digits, 16).ok()?)
}
