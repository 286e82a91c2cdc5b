//! The bytes of one file on disk, decompressed if its name says so, read at any offset.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

/// A file on disk, whatever its name: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// What `stat` says; if it is the same as before, nothing was written in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) size: u64,
    changed: (i64, i64),
}

pub(super) fn describe(metadata: &std::fs::Metadata) -> (FileId, Stamp) {
    let id = FileId { device: metadata.dev(), inode: metadata.ino() };
    let changed = (metadata.mtime(), metadata.mtime_nsec());
    (id, Stamp { size: metadata.len(), changed })
}

/// An open file.
pub(super) struct Content {
    file: Arc<File>,
    form: Form,
}

enum Form {
    Plain,
    Compressed { codec: Codec, decoder: Option<Decoder> },
}

#[derive(Clone, Copy)]
enum Codec {
    Gzip,
    Zstd,
}

struct Decoder {
    reader: Box<dyn Read + Send>,
    offset: u64,
}

impl Content {
    /// Opens a regular file; `None` if the path names another file than `expected` by now.
    pub(super) fn open(path: &Path, expected: FileId) -> io::Result<Option<Self>> {
        let nonblock = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
        let file = match OpenOptions::new().read(true).custom_flags(nonblock).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let metadata = file.metadata()?;
        if describe(&metadata).0 != expected || !metadata.is_file() {
            return Ok(None);
        }
        let form = match codec(path) {
            None => Form::Plain,
            Some(codec) => Form::Compressed { codec, decoder: None },
        };
        Ok(Some(Self { file: Arc::new(file), form }))
    }

    /// The descriptor, if offsets of the content are offsets of the file.
    pub(super) fn plain_file(&self) -> Option<&Arc<File>> {
        matches!(self.form, Form::Plain).then_some(&self.file)
    }

    /// Size and time of the last change, and whether any name is left.
    pub(super) fn status(&self) -> io::Result<(Stamp, bool)> {
        let metadata = self.file.metadata()?;
        Ok((describe(&metadata).1, metadata.nlink() > 0))
    }

    /// Fills as much of `buffer` as there is from `offset`; 0 is the end.
    ///
    /// A compressed file that ends early is `UnexpectedEof`, a broken one any other error.
    pub(super) fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.form {
            Form::Plain => read_full_at(&self.file, offset, buffer),
            Form::Compressed { codec, decoder } => {
                let ready = match decoder.take() {
                    Some(ready) if ready.offset <= offset => ready,
                    _ => Decoder { reader: codec.reader(&self.file)?, offset: 0 },
                };
                let ready = decoder.insert(ready);
                let read = ready.read_at(offset, buffer);
                if read.is_err() {
                    *decoder = None; // it may have been cut short: the next try starts anew
                }
                read
            }
        }
    }

    /// The `length` bytes at `offset`; fewer if the content ends before.
    pub(super) fn window(&mut self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let read = self.read_at(offset, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes)
    }
}

impl Decoder {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let skipped =
            io::copy(&mut self.reader.by_ref().take(offset - self.offset), &mut io::sink())?;
        self.offset += skipped;
        if self.offset < offset {
            return Ok(0);
        }
        let mut filled = 0;
        while filled < buffer.len() {
            match self.reader.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What was decoded is good; the next read meets the error again.
                Err(_) if filled > 0 => break,
                Err(error) => return Err(error),
            }
        }
        self.offset += filled as u64;
        Ok(filled)
    }
}

impl Codec {
    fn reader(self, file: &Arc<File>) -> io::Result<Box<dyn Read + Send>> {
        let start = FromStart { file: Arc::clone(file), offset: 0 };
        Ok(match self {
            Self::Gzip => Box::new(MultiGzDecoder::new(io::BufReader::new(start))),
            Self::Zstd => Box::new(zstd::stream::read::Decoder::new(start)?),
        })
    }
}

/// Whether the name says that the content is compressed.
pub(super) fn is_compressed(path: &Path) -> bool {
    codec(path).is_some()
}

fn codec(path: &Path) -> Option<Codec> {
    match path.extension()?.to_str()? {
        "gz" => Some(Codec::Gzip),
        "zst" => Some(Codec::Zstd),
        _ => None,
    }
}

/// As many bytes as there are at `offset`, without moving the descriptor.
pub(super) fn read_full_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Reads a shared descriptor from its start, with an own offset.
struct FromStart {
    file: Arc<File>,
    offset: u64,
}

impl Read for FromStart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
