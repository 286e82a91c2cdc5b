//! The models that detection judges with: the newest valid ones, swapped between records.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::anomaly::Share;
use crate::context::{Family, Profile};

/// The threshold is measured once the days seen have room for so many cases.
const BUDGET_DAYS_MIN: f64 = 3.0;

/// What was measured raises the threshold by so much at most.
const RISE_MAX: f64 = 2.0;

/// Models by instance. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Models {
    by_instance: BTreeMap<String, InstanceModels>,
}

/// The models of one instance, each with its version.
#[derive(Clone, Debug, Default)]
pub struct InstanceModels {
    /// What its identities have in common.
    pub prior: Option<(String, Arc<model::Prior>)>,
    /// Who is whose peer.
    pub peers: Option<(String, Arc<model::PeerGroups>)>,
}

impl Models {
    /// Puts other models in place for an instance.
    pub fn set(&mut self, instance: &str, models: InstanceModels) {
        self.by_instance.insert(instance.to_owned(), models);
    }

    /// Versions in use for an instance, such as `prior 2026-11-26-1a2b3c4d`.
    pub fn versions(&self, instance: &str) -> Vec<String> {
        let Some(models) = self.by_instance.get(instance) else { return Vec::new() };
        let prior = models.prior.iter().map(|(version, _)| format!("prior {version}"));
        let peers = models.peers.iter().map(|(version, _)| format!("peers {version}"));
        prior.chain(peers).collect()
    }

    /// Versions in use for all instances.
    pub fn all_versions(&self) -> BTreeMap<String, Vec<String>> {
        self.by_instance.keys().map(|name| (name.clone(), self.versions(name))).collect()
    }

    /// The score from which a day of an identity opens a case, so that a share `budget` of the
    /// days does: −log10 of the budget if chances are true, more where the prior has seen that
    /// such scores are more frequent. A quiet house makes no ordinary day unusual, and a wild one
    /// (or one that was attacked) does not blind the baselines.
    pub fn score_min(&self, instance: &str, budget: f64) -> f64 {
        let by_chance = -budget.clamp(1e-6, 1.0).log10();
        let prior = self.of(instance).and_then(|models| models.prior.as_ref());
        let seen = prior
            .filter(|(_, prior)| prior.days_scored() as f64 * budget >= BUDGET_DAYS_MIN)
            .and_then(|(_, prior)| prior.score_threshold(budget));
        seen.map_or(by_chance, |seen| seen.next_up().clamp(by_chance, by_chance + RISE_MAX))
    }

    pub(crate) fn of(&self, instance: &str) -> Option<&InstanceModels> {
        self.by_instance.get(instance)
    }
}

impl InstanceModels {
    /// How many identities have a value: the peers if they are known, else all.
    pub(crate) fn share(&self, identity: &str, family: Family, value: &str) -> Option<Share> {
        let family = crate::context::model_family(family);
        let of_peers = self.peers.as_ref().and_then(|(_, peers)| {
            peers.peer_share(identity, family, value).map(|share| (share, true))
        });
        let of_all = || {
            let (_, prior) = self.prior.as_ref()?;
            Some((prior.share(family, value), false))
        };
        let (share, of_peers) = of_peers.or_else(of_all)?;
        Some(Share { holders: share.holders, identities: share.identities, of_peers })
    }

    /// Chance that a day of such an identity brings something new of the family, as others do.
    pub(crate) fn novelty(&self, kind: &str, family: Family, is_newcomer: bool) -> Option<f64> {
        let (_, prior) = self.prior.as_ref()?;
        Some(prior.novelty(kind, crate::context::model_family(family), is_newcomer))
    }
}

impl Share {
    /// Nobody is known: one identity in twenty has any value.
    pub(crate) const NONE: Self = Self { holders: 0, identities: 0, of_peers: false };

    /// Chance that an identity has the value, 0–1: few identities say little.
    pub(crate) fn chance(self) -> f64 {
        (f64::from(self.holders) + 0.5) / (f64::from(self.identities) + 10.0)
    }
}

/// Whether peers judge the identity, because too little is known of it.
pub(crate) fn judged_by_peers(profile: &Profile, is_mature: bool) -> bool {
    !is_mature && profile.days_before() < 7
}

#[cfg(test)]
mod tests {
    use model::{DayProfile, Prior, TrainSettings, Trainer};

    use super::*;

    /// Models of a house with so many days, of which `unusual` score 3.5.
    fn models(days: usize, unusual: usize) -> Models {
        let mut trainer = Trainer::new(TrainSettings::default());
        for number in 0..days {
            let score = if number < unusual { 3.5 } else { 0.1 };
            let (instance, identity) = ("main".to_owned(), format!("p{number}"));
            let profile = DayProfile { instance, identity, day: 1, score, ..DayProfile::default() };
            trainer.add(profile);
        }
        let trained = trainer.train(1, "main");
        let prior = trained.iter().find(|it| it.kind == Prior::KIND).expect("a prior");
        let prior = Prior::decode(&prior.bytes).expect("ours");
        let mut models = Models::default();
        let prior = Some(("1".to_owned(), Arc::new(prior)));
        models.set("main", InstanceModels { prior, peers: None });
        models
    }

    #[test]
    fn the_threshold_follows_the_budget() {
        assert_eq!(Models::default().score_min("main", 0.01), 2.0, "no model: as chance says");
        assert_eq!(models(1_000, 5).score_min("main", 0.01), 2.0, "within the budget");
        let wild = models(1_000, 50).score_min("main", 0.01);
        assert!(wild > 3.5 && wild <= 4.0, "five times the budget: {wild}");
        assert_eq!(models(250, 50).score_min("main", 0.01), 2.0, "too few days to measure");
        assert_eq!(Models::default().score_min("main", 0.0), 6.0, "it stays a number");
    }
}
