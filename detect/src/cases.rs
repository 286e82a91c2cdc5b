//! Cases: the signals of one identity, session lineage and family of causes within a day.
//!
//! Every signal is counted; a case tells again when it becomes graver or a cause joins, a bounded
//! number of times, and its counts whenever a batch has touched it.

mod unsettled;

use std::collections::BTreeSet;

use bounded::BoundedMap;
use event::alert::{EVENTS_MAX, STATEMENT_BYTES_MAX};
use event::vocabulary::{Action, CaseChange, Evidence};
use event::{Alert, AuditEvent, Case, CaseCause, EventId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::context::application_name;
use crate::rule_event::RuleEvent;
use crate::settings::CaseSettings;
use crate::signal::{About, Signal, Told};

use unsettled::Unsettled;

/// Distinct causes of a case that are known beside those that it lists; more are counted once more
/// when they come back.
const KNOWN_CAUSES_MAX: usize = 1_024;

/// Most alerts of one case: what comes after is counted in it.
const ALERTS_MAX: u32 = 32;

/// The cases that are still open to new signals.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cases {
    open: BoundedMap<String, OpenCase>,
    /// Keys of the cases that have grown since they were last told.
    grown: BTreeSet<String>,
    /// Cases that made room after they had grown, and are still to be told.
    ended: Vec<Case>,
    unsettled: Unsettled,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct OpenCase {
    case: Case,
    /// Hashes of distinct causes that the case does not list.
    unlisted: BoundedMap<u64, ()>,
    alerts: u32,
    last_act: Option<LastAct>,
    /// The act that the text of the case is about.
    act: Option<u64>,
}

/// The statement that was counted last.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct LastAct {
    act: u64,
    /// Those that saw it.
    detectors: Vec<String>,
    /// Whether a block or a call was seen whole, so that what runs inside of it was told with it.
    is_whole: bool,
}

/// Whom and what a signal is about, apart from the signal itself.
pub(crate) struct Scene<'a> {
    pub(crate) event: &'a RuleEvent<'a>,
    /// The moment for which the event counts.
    pub(crate) time: Timestamp,
    pub(crate) risk: f64,
    pub(crate) models: &'a [String],
}

/// What a signal did to its case.
#[derive(Debug, PartialEq)]
pub(crate) enum Joined {
    /// It is to be told: the case, the change, and whether text is needed for the case itself.
    Told(CaseChange),
    /// It was counted.
    Counted,
    /// Part of an act that was counted.
    SameAct,
}

impl Cases {
    pub(crate) fn new(settings: &CaseSettings) -> Self {
        let (open, grown) = (BoundedMap::new(settings.open_max), BTreeSet::new());
        Self { open, grown, ended: Vec::new(), unsettled: Unsettled::default() }
    }

    /// Sets the limit again, which is not saved.
    pub(crate) fn set_limit(&mut self, settings: &CaseSettings) {
        self.open.set_limit(settings.open_max);
        self.open.iter_mut().for_each(|(_, open)| open.unlisted.set_limit(KNOWN_CAUSES_MAX));
        self.unsettled.set_limit();
    }

    /// Whether the identity has an open case of the signal's family, which it would join.
    pub(crate) fn is_open(&self, signal: &Signal, scene: &Scene<'_>) -> bool {
        let key = key(signal, scene);
        self.open.peek(key.as_str()).is_some_and(|open| !open.is_over(scene.time))
    }

    /// Whether the identity has an open case that the signal would join with a new cause.
    pub(crate) fn extends(&self, signal: &Signal, scene: &Scene<'_>) -> bool {
        let open = self.open.peek(key(signal, scene).as_str());
        let open = open.filter(|open| !open.is_over(scene.time));
        open.is_some_and(|open| !open.knows(signal))
    }

