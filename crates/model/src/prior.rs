//! What the identities of one instance do: how many of them have a value, how often a day brings
//! something new, and how high the scores of days go.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::trainer::{Kept, ModelError, decode};
use crate::{Family, Share};

/// So many days of all kinds together weigh as much as the days of one kind.
const POOLED_DAYS: f64 = 20.0;
/// Kinds with rates of their own; the rest has the pooled rate.
const KINDS_MAX: usize = 64;
/// Fewer identity-days than this have no telling quantiles.
const SCORES_MIN: usize = 200;
/// Chances for which an evaluation says how many of the days had a smaller one.
const CHANCES: [f64; 4] = [0.1, 0.01, 0.001, 0.000_1];
/// Scores kept one by one; further down every hundredth part of the rank.
const SCORES_EXACT: usize = 1_000;

/// The habits of one instance over the days it was trained from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Prior {
    identities: u32,
    /// By family: how many identities have a value. The rarest are left out when there are many.
    holders: [BTreeMap<String, u32>; Family::COUNT],
    kinds: BTreeMap<String, Rates>,
    pooled: Rates,
    /// Identity-days with a score.
    scored: u64,
    /// Ranks (0 is the highest) and their scores, highest first.
    scores: Vec<(u64, f64)>,
    evaluation: BTreeMap<String, f64>,
}

/// By family, then established and newcomer.
type Rates = [[Days; 2]; Family::COUNT];

/// Days, and how many of them brought something new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Days {
    days: u32,
    new: u32,
}

impl Prior {
    /// The kind of model, as folders and manifests name it.
    pub const KIND: &str = "prior";

    /// Reads the bytes of a model.
    pub fn decode(bytes: &[u8]) -> Result<Self, ModelError> {
        decode(bytes)
    }

    /// How many of the identities had the value; 0 holders also for a value that was left out.
    pub fn share(&self, family: Family, value: &str) -> Share {
        let holders = self.holders[family as usize].get(value).copied().unwrap_or(0);
        Share { holders, identities: self.identities }
    }

    /// The chance, above 0 and at most 1, that a day brings something new: to an established
    /// identity a value that it never had (the share of such days, which is the estimate of Good
    /// and Turing with days as the sample), to a newcomer a value that no other identity holds.
    /// The rate of a kind is drawn towards that of all kinds while the kind has few days.
    pub fn novelty(&self, kind: &str, family: Family, is_newcomer: bool) -> f64 {
        novelty(&self.kinds, &self.pooled, kind, family, is_newcomer)
    }

    /// The score that at most a share `budget` of the identity-days exceed; none under 200 days.
    pub fn score_threshold(&self, budget: f64) -> Option<f64> {
        if self.scored < SCORES_MIN as u64 {
            return None;
        }
        // Not a number becomes 0: nothing exceeds the highest score.
        let allowed = (budget.clamp(0.0, 1.0) * self.scored as f64) as u64;
        let after = self.scores.partition_point(|(rank, _)| *rank <= allowed);
        self.scores.get(after.checked_sub(1)?).map(|(_, score)| *score)
    }

    /// Identity-days with a score.
    pub fn days_scored(&self) -> u64 {
        self.scored
    }

    /// Figures on the model: sizes; the share of the days whose p was below 0.1, 0.01, …, where a
    /// score is −log10 p; and for each family the days of the last day that brought something new
    /// to established identities, as observed and as the days before foretold.
    pub fn evaluation(&self) -> &BTreeMap<String, f64> {
        &self.evaluation
    }

    /// The identities that it was trained from.
    pub fn identities(&self) -> u32 {
        self.identities
    }

    /// From profiles sorted by identity and day, of which `last` is the newest day.
    pub(crate) fn train(kept: &[&Kept], last: i32, values_max: usize) -> Self {
        let mut holders: HashMap<(Family, &str), u32> = HashMap::new();
        let mut identities = 0;
        for days in kept.chunk_by(|a, b| a.profile.identity == b.profile.identity) {
            identities += 1;
            for value in distinct_values(days) {
                *holders.entry(value).or_default() += 1;
            }
        }
        let (kinds, pooled) = rates(kept, &holders, |_| true);
        let (values, (held, dropped)) = (holders.len(), most_held(&holders, values_max));
        let scores = descending_scores(kept);
        let mut evaluation = foretold(kept, &holders, last);
        for (p, share) in calibration(&scores) {
            evaluation.insert(format!("share_p_below_{p}"), share);
        }
        evaluation.insert(String::from("identity_days"), kept.len() as f64);
        evaluation.insert(String::from("values"), values as f64);
        evaluation.insert(String::from("values_dropped"), dropped as f64);
        Self {
            identities,
            holders: held,
            kinds: most_seen(kinds),
            pooled,
            scored: scores.len() as u64,
            scores: thinned(&scores),
            evaluation,
        }
    }
}

/// The distinct values of the days of one identity, sorted.
pub(crate) fn distinct_values<'a>(days: &[&'a Kept]) -> Vec<(Family, &'a str)> {
    let mut values: Vec<(Family, &str)> = days
        .iter()
        .flat_map(|kept| kept.values.iter().map(|(family, value)| (*family, &**value)))
        .collect();
    values.sort_unstable();
    values.dedup();
    values
}

type Held = [BTreeMap<String, u32>; Family::COUNT];

