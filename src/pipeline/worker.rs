//! Detection at work: a member of the group of workers, with a shard for each partition it is
//! given. From the bus to the shards, from the shards to the lake.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use bus::{Bus, Delivery, Member, Offset, Turn};
use detect::{Figures, Statistics};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::checkpoint::{self, Detection};
use super::collect::now;
use super::exchange::Exchange;
use super::folder::DataFolder;
use super::judge::JudgeMaker;
use super::partition::partition_of;
use super::shard::{Place, Shard, bus_position};
use super::store::{Order, StoreHandle};
use super::wait::Wait;

/// The name under which detection tells the bus what it may still want to see again.
pub const DETECT: &str = "detect";

/// How often a worker that waits looks after other things.
const LOOK: Duration = Duration::from_millis(100);

/// How often it looks whether others want to know what it has learnt: they wait for the answer.
const LOOK_AT_OTHERS: Duration = Duration::from_millis(10);

/// How long the bus may take to say where its partitions end.
const ENDS_WITHIN: Duration = Duration::from_secs(2);

/// How long a partition that is taken away may wait for the lake. What is not stored then is
/// stored by who gets the partition.
const PATIENCE: Duration = Duration::from_secs(10);

/// Before looking for Kafka again.
const PAUSE: Duration = Duration::from_secs(1);

/// Detection's figures, by partition.
pub type DetectionBoard = Arc<Mutex<BTreeMap<u32, ShardFigures>>>;