    /// Adds a signal; `tell` makes its text, which is needed only now and then and depends on what
    /// happens to the case. Returns the alert that is due, if one is; a new cause by itself is
    /// told only if `tells_cause`.
    pub(crate) fn add(
        &mut self,
        signal: &Signal,
        scene: &Scene<'_>,
        tells_cause: bool,
        tell: impl FnOnce(CaseChange) -> Told,
    ) -> Option<Alert> {
        let key = key(signal, scene);
        if self.open.peek(key.as_str()).is_some_and(|open| open.is_over(scene.time))
            && let Some(over) = self.open.remove(key.as_str())
        {
            self.end(&key, over);
        }
        let alert = match self.open.get_mut(key.as_str()) {
            Some(open) => match open.join(signal, scene) {
                Joined::SameAct => return None,
                Joined::Counted => None,
                Joined::Told(CaseChange::Extended) if !tells_cause => None,
                Joined::Told(change) => {
                    let told = tell(change);
                    open.take_over(signal, scene, &told, change);
                    Some(open.alert(signal, scene, told, change))
                }
            },
            None => {
                let told = tell(CaseChange::Opened);
                let mut open = OpenCase::new(signal, scene, &told);
                let alert = open.alert(signal, scene, told, CaseChange::Opened);
                if let Some((evicted, case)) = self.open.insert(key.clone(), open) {
                    self.end(&evicted, case);
                }
                Some(alert)
            }
        };
        if let Some(alert) = &alert {
            self.unsettled.note(&key, signal, scene, alert);
        }
        self.grown.insert(key);
        alert
    }

    /// The cases that have grown since this was last asked, as they are now.
    pub(crate) fn take_grown(&mut self) -> Vec<Case> {
        let mut told = std::mem::take(&mut self.ended);
        let grown = std::mem::take(&mut self.grown);
        let open = grown.iter().filter_map(|key| self.open.peek(key.as_str()));
        told.extend(open.map(|open| open.case.clone()));
        told
    }

    /// Another case takes its place: what it came to is told first.
    fn end(&mut self, key: &str, open: OpenCase) {
        if self.grown.remove(key) {
            self.ended.push(open.case);
        }
    }

    /// Open cases now.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// Cases that were let go early, so that later signals open another.
    pub(crate) fn evictions(&self) -> u64 {
        self.open.evictions()
    }
}

impl OpenCase {
    fn new(signal: &Signal, scene: &Scene<'_>, told: &Told) -> Self {
        let event = scene.event.event;
        let family = signal.case_family;
        let (identity, lineage) = whose(signal, scene);
        let identity = identity.map(str::to_owned);
        let id = EventId::of(&[
            event.instance.as_bytes(),
            identity.as_deref().unwrap_or_default().as_bytes(),
            lineage.as_bytes(),
            family.as_str().as_bytes(),
            &event.id.0,
        ]);
        let case = Case {
            id,
            instance: event.instance.to_owned(),
            identity,
            lineage,
            family,
            rule: signal.detector.clone(),
            title: told.title.clone(),
            severity: signal.severity,
            opened: scene.time,
            updated: scene.time,
            signals: 0,
            causes: Vec::new(),
            causes_total: 0,
            evidence: event.evidence,
            events: Vec::new(),
            explanation: told.explanation.clone(),
            attack: told.attack.clone(),
            controls: told.controls.clone(),
            risk: scene.risk,
            models: scene.models.to_vec(),
        };
        let unlisted = BoundedMap::new(KNOWN_CAUSES_MAX);
        let mut open = Self { case, unlisted, alerts: 0, last_act: None, act: signal.act };
        open.count(signal, scene);
        for event in &told.events {
            open.name(*event);
        }
        open
    }

    /// Whether a signal at this time belongs to a new case.
    fn is_over(&self, time: Timestamp) -> bool {
        time >= self.case.opened.plus_seconds(86_400)
    }

