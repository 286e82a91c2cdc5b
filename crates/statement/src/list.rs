//! Folding of lists: in a list after `IN`, `VALUES` or `ARRAY` an element that reads like the one
//! before it is dropped, so that the length of a list does not change the normal form.
//!
//! One rule covers `(?, ?, ?)`, rows `((?), (?))` and rows with calls `(?, now()), (?, now())`.

/// Deeper parentheses are not folded; they are counted, so that hostile nesting costs no memory.
const FRAMES_MAX: usize = 256;
/// Lists in lists: each level compares its elements again.
const LISTS_MAX: usize = 4;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Parentheses that are no list.
    Plain,
    /// `( … )` or `[ … ]` whose elements fold.
    List,
    /// The rows after `VALUES`, which have no parentheses of their own.
    Rows,
    /// `{ … }` around lexed code.
    Brace,
}

struct Frame {
    shape: Shape,
    /// The element that is kept last, as a range of the output.
    kept: Option<(usize, usize)>,
    /// Where to cut the output if the element at hand repeats it: before its comma.
    cut: usize,
    /// Where the element at hand begins: after its comma.
    start: usize,
}

/// The open parentheses at the end of an output buffer.
#[derive(Default)]
pub(crate) struct Lists {
    frames: Vec<Frame>,
    overflow: usize,
    /// Bytes compared, to prove linear cost.
    pub(crate) work: usize,
}

impl Lists {
    pub(crate) fn clear(&mut self) {
        self.frames.clear();
        self.overflow = 0;
        self.work = 0;
    }

    fn top(&self) -> Option<&Frame> {
        if self.overflow == 0 { self.frames.last() } else { None }
    }

    /// An element of a list begins here.
    pub(crate) fn at_element(&self, out: &[u8]) -> bool {
        self.top().is_some_and(|f| f.shape != Shape::Plain && f.start == out.len())
    }

    /// Opens parentheses; `list` if `IN` or `ARRAY` stands before them. In a list, an element
    /// that is in parentheses is a list too.
    pub(crate) fn open(&mut self, list: bool, row: bool, out: &[u8]) {
        let nested =
            row && self.top().is_some_and(|f| matches!(f.shape, Shape::List | Shape::Rows));
        let lists = self.frames.iter().rev().take_while(|f| f.shape != Shape::Plain).count();
        let fold = (list || nested) && lists < 2 * LISTS_MAX;
        self.push(if fold { Shape::List } else { Shape::Plain }, out.len());
    }

    pub(crate) fn open_rows(&mut self, out: &[u8]) {
        self.push(Shape::Rows, out.len());
    }

    pub(crate) fn open_brace(&mut self, out: &[u8]) {
        self.push(Shape::Brace, out.len());
    }

    fn push(&mut self, shape: Shape, start: usize) {
        if self.frames.len() >= FRAMES_MAX {
            self.overflow += 1;
            return;
        }
        self.frames.push(Frame { shape, kept: None, cut: start, start });
    }

    /// What looked like a list holds a query: leave it alone.
    pub(crate) fn not_a_list(&mut self) {
        if self.overflow == 0
            && let Some(frame) = self.frames.last_mut()
            && frame.shape == Shape::List
            && frame.kept.is_none()
        {
            frame.shape = Shape::Plain;
        }
    }

    /// A token that cannot go on with rows ends them.
    pub(crate) fn end_rows(&mut self, out: &mut Vec<u8>) {
        while self.in_rows() {
            self.pop(out);
        }
    }

    pub(crate) fn in_rows(&self) -> bool {
        self.top().is_some_and(|f| f.shape == Shape::Rows)
    }

    /// A row has ended and the next has not begun.
    pub(crate) fn after_row(&self, out: &[u8]) -> bool {
        self.in_rows() && !self.at_element(out)
    }

    /// Before a comma is written.
    pub(crate) fn end_element(&mut self, out: &mut Vec<u8>) {
        if self.overflow > 0 {
            return;
        }
        let Some(frame) = self.frames.last_mut() else { return };
        if !matches!(frame.shape, Shape::List | Shape::Rows) {
            return;
        }
        fold_constant(out, frame.start);
        let start = frame.start + usize::from(out.get(frame.start) == Some(&b' '));
        let element = out.get(start..).unwrap_or_default();
        let previous = frame.kept.and_then(|(from, to)| out.get(from..to));
        if previous.is_some_and(|previous| previous.len() == element.len()) {
            self.work += element.len();
        }
        if previous == Some(element) {
            out.truncate(frame.cut);
        } else {
            frame.kept = Some((start, out.len()));
        }
        frame.cut = out.len();
    }

    /// After a comma is written.
    pub(crate) fn begin_element(&mut self, out: &[u8]) {
        if self.overflow == 0
            && let Some(frame) = self.frames.last_mut()
        {
            frame.start = out.len();
        }
    }

    /// Before a closing parenthesis is written.
    pub(crate) fn close(&mut self, out: &mut Vec<u8>) {
        if self.overflow > 0 {
            self.overflow -= 1;
            return;
        }
        self.end_rows(out);
        if self.top().is_some_and(|f| f.shape != Shape::Brace) {
            self.pop(out);
        }
    }

    /// Before `;`, and at the end of the text: what is open stays open no longer.
    pub(crate) fn close_statement(&mut self, out: &mut Vec<u8>) {
        self.overflow = 0;
        while self.top().is_some_and(|f| f.shape != Shape::Brace) {
            self.pop(out);
        }
    }

    pub(crate) fn close_brace(&mut self, out: &mut Vec<u8>) {
        self.close_statement(out);
        self.frames.pop();
    }

    fn pop(&mut self, out: &mut Vec<u8>) {
        self.end_element(out);
        self.frames.pop();
    }
}

/// A `NULL` or `DEFAULT` that is a whole element stands for a value: the same program inserts
/// `(1, NULL)` today and `(1, 'x')` tomorrow. Elsewhere (`IS NULL`) the word is the question.
fn fold_constant(out: &mut Vec<u8>, start: usize) {
    let start = start + usize::from(out.get(start) == Some(&b' '));
    if matches!(out.get(start..), Some(b"null" | b"true" | b"false" | b"default")) {
        out.truncate(start);
        out.push(b'?');
    }
}
