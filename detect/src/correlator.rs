//! Rules that count events, divided as a stream is: by identity, and by client.
//!
//! What is counted by client, over many identities, has its own correlator, which may see another
//! share of the stream.

use rsigma_eval::EvaluationResult;
use rsigma_parser::SigmaCollection;

use crate::correlation::{CorrelationError, Correlations, Firing, Limits, State, StateRef};
use crate::rule::RuleSet;
use crate::rule_event::RuleEvent;
use crate::settings::RuleSettings;

/// The correlations of one side.
pub(crate) struct Correlator {
    correlations: Correlations,
}

/// What a correlation counts by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// By identity, or by something that belongs to one.
    Identity,
    /// By client or its network, whoever it logs in as.
    Client,
}

impl Side {
    /// The side of a correlation with these columns in its `group-by`.
    pub(crate) fn of<T: AsRef<str>>(group_by: &[T]) -> Self {
        let client = ["client", "client_address", "client_host", "client_network"];
        let is_of_client = group_by.iter().any(|column| client.contains(&column.as_ref()));
        let is_of_identity = Self::names_identity(group_by);
        if is_of_client && !is_of_identity { Self::Client } else { Self::Identity }
    }

    /// Whether one of the columns belongs to an identity.
    pub(crate) fn names_identity<T: AsRef<str>>(group_by: &[T]) -> bool {
        let identity = ["identity", "user", "actor", "session"];
        group_by.iter().any(|column| identity.contains(&column.as_ref()))
    }
}

impl Correlator {
    pub(crate) fn new(
        set: &RuleSet,
        settings: &RuleSettings,
        side: Side,
    ) -> Result<Self, CorrelationError> {
        let limits = Limits { groups_max: settings.groups_max, hits_max: settings.group_hits_max };
        Ok(Self { correlations: Correlations::new(&collection(set, side), limits)? })
    }

    /// Counts what an event matched; returns the correlations that hold now.
    pub(crate) fn count(
        &mut self,
        event: &RuleEvent<'_>,
        results: &[EvaluationResult],
    ) -> Vec<Firing> {
        let ids = results.iter().filter_map(|result| result.header.rule_id.as_deref());
        let matched: Vec<&str> = ids.filter(|id| self.correlations.counts(id)).collect();
        if matched.is_empty() {
            return Vec::new();
        }
        let field = |name: &str| event.shown(name).map(std::borrow::Cow::Owned);
        self.correlations.count(event.event.time, event.event.id, &matched, &field)
    }

    /// Groups counted now.
    pub(crate) fn groups(&self) -> usize {
        self.correlations.groups()
    }

    /// Groups that have made room for others since the start.
    pub(crate) fn evictions(&self) -> u64 {
        self.correlations.evictions()
    }

    pub(crate) fn save(&self) -> StateRef<'_> {
        self.correlations.state()
    }

    /// Takes over a state that was saved with the same rules.
    pub(crate) fn load(&mut self, saved: State) {
        self.correlations.restore(saved);
    }
}

/// The documents, with the correlations of one side.
fn collection(set: &RuleSet, side: Side) -> SigmaCollection {
    let mut collection = set.collection();
    collection.correlations.retain(|correlation| Side::of(&correlation.group_by) == side);
    collection
}
