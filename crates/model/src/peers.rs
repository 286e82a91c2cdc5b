//! Which identities of an instance behave alike: k-means (Lloyd 1982, seeded as k-means++) over one
//! vector per identity. A value that is new to an identity says less when its peers have it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use linfa::DatasetBase;
use linfa::traits::{Fit, Predict};
use linfa_clustering::KMeans;
use ndarray::{Array2, ArrayView1, Axis};
use rand_xoshiro::Xoshiro256Plus;
use rand_xoshiro::rand_core::SeedableRng;
use serde::{Deserialize, Serialize};

use crate::prior::distinct_values;
use crate::trainer::{Kept, ModelError, decode};
use crate::{Family, Share};

/// Fewer identities than this are one group.
const CLUSTERED_MIN: usize = 6;
const GROUPS_MAX: usize = 12;
/// K-means learns its centres from at most so many identities, evenly spread over all.
const FITTED_MAX: usize = 5_000;
const SEED: u64 = 10;
/// Runs from different first centres, of which the best stands.
const RUNS: usize = 4;
const ITERATIONS_MAX: u64 = 100;
const TABLE_DIMENSIONS: usize = 16;
const COMMANDS: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "DELETE"];
const DIMENSIONS: usize = 7 + COMMANDS.len() + 1 + TABLE_DIMENSIONS;
/// The UTC hours from 22:00 to 06:00.
const NIGHT: u32 = 0b1100_0000_0000_0000_0011_1111;

