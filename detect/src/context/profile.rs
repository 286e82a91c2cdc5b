//! What one identity has done, in decayed counts of its active days; at most some 128 KB.

use event::vocabulary::{Action, ActorKind};
use event::{AuditEvent, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

use super::created::{Created, named_object};
use super::habits::{Habits, SavedHabits};
use super::hours::Hours;
use super::identities::SENSITIVE;
use super::identity_kind::{self, Conduct, Traits};
use super::leak::{Leak, SlowLeak};
use super::value::{Family, shown};
use super::volume::{Measure, Volume};
use crate::anomaly::DayAnomalies;
use crate::risk::IdentityRisk;
use crate::settings::BaselineSettings;

/// Sessions told apart on one day; more are not counted.
const SESSIONS_MAX: usize = 512;

/// Commands that make what they name.
const MAKES: [&str; 9] = [
    "CREATE TABLE",
    "CREATE TABLE AS",
    "CREATE FOREIGN TABLE",
    "CREATE TEMPORARY TABLE",
    "CREATE VIEW",
    "CREATE MATERIALIZED VIEW",
    "CREATE SCHEMA",
    "CREATE DATABASE",
    "SELECT INTO",
];

/// A day brings less than this share of the usual statements, with the usual sessions: collapse.
const COLLAPSE: f64 = 0.1;

pub(crate) struct Profile {
    pub(super) figures: Figures,
    pub(super) habits: [Habits; Family::REMEMBERED.len()],
    pub(super) hours: Hours,
    pub(super) volumes: [Volume; Measure::ALL.len()],
    leak: Leak,
    pub(super) created: Created,
    /// What was unusual today.
    pub(crate) today: DayAnomalies,
    pub(crate) risk: IdentityRisk,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Figures {
    first: Timestamp,
    newest: Timestamp,
    day: i32,
    /// Whether that day has not been closed.
    is_open: bool,
    /// Active days, today included; decayed ones too.
    active_days: u32,
    days: f64,
    statements: u64,
    sessions: u64,
    last_session: Box<str>,
    /// The last session that looked at the list of a migration tool.
    migration_session: Box<str>,
    sessions_today: BTreeSet<u64>,
    interactive_days: u32,
    interactive_today: bool,
    /// Days that brought a new statement, decayed mean; see [`identity_kind`].
    statements_today: u64,
    errors_today: u64,
    failed_logins_today: u64,
    sensitive_rows_today: u64,
    /// Decayed means of a day's statements and sessions, in logarithms, by weekday and weekend.
    usual: [DayMean; 2],
    kind: Option<ActorKind>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct DayMean {
    days: f64,
    statements: f64,
    sessions: f64,
}

/// A profile as it is saved.
#[derive(Serialize, Deserialize)]
pub(super) struct SavedProfile {
    figures: Figures,
    habits: Vec<SavedHabits>,
    hours: Hours,
    volumes: Vec<Volume>,
    leak: Leak,
    created: Created,
    today: DayAnomalies,
    risk: IdentityRisk,
}

/// What the close of a day of an identity found.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClosedDay {
    /// A slow leak of rows.
    pub(crate) leak: Option<SlowLeak>,
    /// Statements of the day, and of a usual one, if they collapsed.
    pub(crate) collapse: Option<(u64, u64)>,
}

impl Profile {
    pub(super) fn new(time: Timestamp, settings: &BaselineSettings) -> Self {
        let figures = Figures { first: time, newest: time, day: i32::MIN, ..Figures::default() };
        Self {
            figures,
            habits: Family::REMEMBERED.map(|family| Habits::new(limit(family, settings))),
            hours: Hours::default(),
            volumes: Measure::ALL.map(Volume::new),
            leak: Leak::default(),
            created: Created::default(),
            today: DayAnomalies::default(),
            risk: IdentityRisk::default(),
        }
    }

    /// The current day of the identity, as [`Timestamp::day`]; `i32::MIN` before its first.
    pub(crate) fn day(&self) -> i32 {
        self.figures.day
    }

    /// Counts the event itself. For the first of an hour of the day: the hour of the week, and on
    /// how many decayed days the identity was active near it.
    pub(super) fn count(&mut self, event: &AuditEvent<'_>, time: Timestamp) -> Option<(u8, f64)> {
        let figures = &mut self.figures;
        figures.newest = figures.newest.max(time);
        figures.kind = event.actor_kind.or(figures.kind);
        if event.statement.is_some() {
            figures.statements += 1;
            figures.statements_today += 1;
        }
        if event.outcome.is_failure() {
            figures.errors_today += 1;
        }
        if let Some(session) = event.session
            && *session != *figures.last_session
        {
            figures.last_session = session.into();
            let is_new = figures.sessions_today.len() < SESSIONS_MAX
                && figures.sessions_today.insert(fnv(session.as_bytes()));
            figures.sessions += u64::from(is_new);
        }
        if !figures.interactive_today
            && event.application.is_some_and(identity_kind::is_interactive)
        {
            figures.interactive_today = true;
            figures.interactive_days += 1;
        }
        self.hours.touch(time)
    }

    /// Notes what the event wrote, created and read of sensitive data.
    pub(super) fn note(
        &mut self,
        event: &AuditEvent<'_>,
        tables_written: &[String],
        sensitivity: Option<i32>,
    ) {
        let succeeded = !event.outcome.is_failure();
        // Of a table that may have been there before, nothing is known by IF NOT EXISTS.
        // An index or a trigger on a table makes nobody its owner.
        let makes = |command: &str| MAKES.contains(&command);
        let creates = event.action == Action::Define
            && event.command.is_some_and(makes)
            && event.statement.is_some_and(|sql| !has_if_not_exists(sql));
        if succeeded && creates {
            self.created.add(tables_written);
            if let Some(name) = event.statement.and_then(named_object) {
                self.created.add_named(&name);
            }
        }
        let rows = event.rows.map_or(0, |rows| rows.max(0).unsigned_abs());
        if sensitivity >= Some(SENSITIVE) {
            let sum = &mut self.figures.sensitive_rows_today;
            *sum = sum.saturating_add(rows);
        }
    }

    /// Whether the identity made what the event writes to or drops.
    pub(super) fn owns(&self, event: &AuditEvent<'_>, tables_written: &[String]) -> bool {
        let drops = event
            .command
            .is_some_and(|command| command == "DROP DATABASE" || command == "DROP SCHEMA");
        match event.statement.filter(|_| drops).and_then(named_object) {
            Some(name) => self.created.holds(&name),
            None => !drops && self.created.holds_all(tables_written),
        }
    }

    /// Whether the event is of a session that has looked at the list of a migration tool.
    pub(super) fn is_in_migration<'a>(
        &mut self,
        event: &AuditEvent<'_>,
        mut tables: impl Iterator<Item = &'a String>,
    ) -> bool {
        let Some(session) = event.session else { return false };
        if tables.any(|table| is_migration_list(table)) {
            self.figures.migration_session = session.into();
        }
        !self.figures.migration_session.is_empty() && *self.figures.migration_session == *session
    }

    /// Whether enough is known to call something unusual.
    pub(crate) fn is_mature(&self, settings: &BaselineSettings) -> bool {
        self.days_before() >= settings.active_days_min
            && self.hours.active >= settings.active_hours_min
    }

    /// Active days before today.
    pub(crate) fn days_before(&self) -> u32 {
        self.figures.active_days.saturating_sub(1)
    }

    /// Decayed active days before today.
    pub(crate) fn decayed_days_before(&self) -> f64 {
        (self.figures.days - 1.0).max(0.0)
    }

    /// Statements so far.
    pub(crate) fn statements(&self) -> u64 {
        self.figures.statements
    }

    /// How much of a measure the identity has.
    pub(super) fn volume(&self, measure: Measure) -> &Volume {
        &self.volumes[measure as usize]
    }

    /// The habits of a family that is remembered value by value.
    pub(super) fn habits(&mut self, family: Family) -> Option<&mut Habits> {
        self.habits.get_mut(family as usize)
    }

    /// How the identity has to be judged, and what it is.
    pub(crate) fn conduct(
        &self,
        known: Option<ActorKind>,
        source: Option<ActorKind>,
    ) -> (Conduct, ActorKind) {
        let traits = Traits {
            interactive_days: self.figures.interactive_days,
            active_days: self.figures.active_days,
            novelty: self.habits[Family::Statement as usize].novelty(),
            hours: self.hours.of_day(),
        };
        identity_kind::conduct(known, source.or(self.figures.kind), &traits)
    }

    /// The most usual values of `family`, with the days they were seen on.
    pub(crate) fn usual(&self, family: Family, count: usize) -> Vec<(String, u32)> {
        let habits = self.habits.get(family as usize);
        let usual = habits.map(|habits| habits.usual(count)).unwrap_or_default();
        usual.into_iter().map(|(key, days)| (shown(family, key), days)).collect()
    }

    /// How many values of `family` were known before today.
    pub(crate) fn known(&self, family: Family) -> usize {
        self.habits.get(family as usize).map_or(0, Habits::len)
    }

    /// `6 active days in 7, 212 sessions, 18,402 statements`.
    pub(crate) fn maturity(&self) -> String {
        format!(
            "{} active days in {}, {} sessions, {} statements",
            self.days_before(),
            self.span_days(),
            grouped(self.figures.sessions),
            grouped(self.figures.statements),
        )
    }

    /// Calendar days since the first event.
    pub(crate) fn span_days(&self) -> i32 {
        self.figures.day.saturating_sub(self.figures.first.day()).max(0)
    }

    /// Values that have made room for others since this was last asked.
    pub(super) fn take_evictions(&mut self) -> u64 {
        self.habits.iter_mut().map(Habits::take_evictions).sum()
    }

    /// Whether the current day has not been closed.
    pub(super) fn has_open_day(&self) -> bool {
        self.figures.is_open
    }

    /// Begins a later day, to which everything has faded; the one before must be closed.
    pub(super) fn open_day(&mut self, day: i32, settings: &BaselineSettings) {
        if self.figures.day != i32::MIN {
            let passed = day.saturating_sub(self.figures.day).max(0);
            let half_life = settings.half_life_days.max(0.1);
            self.fade(0.5_f64.powf(f64::from(passed) / half_life));
        }
        self.figures.is_open = true;
        self.figures.day = day;
        self.figures.active_days += 1;
        self.figures.days += 1.0;
        self.today = DayAnomalies::default();
    }

    /// What the current day was, for the models: call it before the day is closed.
    pub(super) fn day_profile(&self, instance: &str, identity: &str) -> model::DayProfile {
        let figures = &self.figures;
        let (_, kind) = self.conduct(None, None);
        let families = Family::REMEMBERED.iter().zip(&self.habits);
        let values = families.clone().flat_map(|(family, habits)| {
            let of = model_family(*family);
            habits.values_of(figures.day).map(move |key| (of, shown(*family, key)))
        });
        let mut values: Vec<_> = values.collect();
        values.sort();
        let mut new_values = [0; model::Family::COUNT];
        for (family, habits) in families {
            new_values[model_family(*family) as usize] = habits.new_today() as u32;
        }
        model::DayProfile {
            instance: instance.to_owned(),
            identity: identity.to_owned(),
            day: figures.day,
            kind: kind.as_str().to_owned(),
            active_days: figures.active_days,
            sessions: figures.sessions_today.len() as u64,
            statements: figures.statements_today,
            errors: figures.errors_today,
            failed_logins: figures.failed_logins_today,
            rows: self.volume(Measure::Rows).today(),
            hours: self.hours.today,
            sensitive_rows: figures.sensitive_rows_today,
            values,
            new_values,
            truncated: false,
            score: self.today.score(kind),
        }
    }

    /// Ends the current day.
    pub(super) fn close_day(&mut self) -> ClosedDay {
        let figures = &mut self.figures;
        for habits in &mut self.habits {
            habits.close_day(figures.day, figures.active_days);
        }
        let collapse = figures.close_day();
        let rows = self.volume(Measure::Rows).today();
        let found = ClosedDay { leak: self.leak.close_day(rows), collapse };
        self.hours.close_day();
        self.volumes.iter_mut().for_each(Volume::close_day);
        found
    }

    fn fade(&mut self, decay: f64) {
        self.habits.iter_mut().for_each(|habits| habits.fade(decay));
        self.hours.fade(decay);
        self.volumes.iter_mut().for_each(|volume| volume.fade(decay));
        self.figures.days *= decay;
        for usual in &mut self.figures.usual {
            for sum in [&mut usual.days, &mut usual.statements, &mut usual.sessions] {
                *sum *= decay;
            }
        }
    }

    pub(super) fn save(&self) -> SavedProfile {
        SavedProfile {
            figures: self.figures.clone(),
            habits: self.habits.iter().map(Habits::save).collect(),
            hours: self.hours.clone(),
            volumes: self.volumes.to_vec(),
            leak: self.leak.clone(),
            created: self.created.clone(),
            today: self.today.clone(),
            risk: self.risk.clone(),
        }
    }

    pub(super) fn load(saved: SavedProfile, settings: &BaselineSettings) -> Self {
        let mut saved_habits = saved.habits.into_iter();
        let habits = Family::REMEMBERED.map(|family| {
            let values_max = limit(family, settings);
            match saved_habits.next() {
                Some(saved) => Habits::load(saved, values_max),
                None => Habits::new(values_max),
            }
        });
        let mut volumes = saved.volumes.into_iter();
        let volumes =
            Measure::ALL.map(|measure| volumes.next().unwrap_or_else(|| Volume::new(measure)));
        let mut created = saved.created;
        created.set_limit();
        Self {
            figures: saved.figures,
            habits,
            hours: saved.hours,
            volumes,
            leak: saved.leak,
            created,
            today: saved.today,
            risk: saved.risk,
        }
    }
}

impl Figures {
    /// Ends the day; tells if its statements collapsed while its sessions went on.
    fn close_day(&mut self) -> Option<(u64, u64)> {
        // 1970-01-01 was a Thursday.
        let is_weekend = (self.day + 3).rem_euclid(7) >= 5;
        let (statements, sessions) = (self.statements_today, self.sessions_today.len());
        let usual = &mut self.usual[usize::from(is_weekend)];
        let days = usual.days.max(1.0);
        let expected = (usual.statements / days).exp_m1();
        let expected_sessions = (usual.sessions / days).exp_m1();
        let collapsed = usual.days >= 7.0
            && expected >= 50.0
            && (statements as f64) < expected * COLLAPSE
            && sessions as f64 >= expected_sessions / 2.0;
        usual.days += 1.0;
        usual.statements += (statements as f64).ln_1p();
        usual.sessions += (sessions as f64).ln_1p();
        self.is_open = false;
        self.interactive_today = false;
        self.sessions_today.clear();
        self.statements_today = 0;
        self.errors_today = 0;
        self.failed_logins_today = 0;
        self.sensitive_rows_today = 0;
        collapsed.then_some((statements, expected as u64))
    }
}

/// The family as the models call it.
pub(crate) fn model_family(family: Family) -> model::Family {
    match family {
        Family::Table => model::Family::Table,
        Family::Statement => model::Family::Statement,
        Family::Command => model::Family::Command,
        Family::Network => model::Family::Network,
        Family::Application | Family::Hour => model::Family::Application,
    }
}

fn limit(family: Family, settings: &BaselineSettings) -> usize {
    match family {
        Family::Table => settings.tables_max,
        Family::Statement => settings.fingerprints_max,
        _ => settings.values_max,
    }
}

/// Whether a table is one in which migration tools keep what they have done.
fn is_migration_list(table: &str) -> bool {
    const LISTS: &[&str] = &[
        "alembic_version",
        "django_migrations",
        "schema_migrations",
        "ar_internal_metadata",
        "flyway_schema_history",
        "databasechangelog",
        "databasechangeloglock",
        "knex_migrations",
        "goose_db_version",
        "_prisma_migrations",
        "__efmigrationshistory",
        "sequelizemeta",
        "__diesel_schema_migrations",
        "_sqlx_migrations",
    ];
    let name = table.rsplit('.').next().unwrap_or(table).trim_matches('"');
    LISTS.iter().any(|list| list.eq_ignore_ascii_case(name))
}

fn has_if_not_exists(sql: &str) -> bool {
    sql.to_ascii_lowercase().contains("exists")
}

/// Hash of a session id: it only has to tell the sessions of a day apart.
fn fnv(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}

/// A number with commas.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
