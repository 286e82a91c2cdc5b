//! Turns stretches of time into the log of the company's database.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Datelike, Weekday};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::act::{Act, ActKind, Client, Plan};
use crate::attack::Attack;
use crate::company::{Company, Kind, Persona, Statement};
use crate::server::{Backend, Server};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;
const WORDS: [&str; 12] = [
    "amber", "birch", "cedar", "dover", "ember", "fjord", "grove", "haven", "iris", "juniper",
    "kelp", "linden",
];

/// The company at work. The same seed and the same calls give the same bytes.
pub struct Simulation {
    company: Arc<Company>,
    random: ChaCha8Rng,
    server: Server,
    live: Live,
}

/// Sessions that go on from one stretch of live traffic to the next.
#[derive(Default)]
struct Live {
    sessions: usize,
    clients: HashMap<usize, Client>,
    backends: HashMap<usize, Backend>,
    /// What they will do, in the order of time and then of planning.
    acts: BTreeMap<(i64, u64), Act>,
    planned: u64,
}

impl Simulation {
    /// A company whose chance is the seed's.
    pub fn new(company: Company, seed: u64) -> Self {
        Self {
            company: Arc::new(company),
            random: ChaCha8Rng::seed_from_u64(seed),
            server: Server::new(),
            live: Live::default(),
        }
    }

    /// Appends the log of one whole day that begins at `midnight`, microseconds since 1970, UTC.
    pub fn day(&mut self, midnight: i64, out: &mut Vec<u8>) {
        let mut plan = Plan::default();
        self.plan(&mut plan, midnight, midnight, midnight + DAY, 1.0);
        self.write(plan, out);
    }

    /// Appends the log of ordinary work between two moments of one day, `pace` times as busy as
    /// history. Sessions go on from one stretch to the next.
    pub fn traffic(&mut self, from: i64, to: i64, pace: f64, out: &mut Vec<u8>) {
        let mut plan = Plan::default();
        self.plan(&mut plan, from.div_euclid(DAY) * DAY, from, to, pace);
        self.live.take(plan);
        self.live.write_until(to, &mut self.server, out);
    }

    /// Appends what the database logs of an attack that begins at `from`.
    pub fn attack(&mut self, attack: Attack, from: i64, out: &mut Vec<u8>) {
        let mut plan = Plan::default();
        attack.plan(from, &mut plan);
        self.write(plan, out);
    }

    fn plan(&mut self, plan: &mut Plan, midnight: i64, from: i64, to: i64, pace: f64) {
        let company = self.company.clone();
        let weekend = is_weekend(midnight);
        for persona in &company.personas {
            let first = midnight + i64::from(persona.hours[0]) * HOUR;
            let last = midnight + i64::from(persona.hours[1]) * HOUR;
            let (start, end) = (first.max(from), last.min(to));
            if start >= end {
                continue;
            }
            let share = (end - start) as f64 / (last - first) as f64;
            let activity = if weekend { persona.weekend } else { 1.0 };
            let expected = f64::from(persona.sessions) * share * activity * pace;
            for (index, user) in persona.users.iter().enumerate() {
                for _ in 0..self.count(expected) {
                    let time = self.random.random_range(start..end);
                    self.session(plan, &company, persona, (index, user), time, last);
                }
            }
        }
    }

    /// A whole number whose mean is `expected`.
    fn count(&mut self, expected: f64) -> u32 {
        let spread = expected * self.random.random_range(0.85..1.15);
        spread.floor() as u32 + u32::from(self.random.random_bool(spread.fract().clamp(0.0, 1.0)))
    }

