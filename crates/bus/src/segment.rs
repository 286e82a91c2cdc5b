//! A segment file: its name, its header, and reading it in order while saying what is damaged.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::path::{Path, PathBuf};

use bytes::{Buf, Bytes};
use crc32fast::hash as crc32;

use crate::Record;
use crate::disk::DiskFile;
use crate::frame::{HEAD_BYTES, Head, claimed_offset};

/// Magic, version, base offset, salt and checksum.
pub(crate) const HEADER_BYTES: u64 = 32;
const MAGIC: &[u8; 8] = b"qwbuslog";
const VERSION: u32 = 1;
/// Bytes fetched at a time: large enough for sequential speed, small beside a segment.
const WINDOW_BYTES: u64 = 256 << 10;

/// The file of the segment that begins at an offset.
pub(crate) fn segment_path(directory: &Path, base: u64) -> PathBuf {
    directory.join(format!("{base:020}.log"))
}

/// The offset in a segment's file name; `None` for other files.
pub(crate) fn base_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok())?
}

/// Numbers that no payload can guess.
pub(crate) fn new_salt() -> u64 {
    RandomState::new().hash_one(0)
}

/// Makes a file an empty segment, durably but for its name.
pub(crate) fn write_header(file: &dyn DiskFile, base: u64, salt: u64) -> io::Result<()> {
    let mut header = MAGIC.to_vec();
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&base.to_le_bytes());
    header.extend_from_slice(&salt.to_le_bytes());
    header.extend_from_slice(&crc32(&header).to_le_bytes());
    file.truncate(0)?;
    file.write_at(0, &header)?;
    file.sync()
}

/// The salt in a header; `None` if the header is not whole, an error if a newer build wrote it.
fn parse_header(header: &[u8], base: u64) -> io::Result<Option<u64>> {
    let Some((mut fields, mut checksum)) = header.split_at_checked(HEADER_BYTES as usize - 4)
    else {
        return Ok(None);
    };
    if checksum.try_get_u32_le().ok() != Some(crc32(fields)) || !fields.starts_with(MAGIC) {
        return Ok(None);
    }
    fields.advance(MAGIC.len());
    let version = fields.get_u32_le();
    if version != VERSION {
        let message = format!(
            "segment has format {version}, this build reads {VERSION}: use the \
             build that wrote it"
        );
        return Err(io::Error::new(io::ErrorKind::Unsupported, message));
    }
    Ok((fields.get_u64_le() == base).then(|| fields.get_u64_le()))
}

/// What stands at a place of a segment.
#[derive(Debug)]
pub(crate) enum Item {
    /// A whole record.
    Record { offset: u64, durable: u64, position: u64, end: u64, record: Record },
    /// Records from `from` cannot be read; the next whole one is `resumes`, if there is any.
    Damage { from: u64, position: u64, resumes: Option<u64> },
}

/// What reading a frame found.
enum Probe {
    Whole(Head, Record),
    /// The head can be trusted, the body cannot: the next frame is this far away.
    BadBody(u64),
    BadHead,
}

/// Reads a segment in order. Damage never ends the reading while a whole record follows.
pub(crate) struct SegmentReader {
    file: Box<dyn DiskFile>,
    /// Bytes that may be read.
    limit: u64,
    pub(crate) salt: u64,
    position: u64,
    /// The offset that should stand at `position`.
    expected: u64,
    window: Bytes,
    window_start: u64,
}

impl SegmentReader {
    /// Opens at the first record; `None` if the header is damaged, so that nothing can be read.
    pub(crate) fn new(
        file: Box<dyn DiskFile>,
        base: u64,
        limit: u64,
    ) -> io::Result<Option<SegmentReader>> {
        let mut header = [0; HEADER_BYTES as usize];
        let size = file.read_at(0, &mut header)?;
        let salt = parse_header(header.get(..size).unwrap_or_default(), base)?;
        Ok(salt.map(|salt| SegmentReader {
            file,
            limit,
            salt,
            position: HEADER_BYTES,
            expected: base,
            window: Bytes::new(),
            window_start: 0,
        }))
    }

