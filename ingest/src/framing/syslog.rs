//! Syslog messages in a TCP stream, as RFC 6587 has them: `LENGTH SP MESSAGE`, or a line each.
//! A sender may use either, and message by message: a message never begins with a digit.

use super::{Frame, lines};

/// A length has at most so many digits.
const LENGTH_DIGITS_MAX: usize = 8;

/// The first message; `head` bytes of the frame are its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) frame: Frame,
    pub(crate) head: usize,
}

/// The first message of `limit` bytes at most. At `end` of the stream the last line needs no
/// newline.
pub(crate) fn frame(input: &[u8], end: bool, limit: usize) -> Message {
    if !input.first().is_some_and(u8::is_ascii_digit) {
        return Message { frame: lines::frame(input, end, limit), head: 0 };
    }
    let digits = input.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let head = digits + 1;
    let cut = if end { Frame::Malformed } else { Frame::Partial };
    let frame = match (digits <= LENGTH_DIGITS_MAX, input.get(digits)) {
        (true, Some(b' ')) => {
            let length =
                input[..digits].iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
            match input.len() >= head + length {
                _ if length > limit => Frame::TooLong,
                true => Frame::Record(head + length),
                false => cut,
            }
        }
        (true, None) => cut,
        _ => Frame::Malformed,
    };
    Message { frame, head }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_messages_and_lines_may_follow_one_another() {
        let first = frame(b"11 <13>1 a\nb c<13>next\n", false, 99);
        assert_eq!(first, Message { frame: Frame::Record(14), head: 3 });
        assert_eq!(frame(b"<13>next\n", false, 99).frame, Frame::Record(9));
        assert_eq!(frame(b"11 <13>", false, 99).frame, Frame::Partial);
        assert_eq!(frame(b"11 <13>", true, 99).frame, Frame::Malformed);
        assert_eq!(frame(b"11", false, 99).frame, Frame::Partial);
    }

    #[test]
    fn what_is_too_long_or_no_length_is_refused() {
        assert_eq!(frame(b"100 <13>", false, 99).frame, Frame::TooLong);
        assert_eq!(frame(b"999999999999999999999 x", false, 99).frame, Frame::Malformed);
        assert_eq!(frame(b"12x", false, 99).frame, Frame::Malformed);
        assert_eq!(frame(b"<13>aaaaaaaaaaaaaaaa", false, 9).frame, Frame::TooLong);
    }
}
