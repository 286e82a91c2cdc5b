//! What a record of the bus holds: a part of one file's events and rejects, and how far into the
//! file it goes, so that a repeated publication is recognised.

use anyhow::{Context, bail};
use bus::Record;
use event::{EventBatch, EventId, Reject, Timestamp, schema};
use serde::{Deserialize, Serialize};

const VERSION: &str = "version";
const SOURCE: &str = "source";
const FILE: &str = "file";
const END: &str = "end";

/// A part of a file, as it travels on the bus: one record, so that all of it arrives or none.
pub struct Envelope {
    /// Name of the source.
    pub source: String,
    /// Key of the file.
    pub file: EventId,
    /// Every byte of the file before this one is published, with this record.
    pub end: u64,
    /// Events, not yet judged; none if there are only rejects.
    pub events: Option<EventBatch>,
    /// Records that could not be read.
    pub rejects: Vec<Reject>,
}

impl Envelope {
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
        Ok(Record {
            key: self.file.0.to_vec(),
            headers: vec![
                header(VERSION, &schema::VERSION.to_le_bytes()),
                header(SOURCE, self.source.as_bytes()),
                header(FILE, &self.file.0),
                header(END, &self.end.to_le_bytes()),
            ],
            payload: payload.into(),
        })
    }

    /// Reads a record, all of it.
    pub fn open(record: &Record) -> anyhow::Result<Self> {
        let (file, end) = Self::extent(record)?;
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
        Ok(Self { source, file, end, events, rejects })
    }

    /// Only which file it is of and how far it goes.
    pub fn extent(record: &Record) -> anyhow::Result<(EventId, u64)> {
        let version = u32::from_le_bytes(header(record, VERSION)?.try_into()?);
        if version > schema::VERSION {
            bail!("schema version {version} is newer than {}; update first", schema::VERSION);
        }
        let file = EventId(header(record, FILE)?.try_into()?);
        Ok((file, u64::from_le_bytes(header(record, END)?.try_into()?)))
    }
}

fn header<'a>(record: &'a Record, name: &str) -> anyhow::Result<&'a [u8]> {
    let found = record.headers.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_slice()).with_context(|| format!("no header `{name}`"))
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
