//! What identities have in common, on a divided stream: each share opens a day with the figures
//! of all shares, and the alerts are those of one detector, in whatever order the shares work.

use std::collections::{BTreeMap, BTreeSet};

use detect::{DetectSettings, Detector, Figures, Observed, Opening, RuleSet};
use event::vocabulary::{Action, Outcome, StatementState};
use event::{AuditEvent, EventBatch, EventBatchBuilder, EventId, Timestamp};
use proptest::prelude::*;

const INSTANCES: [&str; 2] = ["orders", "payroll"];
const PEOPLE: usize = 10;
const DAYS: i64 = 24;
const VALUES_MAX: usize = 100_000;

/// Monday, 2026-11-02 00:00 UTC.
const START: i64 = 1_793_577_600;

/// Somebody reads a table that he does not read every day.
#[derive(Clone, Copy, Debug)]
struct Oddity {
    person: usize,
    day: i64,
    table: usize,
}

fn oddity() -> impl Strategy<Value = Oddity> {
    let fields = (0..PEOPLE, 0..DAYS, 0..6_usize);
    fields.prop_map(|(person, day, table)| Oddity { person, day, table })
}

/// The stream of all, in order of time: a read an hour of everybody's own tables, and oddities.
fn company(oddities: &[Oddity]) -> Vec<EventBatch> {
    let mut events = Vec::new();
    for day in 0..DAYS {
        for person in 0..PEOPLE {
            let begin = START + day * 86_400 + person as i64 * 60;
            for hour in 8..13 {
                let table = (person + hour as usize) % 4;
                events.push((begin + hour * 3_600, person, format!("own_{table}")));
            }
            let odd = oddities.iter().filter(|odd| (odd.person, odd.day) == (person, day));
            events.extend(odd.map(|odd| (begin + 7_200, person, format!("odd_{}", odd.table))));
        }
    }
    events.sort();
    // Batches that end anywhere: days begin within them.
    events.chunks(37).map(batch).collect()
}

fn batch(events: &[(i64, usize, String)]) -> EventBatch {
    let mut builder = EventBatchBuilder::default();
    for (seconds, person, table) in events {
        let (user, sql) = (format!("user{person}"), format!("select * from app.{table}"));
        let is_odd = table.starts_with("odd");
        builder.push(&AuditEvent {
            id: EventId::of(&[user.as_bytes(), &seconds.to_le_bytes(), table.as_bytes()]),
            time: Timestamp(seconds * 1_000_000),
            action: Action::Read,
            outcome: Outcome::Succeeded,
            user: Some(&user),
            client_address: Some(if is_odd { "192.168.4.1" } else { "10.0.0.7" }),
            application: Some(if is_odd { "pg_dump" } else { "billing" }),
            statement: Some(&sql),
            statement_state: StatementState::Full,
            ..AuditEvent::new("log", "test", "postgresql", INSTANCES[person % 2])
        });
    }
    builder.finish()
}

fn detector() -> Detector {
    Detector::new(&DetectSettings::default(), RuleSet::default()).expect("valid settings")
}

/// Alerts, and the rows that were given a risk, with its reasons.
type Found = BTreeSet<String>;

fn add(found: &mut Found, observed: Observed) {
    let alerts = observed.alerts.iter();
    found.extend(alerts.map(|alert| serde_json::to_string(alert).expect("JSON")));
    let rows = observed.batch.rows();
    let risks = rows.iter().filter_map(|row| Some((row.risk()?, row)));
    found.extend(
        risks.map(|(risk, row)| format!("{:?} {risk} {:?}", row.event().id, row.list("reasons"))),
    );
}

fn whole(stream: &[EventBatch]) -> Found {
    let (mut detector, mut found) = (detector(), Found::new());
    for batch in stream {
        add(&mut found, detector.observe(batch.clone()));
    }
    found
}

fn has_alerts(found: &Found) -> bool {
    found.iter().any(|line| line.contains("\"rule\""))
}

/// One share at work.
struct Share {
    detector: Detector,
    queue: Vec<EventBatch>,
    held: Option<Opening>,
}

impl Share {
    fn new(index: usize, count: usize, stream: &[EventBatch]) -> Self {
        let is_ours = |(_, identity): (&str, Option<&str>)| {
            let hash = EventId::of(&[identity.unwrap_or_default().as_bytes()]).0[0];
            usize::from(hash) % count == index
        };
        let part = |batch: &EventBatch| {
            let rows = batch.rows();
            let ours = rows.iter().filter(|row| is_ours(row.instance_and_identity()));
            batch.take(ours.map(|row| row.index() as u32).collect())
        };
        let queue = stream.iter().rev().map(part).filter(|batch| !batch.is_empty()).collect();
        Self { detector: detector().of_share(), queue, held: None }
    }