/// The peer groups of one instance over the days that they were trained from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PeerGroups {
    /// By family: the number of each value that at least two identities of a group hold.
    values: [BTreeMap<String, u32>; Family::COUNT],
    groups: Vec<Group>,
    members: BTreeMap<String, Member>,
    evaluation: BTreeMap<String, f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Group {
    identities: u32,
    /// How many of them have a value, by its number; only where there are two or more.
    holders: BTreeMap<u32, u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Member {
    group: u32,
    /// The numbers of the values that it holds together with a peer, sorted.
    values: Vec<u32>,
}

impl PeerGroups {
    /// The kind of model, as folders and manifests name it.
    pub const KIND: &str = "peers";

    /// Reads the bytes of a model.
    pub fn decode(bytes: &[u8]) -> Result<Self, ModelError> {
        decode(bytes)
    }

    /// The group of an identity; none if it was not active in the days of training.
    pub fn group_of(&self, identity: &str) -> Option<u32> {
        self.members.get(identity).map(|member| member.group)
    }

    /// How many of the others of the identity's group had the value; none if the identity has no
    /// group or is alone in it.
    pub fn peer_share(&self, identity: &str, family: Family, value: &str) -> Option<Share> {
        let member = self.members.get(identity)?;
        let group = self.groups.get(member.group as usize)?;
        let others = group.identities.checked_sub(1).filter(|others| *others > 0)?;
        let Some(number) = self.values[family as usize].get(value) else {
            return Some(Share { holders: 0, identities: others });
        };
        let all = group.holders.get(number).copied().unwrap_or(0);
        let is_own = member.values.binary_search(number).is_ok();
        let holders = all.saturating_sub(u32::from(is_own));
        Some(Share { holders, identities: others })
    }

    /// Figures on the groups: how many, the share of identities in the largest, and two means over
    /// all values of all identities: the share of its peers, and the share of all others, that
    /// hold the value too. Groups are of use when the first is well above the second.
    pub fn evaluation(&self) -> &BTreeMap<String, f64> {
        &self.evaluation
    }

    /// From profiles sorted by identity and day.
    pub(crate) fn train(kept: &[&Kept], values_max: usize) -> Self {
        let identities: Vec<&[&Kept]> =
            kept.chunk_by(|a, b| a.profile.identity == b.profile.identity).collect();
        let values: Vec<Vec<(Family, &str)>> =
            identities.iter().map(|days| distinct_values(days)).collect();
        let mut vectors = Array2::zeros((identities.len(), DIMENSIONS));
        for (mut row, (days, values)) in
            vectors.axis_iter_mut(Axis(0)).zip(identities.iter().zip(&values))
        {
            row.assign(&ArrayView1::from(&vector(days, values)));
        }
        standardise(&mut vectors);
        let assigned = numbered_by_first_member(&clusters(&vectors));
        let holders = holders(&values, &assigned);
        let numbers = shared_values(&holders, values_max);
        let mut groups = vec![Group::default(); assigned.iter().max().map_or(0, |max| max + 1)];
        let mut members = BTreeMap::new();
        for ((days, values), group) in identities.iter().zip(&values).zip(&assigned) {
            groups[*group].identities += 1;
            let is_shared = |value| holders.get(&(*group, value)).is_some_and(|all| *all >= 2);
            let mut own: Vec<u32> = values
                .iter()
                .filter(|value| is_shared(**value))
                .filter_map(|value| numbers.get(value).copied())
                .collect();
            own.sort_unstable();
            let member = Member { group: *group as u32, values: own };
            members.insert(days[0].profile.identity.clone(), member);
        }
        for ((group, value), all) in holders.iter().filter(|(_, all)| **all >= 2) {
            if let Some(number) = numbers.get(value) {
                groups[*group].holders.insert(*number, *all);
            }
        }
        let evaluation = evaluation(&groups, &values, &assigned, &holders);
        let mut named: [BTreeMap<String, u32>; Family::COUNT] = Default::default();
        for ((family, value), number) in numbers {
            named[family as usize].insert(String::from(value), number);
        }
        Self { values: named, groups, members, evaluation }
    }
}

/// What an identity did on a usual day of its: counts as logarithms, then shares, then tables.
fn vector(days: &[&Kept], values: &[(Family, &str)]) -> [f64; DIMENSIONS] {
    let mean = |count: fn(&Kept) -> u64| {
        let sum: f64 = days.iter().map(|kept| count(kept) as f64).sum();
        (sum / days.len() as f64).ln_1p()
    };
    let distinct = |family| values.iter().filter(|(of, _)| *of == family).count() as f64;
    let hours = |mask: u32| -> u32 {
        days.iter().map(|kept| (kept.profile.hours & mask).count_ones()).sum()
    };
    let mut vector = [0.0; DIMENSIONS];
    vector[0] = mean(|kept| kept.profile.statements);
    vector[1] = mean(|kept| kept.profile.sessions);
    vector[2] = mean(|kept| kept.profile.rows);
    vector[3] = mean(|kept| kept.profile.errors);
    vector[4] = distinct(Family::Table).ln_1p();
    vector[5] = distinct(Family::Statement).ln_1p();
    vector[6] = f64::from(hours(NIGHT)) / f64::from(hours(u32::MAX).max(1));
    let (commands, tables) = vector[7..].split_at_mut(COMMANDS.len() + 1);
    for (family, command) in days.iter().flat_map(|kept| &kept.values) {
        if *family == Family::Command {
            let index = COMMANDS.iter().position(|known| command.eq_ignore_ascii_case(known));
            commands[index.unwrap_or(COMMANDS.len())] += 1.0;
        }
    }
    let all: f64 = commands.iter().sum();
    commands.iter_mut().for_each(|share| *share /= all.max(1.0));
    for (_, table) in values.iter().filter(|(family, _)| *family == Family::Table) {
        let hash = blake3::hash(table.as_bytes());
        tables[usize::from(hash.as_bytes()[0]) % TABLE_DIMENSIONS] += 1.0;
    }
    let length = tables.iter().map(|count| count * count).sum::<f64>().sqrt();
    tables.iter_mut().for_each(|count| *count /= length.max(1.0));
    vector
}

/// Each dimension with mean 0 and deviation 1; one without deviation is 0.
fn standardise(vectors: &mut Array2<f64>) {
    let rows = vectors.nrows().max(1) as f64;
    for mut column in vectors.axis_iter_mut(Axis(1)) {
        let mean = column.iter().sum::<f64>() / rows;
        column.mapv_inplace(|value| value - mean);
        let deviation = (column.iter().map(|value| value * value).sum::<f64>() / rows).sqrt();
        // Rounding leaves a trace of deviation where there is none.
        let scale = if deviation > 1e-9 { 1.0 / deviation } else { 0.0 };
        column.mapv_inplace(|value| value * scale);
    }
}

/// The cluster of each row.
fn clusters(vectors: &Array2<f64>) -> Vec<usize> {
    let rows = vectors.nrows();
    if rows < CLUSTERED_MIN {
        return vec![0; rows];
    }
    let groups = ((rows as f64 / 2.0).sqrt().round() as usize).clamp(1, GROUPS_MAX);
    let fitted: Vec<usize> = (0..rows).step_by(rows.div_ceil(FITTED_MAX)).collect();
    let dataset = DatasetBase::from(vectors.select(Axis(0), &fitted));
    KMeans::params_with_rng(groups, Xoshiro256Plus::seed_from_u64(SEED))
        .n_runs(RUNS)
        .max_n_iterations(ITERATIONS_MAX)
        .tolerance(1e-3)
        .fit(&dataset)
        .map(|centres| centres.predict(vectors).to_vec())
        // Only vectors that are no numbers have no centres: then all are peers.
        .unwrap_or_else(|_| vec![0; rows])
}

/// Clusters numbered without holes, in the order of their first members.
fn numbered_by_first_member(clusters: &[usize]) -> Vec<usize> {
    let mut numbers = BTreeMap::new();
    let mut number = |cluster| {
        let next = numbers.len();
        *numbers.entry(cluster).or_insert(next)
    };
    clusters.iter().map(|cluster| number(*cluster)).collect()
}

/// How many identities of a group hold a value.
type Holders<'a> = HashMap<(usize, (Family, &'a str)), u32>;

