//! One record an element, such as `<AUDIT_RECORD …/>` or `<AUDIT_RECORD>…</AUDIT_RECORD>`: an audit
//! log has a long row of them within one root element that stays open.

use memchr::memmem;

use super::Frame;

/// The first element called `name`; everything before it is skipped. Elements of that name do not
/// nest; comments and CDATA, which audit logs do not have, are no exception.
pub(crate) fn frame(input: &[u8], name: &str, end: bool, limit: usize) -> Frame {
    let window = &input[..input.len().min(limit.saturating_add(1))];
    let partial = match (window.len() > limit, end) {
        (true, _) => Frame::TooLong,
        (false, true) => Frame::Malformed,
        (false, false) => Frame::Partial,
    };
    match opening(window, name) {
        Some(0) => match length(window, name) {
            Some(length) => Frame::Record(length),
            None => partial,
        },
        Some(at) => Frame::Skip(at),
        // A name that is cut may begin in the last bytes.
        None if end => Frame::Skip(window.len()),
        None => match window.len().saturating_sub(name.len() + 1) {
            0 => Frame::Partial,
            skipped => Frame::Skip(skipped),
        },
    }
}

/// Where the first `<name` begins that is not the head of a longer name.
fn opening(input: &[u8], name: &str) -> Option<usize> {
    memmem::find_iter(input, &format!("<{name}")).find(|at| {
        let next = input.get(at + 1 + name.len());
        next.is_none_or(|next| next.is_ascii_whitespace() || matches!(next, b'>' | b'/'))
    })
}

/// The bytes of the element at the head, if its end is there.
fn length(element: &[u8], name: &str) -> Option<usize> {
    let (head, is_empty) = head(element)?;
    if is_empty {
        return Some(head);
    }
    let close = format!("</{name}");
    let mut closings = memmem::find_iter(&element[head..], &close).map(|at| head + at);
    closings.find_map(|at| {
        let rest = &element[at + close.len()..];
        let space = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        (rest.get(space) == Some(&b'>')).then_some(at + close.len() + space + 1)
    })
}

/// The bytes of the opening tag, and whether it closes itself. A `>` in quotes ends no tag.
fn head(element: &[u8]) -> Option<(usize, bool)> {
    let mut quote = None;
    for (at, byte) in element.iter().enumerate() {
        match (quote, byte) {
            (None, b'"' | b'\'') => quote = Some(*byte),
            (Some(open), byte) if *byte == open => quote = None,
            (None, b'>') => return Some((at + 1, at > 0 && element[at - 1] == b'/')),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything framed of `input`, offered whole or byte by byte.
    fn records(input: &str, byte_by_byte: bool) -> Vec<String> {
        let (mut found, mut from, mut to) =
            (Vec::new(), 0, if byte_by_byte { 0 } else { input.len() });
        while from < input.len() {
            match frame(&input.as_bytes()[from..to], "R", to == input.len(), 99) {
                Frame::Skip(length) => from += length,
                Frame::Record(length) => {
                    found.push(input[from..from + length].to_owned());
                    from += length;
                }
                _ if to < input.len() => to += 1,
                _ => break,
            }
        }
        found
    }

    #[test]
    fn elements_are_found_however_they_arrive() {
        let log = "<?xml?>\n<AUDIT><RS x='1'/>\n <R A=\"a>b/\" B='\"'/>\n<R>\n<N>1</N>\n</R >\n<R/>\
                   </AUDIT>";
        let expected = ["<R A=\"a>b/\" B='\"'/>", "<R>\n<N>1</N>\n</R >", "<R/>"];
        assert_eq!(records(log, false), expected);
        assert_eq!(records(log, true), expected);
    }

    #[test]
    fn an_element_without_an_end_is_bounded() {
        let long = format!("<R>{}", "x".repeat(200));
        assert_eq!(frame(long.as_bytes(), "R", false, 99), Frame::TooLong);
        assert_eq!(frame(b"<R>", "R", false, 99), Frame::Partial);
        assert_eq!(frame(b"<R>", "R", true, 99), Frame::Malformed);
    }
}
