//! The state of a detector as bytes: the same state is always the same bytes.

use serde::{Deserialize, Serialize};

use crate::baseline::SavedBaseline;
use crate::continuity::SavedContinuity;
use crate::correlator::SavedCorrelator;
use crate::episode::Episodes;
use crate::statistics::Statistics;

/// Grows with every change of what is saved.
pub(crate) const VERSION: u32 = 3;

/// Everything that outlives a restart.
#[derive(Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) version: u32,
    /// Of the texts of all rules.
    pub(crate) rules: [u8; 16],
    pub(crate) by_identity: SavedCorrelator,
    pub(crate) by_client: SavedCorrelator,
    pub(crate) episodes: Episodes,
    pub(crate) baseline: SavedBaseline,
    pub(crate) continuity: SavedContinuity,
    pub(crate) statistics: Statistics,
}

/// Read first: a later version may not have the other fields.
#[derive(Deserialize)]
pub(crate) struct Header {
    pub(crate) version: u32,
}
