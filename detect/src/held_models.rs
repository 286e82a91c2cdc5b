//! The models that detection judges with: the newest valid ones, swapped between records.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::anomaly::Share;
use crate::context::{Family, Profile};

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
    /// Chance that an identity has the value, 0–1.
    pub(crate) fn chance(self) -> f64 {
        (f64::from(self.holders) + 0.5) / (f64::from(self.identities) + 1.0)
    }
}

/// Whether peers judge the identity, because too little is known of it.
pub(crate) fn judged_by_peers(profile: &Profile, is_mature: bool) -> bool {
    !is_mature && profile.days_before() < 7
}
