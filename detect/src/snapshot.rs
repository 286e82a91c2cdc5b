//! The state of a detector as bytes: the same state is always the same bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::analysis::TableNames;
use crate::cases::Cases;
use crate::context::{AuditGaps, Clocks, SavedIdentities};
use crate::correlation::{State, StateRef};
use crate::decisions::SavedDecisions;
use crate::repeats::Repeats;
use crate::statistics::Statistics;

/// Grows with every change of what is saved.
pub(crate) const VERSION: u32 = 6;

/// Everything that outlives a restart: as it is read, and as it is written.
#[derive(Serialize, Deserialize)]
pub(crate) struct Snapshot<C> {
    pub(crate) version: u32,
    /// Of the texts of all rules.
    pub(crate) rules: [u8; 16],
    /// Versions of the models in use, by instance.
    pub(crate) models: BTreeMap<String, Vec<String>>,
    pub(crate) by_identity: C,
    pub(crate) by_client: C,
    pub(crate) table_names: TableNames,
    pub(crate) clocks: Clocks,
    pub(crate) identities: SavedIdentities,
    pub(crate) audit_gaps: AuditGaps,
    pub(crate) repeats: Repeats,
    pub(crate) decisions: SavedDecisions,
    pub(crate) cases: Cases,
    pub(crate) statistics: Statistics,
}

/// A snapshot on its way out.
pub(crate) type WrittenSnapshot<'a> = Snapshot<StateRef<'a>>;

/// A snapshot that was read.
pub(crate) type ReadSnapshot = Snapshot<State>;

/// Read first: a later version may not have the other fields.
#[derive(Deserialize)]
pub(crate) struct Header {
    pub(crate) version: u32,
}
