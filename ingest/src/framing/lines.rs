//! One record a line: text, JSON objects. A line ends with its newline, or with the file.

use super::Frame;

/// The bytes that may end a line.
pub(crate) const LINE_END_BYTES: usize = 2;

/// What a line says, without what ends it.
pub(crate) fn text(line: &[u8]) -> &[u8] {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    text.strip_suffix(b"\r").unwrap_or(text)
}

/// The first line, whose text has `limit` bytes at most. At `end` of the file the last one needs no
/// newline.
pub(crate) fn frame(input: &[u8], end: bool, limit: usize) -> Frame {
    let window = &input[..input.len().min(limit.saturating_add(LINE_END_BYTES))];
    let newline = memchr::memchr(b'\n', window);
    let text = &window[..newline.unwrap_or(window.len())];
    let is_blank = || text.trim_ascii().is_empty();
    match newline {
        Some(newline) if is_blank() => Frame::Skip(newline + 1),
        _ if self::text(text).len() > limit => Frame::TooLong,
        Some(newline) => Frame::Record(newline + 1),
        None if end && is_blank() => Frame::Skip(window.len()),
        None if end => Frame::Record(window.len()),
        None => Frame::Partial,
    }
}

/// How far it is to the end of the line, its newline included, and whether it is a whole line: one
/// whose text is longer than `limit` ends there. None if the end is not there yet.
pub(crate) fn line_length(input: &[u8], end: bool, limit: usize) -> Option<(usize, bool)> {
    match frame(input, end, limit) {
        Frame::Skip(length) | Frame::Record(length) => Some((length, true)),
        Frame::TooLong => Some((limit, false)),
        Frame::Partial | Frame::Malformed => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_with_their_newline_or_the_file() {
        assert_eq!(frame(b"a\nb", false, 10), Frame::Record(2));
        assert_eq!(frame(b"b", false, 10), Frame::Partial);
        assert_eq!(frame(b"b", true, 10), Frame::Record(1));
        assert_eq!(frame(b" \r\nb", false, 10), Frame::Skip(3));
        assert_eq!(frame(b"12345678901", false, 10), Frame::TooLong);
        assert_eq!(frame(b"1234567890\n", false, 10), Frame::Record(11));
    }

    #[test]
    fn the_end_of_a_line_does_not_count() {
        assert_eq!(frame(b"1234567890\r\n", false, 10), Frame::Record(12));
        assert_eq!(frame(b"1234567890\r", false, 10), Frame::Partial);
        assert_eq!(frame(b"1234567890\r", true, 10), Frame::Record(11));
        assert_eq!(frame(b"12345678901\n", false, 10), Frame::TooLong);
        assert_eq!(frame(b"1234567890\rx", false, 10), Frame::TooLong);
        assert_eq!(line_length(b"12345678901\n", false, 10), Some((10, false)));
    }
}
