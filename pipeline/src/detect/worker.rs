//! Detection at work: a member of the group of workers, with a shard for each partition it is
//! given. From the bus to the shards, from the shards to the lake.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::detect::Statistics;
use anyhow::Context;
use bus::{Bus, Delivery, Member, Offset, Turn};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::alerts::AlertQueue;
use super::partition_detector::Detectors;
use super::shard::{Place, Shard, bus_position};
use super::store::{StoreCommand, StoreHandle};
use crate::checkpoint::{self, DetectionCheckpoint};
use crate::folder::{DataFolder, INGEST};
use crate::supervisor::Task;

/// The name under which detection tells the bus what it may still want to see again.
pub const DETECT: &str = "detect";

/// How often a worker that waits looks after other things.
const LOOK: Duration = Duration::from_millis(100);

/// How long a partition that is taken away may wait for the lake. What is not stored then is
/// stored by the worker that gets the partition.
const PATIENCE: Duration = Duration::from_secs(10);

/// Before looking for Kafka again.
const PAUSE: Duration = Duration::from_secs(1);

/// What detection has met, by partition.
pub type DetectionBoard = Arc<Mutex<BTreeMap<u32, Statistics>>>;

/// Works until it is told to stop.
pub struct Worker {
    pub bus: Bus,
    pub folder: DataFolder,
    pub detectors: Detectors,
    pub alerts: AlertQueue,
    pub runtime: Handle,
    pub store: StoreHandle,
    /// How far `ingest` has stored files.
    pub ingested: BTreeMap<String, i64>,
    pub stop: CancellationToken,
    pub board: DetectionBoard,
    pub shards: BTreeMap<u32, Shard>,
    /// A command about a partition that the lake has no room for yet.
    pub waiting: Option<(u32, StoreCommand)>,
    /// Whether what is known and what is stored may differ: membership begins anew.
    pub is_lost: bool,
}

/// Why work as a member of the group ended.
enum Ended {
    Stopped,
    Lost,
}

impl Worker {
    /// Works; ends with a last checkpoint.
    pub fn run(mut self, task: &Task) -> anyhow::Result<()> {
        if !self.find_topic(task) {
            return Ok(());
        }
        loop {
            let joined = self.runtime.block_on(self.bus.join(DETECT));
            let mut member = joined.context("detection cannot join its group")?;
            let ended = self.work(&mut member)?;
            self.runtime.block_on(member.leave()).context("detection cannot leave its group")?;
            if let Ended::Stopped = ended {
                return Ok(());
            }
            self.shards.clear();
            (self.waiting, self.is_lost) = (None, false);
            self.board.lock().unwrap_or_else(PoisonError::into_inner).clear();
            self.store.give(StoreCommand::Resume)?;
        }
    }

    /// Waits for Kafka; false if it was told to stop before.
    fn find_topic(&self, task: &Task) -> bool {
        let Bus::Kafka(kafka) = &self.bus else { return true };
        let mut is_told = false;
        while let Err(error) = self.runtime.block_on(kafka.ensure_topic()) {
            if self.stop.is_cancelled() {
                return false;
            }
            let problem = format!("detection waits for Kafka: {error}");
            if !is_told {
                is_told = true;
                tracing::warn!("{problem}");
            }
            task.set_problem(Some(problem));
            std::thread::sleep(PAUSE);
        }
        task.set_problem(None);
        true
    }

