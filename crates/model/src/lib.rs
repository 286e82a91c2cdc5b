//! What is usual on an instance: models that a trainer makes from closed days, that a registry
//! keeps once written, and that detection reads without ever waiting.

mod profile;

use serde::{Deserialize, Serialize};

pub use profile::{DayProfile, Family, Share};

/// Stand-in until the next step.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Prior {}

impl Prior {
    /// The share of identities that have the value.
    pub fn share(&self, _: Family, _: &str) -> Share {
        Share::default()
    }

    /// The chance that a day brings something new.
    pub fn novelty(&self, _: &str, _: Family, _: bool) -> f64 {
        0.1
    }
}

/// Stand-in until the next step.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PeerGroups {}

impl PeerGroups {
    /// The share of the identity's peers that have the value.
    pub fn peer_share(&self, _: &str, _: Family, _: &str) -> Option<Share> {
        None
    }
}
