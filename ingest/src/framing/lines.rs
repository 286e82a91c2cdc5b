//! One record a line: text, JSON objects. A line ends with its newline, or with the file.

use super::Frame;

/// The first line. At `end` of the file the last one needs no newline.
pub(crate) fn frame(input: &[u8], end: bool, limit: usize) -> Frame {
    let window = &input[..input.len().min(limit.saturating_add(1))];
    match memchr::memchr(b'\n', window) {
        Some(newline) if window[..newline].trim_ascii().is_empty() => Frame::Skip(newline + 1),
        Some(newline) => Frame::Record(newline + 1),
        None if window.len() > limit => Frame::TooLong,
        None if end && window.trim_ascii().is_empty() => Frame::Skip(window.len()),
        None if end => Frame::Record(window.len()),
        None => Frame::Partial,
    }
}

/// How far it is to the end of the line, its newline included, whatever its length; none if the
/// end is not there yet.
pub(crate) fn line_length(input: &[u8], end: bool) -> Option<usize> {
    let newline = memchr::memchr(b'\n', input).map(|newline| newline + 1);
    newline.or(end.then_some(input.len()))
}

/// Likewise, but a line longer than `limit` is handed out in parts, so that none is held whole.
pub(crate) fn part_length(input: &[u8], end: bool, limit: usize) -> Option<usize> {
    let window = &input[..input.len().min(limit)];
    let newline = memchr::memchr(b'\n', window).map(|newline| newline + 1);
    newline.or((input.len() > limit || end).then_some(window.len()))
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
}
