//! Opening a partition after any end, clean or not. A crash tears only the last segment's tail;
//! what is damaged before a record known to be durable was acknowledged, and becomes a gap.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::disk::{Disk, DiskFile};
use crate::frame::HEAD_BYTES;
use crate::log::Active;
use crate::partition::{Index, Segment};
use crate::segment::{
    HEADER_BYTES, Item, SegmentReader, base_of, new_salt, segment_path, write_header,
};
use crate::status::{Cut, LostRecords, OpenReport};
use crate::{BusError, Offset};

/// A partition as found on disk.
#[derive(Default)]
pub(crate) struct Recovered {
    pub(crate) segments: Vec<Segment>,
    pub(crate) end: u64,
    /// The last segment, if it can be written on.
    pub(crate) active: Option<Active>,
    pub(crate) report: OpenReport,
}

/// Opens a partition. `known` is an offset below which everything was durable.
pub(crate) fn recover(
    disk: &dyn Disk,
    directory: &Path,
    partition: u32,
    known: u64,
) -> Result<Recovered, BusError> {
    let mut recovered = Recovered { end: known, ..Recovered::default() };
    disk.create_directory(directory).map_err(BusError::storage(directory))?;
    // A killed process may have left names that are not durable; records will rely on them.
    disk.sync_directory(directory).map_err(BusError::storage(directory))?;
    let names = disk.list(directory).map_err(BusError::storage(directory))?;
    let mut bases: Vec<u64> = names.iter().filter_map(|name| base_of(name)).collect();
    bases.sort_unstable();

    if let Some(base) = bases.pop() {
        let path = segment_path(directory, base);
        let last = LastSegment { disk, partition, base, path: path.clone() };
        last.recover(&mut recovered).map_err(BusError::storage(&path))?;
    }
    for base in bases.into_iter().rev() {
        let path = segment_path(directory, base);
        let size = disk.open(&path).and_then(|file| file.size());
        let bytes = size.map_err(BusError::storage(&path))?;
        recovered.segments.push(Segment { base, path, bytes, index: Arc::default() });
    }
    recovered.segments.reverse();
    Ok(recovered)
}

struct LastSegment<'a> {
    disk: &'a dyn Disk,
    partition: u32,
    base: u64,
    path: PathBuf,
}

/// What a scan of a segment found.
struct Scan {
    end: u64,
    bytes: u64,
    known: u64,
    index: Index,
    /// First offset, first offset after, position.
    damages: Vec<(u64, Option<u64>, u64)>,
}