/// Of one partition.
pub struct ShardFigures {
    pub statistics: Statistics,
    /// Whether it waits for others to open a day.
    pub opens_day: bool,
}

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
    /// Where partitions tell each other what they have learnt.
    pub exchange: Exchange,
    /// Days that partitions wait to open.
    pub waits: BTreeMap<u32, Wait>,
    /// An order about a partition that the lake has no room for yet.
    pub waiting: Option<(u32, Order)>,
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
    pub fn run(mut self) -> anyhow::Result<()> {
        if !self.find_topic() {
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
            self.waits.clear();
            self.shards.values().for_each(|shard| self.exchange.leave(&shard.name));
            self.shards.clear();
            (self.waiting, self.is_lost) = (None, false);
            self.board.lock().unwrap_or_else(PoisonError::into_inner).clear();
            self.store.give(Order::Resume)?;
        }
    }

    /// Waits for Kafka; false if it was told to stop before.
    fn find_topic(&self) -> bool {
        let Bus::Kafka(kafka) = &self.bus else { return true };
        let mut told = false;
        while let Err(error) = self.runtime.block_on(kafka.ensure_topic()) {
            if self.stop.is_cancelled() {
                return false;
            }
            if !told {
                told = true;
                tracing::warn!("detection waits for Kafka: {error}");
            }
            std::thread::sleep(PAUSE);
        }
        true
    }

    fn work(&mut self, member: &mut Member) -> anyhow::Result<Ended> {
        let mut look_at = Instant::now();
        loop {
            if self.store.is_superseded() || self.is_lost {
                return Ok(Ended::Lost);
            }
            if let Some((partition, order)) = self.waiting.take() {
                self.give(partition, order)?;
            }
            if self.waiting.is_some() && !(self.is_group() && self.stop.is_cancelled()) {
                // The lake has no room: nothing more is taken from the bus until it has, but the
                // group is answered.
                self.runtime.block_on(member.idle(LOOK))?;
                self.answer_others();
                if !member.has_change() {
                    continue;
                }
            }
            if self.is_done(member)? {
                let partitions = self.shards.keys().copied().collect();
                self.give_up(partitions, member)?;
                return Ok(Ended::Stopped);
            }
            if self.waiting.is_none() {
                self.open_days(member)?;
                if self.waiting.is_some() {
                    continue;
                }
            }
            self.answer_others();
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
        let wait = if self.bus.partitions() > 1 { LOOK_AT_OTHERS } else { LOOK };
        self.runtime.block_on(member.next_within(wait)).context("the bus cannot be read")
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
            Turn::Delivery { partition, delivery } => self.deliver(partition, delivery, member),
        }
    }

    fn deliver(
        &mut self,
        partition: u32,
        delivery: Delivery,
        member: &mut Member,
    ) -> anyhow::Result<()> {
        let Some(shard) = self.shards.get_mut(&partition) else { return Ok(()) };
        match shard.take(delivery, &self.ingested)? {
            Some(rows) => self.give(partition, Order::Rows(rows)),
            None => self.wait_for_others(partition, member),
        }
    }

    /// A partition that opens a day takes nothing until it has the figures of all.
    fn wait_for_others(&mut self, partition: u32, member: &mut Member) -> anyhow::Result<()> {
        let Some(shard) = self.shards.get(&partition) else { return Ok(()) };
        let (Some(opening), file) = (shard.opening().cloned(), shard.opens_in()) else {
            return Ok(());
        };
        if let Some(figures) = self.exchange.known(&opening) {
            return self.open_day(partition, figures, member);
        }
        member.pause(partition).context("a partition cannot be paused")?;
        self.exchange.tell(shard);
        let ends = self.runtime.block_on(ends(&self.bus, member));
        self.waits.insert(partition, Wait::new(opening, file, ends));
        Ok(())
    }

    fn open_day(
        &mut self,
        partition: u32,
        figures: Figures,
        member: &mut Member,
    ) -> anyhow::Result<()> {
        self.waits.remove(&partition);
        let Some(shard) = self.shards.get_mut(&partition) else { return Ok(()) };
        let rows = shard.open(figures)?;
        if shard.opening().is_some() {
            return self.wait_for_others(partition, member);
        }
        member.resume(partition).context("a partition cannot be resumed")?;
        rows.map_or(Ok(()), |rows| self.give(partition, Order::Rows(rows)))
    }

    /// Opens the days whose figures are there, as long as there is room for what comes of it.
    fn open_days(&mut self, member: &mut Member) -> anyhow::Result<()> {
        let partitions: Vec<u32> = self.waits.keys().copied().collect();
        for partition in partitions {
            let wait = self.waits.get_mut(&partition).filter(|_| self.waiting.is_none());
            let Some(figures) = wait.and_then(|wait| self.exchange.figures(wait, now())) else {
                continue;
            };
            self.open_day(partition, figures, member)?;
            self.keep(partition)?;
        }
        if !self.waits.is_empty() {
            self.exchange.ask();
            self.answer_others();
        }
        Ok(())
    }

    fn answer_others(&mut self) {
        if self.exchange.is_asked() {
            for shard in self.shards.values() {
                self.exchange.tell(shard);
            }
        }
    }

    /// An order may have to wait: [`work`](Self::work) reads no further then.
    fn give(&mut self, partition: u32, order: Order) -> anyhow::Result<()> {
        debug_assert!(self.waiting.is_none(), "an order that waits would be forgotten");
        self.waiting = self.store.try_give(order)?.map(|order| (partition, order));
        Ok(())
    }

    /// Reads the table, and starts there.
    fn take_over(&mut self, partitions: &[u32], member: &mut Member) -> anyhow::Result<()> {
        let mut places = Vec::new();
        for partition in partitions {
            places.push(self.place(*partition)?);
        }
        // After what is known was read: it was stored before it was kept, so that the table is
        // never behind it, whoever still works on the partition.
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
    fn place(&self, partition: u32) -> anyhow::Result<(Place, Option<Detection>)> {
        let name = self.bus.partition_name(partition);
        let is_share = self.bus.partitions() > 1;
        if !is_share && !self.is_group() {
            let path = self.folder.detection();
            let known = checkpoint::read(&path)?;
            return Ok((Place { name, is_share, path }, known));
        }
        let path = self.folder.detection_of(&name);
        let known = checkpoint::read(&path).unwrap_or_else(|error| {
            // Others would stumble over it likewise; the bus has what it takes to learn it anew.
            tracing::error!("{error:#}; it is learnt again from what the bus has");
            None
        });
        Ok((Place { name, is_share, path }, known))
    }

    fn shard(
        &self,
        partition: u32,
        place: Place,
        known: Option<Detection>,
        claim: lake::Claim,
    ) -> anyhow::Result<Shard> {
        if let Some(known) = known {
            let is_stored = claim.events.map_or(0, i64::cast_unsigned) >= known.bus;
            if is_stored {
                let judge = self.judges.restore(&known.detector)?;
                return Ok(Shard::new(place, judge, Some(known), claim));
            }
            tracing::warn!(
                partition = place.name,
                "the table is older than what detection knows: all that the bus has is judged again"
            );
            return Ok(Shard::new(place, self.judges.make()?, None, claim));
        }
        // What one machine has learnt is divided as its events are from now on.
        let learnt: Option<Detection> = match place.path == self.folder.detection() {
            true => None,
            false => checkpoint::read(&self.folder.detection())?,
        };
        let Some(learnt) = learnt else {
            return Ok(Shard::new(place, self.judges.make()?, None, claim));
        };
        let partitions = self.bus.partitions();
        let is_ours = |instance: &str, identity: &str| {
            partition_of(instance, Some(identity), partitions) == partition
        };
        let judge = self.judges.restore_share(&learnt.detector, is_ours, partition == 0)?;
        // The first partition of the log is the one that was read until now.
        let is_same = !self.is_group() && partition == 0;
        Ok(Shard::new(place, judge, is_same.then_some(learnt), claim))
    }

    /// Stores what is judged and keeps what is known, for who is next.
    fn give_up(&mut self, partitions: Vec<u32>, member: &mut Member) -> anyhow::Result<()> {
        // What the lake has no room for is judged and stored by who is next.
        let dropped = self.waiting.take_if(|(partition, _)| partitions.contains(partition));
        let dropped = dropped.map(|(partition, _)| partition);
        let (mut positions, mut knowledge) = (Vec::new(), Vec::new());
        for partition in &partitions {
            let Some(mut shard) = self.shards.remove(partition) else { continue };
            self.waits.remove(partition);
            self.exchange.leave(&shard.name);
            if dropped != Some(*partition) {
                knowledge.extend(shard.knowledge(true));
            }
            positions.push(shard.position());
            self.board.lock().unwrap_or_else(PoisonError::into_inner).remove(partition);
        }
        if !positions.is_empty() && !self.store.release(positions, knowledge, PATIENCE)? {
            tracing::warn!(?partitions, "given up before all of it was stored; the next stores it");
        }
        self.runtime.block_on(member.release(&partitions)).context("partitions cannot be given up")
    }

    /// Now and then: keeps what is known, tells the bus what is no longer needed.
    fn look_after(&mut self, member: &mut Member) -> anyhow::Result<()> {
        let is_group = self.is_group();
        if self.waits.is_empty() {
            self.exchange.rest();
        }
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
            let figures = ShardFigures {
                statistics: shard.judge.statistics(),
                opens_day: shard.opening().is_some(),
            };
            let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
            board.insert(*partition, figures);
        }
        Ok(())
    }

    /// Keeps what a partition knows, if it is time to and there is room.
    fn keep(&mut self, partition: u32) -> anyhow::Result<()> {
        if self.waiting.is_none()
            && let Some(shard) = self.shards.get_mut(&partition)
            && let Some(order) = shard.knowledge(false)
        {
            self.give(partition, order)?;
        }
        Ok(())
    }
}

/// Where each partition ends now, by name; what the bus does not say soon is beyond everything.
async fn ends(bus: &Bus, member: &Member) -> BTreeMap<String, u64> {
    let until = tokio::time::Instant::now() + ENDS_WITHIN;
    let mut ends = BTreeMap::new();
    for partition in 0..bus.partitions() {
        let end = tokio::time::timeout_at(until, member.end(partition)).await;
        let end = end.ok().and_then(Result::ok).map_or(u64::MAX, |end| end.0);
        ends.insert(bus.partition_name(partition), end);
    }
    ends
}