    fn work(&mut self, member: &mut Member) -> anyhow::Result<Ended> {
        let mut look_at = Instant::now();
        loop {
            if self.store.is_superseded() || self.is_lost {
                return Ok(Ended::Lost);
            }
            if let Some((partition, command)) = self.waiting.take() {
                self.give(partition, command)?;
            }
            let has_no_room = self.waiting.is_some() || self.alerts.is_full();
            if has_no_room && !(self.is_group() && self.stop.is_cancelled()) {
                // The lake or the state takes nothing: nothing more is taken from the bus until it
                // does, but the group is answered.
                self.runtime.block_on(member.idle(LOOK))?;
                if !member.has_change() {
                    continue;
                }
            }
            if self.is_done(member)? {
                let partitions = self.shards.keys().copied().collect();
                self.give_up(partitions, member)?;
                return Ok(Ended::Stopped);
            }
            let turn = self.runtime.block_on(member.next_within(LOOK));
            if let Some(turn) = turn.context("the bus cannot be read")? {
                self.take(turn, member)?;
            }
            if look_at <= Instant::now() {
                look_at = Instant::now() + LOOK;
                self.look_after(member)?;
            }
        }
    }

    /// Whether it was told to stop and is done: on an embedded bus no other worker does the rest.
    fn is_done(&self, member: &Member) -> anyhow::Result<bool> {
        if !self.stop.is_cancelled() || self.is_group() {
            return Ok(self.stop.is_cancelled());
        }
        for (partition, shard) in &self.shards {
            if Offset(shard.next) < self.runtime.block_on(member.end(*partition))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether there may be other workers.
    fn is_group(&self) -> bool {
        matches!(self.bus, Bus::Kafka(_))
    }

    fn take(&mut self, turn: Turn, member: &mut Member) -> anyhow::Result<()> {
        match turn {
            Turn::Assigned(partitions) => self.take_over(&partitions, member),
            Turn::Revoked(partitions) => self.give_up(partitions, member),
            Turn::Lost(partitions) => {
                tracing::warn!(?partitions, "the group has given partitions to others");
                self.give_up(partitions, member)
            }
            Turn::Delivery { partition, delivery } => self.deliver(partition, delivery),
        }
    }

    fn deliver(&mut self, partition: u32, delivery: Delivery) -> anyhow::Result<()> {
        let Some(shard) = self.shards.get_mut(&partition) else { return Ok(()) };
        match shard.take(delivery, &self.ingested)? {
            Some(rows) => self.give(partition, StoreCommand::Rows(rows)),
            None => Ok(()),
        }
    }

    /// A command may have to wait: [`work`](Self::work) reads no further then.
    fn give(&mut self, partition: u32, command: StoreCommand) -> anyhow::Result<()> {
        debug_assert!(self.waiting.is_none(), "a command that waits would be forgotten");
        self.waiting = self.store.try_give(command)?.map(|command| (partition, command));
        Ok(())
    }

    /// Reads the table, and starts there.
    fn take_over(&mut self, partitions: &[u32], member: &mut Member) -> anyhow::Result<()> {
        let mut places = Vec::new();
        for partition in partitions {
            places.push(self.place(*partition));
        }
        // After what is known was read: it was stored before it was kept, so that the table is
        // never behind it, even if another worker still has the partition.
        let positions = places.iter().map(|(place, _)| bus_position(&place.name)).collect();
        let Some(claims) = self.store.claim(positions, PATIENCE)? else {
            self.is_lost = true;
            return Ok(());
        };
        let mut starts = Vec::new();
        for ((partition, (place, known)), claim) in partitions.iter().zip(places).zip(claims) {
            let shard = self.shard(*partition, place, known, claim)?;
            tracing::info!(partition = shard.name, from = shard.next, "watching");
            let end = self.runtime.block_on(member.end(*partition))?;
            shard.prove_end(end)?;
            starts.push((*partition, Offset(shard.start())));
            self.shards.insert(*partition, shard);
        }
        self.runtime.block_on(member.assign(&starts)).context("partitions cannot be taken")
    }

    /// Where a partition is kept, and what is known of it.
    fn place(&self, partition: u32) -> (Place, Option<DetectionCheckpoint>) {
        let name = self.bus.partition_name(partition);
        let (path, partitions) = (self.folder.detection_of(&name), self.bus.partitions());
        let known = checkpoint::read(&path).unwrap_or_else(|error| {
            // Others would stumble over it likewise; the bus has what it takes to learn it anew.
            tracing::error!("{error:#}; it is learnt again from what the bus has");
            None
        });
        (Place { name, partitions, path, profiles_folder: self.folder.profiles() }, known)
    }

    fn shard(
        &self,
        partition: u32,
        place: Place,
        known: Option<DetectionCheckpoint>,
        claim: lake::Claim,
    ) -> anyhow::Result<Shard> {
        if let Some(known) = known {
            // A table that is older than what is known is not the one that it was learnt with.
            if claim.events.map_or(0, i64::cast_unsigned) >= known.bus {
                let detector = self.detectors.make(Some(&known.detector))?;
                return Ok(Shard::new(place, detector, Some(known), claim));
            }
            tracing::warn!(
                partition = place.name,
                "the table is older than what detection knows: all that the bus has is judged again"
            );
            return Ok(Shard::new(place, self.detectors.make(None)?, None, claim));
        }
        // Each partition begins with what `ingest` has learnt of its identities.
        let learnt: Option<DetectionCheckpoint> =
            checkpoint::read(&self.folder.detection_of(INGEST))?;
        let mut detector =
            self.detectors.make(learnt.as_ref().map(|learnt| &learnt.detector[..]))?;
        detector.retain(partition, place.partitions);
        Ok(Shard::new(place, detector, None, claim))
    }

    /// Stores what is judged and keeps what is known, for the next worker.
    fn give_up(&mut self, partitions: Vec<u32>, member: &mut Member) -> anyhow::Result<()> {
        // What the lake has no room for is judged and stored by the next worker.
        let dropped = self.waiting.take_if(|(partition, _)| partitions.contains(partition));
        let dropped = dropped.map(|(partition, _)| partition);
        let (mut positions, mut checkpoints) = (Vec::new(), Vec::new());
        for partition in &partitions {
            let Some(mut shard) = self.shards.remove(partition) else { continue };
            if dropped != Some(*partition) {
                checkpoints.extend(shard.checkpoint(true));
            }
            positions.push(shard.position());
            self.board.lock().unwrap_or_else(PoisonError::into_inner).remove(partition);
        }
        if !positions.is_empty() && !self.store.release(positions, checkpoints, PATIENCE)? {
            tracing::warn!(?partitions, "given up before all of it was stored; the next stores it");
        }
        self.runtime.block_on(member.release(&partitions)).context("partitions cannot be given up")
    }

    /// Now and then: keeps what is known, tells the bus what is no longer needed.
    fn look_after(&mut self, member: &mut Member) -> anyhow::Result<()> {
        let is_group = self.is_group();
        let partitions: Vec<u32> = self.shards.keys().copied().collect();
        partitions.into_iter().try_for_each(|partition| self.keep(partition))?;
        for (partition, shard) in &mut self.shards {
            let position = shard.position();
            // Kafka keeps records as long as it was told to: there the mark only shows the lag.
            let needless =
                if is_group { self.store.stored(&position) } else { self.store.kept(&position) };
            if let Some(needless) = needless.filter(|offset| *offset > shard.told) {
                shard.told = needless;
                let offset = Offset(needless.cast_unsigned());
                if let Err(error) = self.runtime.block_on(member.commit(*partition, offset)) {
                    tracing::warn!(%error, "the bus cannot note how far detection is");
                }
            }
            let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
            board.insert(*partition, shard.detector.statistics());
        }
        Ok(())
    }

    /// Keeps what a partition knows, if it is time to, there is room, and its alerts go through.
    fn keep(&mut self, partition: u32) -> anyhow::Result<()> {
        if self.waiting.is_none()
            && !self.alerts.is_failing()
            && let Some(shard) = self.shards.get_mut(&partition)
            && let Some(command) = shard.checkpoint(false)
        {
            self.give(partition, command)?;
        }
        Ok(())
    }
}