    fn session(
        &mut self,
        plan: &mut Plan,
        company: &Company,
        persona: &Persona,
        (index, user): (usize, &String),
        start: i64,
        end: i64,
    ) {
        // People keep their machine; services run on three of them.
        let host = match persona.kind {
            Kind::Service => 11 + self.random.random_range(0..3),
            _ => 21 + index,
        };
        let session = plan.session(Client {
            user: user.clone(),
            database: "shop".to_owned(),
            application: persona.application.clone(),
            address: format!("{}.{host}", persona.network),
            port: self.random.random_range(32_768..60_999),
        });
        plan.act(session, start, ActKind::Connect);
        let statements = &company.statements[&persona.statements];
        let mut time = start + 20_000;
        for number in 0..self.count(f64::from(persona.session_statements)) {
            time += self.pause(persona.kind);
            // A session of which nothing is audited would be a case.
            if time >= end && number > 0 {
                break;
            }
            let ad_hoc = persona.kind == Kind::Analyst && self.random.random_bool(0.25);
            let statement = if ad_hoc { self.invent(company) } else { self.choose(statements) };
            let typo = ad_hoc && self.random.random_bool(0.06);
            let kind = if typo {
                ActKind::Fail(statement, "42703", "column \"totl_cents\" does not exist")
            } else {
                ActKind::Run(statement)
            };
            plan.act(session, time, kind);
        }
        plan.act(session, time + 1_000, ActKind::Disconnect);
    }

    fn pause(&mut self, kind: Kind) -> i64 {
        let (shortest, longest) = match kind {
            Kind::Service | Kind::Etl | Kind::Bi => (4_000, 3 * SECOND),
            Kind::Analyst | Kind::Support | Kind::Dba => (2 * SECOND, 90 * SECOND),
        };
        self.random.random_range(shortest..longest)
    }

    /// Earlier statements of the list more often than later ones.
    fn choose(&mut self, statements: &[Statement]) -> Statement {
        let widest = statements.len() as f64;
        let index = (widest.powf(self.random.random_range(0.0..1.0)) - 1.0) as usize;
        let statement = &statements[index.min(statements.len() - 1)];
        Statement {
            sql: self.fill(&statement.sql),
            object: statement.object.as_deref().map(|object| self.fill(object)),
            ..statement.clone()
        }
    }

    fn invent(&mut self, company: &Company) -> Statement {
        let ad_hoc = &company.ad_hoc;
        let mut pick = |texts: &[String]| texts[self.random.random_range(0..texts.len())].clone();
        let (dimension, measure) = (pick(&ad_hoc.dimensions), pick(&ad_hoc.measures));
        let (table, filter) = (pick(&ad_hoc.tables), pick(&ad_hoc.filters));
        let sql = format!(
            "SELECT {dimension}, {measure} FROM {table} WHERE {filter} GROUP BY 1 ORDER BY 2 DESC"
        );
        Statement {
            class: "READ".to_owned(),
            command: "SELECT".to_owned(),
            object: Some(table),
            sql: self.fill(&sql),
        }
    }

    fn fill(&mut self, sql: &str) -> String {
        let mut filled = String::with_capacity(sql.len() + 16);
        let mut rest = sql;
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            let (place, after) = after.split_once('}').unwrap_or(("", after));
            match place {
                "n" => filled.push_str(&self.random.random_range(1..5_000).to_string()),
                "id" => filled.push_str(&self.random.random_range(1..200_000).to_string()),
                "hex" => filled.push_str(&format!("{:016x}", self.random.random::<u64>())),
                "word" => filled.push_str(WORDS[self.random.random_range(0..WORDS.len())]),
                "day" => filled.push_str(&format!(
                    "2026-{:02}-{:02}",
                    self.random.random_range(1..=12),
                    self.random.random_range(1..=28)
                )),
                other => filled.push_str(other),
            }
            rest = after;
        }
        filled.push_str(rest);
        filled
    }

    fn write(&mut self, plan: Plan, out: &mut Vec<u8>) {
        let (clients, acts) = plan.in_order();
        let mut backends: HashMap<usize, Backend> = HashMap::new();
        for act in &acts {
            let server = &mut self.server;
            let mut backend =
                backends.remove(&act.session).unwrap_or_else(|| server.backend(act.time));
            server.log(act, &clients[act.session], &mut backend, out);
            if !matches!(act.kind, ActKind::Disconnect | ActKind::FailToConnect) {
                backends.insert(act.session, backend);
            }
        }
    }
}

