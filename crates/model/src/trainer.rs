//! Models from closed days: pure, bounded, and the same bytes in whatever order days come in.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::manifest::{Manifest, date, version};
use crate::{DayProfile, Family, PeerGroups, Prior};

/// The first byte of every model. Raise it whenever the stored shape of a model changes.
pub(crate) const FORMAT_VERSION: u8 = 1;
/// Days that may come in before the day before them is trained.
const DAYS_AHEAD_MAX: usize = 7;
/// More values of one day than this say nothing about what is usual.
const VALUES_PER_DAY_MAX: usize = 10_000;

/// The limits of a trainer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrainSettings {
    /// How many days a model is trained from.
    pub days: u32,
    /// At most so many identities of an instance; of more, a sample by hash.
    pub identities_max: usize,
    /// At most so many instances; of more, a sample by hash.
    pub instances_max: usize,
    /// At most so many values in a model; of more, the most held.
    pub values_max: usize,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self { days: 28, identities_max: 50_000, instances_max: 1_000, values_max: 100_000 }
    }
}

/// Collects the profiles of closed days and trains the models of an instance from them.
///
/// What is kept depends on the set of profiles added, not on their order: for each instance the
/// newest days, for each day the identities with the smallest hashes (the same on every day).
#[derive(Debug, Default)]
pub struct Trainer {
    settings: TrainSettings,
    instances: BTreeMap<Sampled, Days>,
    /// Values that several profiles have are held once.
    names: HashSet<Arc<str>>,
}

/// The hash of a name, then the name: the order in which a sample keeps.
type Sampled = (u64, String);
type Days = BTreeMap<i32, BTreeMap<Sampled, Kept>>;

/// A profile whose values are shared.
#[derive(Debug)]
pub(crate) struct Kept {
    /// The profile; its own `values` are empty.
    pub(crate) profile: DayProfile,
    pub(crate) values: Vec<(Family, Arc<str>)>,
}

impl Kept {
    /// Which of two profiles of the same day stands: the one with more in it.
    fn rank(&self) -> (u64, u64, usize, Vec<u8>) {
        let bytes = encode(&(&self.profile, &self.named()));
        (self.profile.statements, self.profile.sessions, self.values.len(), bytes)
    }

    fn named(&self) -> Vec<(Family, &str)> {
        self.values.iter().map(|(family, value)| (*family, &**value)).collect()
    }
}

/// A model in the form in which it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Trained {
    /// `prior` or `peers`.
    pub kind: &'static str,
    /// The format version, then the model as MessagePack.
    pub bytes: Vec<u8>,
    /// What it was trained from. Set `events_table_version` before publishing if it is known.
    pub manifest: Manifest,
}

impl Trained {
    /// The model itself.
    pub fn load(&self) -> Result<Model, ModelError> {
        Model::decode(self.kind, &self.bytes)
    }
}

/// A model of one of the kinds.
#[derive(Clone, Debug)]
pub enum Model {
    /// What the identities of an instance do.
    Prior(Prior),
    /// Which identities behave alike.
    Peers(PeerGroups),
}

impl Model {
    /// Reads the bytes of a model of this kind.
    pub fn decode(kind: &str, bytes: &[u8]) -> Result<Self, ModelError> {
        match kind {
            Prior::KIND => decode(bytes).map(Self::Prior),
            PeerGroups::KIND => decode(bytes).map(Self::Peers),
            _ => Err(ModelError::Kind(kind.chars().take(40).collect())),
        }
    }
}

/// Why bytes are no model; the cure is to train it again.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No such kind.
    #[error("{0:?} is no kind of model: use prior or peers")]
    Kind(String),
    /// Written by another program version.
    #[error("model of format {0:?}, but this program reads format 1: train the day again")]
    Format(Option<u8>),
    /// Not what was written.
    #[error("model cannot be read ({0}): train the day again")]
    Damaged(String),
}

