//! What is usual on an instance: models that a trainer makes from closed days, that a registry
//! keeps once written, and that detection reads without ever waiting.
//!
//! # Layout
//!
//! - [`DayProfile`]: what one identity did on one day, written by detection at the day's close
//! - [`Trainer`]: profiles of many days → [`Prior`] and [`PeerGroups`] of an instance
//! - [`Registry`]: the folder of models, each with its [`Manifest`]

mod folder;
mod manifest;
mod peers;
mod prior;
mod profile;
mod registry;
mod trainer;

pub use manifest::Manifest;
pub use peers::PeerGroups;
pub use prior::Prior;
pub use profile::{DayProfile, Family, Share};
pub use registry::{Listing, Registry, RegistryError};
pub use trainer::{Model, ModelError, TrainSettings, Trained, Trainer};