impl LastSegment<'_> {
    fn recover(&self, into: &mut Recovered) -> io::Result<()> {
        let file = self.disk.open(&self.path)?;
        // A killed process leaves written but unsynced bytes; only what the medium really holds
        // may become readable.
        file.sync()?;
        file.forget_cache()?;
        let size = file.size()?;
        if never_begun(&*file, size)? {
            return self.begin_again(file, size, into);
        }
        match SegmentReader::new(file, self.base, size)? {
            Some(mut reader) => {
                let scan = self.scan(&mut reader, into.end)?;
                self.take(scan, reader, size, into)?;
            }
            None => {
                // Records stood here, nobody can tell how many: no offset of them is used again.
                let most = (size - HEADER_BYTES.min(size)).div_ceil(HEAD_BYTES as u64);
                into.end = into.end.max(self.base + most);
                self.report_lost(into, self.base, into.end);
                self.push(into, size, Index::default());
            }
        }
        Ok(())
    }

    /// Gives the file the header it never got. It is kept for its name, which proves that
    /// everything before its base was durable.
    fn begin_again(
        &self,
        file: Box<dyn DiskFile>,
        size: u64,
        into: &mut Recovered,
    ) -> io::Result<()> {
        let salt = new_salt();
        write_header(&*file, self.base, salt)?;
        if size > 0 {
            self.report_cut(into, 0..size, self.base);
        }
        if into.end > self.base {
            self.report_lost(into, self.base, into.end);
        } else {
            into.end = self.base;
            into.active = Some(Active { file, salt, bytes: HEADER_BYTES, base: self.base });
        }
        self.push(into, HEADER_BYTES, Index::default());
        Ok(())
    }

    fn scan(&self, reader: &mut SegmentReader, known: u64) -> io::Result<Scan> {
        let (index, damages) = (Index::default(), Vec::new());
        let mut scan = Scan { end: self.base, bytes: HEADER_BYTES, known, index, damages };
        while let Some(item) = reader.next()? {
            match item {
                Item::Record { offset, durable, position, end, .. } => {
                    scan.index.note(offset, position);
                    scan.known = scan.known.max(durable);
                    (scan.end, scan.bytes) = (offset + 1, end);
                }
                Item::Damage { from, position, resumes } => {
                    scan.damages.push((from, resumes, position));
                }
            }
        }
        Ok(scan)
    }

    /// Cuts a torn tail, reports lost records, and decides whether writing may go on here.
    fn take(
        &self,
        mut scan: Scan,
        reader: SegmentReader,
        size: u64,
        into: &mut Recovered,
    ) -> io::Result<()> {
        let known = scan.known;
        let tear = scan.damages.iter().find(|(from, ..)| *from >= known).copied();
        scan.damages.retain(|(from, ..)| *from < known);
        let salt = reader.salt;
        let file = reader.into_file();
        if let Some((from, _, position)) = tear {
            file.truncate(position)?;
            file.sync()?;
            (scan.end, scan.bytes) = (from, position);
            scan.index.forget_from(position);
            self.report_cut(into, position..size, from);
        }
        into.end = scan.end.max(known);
        for (from, resumes, _) in &scan.damages {
            if *resumes == Some(*from) {
                continue; // foreign bytes between whole records
            }
            self.report_lost(into, *from, resumes.unwrap_or(into.end));
        }
        let bytes = scan.bytes;
        if scan.end == into.end {
            into.active = Some(Active { file, salt, bytes, base: self.base });
        } else if scan.damages.last().is_none_or(|(_, resumes, _)| resumes.is_some()) {
            self.report_lost(into, scan.end, into.end);
        }
        self.push(into, bytes, scan.index);
        Ok(())
    }

    fn push(&self, into: &mut Recovered, bytes: u64, index: Index) {
        let index = Arc::new(Mutex::new(index));
        into.segments.push(Segment { base: self.base, path: self.path.clone(), bytes, index });
    }

    fn report_cut(&self, into: &mut Recovered, bytes: Range<u64>, offset: u64) {
        tracing::warn!(
            partition = self.partition, segment = %self.path.display(), ?bytes, offset,
            "cut a torn tail that was never acknowledged"
        );
        let (partition, segment, offset) = (self.partition, self.path.clone(), Offset(offset));
        into.report.cuts.push(Cut { partition, segment, bytes, offset });
    }

    fn report_lost(&self, into: &mut Recovered, from: u64, to: u64) {
        tracing::error!(
            partition = self.partition, segment = %self.path.display(), from, to,
            "acknowledged records are damaged on disk; readers are told of the gap"
        );
        let (partition, offsets) = (self.partition, Offset(from)..Offset(to));
        into.report.gaps.push(LostRecords { partition, offsets });
    }
}

/// Whether a crash came between creating the file and its header. Headers are synced before the
/// first record is written, so nothing but zeros can follow then.
fn never_begun(file: &dyn DiskFile, size: u64) -> io::Result<bool> {
    let mut header = vec![0; HEADER_BYTES.min(size) as usize];
    let filled = file.read_at(0, &mut header)?;
    if size < HEADER_BYTES || filled < header.len() {
        return Ok(true);
    }
    let mut buffer = vec![0; 64 << 10];
    let mut position = 0;
    loop {
        match file.read_at(position, &mut buffer)? {
            0 => return Ok(true),
            count if buffer.iter().take(count).any(|byte| *byte != 0) => return Ok(false),
            count => position += count as u64,
        }
    }
}
