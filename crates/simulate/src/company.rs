//! Who works at the simulated company and what they send; read from `company.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

const COMPANY: &str = include_str!("company.toml");

/// The people, the services and their SQL.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Company {
    pub(crate) statements: BTreeMap<String, Vec<Statement>>,
    pub(crate) ad_hoc: AdHoc,
    pub(crate) personas: Vec<Persona>,
}

/// Accounts that behave alike.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Persona {
    pub(crate) users: Vec<String>,
    pub(crate) kind: Kind,
    pub(crate) application: String,
    /// First three numbers of the addresses they come from.
    pub(crate) network: String,
    /// Which list of statements they draw from.
    pub(crate) statements: String,
    /// First hour of their day and the hour after their last, UTC.
    pub(crate) hours: [u32; 2],
    /// Activity on Saturday and Sunday relative to other days.
    pub(crate) weekend: f64,
    /// Sessions on an ordinary day, for each user.
    pub(crate) sessions: u32,
    /// Statements in an ordinary session.
    pub(crate) session_statements: u32,
}

/// What an account is used by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// A program with few statements.
    Service,
    /// A scheduled data job.
    Etl,
    /// A reporting tool.
    Bi,
    /// Someone who writes SQL all day.
    Analyst,
    /// Someone who looks things up for customers.
    Support,
    /// Someone who keeps the databases running.
    Dba,
}

/// The vocabulary of ad-hoc statements.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdHoc {
    pub(crate) dimensions: Vec<String>,
    pub(crate) measures: Vec<String>,
    pub(crate) tables: Vec<String>,
    pub(crate) filters: Vec<String>,
}

/// One statement as pgaudit will log it, with places for values.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Statement {
    pub(crate) class: String,
    pub(crate) command: String,
    pub(crate) object: Option<String>,
    pub(crate) sql: String,
}

impl Company {
    /// The company of `company.toml`.
    pub fn small() -> Self {
        toml::from_str(COMPANY).expect("company.toml is part of the program and tested")
    }

    /// How many accounts there are.
    pub fn accounts(&self) -> usize {
        self.personas.iter().map(|persona| persona.users.len()).sum()
    }
}

impl TryFrom<String> for Statement {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (head, sql) =
            text.split_once(" | ").ok_or("a statement reads `CLASS COMMAND | sql`")?;
        let mut words = head.split(' ');
        let class = words.next().unwrap_or_default().to_owned();
        let command = words.next().ok_or("a statement names its command")?.replace('_', " ");
        let object = words.next().map(str::to_owned);
        Ok(Self { class, command, object, sql: sql.to_owned() })
    }
}
