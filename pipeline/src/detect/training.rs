//! Models: trained from the closed days of identities, kept in the registry, held by detectors.
//!
//! Nobody waits for them: a detector judges with the newest valid ones that it has met.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use ::detect::{InstanceModels, Models};
use anyhow::Context;
use event::Timestamp;
use model::{DayProfile, PeerGroups, Prior, Registry, TrainSettings, Trained, Trainer};

use crate::checkpoint;
use crate::folder::DataFolder;

/// A day is closed for training so long after its end, for sources that are behind.
const GRACE_SECONDS: i64 = 3_600;

/// Days of profiles that are kept.
const PROFILE_DAYS: i32 = 35;

/// Versions of each model that are kept.
const VERSIONS_KEPT: usize = 40;

/// The models that all detectors of this process hold. Cheap to clone.
#[derive(Clone, Default)]
pub struct ModelShelf(Arc<Shelf>);

#[derive(Default)]
struct Shelf {
    generation: AtomicU64,
    models: RwLock<Models>,
}

impl ModelShelf {
    /// The models, if they are others than those of `generation`, which is set to theirs.
    pub fn newer_than(&self, generation: &mut u64) -> Option<Models> {
        let now = self.0.generation.load(Relaxed);
        if now == *generation {
            return None;
        }
        *generation = now;
        Some(self.0.models.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn set(&self, models: Models) {
        let mut held = self.0.models.write().unwrap_or_else(PoisonError::into_inner);
        if held.all_versions() != models.all_versions() {
            *held = models;
            self.0.generation.fetch_add(1, Relaxed);
        }
    }

    /// Reads the newest valid models of every instance.
    ///
    /// # Errors
    /// If the registry cannot be read; models that are damaged are told and passed over.
    pub fn refresh(&self, folder: &DataFolder) -> anyhow::Result<()> {
        let registry = Registry::open(&folder.models())?;
        let instances: BTreeSet<String> = [Prior::KIND, PeerGroups::KIND].into_iter().try_fold(
            BTreeSet::new(),
            |mut all, kind| {
                all.extend(registry.instances(kind)?);
                anyhow::Ok(all)
            },
        )?;
        let mut models = Models::default();
        for instance in instances {
            models.set(&instance, newest_of(&registry, &instance, None)?);
        }
        self.set(models);
        Ok(())
    }
}

/// The newest valid models, if they may be of any day, or else of days up to `last`.
fn newest_of(
    registry: &Registry,
    instance: &str,
    last: Option<i32>,
) -> anyhow::Result<InstanceModels> {
    let newest = |kind: &str| {
        let (found, problems) = registry.newest_and_problems(kind, instance, last)?;
        problems.iter().for_each(|problem| tracing::warn!("a model is passed over: {problem}"));
        anyhow::Ok(found)
    };
    let prior = newest(Prior::KIND)?.and_then(|(version, bytes, _)| {
        told(Prior::decode(&bytes)).map(|prior| (version, Arc::new(prior)))
    });
    let peers = newest(PeerGroups::KIND)?.and_then(|(version, bytes, _)| {
        told(PeerGroups::decode(&bytes)).map(|peers| (version, Arc::new(peers)))
    });
    Ok(InstanceModels { prior, peers })
}

fn told<M>(decoded: Result<M, model::ModelError>) -> Option<M> {
    decoded.inspect_err(|error| tracing::warn!("a model is passed over: {error}")).ok()
}

/// How true the chances of an instance are, by its newest model, and the threshold of its cases.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// The instance.
    pub instance: String,
    /// The version of its prior, and the identity-days that it was trained from.
    pub version: String,
    /// See `version`.
    pub days: u64,
    /// Chances p, in descending order, and the measured share of days with a smaller one.
    pub shares: Vec<(f64, f64)>,
    /// The score from which a day opens a case.
    pub score_min: f64,
}

impl Calibration {
    /// Of every instance that has a prior in the data folder; `budget` is the setting
    /// `detect.baseline.cases_per_identity_day`.
    ///
    /// # Errors
    /// If the registry cannot be read; models that are damaged are passed over.
    pub fn of_all(folder: &DataFolder, budget: f64) -> anyhow::Result<Vec<Self>> {
        let mut all = Vec::new();
        if !folder.models().exists() {
            return Ok(all);
        }
        let registry = Registry::open(&folder.models())?;
        for instance in registry.instances(Prior::KIND)? {
            let Some((version, bytes, manifest)) = registry.newest(Prior::KIND, &instance, None)?
            else {
                continue;
            };
            let prior = Prior::decode(&bytes)?;
            let prior = Some((version.clone(), Arc::new(prior)));
            let mut models = Models::default();
            models.set(&instance, InstanceModels { prior, peers: None });
            let score_min = models.score_min(&instance, budget);
            let (days, shares) = (manifest.profiles, manifest.calibration());
            all.push(Self { instance, version, days, shares, score_min });
        }
        Ok(all)
    }
}

/// Trains as a back-fill goes, so that history is judged with the models of its own days: with the
/// newest of days up to the one before the last that has closed, whatever is in the registry
/// already. So a back-fill that was broken off, and one of old logs, judge like any other.
pub struct Apprentice {
    trainer: Trainer,
    registry: Registry,
    models: Models,
    /// By instance: the day that its events have come to, and its identities.
    instances: BTreeMap<String, Instance>,
}

#[derive(Default)]
struct Instance {
    day: i32,
    /// Hashes of their names.
    identities: BTreeSet<u64>,
}

impl Apprentice {
    /// Goes on from what is kept.
    ///
    /// # Errors
    /// If the registry or the kept profiles cannot be read.
    pub fn new(folder: &DataFolder) -> anyhow::Result<Self> {
        let registry = Registry::open(&folder.models())?;
        let (trainer, models) = (Trainer::new(TrainSettings::default()), Models::default());
        let mut apprentice = Self { trainer, registry, models, instances: BTreeMap::new() };
        for profile in read_profiles(&folder.profiles(), i32::MIN)? {
            apprentice.add(profile);
        }
        Ok(apprentice)
    }

