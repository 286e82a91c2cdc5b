//! Detection at work: a member of the group of workers, with a shard for each partition it is
//! given. From the bus to the shards, from the shards to the lake.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use bus::{Bus, Delivery, Member, Offset, Turn};
use detect::Statistics;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::checkpoint::{self, Detection};
use super::folder::DataFolder;
use super::judge::JudgeMaker;
use super::partition::partition_of;
use super::shard::{Place, Shard, bus_position};
use super::store::{Order, StoreHandle};

/// The name under which detection tells the bus what it may still want to see again.
pub const DETECT: &str = "detect";

/// How often a worker that waits looks after other things.
const LOOK: Duration = Duration::from_millis(100);

/// How long a partition that is taken away may wait for the lake. What is not stored then is
/// stored by who gets the partition.
const PATIENCE: Duration = Duration::from_secs(20);

/// Detection's figures, by partition.
pub type DetectionBoard = Arc<Mutex<BTreeMap<u32, Statistics>>>;

/// Works until it is told to stop.
pub struct Worker {
    pub bus: Bus,
    pub folder: DataFolder,
    pub judges: JudgeMaker,
    pub runtime: Handle,
    pub store: StoreHandle,
    /// How far `ingest` has stored files.
    pub ingested: BTreeMap<String, i64>,
    pub stop: CancellationToken,
    pub board: DetectionBoard,
    pub shards: BTreeMap<u32, Shard>,
    /// An order that the lake has no room for yet.
    pub waiting: Option<Order>,
}

/// Why work as a member of the group ended.
enum Ended {
    Stopped,
    Superseded,
}

impl Worker {
    /// Works; ends with a last checkpoint.
    pub fn run(mut self) -> anyhow::Result<()> {
        loop {
            let joined = self.runtime.block_on(self.bus.join(DETECT));
            let mut member = joined.context("detection cannot join its group")?;
            let ended = self.work(&mut member)?;
            self.runtime.block_on(member.leave()).context("detection cannot leave its group")?;
            if let Ended::Stopped = ended {
                return Ok(());
            }
            self.shards.clear();
            self.waiting = None;
            self.store.give(Order::Resume)?;
        }
    }

    fn work(&mut self, member: &mut Member) -> anyhow::Result<Ended> {
        let mut look_at = Instant::now();
        loop {
            if self.store.is_superseded() {
                return Ok(Ended::Superseded);
            }
            if let Some(order) = self.waiting.take() {
                // The lake has no room: nothing more is taken from the bus until it has.
                self.waiting = self.store.try_give(order)?;
                if self.waiting.is_some() {
                    self.runtime.block_on(member.idle(LOOK))?;
                    continue;
                }
            }
            if self.is_done(member)? {
                let partitions = self.shards.keys().copied().collect();
                self.give_up(partitions, member)?;
                return Ok(Ended::Stopped);
            }
            if let Some(turn) = self.next(member)? {
                self.take(turn, member)?;
            }
            if look_at <= Instant::now() {
                look_at = Instant::now() + LOOK;
                self.look_after(member)?;
            }
        }
    }

    fn next(&self, member: &mut Member) -> anyhow::Result<Option<Turn>> {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                turn = member.next() => Ok(Some(turn.context("the bus cannot be read")?)),
                () = tokio::time::sleep(LOOK) => Ok(None),
            }
        })
    }

    /// Whether it was told to stop and nothing is left that nobody else would do.
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
        if let Some(rows) = shard.take(delivery, &self.ingested)? {
            self.give(Order::Rows(rows))?;
        }
        Ok(())
    }

    /// The only place where an order may have to wait: [`work`](Self::work) reads no further.
    fn give(&mut self, order: Order) -> anyhow::Result<()> {
        self.waiting = self.store.try_give(order)?;
        Ok(())
    }

    /// Reads the table, and starts there.
    fn take_over(&mut self, partitions: &[u32], member: &mut Member) -> anyhow::Result<()> {
        let names: Vec<String> =
            partitions.iter().map(|partition| self.bus.partition_name(*partition)).collect();
        let positions = names.iter().map(|name| bus_position(name)).collect();
        let Some(claims) = self.store.claim(positions)? else { return Ok(()) };
        let mut starts = Vec::new();
        for ((partition, name), claim) in partitions.iter().zip(names).zip(claims) {
            let shard = self.shard(*partition, name, claim)?;
            tracing::info!(partition = shard.name, from = shard.next, "watching");
            starts.push((*partition, Offset(shard.next)));
            self.shards.insert(*partition, shard);
        }
        self.runtime.block_on(member.assign(&starts)).context("partitions cannot be taken")
    }

    fn shard(&self, partition: u32, name: String, claim: lake::Claim) -> anyhow::Result<Shard> {
        let partitions = self.bus.partitions();
        let is_share = partitions > 1;
        let whole = self.folder.detection();
        let is_alone = !is_share && !self.is_group();
        let path = if is_alone { whole.clone() } else { self.folder.detection_of(&name) };
        let known: Option<Detection> = checkpoint::read(&path)?;
        let judge = match &known {
            Some(known) => self.judges.restore(&known.detector)?,
            // What one machine has learnt is divided as its events are from now on.
            None => match checkpoint::read::<Detection>(&whole)? {
                Some(learnt) => {
                    self.judges.restore_share(&learnt.detector, |instance, identity| {
                        partition_of(instance, Some(identity), partitions) == partition
                    })?
                }
                None => self.judges.make()?,
            },
        };
        Ok(Shard::new(Place { name, is_share, path }, judge, known, claim))
    }

    /// Stores what is judged and keeps what is known, for who is next.
    fn give_up(&mut self, partitions: Vec<u32>, member: &mut Member) -> anyhow::Result<()> {
        if let Some(order) = self.waiting.take() {
            self.store.give(order)?;
        }
        let mut positions = Vec::new();
        for partition in &partitions {
            let Some(mut shard) = self.shards.remove(partition) else { continue };
            if let Some(order) = shard.knowledge(true) {
                self.store.give(order)?;
            }
            positions.push(shard.position());
            self.board.lock().unwrap_or_else(PoisonError::into_inner).remove(partition);
        }
        if !positions.is_empty() && !self.store.release(positions, PATIENCE)? {
            tracing::warn!(?partitions, "given up before all of it was stored; the next stores it");
        }
        self.runtime.block_on(member.release(&partitions)).context("partitions cannot be given up")
    }

    /// Now and then: keeps what is known, tells the bus what is no longer needed.
    fn look_after(&mut self, member: &mut Member) -> anyhow::Result<()> {
        let is_group = self.is_group();
        for (partition, shard) in &mut self.shards {
            if self.waiting.is_none()
                && let Some(order) = shard.knowledge(false)
            {
                self.waiting = self.store.try_give(order)?;
            }
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
            let statistics = shard.judge.statistics();
            let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
            board.insert(*partition, statistics);
        }
        Ok(())
    }
}
