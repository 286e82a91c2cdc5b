//! The bus inside this process: one folder, one log and one writer thread a partition.

use std::any::Any;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread::{self, JoinHandle};

use tokio::sync::{Semaphore, oneshot};

use crate::consumer_offsets::ConsumerOffsets;
use crate::disk::{Disk, FileDisk};
use crate::frame::{HEAD_BYTES, frame_bytes};
use crate::log::Log;
use crate::partition::{Partition, lock};
use crate::read::Reading;
use crate::recover::recover;
use crate::status::{BusStatus, OpenReport};
use crate::writer::{Append, Job, Writer};
use crate::{BusError, BusSettings, Delivery, Offset, Record};

/// A bus in a folder of this machine. Cheap to clone; one process may hold the folder.
#[derive(Clone)]
pub struct EmbeddedBus(Arc<Inner>);

struct Inner {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    settings: BusSettings,
    report: OpenReport,
    offsets: Arc<ConsumerOffsets>,
    partitions: Vec<Arc<Partition>>,
    lanes: Vec<Lane>,
    writers: Mutex<Vec<JoinHandle<()>>>,
    /// The lock on the folder; none after shutdown.
    held: Mutex<Option<Held>>,
}

/// Each writer has a share: the folder is free once the last one has ended.
type Held = Arc<dyn Any + Send + Sync>;

/// The way to a partition's writer.
struct Lane {
    jobs: Sender<Job>,
    /// Bytes that may be queued.
    room: Arc<Semaphore>,
}

impl EmbeddedBus {
    /// Opens or creates the bus in a folder. Errors: wrong settings, a folder that another
    /// process holds, files that cannot be read.
    pub async fn open(settings: &BusSettings, directory: &Path) -> Result<EmbeddedBus, BusError> {
        EmbeddedBus::open_on(Arc::new(FileDisk), settings, directory).await
    }

    /// Opens on a given disk.
    pub async fn open_on(
        disk: Arc<dyn Disk>,
        settings: &BusSettings,
        directory: &Path,
    ) -> Result<EmbeddedBus, BusError> {
        let (settings, directory) = (settings.clone(), directory.to_owned());
        blocking(move || Inner::open(disk, settings, directory)).await?.map(EmbeddedBus)
    }

