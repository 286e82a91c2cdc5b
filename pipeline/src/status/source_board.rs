//! What the sources say about themselves, for `/api/v1/sources`, metrics and `doctor`.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use event::Timestamp;
use ingest::Decoded;
use query::api::SourceStatus;

use crate::collect::source::SourceSettings;

/// One source.
pub struct SourceEntry {
    name: String,
    instance: String,
    paths: Vec<String>,
    format: Mutex<String>,
    problem: Mutex<Option<String>>,
    bytes: AtomicU64,
    records: AtomicU64,
    events: AtomicU64,
    rejects: AtomicU64,
    newest: AtomicI64,
}

/// All sources.
#[derive(Clone, Default)]
pub struct SourceBoard(Arc<Mutex<Vec<Arc<SourceEntry>>>>);

impl SourceBoard {
    /// Adds a source.
    pub fn add(&self, source: &SourceSettings) -> Arc<SourceEntry> {
        let format = source.log.format.clone().unwrap_or_else(|| "auto".to_owned());
        let entry = Arc::new(SourceEntry {
            name: source.name.clone(),
            instance: source.instance().to_owned(),
            paths: source.kind.places(),
            format: Mutex::new(format),
            problem: Mutex::new(None),
            bytes: AtomicU64::new(0),
            records: AtomicU64::new(0),
            events: AtomicU64::new(0),
            rejects: AtomicU64::new(0),
            newest: AtomicI64::new(i64::MIN),
        });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry.clone());
        entry
    }

    /// All of them as they stand.
    pub fn statuses(&self) -> Vec<SourceStatus> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().map(|entry| entry.status()).collect()
    }
}

impl SourceEntry {
    pub fn read(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub fn recognised(&self, format: &str) {
        let mut known = self.format.lock().unwrap_or_else(PoisonError::into_inner);
        if *known != format {
            format.clone_into(&mut known);
        }
    }

    pub fn decoded(&self, decoded: &Decoded) {
        self.records.fetch_add(decoded.records, Relaxed);
        self.events.fetch_add(decoded.events.len() as u64, Relaxed);
        self.rejects.fetch_add(decoded.rejects.len() as u64, Relaxed);
        if let Some(last) = decoded.events.len().checked_sub(1) {
            let time = decoded.events.rows().row(last).event().time;
            self.newest.fetch_max(time.0, Relaxed);
        }
    }

    pub fn problem(&self, problem: &str) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(problem.to_owned());
    }

    fn status(&self) -> SourceStatus {
        let newest = self.newest.load(Relaxed);
        let (events, rejects) = (self.events.load(Relaxed), self.rejects.load(Relaxed));
        let problem = self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_deaf = events == 0 && rejects > 0;
        let deaf = || format!("none of {rejects} records is an event; set log.format");
        SourceStatus {
            name: self.name.clone(),
            instance: self.instance.clone(),
            format: self.format.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            paths: self.paths.clone(),
            bytes: self.bytes.load(Relaxed),
            records: self.records.load(Relaxed),
            events,
            rejects,
            newest_event: (newest != i64::MIN).then_some(Timestamp(newest)),
            problem: problem.or_else(|| is_deaf.then(deaf)),
            // Of which process it is, the report says.
            ..SourceStatus::default()
        }
    }
}