    /// Counts a signal; says whether it is to be told.
    fn join(&mut self, signal: &Signal, scene: &Scene<'_>) -> Joined {
        let is_graver = signal.severity > self.case.severity;
        if !is_graver && self.is_counted(signal) {
            // The error of a statement shows all of it, whatever ran inside.
            if self.knows(signal) || scene.event.event.outcome.is_failure() {
                return Joined::SameAct;
            }
            if self.last_act.as_ref().is_some_and(|last| last.is_whole) {
                self.name(scene.event.event.id);
                self.count_cause(signal, scene.time);
                return Joined::Counted;
            }
        }
        let is_new = self.count(signal, scene);
        let change = match (is_graver, is_new) {
            (true, _) => CaseChange::Escalated,
            (false, true) if self.alerts < ALERTS_MAX => CaseChange::Extended,
            _ => return Joined::Counted,
        };
        Joined::Told(change)
    }

    /// Whether the detector has seen the act of the signal already.
    fn is_counted(&self, signal: &Signal) -> bool {
        let last = self.last_act.as_ref().filter(|last| Some(last.act) == signal.act);
        last.is_some_and(|last| last.detectors.contains(&signal.detector))
    }

    /// Whether the case has the cause of the signal, as far as causes are remembered.
    fn knows(&self, signal: &Signal) -> bool {
        self.case.causes.iter().any(|cause| is_of(cause, signal))
            || self.unlisted.peek(&hash(&signal.detector, &signal.cause)).is_some()
    }

    /// Counts a signal and its cause; whether the cause is new.
    fn count(&mut self, signal: &Signal, scene: &Scene<'_>) -> bool {
        let case = &mut self.case;
        case.signals += 1;
        case.updated = case.updated.max(scene.time);
        case.evidence = weakest(case.evidence, scene.event.event.evidence);
        case.risk = case.risk.max(scene.risk);
        if !self.is_counted(signal) {
            let detector = signal.detector.clone();
            match (&mut self.last_act, signal.act) {
                (Some(last), Some(act)) if last.act == act => last.detectors.push(detector),
                (last, act) => {
                    let is_whole = scene.event.event.action == Action::Call;
                    let detectors = vec![detector];
                    *last = act.map(|act| LastAct { act, detectors, is_whole });
                }
            }
        }
        self.name(scene.event.event.id);
        self.count_cause(signal, scene.time)
    }

    /// Counts the cause; whether it is new. The list is for the gravest, the oldest first.
    fn count_cause(&mut self, signal: &Signal, time: Timestamp) -> bool {
        let case = &mut self.case;
        if let Some(known) = case.causes.iter_mut().find(|cause| is_of(cause, signal)) {
            known.signals += 1;
            known.severity = known.severity.max(signal.severity);
            known.newest = known.newest.max(time);
            return false;
        }
        let hashed = hash(&signal.detector, &signal.cause);
        let is_new = self.unlisted.get(&hashed).is_none();
        case.causes_total += u64::from(is_new);
        if case.causes.len() == Case::CAUSES_MAX {
            // The newest of the least grave makes room for what is graver.
            let least = case.causes.iter().enumerate().rev().min_by_key(|(_, it)| it.severity);
            let place = least.filter(|(_, it)| it.severity < signal.severity).map(|(at, _)| at);
            let Some(place) = place else {
                self.unlisted.insert(hashed, ());
                return is_new;
            };
            let removed = case.causes.remove(place);
            self.unlisted.insert(hash(&removed.rule, &removed.cause), ());
        }
        self.unlisted.remove(&hashed);
        case.causes.push(CaseCause {
            rule: signal.detector.clone(),
            cause: signal.cause.clone(),
            severity: signal.severity,
            signals: 1,
            first: time,
            newest: time,
        });
        is_new
    }

    /// A graver signal speaks for the case from now on; every told one adds what it is.
    fn take_over(&mut self, signal: &Signal, scene: &Scene<'_>, told: &Told, change: CaseChange) {
        let case = &mut self.case;
        for (known, new) in [(&mut case.attack, &told.attack), (&mut case.controls, &told.controls)]
        {
            let missing: Vec<_> = new.iter().filter(|text| !known.contains(text)).collect();
            known.extend(missing.into_iter().cloned());
        }
        if change == CaseChange::Escalated {
            case.severity = signal.severity;
            case.rule = signal.detector.clone();
            case.title = told.title.clone();
            case.explanation = told.explanation.clone();
            case.models = scene.models.to_vec();
            self.act = signal.act;
        }
    }