impl Trainer {
    /// A trainer without profiles.
    pub fn new(settings: TrainSettings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Takes the profile of a closed day. Of two for the same identity and day, the fuller stands.
    pub fn add(&mut self, mut profile: DayProfile) {
        let instance = sampled(&profile.instance);
        let days = self.instances.entry(instance).or_default();
        let identities = days.entry(profile.day).or_default();
        profile.values.sort_unstable();
        profile.values.dedup();
        profile.truncated |= profile.values.len() > VALUES_PER_DAY_MAX;
        let values = std::mem::take(&mut profile.values);
        let mut name = |value: String| match self.names.get(value.as_str()) {
            Some(name) => Arc::clone(name),
            None => {
                let name: Arc<str> = value.into();
                self.names.insert(Arc::clone(&name));
                name
            }
        };
        let kept = Kept {
            values: values
                .into_iter()
                .take(VALUES_PER_DAY_MAX)
                .map(|(family, value)| (family, name(value)))
                .collect(),
            profile,
        };
        let identity = sampled(&kept.profile.identity);
        if identities.get(&identity).is_none_or(|other| other.rank() < kept.rank()) {
            identities.insert(identity, kept);
        }
        while identities.len() > self.settings.identities_max {
            identities.pop_last();
        }
        let mut is_left_over = false;
        while days.len() > self.settings.days as usize + DAYS_AHEAD_MAX {
            days.pop_first();
            is_left_over = true;
        }
        while self.instances.len() > self.settings.instances_max {
            self.instances.pop_last();
            is_left_over = true;
        }
        if is_left_over {
            self.names.retain(|name| Arc::strong_count(name) > 1);
        }
    }

    /// The models of an instance from the days up to and including `day` (days since 1970);
    /// none if no profile is that recent.
    pub fn train(&self, day: i32, instance: &str) -> Vec<Trained> {
        let first = day.saturating_sub(self.settings.days.max(1) as i32 - 1);
        let kept = self.window(first, day, instance);
        if kept.is_empty() {
            return Vec::new();
        }
        let prior = Prior::train(&kept, day, self.settings.values_max);
        let peers = PeerGroups::train(&kept, self.settings.values_max);
        let trained = |kind, bytes: Vec<u8>, evaluation: &BTreeMap<String, f64>| Trained {
            kind,
            manifest: Manifest {
                kind: String::from(kind),
                instance: String::from(instance),
                version: version(date(day), &bytes),
                from: date(first),
                to: date(day),
                events_table_version: None,
                program_version: String::from(env!("CARGO_PKG_VERSION")),
                sum: blake3::hash(&bytes).to_hex().to_string(),
                bytes: bytes.len() as u64,
                profiles: kept.len() as u64,
                identities: prior.identities() as u64,
                evaluation: evaluation.clone(),
            },
            bytes,
        };
        vec![
            trained(Prior::KIND, encode(&prior), prior.evaluation()),
            trained(PeerGroups::KIND, encode(&peers), peers.evaluation()),
        ]
    }

    /// The profiles of these days, by identity and day; of too many identities the sample.
    fn window(&self, first: i32, last: i32, instance: &str) -> Vec<&Kept> {
        let Some(days) = self.instances.get(&sampled(instance)) else { return Vec::new() };
        let mut by_identity: BTreeMap<&Sampled, Vec<&Kept>> = BTreeMap::new();
        for (identity, kept) in days.range(first..=last).flat_map(|(_, identities)| identities) {
            by_identity.entry(identity).or_default().push(kept);
        }
        // An identity in the sample of all days is in the sample of each of its days.
        let mut kept: Vec<&Kept> =
            by_identity.into_values().take(self.settings.identities_max).flatten().collect();
        kept.sort_by(|a, b| {
            (&a.profile.identity, a.profile.day).cmp(&(&b.profile.identity, b.profile.day))
        });
        kept
    }
}

fn sampled(name: &str) -> Sampled {
    let mut hash = [0; 8];
    hash.copy_from_slice(&blake3::hash(name.as_bytes()).as_bytes()[..8]);
    (u64::from_be_bytes(hash), String::from(name))
}

/// The format version, then MessagePack.
pub(crate) fn encode(model: &impl Serialize) -> Vec<u8> {
    let mut bytes = vec![FORMAT_VERSION];
    rmp_serde::encode::write(&mut bytes, model).expect("memory takes every model");
    bytes
}

pub(crate) fn decode<M: DeserializeOwned>(bytes: &[u8]) -> Result<M, ModelError> {
    match bytes.split_first() {
        Some((&FORMAT_VERSION, model)) => {
            rmp_serde::from_slice(model).map_err(|error| ModelError::Damaged(error.to_string()))
        }
        other => Err(ModelError::Format(other.map(|(format, _)| *format))),
    }
}