    /// What opening found and did.
    pub fn open_report(&self) -> &OpenReport {
        &self.0.report
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> u32 {
        self.0.settings.partitions
    }

    /// Appends records, next to each other and in order, and returns their offsets once they are
    /// durable. Waits while the log or the disk is full. After an error, or if the future is
    /// dropped, they may be on the bus or not: append again, readers know repeated records by
    /// what is in them.
    pub async fn append(
        &self,
        partition: u32,
        records: Vec<Record>,
    ) -> Result<Range<Offset>, BusError> {
        let (shared, lane) = self.0.lane(partition)?;
        let bytes = self.0.checked_size(&records)?;
        if records.is_empty() {
            let end = self.end(partition);
            return Ok(end..end);
        }
        let _waiting = Waiting::new(&shared.counters.waiting);
        let room = lane.room.clone().acquire_many_owned(bytes).await;
        let room = room.map_err(|_closed| BusError::Closed)?;
        let (done, outcome) = oneshot::channel();
        let append = Append { records, bytes: u64::from(bytes), done, _room: room };
        lane.jobs.send(Job::Append(append)).map_err(|_gone| BusError::Closed)?;
        outcome.await.map_err(|_gone| BusError::Closed)?
    }

    /// Reads from an offset: at least one delivery, about `bytes_max` bytes at most, in order and
    /// without a hole that is not told. Waits until there is something. Safe to cancel.
    pub async fn read(
        &self,
        partition: u32,
        from: Offset,
        bytes_max: u64,
    ) -> Result<Vec<Delivery>, BusError> {
        let (shared, _) = self.0.lane(partition)?;
        let end = Offset(shared.end());
        if from > end {
            return Err(BusError::BeyondEnd { partition, from, end });
        }
        shared.wait_beyond(from.0).await?;
        let (disk, shared) = (self.0.disk.clone(), shared.clone());
        // A budget of nothing still delivers one record.
        let read = move || Reading::read(&*disk, &shared, from.0, bytes_max.max(1));
        blocking(read).await?.map_err(|(path, source)| BusError::Storage { path, source })
    }

    /// Waits until one of these positions has something to read, and returns its place.
    pub(crate) async fn readable(&self, positions: &[(u32, Offset)]) -> Result<usize, BusError> {
        let waiting = positions.iter().map(|(partition, from)| {
            let lane = self.0.lane(*partition).map(|(shared, _)| shared.clone());
            let from = *from;
            Box::pin(async move { lane?.wait_beyond(from.0).await })
        });
        let mut waiting: Vec<_> = waiting.collect();
        std::future::poll_fn(|context| {
            for (place, future) in waiting.iter_mut().enumerate() {
                if let Poll::Ready(ready) = future.as_mut().poll(context) {
                    return Poll::Ready(ready.map(|()| place));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Waits until the bus is shut down.
    pub(crate) async fn closed(&self) {
        if let Some(shared) = self.0.partitions.first() {
            // Nothing stands there, so only closing ends it.
            let _closed = shared.wait_beyond(u64::MAX).await;
        }
    }

    /// Refuses a partition that does not exist.
    pub(crate) fn known(&self, partition: u32) -> Result<(), BusError> {
        self.0.lane(partition).map(drop)
    }

    /// The oldest offset that is kept; 0 for an unknown partition.
    pub fn start(&self, partition: u32) -> Offset {
        let shared = self.0.partitions.get(partition as usize);
        Offset(shared.map_or(0, |shared| shared.start()))
    }

    /// The first offset that is not there yet; 0 for an unknown partition.
    pub fn end(&self, partition: u32) -> Offset {
        let shared = self.0.partitions.get(partition as usize);
        Offset(shared.map_or(0, |shared| shared.end()))
    }

    /// Makes a consumer known, durably: nothing is deleted that it has not committed. A new one
    /// begins at the oldest record; one that is known keeps its offsets. While no consumer is
    /// registered nothing is deleted.
    pub async fn register(&self, consumer: &str) -> Result<(), BusError> {
        self.0.check_open()?;
        let (inner, name) = (self.0.clone(), consumer.to_owned());
        let saved = blocking(move || inner.offsets.register(&name, &inner.partitions)).await?;
        saved.map_err(BusError::storage(&self.0.directory))
    }

    /// Removes a consumer: it holds nothing back any more.
    pub async fn forget(&self, consumer: &str) -> Result<(), BusError> {
        self.0.check_open()?;
        let (inner, name) = (self.0.clone(), consumer.to_owned());
        let saved = blocking(move || inner.offsets.forget(&name, &inner.partitions)).await?;
        self.0.tell_writers(|| Job::Retain);
        saved.map_err(BusError::storage(&self.0.directory))
    }

    /// Says that a registered consumer needs nothing below `offset` any more. Offsets only rise.
    pub async fn commit(
        &self,
        consumer: &str,
        partition: u32,
        offset: Offset,
    ) -> Result<(), BusError> {
        let (shared, lane) = self.0.lane(partition)?;
        let end = Offset(shared.end());
        if offset > end {
            return Err(BusError::BeyondEnd { partition, from: offset, end });
        }
        if !self.0.offsets.raise(consumer, partition, offset.0) {
            return Err(BusError::UnknownConsumer(consumer.to_owned()));
        }
        // Room is made before the offset is saved: on a full disk saving needs that room, and what
        // is deleted, the consumer has said it holds.
        lane.jobs.send(Job::Retain).map_err(|_gone| BusError::Closed)?;
        let inner = self.0.clone();
        let saved = blocking(move || inner.offsets.save(&inner.partitions)).await?;
        saved.map_err(BusError::storage(&self.0.directory))
    }

    /// Below which offset a consumer needs nothing any more; none if it is not registered.
    pub fn committed(&self, consumer: &str, partition: u32) -> Option<Offset> {
        self.0.offsets.committed(consumer, partition).map(Offset)
    }

    /// Figures for metrics.
    pub fn status(&self) -> BusStatus {
        let partitions = self.0.partitions.iter().map(|shared| shared.status()).collect();
        BusStatus { partitions, kafka: None }
    }

    /// Writes what was appended before, then ends: waiting appends and reads return
    /// [`BusError::Closed`], and the folder is free. All clones end with it.
    pub async fn shutdown(&self) -> Result<(), BusError> {
        self.0.lanes.iter().for_each(|lane| lane.room.close());
        self.0.tell_writers(|| Job::Stop);
        let writers = std::mem::take(&mut *lock(&self.0.writers));
        if writers.is_empty() {
            return Ok(()); // done before
        }
        let inner = self.0.clone();
        let saved = blocking(move || {
            let ended = writers.into_iter().map(JoinHandle::join).filter(Result::is_err).count();
            if ended > 0 {
                tracing::error!(writers = ended, "writers of the bus ended in a panic");
            }
            let saved = inner.offsets.save(&inner.partitions);
            lock(&inner.held).take();
            saved
        });
        saved.await?.map_err(BusError::storage(&self.0.directory))
    }
}

impl Inner {
    fn open(
        disk: Arc<dyn Disk>,
        settings: BusSettings,
        directory: PathBuf,
    ) -> Result<Arc<Inner>, BusError> {
        settings.check()?;
        disk.create_directory(&directory).map_err(BusError::storage(&directory))?;
        let lock_path = directory.join("lock");
        let held: Held = match disk.lock(&lock_path) {
            Ok(held) => held.into(),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                return Err(BusError::Locked(lock_path));
            }
            Err(source) => return Err(BusError::Storage { path: lock_path, source }),
        };
        refuse_removed_partitions(&*disk, &settings, &directory)?;
        let offsets = Arc::new(ConsumerOffsets::open(disk.clone(), &directory)?);
        let mut inner = Inner {
            disk: disk.clone(),
            directory: directory.clone(),
            settings: settings.clone(),
            report: OpenReport::default(),
            offsets: offsets.clone(),
            partitions: Vec::new(),
            lanes: Vec::new(),
            writers: Mutex::default(),
            held: Mutex::new(Some(held.clone())),
        };
        for number in 0..settings.partitions {
            let folder = directory.join(number.to_string());
            let found = recover(&*disk, &folder, number, offsets.known_end(number))?;
            let partition = Arc::new(Partition::new(number, found.segments, found.end));
            partition.count_gaps(&found.report.gaps);
            inner.report.cuts.extend(found.report.cuts);
            inner.report.gaps.extend(found.report.gaps);
            let log = Log {
                disk: disk.clone(),
                directory: folder.clone(),
                settings: settings.clone(),
                partition: partition.clone(),
                offsets: offsets.clone(),
                active: found.active,
            };
            let (jobs, queue) = channel();
            let (writer, held) = (Writer::new(log, queue), held.clone());
            let run = move || {
                writer.run();
                drop(held);
            };
            let thread = thread::Builder::new().name(format!("bus-{number}")).spawn(run);
            lock(&inner.writers).push(thread.map_err(BusError::storage(&folder))?);
            let room = Arc::new(Semaphore::new(settings.queue_bytes as usize));
            inner.lanes.push(Lane { jobs, room });
            inner.partitions.push(partition);
        }
        disk.sync_directory(&directory).map_err(BusError::storage(&directory))?;
        Ok(Arc::new(inner))
    }

    fn check_open(&self) -> Result<(), BusError> {
        lock(&self.held).as_ref().map(drop).ok_or(BusError::Closed)
    }

    fn lane(&self, partition: u32) -> Result<(&Arc<Partition>, &Lane), BusError> {
        let place = partition as usize;
        let found = self.partitions.get(place).zip(self.lanes.get(place));
        found.ok_or(BusError::UnknownPartition { partition, partitions: self.settings.partitions })
    }

    /// Bytes that the records take, if they are within the limits.
    fn checked_size(&self, records: &[Record]) -> Result<u32, BusError> {
        let mut sum = 0;
        for record in records {
            let bytes = frame_bytes(record);
            // The head is ours: the limit is on what the appender gave.
            let limit = u64::from(self.settings.record_bytes_max);
            if bytes - HEAD_BYTES as u64 > limit {
                return Err(BusError::TooLarge { what: "record", bytes, limit });
            }
            sum += bytes;
        }
        let limit = self.settings.queue_bytes;
        match u32::try_from(sum) {
            Ok(bytes) if bytes <= limit => Ok(bytes),
            _ => Err(BusError::TooLarge { what: "append", bytes: sum, limit: u64::from(limit) }),
        }
    }

    fn tell_writers(&self, job: impl Fn() -> Job) {
        // A writer that is gone needs no telling.
        self.lanes.iter().for_each(|lane| drop(lane.jobs.send(job())));
    }
}

fn refuse_removed_partitions(
    disk: &dyn Disk,
    settings: &BusSettings,
    directory: &Path,
) -> Result<(), BusError> {
    let names = disk.list(directory).map_err(BusError::storage(directory))?;
    let most = names.iter().filter_map(|name| name.parse::<u32>().ok()).max();
    match most {
        Some(most) if most >= settings.partitions => {
            Err(BusError::RemovedPartition(directory.join(most.to_string()), most + 1))
        }
        _ => Ok(()),
    }
}

/// Counts an append as waiting until it returns or is cancelled.
struct Waiting<'a>(&'a AtomicU64);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicU64) -> Waiting<'a> {
        count.fetch_add(1, Relaxed);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Runs file work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BusError> {
    tokio::task::spawn_blocking(work).await.map_err(|_stopped| BusError::Closed)
}