    fn name(&mut self, event: EventId) {
        let events = &mut self.case.events;
        if events.contains(&event) {
            return;
        }
        if events.len() == EVENTS_MAX {
            events.remove(0);
        }
        events.push(event);
    }

    fn alert(
        &mut self,
        signal: &Signal,
        scene: &Scene<'_>,
        told: Told,
        change: CaseChange,
    ) -> Alert {
        self.alerts += 1;
        let case = &self.case;
        let event = scene.event.event;
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let cut = |sql: &str| sql[..sql.floor_char_boundary(STATEMENT_BYTES_MAX)].to_owned();
        let detector = signal.detector.as_bytes();
        let mut events = told.events;
        if events.is_empty() {
            events.push(event.id);
        }
        Alert {
            id: EventId::of(&[&case.id.0, detector, signal.cause.as_bytes(), &event.id.0]),
            case_id: case.id,
            change,
            family: case.family,
            cause: signal.cause.clone(),
            time: event.time,
            first_time: case.opened.min(event.time),
            rule: signal.detector.clone(),
            title: told.title,
            severity: signal.severity,
            detector: signal.layer,
            identity: owned(event.identity()),
            instance: case.instance.clone(),
            database: owned(event.database),
            user: owned(event.user),
            client: owned(scene.event.client()),
            application: owned(event.application),
            session: owned(event.session),
            statement: event.statement.map(cut),
            fingerprint: scene.event.analysis.fingerprint.map(|hash| format!("{hash:016x}")),
            evidence: event.evidence,
            event_count: case.signals.max(events.len() as u64),
            events,
            explanation: told.explanation,
            attack: told.attack,
            controls: told.controls,
            risk: scene.risk,
            models: scene.models.to_vec(),
        }
    }
}

/// The key of the case that a signal belongs to.
fn key(signal: &Signal, scene: &Scene<'_>) -> String {
    let (identity, lineage) = whose(signal, scene);
    let (instance, family) = (scene.event.event.instance, signal.case_family.as_str());
    format!("{instance}\0{}\0{family}\0{lineage}", identity.unwrap_or_default())
}

fn whose<'a>(signal: &Signal, scene: &Scene<'a>) -> (Option<&'a str>, String) {
    let identity = scene.event.event.identity();
    match signal.about {
        About::Lineage => (identity, lineage(scene.event)),
        About::Identity => (identity, String::new()),
        About::Client => (None, scene.event.client_network.to_owned()),
    }
}

/// Sessions that come from one client network with one program belong together, so that a new
/// connection is no new case.
fn lineage(event: &RuleEvent<'_>) -> String {
    let application = event.event.application.map(application_name).unwrap_or_default();
    match (event.client_network, application) {
        ("", "") => String::new(),
        (network, "") => network.to_owned(),
        ("", application) => application.to_owned(),
        (network, application) => format!("{network} {application}"),
    }
}

fn weakest(one: Evidence, other: Evidence) -> Evidence {
    // In the order of the letters: A is the strongest.
    one.max(other)
}

fn is_of(cause: &CaseCause, signal: &Signal) -> bool {
    cause.rule == signal.detector && cause.cause == signal.cause
}

fn hash(detector: &str, cause: &str) -> u64 {
    let id = EventId::of(&[detector.as_bytes(), cause.as_bytes()]);
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&id.0[..8]);
    u64::from_le_bytes(bytes)
}

/// An event that stands for the end of an hour or a day of an identity: nothing was recorded.
pub(crate) fn tick_event<'a>(
    instance: &'a str,
    identity: &'a str,
    hour: i64,
    source: &'a str,
) -> AuditEvent<'a> {
    let time = Timestamp(hour.saturating_mul(3_600_000_000));
    let id =
        EventId::of(&[b"tick", instance.as_bytes(), identity.as_bytes(), &time.0.to_le_bytes()]);
    let base = AuditEvent::new(source, "", "", instance);
    AuditEvent { id, time, user: Some(identity), evidence: Evidence::A, ..base }
}
