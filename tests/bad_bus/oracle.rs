//! What one machine makes of the same logs, where rejects are not the same.

use std::collections::BTreeSet;
use std::path::Path;

use super::PATIENCE;
use crate::binary::{Querywatch, path_text};
use crate::cluster::Cluster;

/// A data folder into which the logs were ingested. Unlike [`crate::history::Expected`] it leaves
/// rejects to the caller.
pub struct Oracle(pub Querywatch);

impl Oracle {
    /// Ingests the logs of (instance, file).
    pub fn of(logs: &[(&str, &Path)]) -> Self {
        let oracle = Querywatch::new();
        let data = oracle.data();
        for (instance, log) in logs {
            let of = ["ingest", "--data", path_text(&data), "--instance", instance, path_text(log)];
            oracle.succeed(&of);
        }
        Self(oracle)
    }

    /// Waits for everything, and for nothing more.
    pub fn wait_and_compare(&self, cluster: &Cluster) {
        let (events, alerts) = (events(&self.0), alerts(&self.0));
        assert!(!alerts.is_empty(), "the logs hold attacks");
        cluster.wait_for(events.lines().count(), alerts.lines().count(), PATIENCE);
        assert_same("events", &events, &self::events(&cluster.querywatch));
        assert_same("alerts", &alerts, &self::alerts(&cluster.querywatch));
    }
}

/// A line for each event: its id, then the rest.
pub fn events(querywatch: &Querywatch) -> String {
    lines(
        querywatch,
        "SELECT id, time, instance, \"user\", action, session, statement_number, statement, \
         fingerprint, flags, outcome, rules, risk FROM events WHERE engine = 'postgresql' \
         ORDER BY id",
    )
}

/// A line for each alert.
pub fn alerts(querywatch: &Querywatch) -> String {
    lines(querywatch, "SELECT * FROM alerts ORDER BY id")
}

fn lines(querywatch: &Querywatch, query: &str) -> String {
    let data = querywatch.data();
    querywatch.succeed(&["sql", "--data", path_text(&data), "--output", "ndjson", query])
}

fn assert_same(what: &str, expected: &str, found: &str) {
    if expected == found {
        return;
    }
    let (wanted, there): (BTreeSet<&str>, BTreeSet<&str>) =
        (expected.lines().collect(), found.lines().collect());
    let missing: Vec<_> = wanted.difference(&there).take(2).collect();
    let extra: Vec<_> = there.difference(&wanted).take(2).collect();
    let (wanted, there) = (expected.lines().count(), found.lines().count());
    panic!("{wanted} {what} expected, {there} found; missing: {missing:#?}; extra: {extra:#?}");
}