    /// Takes identities' days that have closed.
    pub fn add(&mut self, profile: DayProfile) {
        let instance = self.instances.entry(profile.instance.clone()).or_default();
        let hash = blake3::hash(profile.identity.as_bytes());
        instance.identities.insert(u64::from_le_bytes(
            *hash.as_bytes().first_chunk().expect("a hash has 32 bytes"),
        ));
        self.trainer.add(profile);
    }

    /// An instance has come to a day (since 1970), and all days of identities before it have been
    /// added; returns other models if there are any for it.
    ///
    /// # Errors
    /// If a model cannot be read or written.
    pub fn enter(&mut self, instance: &str, day: i32) -> anyhow::Result<Option<Models>> {
        let known = self.instances.entry(instance.to_owned()).or_default();
        if known.day == day {
            return Ok(None);
        }
        known.day = day;
        let last = day - 2;
        let before = newest_of(&self.registry, instance, Some(last))?;
        // Many identities are trained on less often: their days differ little.
        let every = 1 + i32::try_from(known.identities.len() / 2_000).unwrap_or(i32::MAX - 1);
        let date = |day: i32| Timestamp(i64::from(day) * 86_400_000_000).to_string();
        let due = date(last.saturating_sub(every));
        let is_due = before.prior.as_ref().is_none_or(|(version, _)| version[..10] <= due[..10]);
        let models = match is_due && publish(&self.registry, &self.trainer.train(last, instance))? {
            true => newest_of(&self.registry, instance, Some(last))?,
            false => before,
        };
        let versions = self.models.versions(instance);
        self.models.set(instance, models);
        let is_other = self.models.versions(instance) != versions;
        Ok(is_other.then(|| self.models.clone()))
    }
}

fn publish(registry: &Registry, trained: &[Trained]) -> anyhow::Result<bool> {
    for trained in trained {
        registry.publish(trained).context("a model cannot be kept")?;
    }
    Ok(!trained.is_empty())
}

/// Trains what has closed by `now`, if no other process does, and forgets what is old. Blocks.
///
/// # Errors
/// If profiles cannot be read or models not be written.
pub fn train(folder: &DataFolder, now: Timestamp) -> anyhow::Result<()> {
    folder.make_detection()?;
    let lock = File::options().create(true).append(true).open(folder.training_lock())?;
    if lock.try_lock().is_err() {
        return Ok(()); // another process trains
    }
    let closed = now.plus_seconds(-GRACE_SECONDS).day() - 1;
    let profiles = read_profiles(&folder.profiles(), closed - PROFILE_DAYS)?;
    let mut newest = BTreeMap::<String, i32>::new();
    let mut trainer = Trainer::new(TrainSettings::default());
    for profile in profiles {
        if profile.day <= closed {
            let day = newest.entry(profile.instance.clone()).or_insert(profile.day);
            *day = (*day).max(profile.day);
            trainer.add(profile);
        }
    }
    let registry = Registry::open(&folder.models())?;
    for (instance, day) in newest {
        let known = registry.newest(Prior::KIND, &instance, None)?;
        let date = |day: i32| Timestamp(i64::from(day) * 86_400_000_000).to_string();
        let is_trained = known.is_some_and(|(version, ..)| version[..10] >= date(day)[..10]);
        if !is_trained {
            publish(&registry, &trainer.train(day, &instance))?;
        }
    }
    registry.prune(VERSIONS_KEPT, &BTreeSet::new())?;
    Ok(())
}

/// Keeps the closed days of a partition in a file of their own; the same days twice are one.
///
/// # Errors
/// If the file cannot be written.
pub fn keep_profiles(
    folder: &Path,
    partition: &str,
    profiles: &Vec<DayProfile>,
) -> anyhow::Result<()> {
    let Some(newest) = profiles.iter().map(|profile| profile.day).max() else { return Ok(()) };
    std::fs::create_dir_all(folder)?;
    let body = rmp_serde::to_vec(profiles).context("profiles cannot be encoded")?;
    let sum = blake3::hash(&body).to_hex();
    let name = format!("{newest:07}-{partition}-{}.profiles", &sum.as_str()[..16]);
    let path = folder.join(name);
    if path.exists() { Ok(()) } else { checkpoint::write_alone(&path, profiles) }
}

/// The kept days from `first` on. Files whose days are all older are removed.
fn read_profiles(folder: &Path, first: i32) -> anyhow::Result<Vec<DayProfile>> {
    let mut profiles = Vec::new();
    if !folder.exists() {
        return Ok(profiles);
    }
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .with_context(|| format!("{} cannot be read", folder.display()))?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "profiles"));
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let newest = name.split('-').next().and_then(|day| day.parse::<i32>().ok());
        if newest.is_some_and(|newest| newest < first) {
            std::fs::remove_file(&path)?;
            continue;
        }
        match checkpoint::read::<Vec<DayProfile>>(&path) {
            Ok(found) => profiles.extend(found.unwrap_or_default()),
            Err(error) => tracing::warn!("{error:#}; models are trained without these days"),
        }
    }
    profiles.retain(|profile| profile.day >= first);
    Ok(profiles)
}
