//! The lake for those who only query it: follows what other processes commit, writes nothing.

use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::columns::Columns;
use crate::lake::lock;
use crate::log::Positions;
use crate::table::Table;
use crate::view::{LakeView, TableView};
use crate::{LakeError, Sharing};

/// A lake that other processes write; clones share it. It takes no lock and needs no right to
/// write the folder.
#[derive(Clone)]
pub struct LakeReader {
    tables: Arc<Mutex<Tables>>,
}

struct Tables {
    events: Table,
    rejects: Table,
}

impl LakeReader {
    /// Opens the lake in `folder`.
    ///
    /// # Errors
    /// [`LakeError::Absent`] if there is none, else what keeps its logs from being read.
    pub async fn open(folder: &Path) -> Result<Self, LakeError> {
        let events = Table::read(folder, Columns::events(), Sharing::Shared).await?;
        let rejects = Table::read(folder, Columns::rejects(), Sharing::Shared).await?;
        Ok(Self { tables: Arc::new(Mutex::new(Tables { events, rejects })) })
    }

    /// Takes over what was committed since; cheap enough to be called for each query.
    ///
    /// # Errors
    /// What keeps the logs from being followed; the view stays as it was.
    pub fn follow(&self) -> Result<(), LakeError> {
        let mut tables = lock(&self.tables);
        tables.rejects.follow()?;
        tables.events.follow()
    }

    /// Both tables as last followed.
    pub fn view(&self) -> LakeView {
        let tables = lock(&self.tables);
        let events = TableView::new(&tables.events);
        LakeView { events, rejects: TableView::new(&tables.rejects) }
    }

    /// Positions as committed with the events.
    pub fn positions(&self) -> Positions {
        lock(&self.tables).events.positions.clone()
    }
}
