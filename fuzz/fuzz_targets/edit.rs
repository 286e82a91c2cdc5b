//! Edits of an Arrow IPC stream that keep most of it whole: numbers of its metadata and bodies
//! are replaced, messages are dropped, repeated and swapped.

use libfuzzer_sys::arbitrary::{self, Arbitrary};

/// One edit; messages and places wrap around.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Edit {
    Byte { message: u8, place: u16, value: u8 },
    Int { message: u8, place: u16, value: Value },
    Long { message: u8, place: u16, value: Value },
    Copy { message: u8, from: u16, to: u16, length: u8 },
    Drop { message: u8 },
    Repeat { message: u8 },
    Swap { one: u8, other: u8 },
    Cut { bytes: u16 },
}

/// A number that is likely to break something, or any.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Value {
    /// This much away from a power of two.
    Near {
        power: u8,
        away: i8,
    },
    /// So much more than what stands there.
    More(i8),
    Any(i64),
}

impl Value {
    fn of(self, old: i64) -> i64 {
        match self {
            Self::Near { power, away } => (1_i64 << (power % 64)).wrapping_add(away.into()),
            Self::More(more) => old.wrapping_add(more.into()),
            Self::Any(any) => any,
        }
    }
}

/// The stream after the edits.
pub fn apply(stream: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut messages = messages(stream);
    let mut cut = 0;
    for edit in edits {
        match *edit {
            Edit::Byte { message, place, value } => {
                if let Some([byte]) = number(&mut messages, message, place) {
                    *byte = value;
                }
            }
            Edit::Int { message, place, value } => {
                if let Some(bytes) = number::<4>(&mut messages, message, place) {
                    let old = i32::from_le_bytes(*bytes);
                    *bytes = (value.of(old.into()) as i32).to_le_bytes();
                }
            }
            Edit::Long { message, place, value } => {
                if let Some(bytes) = number::<8>(&mut messages, message, place) {
                    *bytes = value.of(i64::from_le_bytes(*bytes)).to_le_bytes();
                }
            }
            Edit::Copy { message, from, to, length } => {
                if let Some(index) = index(&messages, message) {
                    copy(&mut messages[index], from.into(), to.into(), length.into());
                }
            }
            Edit::Drop { message } => {
                index(&messages, message).map(|index| messages.remove(index));
            }
            // A few are enough, and many would be slow for no other reason.
            Edit::Repeat { message } if messages.len() < 200 => {
                if let Some(index) = index(&messages, message) {
                    messages.insert(index, messages[index].clone());
                }
            }
            Edit::Repeat { .. } => {}
            Edit::Swap { one, other } => {
                if let Some((one, other)) = index(&messages, one).zip(index(&messages, other)) {
                    messages.swap(one, other);
                }
            }
            Edit::Cut { bytes } => cut = usize::from(bytes),
        }
    }
    let mut edited = messages.concat();
    edited.truncate(edited.len().saturating_sub(cut));
    edited
}

/// The messages of a stream that we wrote, the mark of its end among them.
fn messages(stream: &[u8]) -> Vec<Vec<u8>> {
    let (mut messages, mut rest) = (Vec::new(), stream);
    while let Some((_, after)) = rest.split_first_chunk::<4>() {
        let (length, _) = after.split_first_chunk().expect("our own stream");
        let metadata = u32::from_le_bytes(*length) as usize;
        let body = match metadata {
            0 => 0,
            _ => arrow_ipc::root_as_message(&rest[8..8 + metadata])
                .expect("our own message")
                .bodyLength() as usize,
        };
        let (message, after) = rest.split_at(8 + metadata + body);
        messages.push(message.to_vec());
        rest = after;
    }
    messages
}

fn index(messages: &[Vec<u8>], message: u8) -> Option<usize> {
    usize::from(message).checked_rem(messages.len())
}

/// The `N` bytes at a multiple of `N`, where flatbuffers keep numbers of that size.
fn number<const N: usize>(
    messages: &mut [Vec<u8>],
    message: u8,
    place: u16,
) -> Option<&mut [u8; N]> {
    let message = &mut messages[index(messages, message)?];
    let places = message.len() / N;
    let place = usize::from(place).checked_rem(places)?;
    message[place * N..].first_chunk_mut()
}

fn copy(message: &mut [u8], from: usize, to: usize, length: usize) {
    let (from, to) = (from % message.len(), to % message.len());
    let length = length.min(message.len() - from.max(to));
    message.copy_within(from..from + length, to);
}