fn holders<'a>(values: &[Vec<(Family, &'a str)>], assigned: &[usize]) -> Holders<'a> {
    let mut holders = Holders::new();
    for (values, group) in values.iter().zip(assigned) {
        for value in values {
            *holders.entry((*group, *value)).or_default() += 1;
        }
    }
    holders
}

/// Numbers for the values that peers share: the most held, ties by value; numbered by value.
fn shared_values<'a>(holders: &Holders<'a>, values_max: usize) -> BTreeMap<(Family, &'a str), u32> {
    let mut all: HashMap<(Family, &str), u32> = HashMap::new();
    for ((_, value), count) in holders.iter().filter(|(_, count)| **count >= 2) {
        *all.entry(*value).or_default() += count;
    }
    let mut most: Vec<_> = all.into_iter().collect();
    most.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let values: BTreeSet<_> = most.into_iter().take(values_max).map(|(value, _)| value).collect();
    values.into_iter().zip(0..).collect()
}

fn evaluation(
    groups: &[Group],
    values: &[Vec<(Family, &str)>],
    assigned: &[usize],
    holders: &Holders<'_>,
) -> BTreeMap<String, f64> {
    let mut all: HashMap<(Family, &str), u32> = HashMap::new();
    for ((_, value), count) in holders {
        *all.entry(*value).or_default() += count;
    }
    let others = |count: u32, of: usize| f64::from(count - 1) / (of as f64 - 1.0).max(1.0);
    let (mut pairs, mut peers, mut anyone) = (0_u64, 0.0, 0.0);
    for (values, group) in values.iter().zip(assigned) {
        for value in values {
            pairs += 1;
            peers += others(holders[&(*group, *value)], groups[*group].identities as usize);
            anyone += others(all[value], assigned.len());
        }
    }
    let largest = groups.iter().map(|group| group.identities).max().unwrap_or(0);
    let share = |sum: f64, of: f64| sum / of.max(1.0);
    BTreeMap::from([
        (String::from("groups"), groups.len() as f64),
        (String::from("largest_share"), share(f64::from(largest), assigned.len() as f64)),
        (String::from("peer_share_mean"), share(peers, pairs as f64)),
        (String::from("others_share_mean"), share(anyone, pairs as f64)),
    ])
}
