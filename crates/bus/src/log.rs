//! The writer's side of a partition: append a group and make it durable, begin segments, leave a
//! segment that failed, delete what everyone has read.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::consumer_offsets::ConsumerOffsets;
use crate::disk::{Disk, DiskFile};
use crate::partition::{Partition, Segment, lock};
use crate::segment::{HEADER_BYTES, Item, SegmentReader, new_salt, segment_path, write_header};
use crate::{BusSettings, Record, frame};

/// The segment that is written on. Its file ends at `bytes`, or behind it after a failed write.
pub(crate) struct Active {
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) salt: u64,
    pub(crate) base: u64,
    /// Durable bytes: where the next record goes.
    pub(crate) bytes: u64,
}

/// What there is too little of.
pub(crate) enum Shortage {
    /// The log has its full size.
    Log,
    /// The disk has no more than what is reserved for others.
    Disk,
}

/// The only one that changes a partition's files.
pub(crate) struct Log {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) directory: PathBuf,
    pub(crate) settings: BusSettings,
    pub(crate) partition: Arc<Partition>,
    pub(crate) offsets: Arc<ConsumerOffsets>,
    /// None until the first write, and after a failure.
    pub(crate) active: Option<Active>,
}

impl Log {
    /// Writes records behind the end, makes them durable, then readable. After an error none of
    /// them is readable, and [`Log::abandon`] must follow.
    pub(crate) fn write<'a>(
        &mut self,
        records: impl Iterator<Item = &'a Record>,
    ) -> io::Result<()> {
        let partition = self.partition.clone();
        let base = partition.end();
        let active = self.writable()?;
        let (mut buffer, mut starts, mut end) = (Vec::new(), Vec::new(), base);
        for record in records {
            starts.push((end, active.bytes + buffer.len() as u64));
            frame::encode(&mut buffer, active.salt, end, base, record);
            end += 1;
        }
        active.file.write_at(active.bytes, &buffer)?;
        let began = Instant::now();
        let synced = active.file.sync();
        let counters = &partition.counters;
        if let Err(error) = synced {
            counters.fsync_failures.fetch_add(1, Relaxed);
            return Err(error);
        }
        active.bytes += buffer.len() as u64;
        counters.fsyncs.fetch_add(1, Relaxed);
        counters.fsync_micros.store(began.elapsed().as_micros() as u64, Relaxed);
        counters.bytes.fetch_add(buffer.len() as u64, Relaxed);
        counters.records.fetch_add(end - base, Relaxed);
        if let Some(segment) = partition.segments().last_mut() {
            segment.bytes = active.bytes;
            let mut index = lock(&segment.index);
            starts.into_iter().for_each(|(offset, position)| index.note(offset, position));
        }
        partition.advance(end);
        Ok(())
    }

    /// Leaves the active segment after a failed write or sync. Its descriptor is not trusted
    /// again: what was durable is read back from the medium, the rest is cut off, and the next
    /// write begins a new segment that supersedes it in any case.
    pub(crate) fn abandon(&mut self) {
        let Some(active) = self.active.take() else { return };
        let path = segment_path(&self.directory, active.base);
        drop(active.file);
        let damaged = self.verify(active.base, active.bytes).and_then(|(file, damaged)| {
            file.truncate(active.bytes)?;
            file.sync()?;
            Ok(damaged)
        });
        match damaged {
            Ok(0) => {}
            Ok(records) => tracing::error!(
                partition = self.partition.number, segment = %path.display(), records,
                "a failing disk damaged acknowledged records; readers will be told of the gap"
            ),
            Err(error) => tracing::warn!(
                partition = self.partition.number, segment = %path.display(), %error,
                "a segment that failed could not be read back; it stays as it is"
            ),
        }
    }

    /// What there is too little of to write on. What everyone has read is deleted first.
    pub(crate) fn shortage(&mut self) -> io::Result<Option<Shortage>> {
        if self.measure()?.is_none() {
            return Ok(None);
        }
        let end = self.partition.end();
        let all_read = self.offsets.lowest(self.partition.number) >= Some(end);
        if all_read && self.active.as_ref().is_none_or(|active| active.base < end) {
            self.begin_segment()?; // so that the one before it can go
        }
        self.retain();
        self.measure()
    }

    fn measure(&self) -> io::Result<Option<Shortage>> {
        if self.partition.bytes() >= self.settings.log_bytes_max {
            return Ok(Some(Shortage::Log));
        }
        let free = self.disk.free(&self.directory)?;
        Ok((free < self.settings.reserve_bytes).then_some(Shortage::Disk))
    }

    /// Deletes segments that every consumer has read, when they are old, the log is large or the
    /// disk is short of space.
    pub(crate) fn retain(&mut self) {
        let Some(lowest) = self.offsets.lowest(self.partition.number) else { return };
        let age = Duration::from_secs(u64::from(self.settings.retention_hours) * 3600);
        loop {
            let large = self.partition.bytes() > self.settings.retention_bytes;
            let short = self.measure().is_ok_and(|shortage| shortage.is_some());
            let mut segments = self.partition.segments();
            let [oldest, next, ..] = segments.as_slice() else { return };
            let path = oldest.path.clone();
            let old = || self.disk.age(&path).is_ok_and(|of_file| of_file >= age);
            if next.base > lowest || !(large || short || old()) {
                return;
            }
            segments.remove(0);
            drop(segments);
            let removed = self.disk.remove(&path);
            // One at a time, so that a crash leaves no hole between older and younger ones.
            let synced = removed.and_then(|()| self.disk.sync_directory(&self.directory));
            if let Err(error) = synced {
                tracing::warn!(segment = %path.display(), %error, "could not delete a segment");
                return;
            }
        }
    }

    fn writable(&mut self) -> io::Result<&mut Active> {
        let fits = |active: &Active| active.bytes < self.settings.segment_bytes;
        if !self.active.as_ref().is_some_and(fits) {
            self.begin_segment()?;
        }
        self.active.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Begins a segment at the end. It is durable, header and name, before a record goes in.
    fn begin_segment(&mut self) -> io::Result<()> {
        self.active = None;
        let base = self.partition.end();
        let path = segment_path(&self.directory, base);
        // One of the same name is an attempt that failed: nothing in it is durable. It is not
        // removed first, for its name proves after a crash how far the log had come.
        self.partition.segments().pop_if(|segment| segment.base == base);
        let file = match self.disk.create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.disk.open(&path)?,
            created => created?,
        };
        let salt = new_salt();
        write_header(&*file, base, salt)?;
        self.disk.sync_directory(&self.directory)?;
        let bytes = HEADER_BYTES;
        self.partition.segments().push(Segment { base, path, bytes, index: Arc::default() });
        self.active = Some(Active { file, salt, base, bytes });
        Ok(())
    }

    /// Reads a segment's durable part from the medium; how many records of it are damaged.
    fn verify(&self, base: u64, bytes: u64) -> io::Result<(Box<dyn DiskFile>, u64)> {
        let path = segment_path(&self.directory, base);
        let file = self.disk.open(&path)?;
        file.forget_cache()?;
        let end = self.partition.end();
        let Some(mut reader) = SegmentReader::new(file, base, bytes)? else {
            return Ok((self.disk.open(&path)?, end - base));
        };
        let mut whole = 0;
        while let Some(item) = reader.next()? {
            whole += u64::from(matches!(item, Item::Record { .. }));
        }
        Ok((reader.into_file(), (end - base).saturating_sub(whole)))
    }
}
