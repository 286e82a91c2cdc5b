//! The rows of one table on their way into a commit. They stay in the view until it is made, so
//! that any failure of the files is healed by encoding them again.

use std::time::{Duration, SystemTime};

use arrow_array::RecordBatch;

use crate::LakeError;
use crate::change::Change;
use crate::columns::Columns;
use crate::data_file::DataFile;
use crate::encoder::{Encoder, milliseconds, remove_all};
use crate::lake::Shared;

/// The rows of one table that wait for a commit.
pub(crate) struct Stage {
    columns: &'static Columns,
    encoder: Option<Encoder>,
    /// When the encoder began.
    begun: SystemTime,
    /// Whether the encoder has taken every row.
    is_intact: bool,
    /// Rows that wait.
    pub(crate) rows: u64,
    /// Memory that they take.
    pub(crate) bytes: u64,
}

impl Stage {
    pub(crate) fn new(columns: &'static Columns) -> Self {
        let begun = SystemTime::UNIX_EPOCH;
        Self { columns, encoder: None, begun, is_intact: true, rows: 0, bytes: 0 }
    }

    /// Takes rows; they are in the view when this returns.
    pub(crate) fn write(&mut self, shared: &Shared, batch: &RecordBatch) -> Result<(), LakeError> {
        let waiting = self.columns.waiting(batch)?;
        shared.show(self.columns, |view| view.hot.push(waiting.clone()));
        self.rows += waiting.num_rows() as u64;
        self.bytes += waiting.get_array_memory_size() as u64;
        if self.is_intact
            && let Err(error) = self.encode(shared, std::slice::from_ref(&waiting))
        {
            tracing::warn!(table = self.columns.name, %error, "rows will be encoded once more");
        }
        Ok(())
    }

    /// Commits what waits with these positions, if the expected ones still hold.
    pub(crate) fn commit(
        &mut self,
        shared: &Shared,
        positions: Vec<(String, i64)>,
        expected: Vec<(String, Option<i64>)>,
    ) -> Result<(), LakeError> {
        let files = self.finish(shared)?;
        let mut table = shared.table(self.columns);
        let change = Change::append(files, positions, expected);
        if let Err(error) = table.commit(&change, milliseconds(SystemTime::now())) {
            // After a fence nobody knows whether the log names them.
            if !matches!(error, LakeError::Fenced { .. }) {
                remove_all(&table.folder, &change.add);
            }
            self.is_intact = false;
            shared.show_files(&table);
            return Err(error);
        }
        shared.show(self.columns, |view| {
            view.files = table.files.clone();
            view.version = table.version;
            view.hot.clear();
        });
        (self.is_intact, self.rows, self.bytes) = (true, 0, 0);
        Ok(())
    }

    /// Drops what waits, from the view too.
    pub(crate) fn discard(&mut self, shared: &Shared) {
        self.abandon_files();
        shared.show(self.columns, |view| view.hot.clear());
        (self.is_intact, self.rows, self.bytes) = (true, 0, 0);
    }

    /// Closes the files, having encoded again what they lack.
    fn finish(&mut self, shared: &Shared) -> Result<Vec<DataFile>, LakeError> {
        let age = self.begun.elapsed().unwrap_or_default();
        if self.encoder.is_some() && age >= file_age_max(shared) {
            self.abandon_files();
        }
        if !self.is_intact {
            self.encode_waiting(shared)?;
        }
        let files = self.close()?;
        let folder = shared.table(self.columns).folder.clone();
        if files.iter().all(|file| folder.join(&file.path).exists()) {
            return Ok(files);
        }
        tracing::warn!(table = self.columns.name, "files being written are gone; once more");
        remove_all(&folder, &files);
        self.encode_waiting(shared)?;
        self.close()
    }

    fn close(&mut self) -> Result<Vec<DataFile>, LakeError> {
        let Some(mut encoder) = self.encoder.take() else { return Ok(Vec::new()) };
        encoder.finish().inspect_err(|_| {
            self.encoder = Some(encoder);
            self.abandon_files();
        })
    }

    fn encode_waiting(&mut self, shared: &Shared) -> Result<(), LakeError> {
        let mut waiting = Vec::new();
        shared.show(self.columns, |view| waiting.clone_from(&view.hot));
        self.encode(shared, &waiting)?;
        self.is_intact = true;
        Ok(())
    }

    fn encode(&mut self, shared: &Shared, batches: &[RecordBatch]) -> Result<(), LakeError> {
        let encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => {
                self.begun = SystemTime::now();
                let folder = shared.table(self.columns).folder.clone();
                Encoder::new(self.columns, &folder, &shared.settings)
            }
        };
        let encoder = self.encoder.insert(encoder);
        let written = batches.iter().try_for_each(|batch| encoder.write(batch));
        if written.is_err() {
            self.abandon_files();
        }
        written
    }

    fn abandon_files(&mut self) {
        self.is_intact = false;
        if let Some(encoder) = self.encoder.take() {
            encoder.discard();
        }
    }
}

/// Files so old are encoded again: whoever does the upkeep deletes them at twice that age.
fn file_age_max(shared: &Shared) -> Duration {
    Duration::from_secs(u64::from(shared.settings.vacuum_hours) * 3_600 / 2)
}