    /// Goes to where a record is known to begin.
    pub(crate) fn seek(&mut self, offset: u64, position: u64) {
        (self.expected, self.position) = (offset, position);
    }

    /// Gives the file back.
    pub(crate) fn into_file(self) -> Box<dyn DiskFile> {
        self.file
    }

    /// The next record or damage; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Item>> {
        if self.position >= self.limit {
            return Ok(None);
        }
        if let Probe::Whole(head, record) = self.probe(self.position)?
            && head.offset == self.expected
        {
            let position = self.position;
            self.position += HEAD_BYTES as u64 + head.body_bytes;
            self.expected += 1;
            let (offset, durable, end) = (head.offset, head.durable, self.position);
            return Ok(Some(Item::Record { offset, durable, position, end, record }));
        }
        self.step_over_damage().map(Some)
    }

    fn step_over_damage(&mut self) -> io::Result<Item> {
        let (from, position) = (self.expected, self.position);
        let mut at = position;
        loop {
            match self.probe(at)? {
                Probe::Whole(head, _) if head.offset >= from => {
                    (self.position, self.expected) = (at, head.offset);
                    return Ok(Item::Damage { from, position, resumes: Some(head.offset) });
                }
                Probe::BadBody(size) => at += size,
                Probe::Whole(..) | Probe::BadHead => match self.find_head(at + 1)? {
                    Some(found) => at = found,
                    None => {
                        self.position = self.limit;
                        return Ok(Item::Damage { from, position, resumes: None });
                    }
                },
            }
        }
    }

    fn probe(&mut self, position: u64) -> io::Result<Probe> {
        let bytes = self.bytes(position, HEAD_BYTES as u64)?;
        let Some(head) = Head::parse(self.salt, &bytes) else { return Ok(Probe::BadHead) };
        let size = HEAD_BYTES as u64 + head.body_bytes;
        if size > self.limit - position {
            return Ok(Probe::BadHead);
        }
        let mut body = self.bytes(position, size)?;
        if (body.len() as u64) < size {
            return Ok(Probe::BadHead); // the file became shorter beneath us
        }
        body.advance(HEAD_BYTES);
        Ok(match head.decode(self.salt, body) {
            Some(record) => Probe::Whole(head, record),
            None => Probe::BadBody(size),
        })
    }

    /// Searches byte by byte for a head that could follow. The salt keeps payloads from faking one.
    fn find_head(&mut self, mut at: u64) -> io::Result<Option<u64>> {
        let farthest = self.expected + (self.limit - self.position) / HEAD_BYTES as u64;
        let plausible = self.expected..=farthest;
        while at + HEAD_BYTES as u64 <= self.limit {
            let window = self.bytes(at, WINDOW_BYTES)?;
            let found = window.windows(HEAD_BYTES).position(|bytes| {
                claimed_offset(bytes).is_some_and(|offset| plausible.contains(&offset))
                    && Head::parse(self.salt, bytes).is_some()
            });
            if let Some(index) = found {
                return Ok(Some(at + index as u64));
            }
            if window.len() < HEAD_BYTES {
                break;
            }
            at += (window.len() - HEAD_BYTES + 1) as u64;
        }
        Ok(None)
    }

    /// The bytes at a place: as many as asked for, unless the limit comes first.
    fn bytes(&mut self, position: u64, length: u64) -> io::Result<Bytes> {
        let length = length.min(self.limit.saturating_sub(position));
        let window = self.window_start..self.window_start + self.window.len() as u64;
        if position < window.start || position + length > window.end {
            let size = length.max(WINDOW_BYTES).min(self.limit.saturating_sub(position));
            let mut buffer = vec![0; size as usize];
            let filled = self.file.read_at(position, &mut buffer)?;
            buffer.truncate(filled);
            (self.window, self.window_start) = (buffer.into(), position);
        }
        let start = (position - self.window_start) as usize;
        let end = (start + length as usize).min(self.window.len());
        Ok(self.window.slice(start.min(end)..end))
    }
}
