//! What a record of the bus holds: what of a part of one file travels on one partition, and how
//! far into the file it goes, so that a repeated publication is recognised.

use anyhow::{Context, anyhow, bail};
use bus::Record;
use event::decision::Decision;
use event::{EventBatch, EventId, Reject, Timestamp, schema};
use serde::{Deserialize, Serialize};

use super::tick::Tick;

const VERSION: &str = "version";
const SOURCE: &str = "source";
const FILE: &str = "file";
const END: &str = "end";
const PARTITIONS: &str = "partitions";
const COPIES: &str = "copies";
const TICKS: &str = "ticks";
const DECISIONS: &str = "decisions";

/// A part of a file, as it travels on a partition: one record, so that all of it arrives or none.
pub struct Envelope {
    /// Name of the source.
    pub source: String,
    /// Key of the file.
    pub file: EventId,
    /// What of the file before this byte travels on this partition is published with this record.
    pub end: u64,
    /// Over how many partitions the file is divided.
    pub partitions: u32,
    /// Whether the events are copies, to be counted by client: they are stored elsewhere.
    pub copies: bool,
    /// The hours that events of this part enter. Every partition gets them, even one that gets
    /// nothing else of the part.
    pub ticks: Vec<Tick>,
    /// What people have decided, for every partition; such a record holds nothing else.
    pub decisions: Vec<Decision>,
    /// Events, not yet judged; none if there are only rejects or ticks.
    pub events: Option<EventBatch>,
    /// Records that could not be read.
    pub rejects: Vec<Reject>,
}

impl Envelope {
    /// Whether it holds decisions and nothing else.
    pub fn is_decision(&self) -> bool {
        let is_empty = self.events.is_none() && self.rejects.is_empty() && self.ticks.is_empty();
        is_empty && !self.decisions.is_empty()
    }

    /// The record to append. Payload: length of the events (4 bytes, little endian), events,
    /// rejects.
    pub fn seal(&self) -> anyhow::Result<Record> {
        let events = self.events.as_ref().map(EventBatch::to_ipc).unwrap_or_default();
        let length = u32::try_from(events.len()).context("a batch is larger than 4 GiB")?;
        let mut payload = length.to_le_bytes().to_vec();
        payload.extend_from_slice(&events);
        let rejects: Vec<StoredReject> = self.rejects.iter().map(StoredReject::from).collect();
        if !rejects.is_empty() {
            rmp_serde::encode::write(&mut payload, &rejects).context("rejects, encoded")?;
        }
        let header = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
        let mut headers = vec![
            header(VERSION, &schema::VERSION.to_le_bytes()),
            header(SOURCE, self.source.as_bytes()),
            header(FILE, &self.file.0),
            header(END, &self.end.to_le_bytes()),
            header(PARTITIONS, &self.partitions.to_le_bytes()),
            header(COPIES, &[u8::from(self.copies)]),
        ];
        if !self.ticks.is_empty() {
            let ticks = rmp_serde::to_vec(&self.ticks).context("ticks, encoded")?;
            headers.push(header(TICKS, &ticks));
        }
        if !self.decisions.is_empty() {
            let decisions = serde_json::to_vec(&self.decisions).context("decisions, encoded")?;
            headers.push(header(DECISIONS, &decisions));
        }
        Ok(Record { key: self.file.0.to_vec(), headers, payload: payload.into() })
    }

    /// Reads a record, all of it.
    pub fn open(record: &Record) -> anyhow::Result<Self> {
        let Extent { file, end, partitions, copies } = Extent::of(record)?;
        let ticks = match header(record, TICKS) {
            Ok(ticks) => rmp_serde::from_slice(ticks).context("the header `ticks` is damaged")?,
            Err(_absent) => Vec::new(),
        };
        let decisions = match header(record, DECISIONS) {
            Ok(found) => serde_json::from_slice::<Vec<Decision>>(found)
                .context("the header `decisions` is damaged")?,
            Err(_absent) => Vec::new(),
        };
        let source = String::from_utf8_lossy(header(record, SOURCE)?).into_owned();
        let (length, rest) = record.payload.split_first_chunk().context("the record is empty")?;
        let length = u32::from_le_bytes(*length) as usize;
        let (events, rejects) = rest.split_at_checked(length).context("the record is cut")?;
        let events = if events.is_empty() { None } else { Some(EventBatch::from_ipc(events)?) };
        let rejects: Vec<StoredReject> = match rejects {
            [] => Vec::new(),
            bytes => rmp_serde::from_slice(bytes).context("the rejects are damaged")?,
        };
        let rejects = rejects.into_iter().map(Reject::from).collect();
        Ok(Self { source, file, end, partitions, copies, ticks, decisions, events, rejects })
    }
}

/// Which file a record is of and how far it goes: what its headers tell.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    pub file: EventId,
    pub end: u64,
    pub partitions: u32,
    pub copies: bool,
}

impl Extent {
    /// Reads the headers.
    pub fn of(record: &Record) -> anyhow::Result<Self> {
        let version = u32::from_le_bytes(sized(record, VERSION)?);
        if version > schema::VERSION {
            bail!(
                "its schema version {version} is newer than {}, which this program knows; \
                 update the workers before the collectors",
                schema::VERSION
            );
        }
        let copies = match sized(record, COPIES)? {
            [0] => false,
            [1] => true,
            [other] => bail!("the header `{COPIES}` is {other}, which is neither 0 nor 1"),
        };
        Ok(Self {
            file: EventId(sized(record, FILE)?),
            end: u64::from_le_bytes(sized(record, END)?),
            partitions: u32::from_le_bytes(sized(record, PARTITIONS)?),
            copies,
        })
    }
}

fn header<'a>(record: &'a Record, name: &str) -> anyhow::Result<&'a [u8]> {
    let found = record.headers.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_slice()).with_context(|| format!("no header `{name}`"))
}

fn sized<const N: usize>(record: &Record, name: &str) -> anyhow::Result<[u8; N]> {
    let value = header(record, name)?;
    value.try_into().map_err(|_| {
        anyhow!("the header `{name}` has {} bytes where {N} are expected", value.len())
    })
}

/// A reject as it travels: its own JSON form shows bytes as text and would lose some.
#[derive(Serialize, Deserialize)]
struct StoredReject {
    id: [u8; 16],
    received: i64,
    source: String,
    format: String,
    position: i64,
    reason: String,
    #[serde(with = "serde_bytes")]
    bytes: Vec<u8>,
}

impl From<&Reject> for StoredReject {
    fn from(reject: &Reject) -> Self {
        Self {
            id: reject.id.0,
            received: reject.received.0,
            source: reject.source.clone(),
            format: reject.format.clone(),
            position: reject.position,
            reason: reject.reason.clone(),
            bytes: reject.bytes.clone(),
        }
    }
}

impl From<StoredReject> for Reject {
    fn from(stored: StoredReject) -> Self {
        Self {
            id: EventId(stored.id),
            received: Timestamp(stored.received),
            source: stored.source,
            format: stored.format,
            position: stored.position,
            reason: stored.reason,
            bytes: stored.bytes,
        }
    }
}