impl Live {
    fn take(&mut self, plan: Plan) {
        let (clients, acts) = plan.in_order();
        let first = self.sessions;
        self.sessions += clients.len();
        self.clients.extend((first..).zip(clients));
        for act in acts {
            self.planned += 1;
            let session = first + act.session;
            self.acts.insert((act.time, self.planned), Act { session, ..act });
        }
    }

    fn write_until(&mut self, to: i64, server: &mut Server, out: &mut Vec<u8>) {
        let later = self.acts.split_off(&(to, 0));
        for (_, act) in std::mem::replace(&mut self.acts, later) {
            let Some(client) = self.clients.get(&act.session) else { continue };
            let mut backend =
                self.backends.remove(&act.session).unwrap_or_else(|| server.backend(act.time));
            server.log(&act, client, &mut backend, out);
            if matches!(act.kind, ActKind::Disconnect | ActKind::FailToConnect) {
                self.clients.remove(&act.session);
            } else {
                self.backends.insert(act.session, backend);
            }
        }
    }
}

fn is_weekend(midnight: i64) -> bool {
    let day = DateTime::from_timestamp_micros(midnight).unwrap_or_default();
    matches!(day.weekday(), Weekday::Sat | Weekday::Sun)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-16, a Monday.
    const MONDAY: i64 = 1_794_787_200 * SECOND;

    fn lines(from: i64) -> Vec<u8> {
        let mut simulation = Simulation::new(Company::small(), 7);
        let mut log = Vec::new();
        simulation.day(from, &mut log);
        log
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        assert_eq!(lines(MONDAY), lines(MONDAY));
        assert_ne!(lines(MONDAY), lines(MONDAY + DAY));
    }

    #[test]
    fn people_rest_on_sundays() {
        let of_people = |log: Vec<u8>| {
            let text = String::from_utf8(log).expect("the log is text");
            text.lines().filter(|line| line.contains("\"DBeaver\"")).count()
        };
        let (monday, sunday) = (of_people(lines(MONDAY)), of_people(lines(MONDAY + 6 * DAY)));
        assert!(monday > 50 && sunday * 5 < monday, "{monday} on Monday, {sunday} on Sunday");
    }

    #[test]
    fn records_are_in_the_order_of_time() {
        let log = String::from_utf8(lines(MONDAY)).expect("the log is text");
        let times: Vec<&str> = log.lines().map(|line| &line[..23]).collect();
        assert!(times.len() > 3_000, "{} lines", times.len());
        assert!(times.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!(log.lines().all(|line| line.ends_with(",,0")), "26 columns, one line each");
    }

    #[test]
    fn live_sessions_go_on_from_stretch_to_stretch() {
        let mut simulation = Simulation::new(Company::small(), 7);
        let (noon, mut log) = (MONDAY + 12 * HOUR, Vec::new());
        for step in 0..2_400 {
            let from = noon + step * SECOND / 4;
            simulation.traffic(from, from + SECOND / 4, 20.0, &mut log);
        }
        let log = String::from_utf8(log).expect("the log is text");
        let count = |word: &str| log.lines().filter(|line| line.contains(word)).count();
        let (sessions, statements) = (count("connection authorized"), count("AUDIT: "));
        assert!(sessions > 20 && statements > sessions * 10, "{statements} in {sessions} sessions");
    }

    #[test]
    fn every_attack_leaves_a_trace() {
        for attack in Attack::ALL {
            let mut log = Vec::new();
            Simulation::new(Company::small(), 7).attack(attack, MONDAY, &mut log);
            assert!(log.len() > 500, "{attack:?}: {}", attack.story());
        }
    }
}