/// The most held values, ties by value, and how many were left out.
fn most_held(holders: &HashMap<(Family, &str), u32>, values_max: usize) -> (Held, usize) {
    let mut values: Vec<(u32, (Family, &str))> =
        holders.iter().map(|(value, holders)| (*holders, *value)).collect();
    values.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let dropped = values.len().saturating_sub(values_max);
    values.truncate(values_max);
    let mut held = Held::default();
    for (holders, (family, value)) in values {
        held[family as usize].insert(String::from(value), holders);
    }
    (held, dropped)
}

/// The rates of each kind and of all, from the days that count.
fn rates<'a>(
    kept: &[&'a Kept],
    holders: &HashMap<(Family, &str), u32>,
    counts: impl Fn(i32) -> bool,
) -> (BTreeMap<&'a str, Rates>, Rates) {
    let mut kinds: BTreeMap<&str, Rates> = BTreeMap::new();
    let mut pooled = Rates::default();
    for kept in kept.iter().filter(|kept| counts(kept.profile.day)) {
        let is_newcomer = kept.profile.is_newcomer();
        let of_kind = kinds.entry(&kept.profile.kind).or_default();
        for (family, is_new) in Family::ALL.into_iter().zip(news(kept, holders)) {
            for rates in [&mut *of_kind, &mut pooled] {
                let days = &mut rates[family as usize][usize::from(is_newcomer)];
                days.days += 1;
                days.new += u32::from(is_new);
            }
        }
    }
    (kinds, pooled)
}

/// Whether the day brought something new, by family.
fn news(kept: &Kept, holders: &HashMap<(Family, &str), u32>) -> [bool; Family::COUNT] {
    if !kept.profile.is_newcomer() {
        return kept.profile.new_values.map(|new| new > 0);
    }
    let mut news = [false; Family::COUNT];
    for (family, value) in &kept.values {
        news[*family as usize] |= holders.get(&(*family, &**value)).is_none_or(|all| *all <= 1);
    }
    news
}

fn novelty<K: std::borrow::Borrow<str> + Ord>(
    kinds: &BTreeMap<K, Rates>,
    pooled: &Rates,
    kind: &str,
    family: Family,
    is_newcomer: bool,
) -> f64 {
    let days_of = |rates: &Rates| rates[family as usize][usize::from(is_newcomer)];
    let all = days_of(pooled);
    let of_all = (f64::from(all.new) + 0.5) / (f64::from(all.days) + 1.0);
    let own = kinds.get(kind).map(days_of).unwrap_or_default();
    let rate = (f64::from(own.new) + POOLED_DAYS * of_all) / (f64::from(own.days) + POOLED_DAYS);
    // The days of all kinds: a kind with few days of its own says little on its least rate.
    rate.clamp(0.5 / (f64::from(all.days) + 1.0), 1.0)
}

/// The kinds with the most days, ties by name.
fn most_seen(kinds: BTreeMap<&str, Rates>) -> BTreeMap<String, Rates> {
    let days = |rates: &Rates| u64::from(rates[0][0].days) + u64::from(rates[0][1].days);
    let mut kinds: Vec<(&str, Rates)> = kinds.into_iter().collect();
    kinds.sort_by_key(|(_, rates)| std::cmp::Reverse(days(rates)));
    kinds.into_iter().take(KINDS_MAX).map(|(kind, rates)| (String::from(kind), rates)).collect()
}

fn descending_scores(kept: &[&Kept]) -> Vec<f64> {
    let mut scores: Vec<f64> =
        kept.iter().map(|kept| kept.profile.score).filter(|score| score.is_finite()).collect();
    scores.sort_unstable_by(|a, b| b.total_cmp(a));
    scores
}

/// The share of days, sorted by their scores, whose p was below each of [`CHANCES`].
fn calibration(descending: &[f64]) -> impl Iterator<Item = (f64, f64)> {
    CHANCES.into_iter().map(|p| {
        let below = descending.partition_point(|score| *score > -p.log10());
        (p, below as f64 / descending.len().max(1) as f64)
    })
}

/// Ranks and scores, thinner with the rank, the last one always among them.
fn thinned(scores: &[f64]) -> Vec<(u64, f64)> {
    let mut kept = Vec::new();
    let mut rank = 0;
    while let Some(score) = scores.get(rank) {
        kept.push((rank as u64, *score));
        let step = if rank < SCORES_EXACT { 1 } else { rank / 100 };
        rank = if rank + 1 < scores.len() { (rank + step).min(scores.len() - 1) } else { rank + 1 };
    }
    kept
}

/// What the days before the last one foretell of it, and what it brought: the model's test.
fn foretold(
    kept: &[&Kept],
    holders: &HashMap<(Family, &str), u32>,
    last: i32,
) -> BTreeMap<String, f64> {
    let (kinds, pooled) = rates(kept, holders, |day| day < last);
    let mut figures = BTreeMap::new();
    let tested = kept.iter().filter(|kept| kept.profile.day == last && !kept.profile.is_newcomer());
    for kept in tested {
        for (family, is_new) in Family::ALL.into_iter().zip(news(kept, holders)) {
            let expected = novelty(&kinds, &pooled, &kept.profile.kind, family, false);
            let name = family.as_str();
            *figures.entry(format!("new_{name}_expected")).or_default() += expected;
            *figures.entry(format!("new_{name}_observed")).or_default() += f64::from(is_new);
        }
    }
    figures
}