    /// Whether all of it that counts on the day is learnt, or it waits for a later one.
    fn has_reached(&self, opening: &Opening) -> bool {
        let opened = self.detector.learnt().newest_day(&opening.instance);
        let turn = |opening: &Opening| (opening.day, opening.instance.clone());
        let is_later = self.held.as_ref().is_some_and(|held| turn(held) >= turn(opening));
        self.queue.is_empty() || opened >= Some(opening.day) || is_later
    }

    /// Works until a day opens or the batch is done.
    fn work(&mut self, found: &mut Found) {
        let Some(batch) = self.queue.pop() else { return };
        self.held = self.detector.opening(&batch);
        let done = self.held.as_ref().map_or(batch.len(), |opening| opening.row);
        add(found, self.detector.observe_share(batch.slice(0, done)));
        if done < batch.len() {
            self.queue.push(batch.slice(done, batch.len() - done));
        }
        // What is learnt must survive a crash and another owner.
        if self.held.as_ref().is_some_and(|opening| opening.day % 5 == 0) {
            self.detector = restored(&self.detector.snapshot()).of_share();
        }
    }
}

fn restored(snapshot: &[u8]) -> Detector {
    let settings = DetectSettings::default();
    Detector::restore(&settings, RuleSet::default(), snapshot).expect("our own snapshot")
}

fn shares(count: usize, stream: &[EventBatch]) -> Vec<Share> {
    (0..count).map(|index| Share::new(index, count, stream)).collect()
}

/// All shares work; `turns` says who is next, and `is_common` whether they tell each other.
fn divided(mut shares: Vec<Share>, turns: &[usize], is_common: bool) -> Found {
    let count = shares.len();
    let mut frozen: BTreeMap<(String, i32), Figures> = BTreeMap::new();
    let mut found = Found::new();
    let mut turns = turns.iter().copied().chain((0..count).cycle());
    while shares.iter().any(|share| !share.queue.is_empty()) {
        let turn = turns.next().expect("endless") % count;
        if let Some(opening) = shares[turn].held.clone() {
            let key = (opening.instance.clone(), opening.day);
            if is_common && !frozen.contains_key(&key) {
                if !shares.iter().all(|share| share.has_reached(&opening)) {
                    continue;
                }
                let mut sum = Figures::default();
                for share in &shares {
                    let learnt = share.detector.learnt();
                    sum.add(&learnt.used_on(&key.0, key.1, VALUES_MAX), VALUES_MAX);
                }
                frozen.insert(key.clone(), sum);
            }
            let own = || shares[turn].detector.learnt().used_on(&key.0, key.1, VALUES_MAX);
            let figures = frozen.get(&key).cloned().unwrap_or_else(own);
            shares[turn].detector.open(&opening, figures);
            shares[turn].held = None;
        }
        shares[turn].work(&mut found);
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 12,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn shares_know_what_all_have_in_common(
        oddities in prop::collection::vec(oddity(), 0..40),
        count in 2..5_usize,
        turns in prop::collection::vec(0..5_usize, 0..200),
    ) {
        let stream = company(&oddities);
        prop_assert_eq!(whole(&stream), divided(shares(count, &stream), &turns, true));
    }
}

/// A table that one person reads is a surprise where nobody else does, and none where most do.
#[test]
fn what_others_do_counts() {
    let everybody = (0..PEOPLE - 2)
        .flat_map(|person| (0..4).map(move |day| Oddity { person, day: 2 + 3 * day, table: 1 }));
    let mut oddities: Vec<Oddity> = everybody.collect();
    oddities.push(Oddity { person: 8, day: 20, table: 1 });
    oddities.push(Oddity { person: 9, day: 20, table: 2 });
    let stream = company(&oddities);
    let found = whole(&stream);
    assert!(has_alerts(&found), "the oddities are noticed: {found:#?}");
    assert_eq!(found, divided(shares(4, &stream), &[], true));
    assert_ne!(found, divided(shares(4, &stream), &[], false), "their own figures are not enough");
}

/// One machine that becomes several goes on as it was.
#[test]
fn what_one_machine_knew_is_divided() {
    let oddities = [
        Oddity { person: 0, day: 5, table: 1 },
        Oddity { person: 2, day: 6, table: 1 },
        Oddity { person: 4, day: 18, table: 1 },
        Oddity { person: 6, day: 20, table: 3 },
    ];
    let stream = company(&oddities);
    let (first, rest) = stream.split_at(stream.len() / 2);
    let (mut one, mut found) = (detector(), Found::new());
    for batch in first {
        one.observe(batch.clone());
    }
    let snapshot = one.snapshot();
    for batch in rest {
        add(&mut found, one.observe(batch.clone()));
    }
    let mut shares = shares(3, rest);
    for (index, share) in shares.iter_mut().enumerate() {
        share.detector = restored(&snapshot);
        share.detector.divide(|_, _| true, index == 0);
    }
    assert!(has_alerts(&found), "the oddities are noticed: {found:#?}");
    assert_eq!(found, divided(shares, &[], true));
}
