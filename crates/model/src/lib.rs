//! Stand-in until the crate comes in.
#![allow(missing_docs)]
use serde::{Deserialize, Serialize};
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family { Table, Statement, Command, Network, Application }
impl Family { pub const COUNT: usize = 5; }
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DayProfile { pub instance: String, pub identity: String, pub day: i32, pub kind: String, pub active_days: u32, pub sessions: u64, pub statements: u64, pub errors: u64, pub failed_logins: u64, pub rows: u64, pub hours: u32, pub sensitive_rows: u64, pub values: Vec<(Family, String)>, pub new_values: [u32; 5], pub truncated: bool }
#[derive(Clone, Copy, Debug)]
pub struct Share { pub holders: u32, pub identities: u32 }
#[derive(Clone, Debug, Default)]
pub struct Prior {}
impl Prior { pub fn share(&self, _: Family, _: &str) -> Share { Share { holders: 0, identities: 0 } } pub fn novelty(&self, _: &str, _: Family, _: bool) -> f64 { 0.1 } }
#[derive(Clone, Debug, Default)]
pub struct PeerGroups {}
impl PeerGroups { pub fn peer_share(&self, _: &str, _: Family, _: &str) -> Option<Share> { None } }
