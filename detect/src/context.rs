//! What is usual for whoever caused an event, computed before the rules look at it.
//!
//! # Layout
//!
//! `clock` bounds the time of an instance · `profile` holds what one identity does, with its
//! `habits`, `hours`, `volume` and `leak` · `identity_kind` says what an identity is · `audit_gap`
//! tells what is missing · `identities` keeps all of them and closes their hours and days.

mod audit_gap;
mod clock;
mod created;
mod habits;
mod hours;
mod identities;
mod identity_kind;
mod leak;
mod profile;
mod value;
mod volume;

use event::vocabulary::ActorKind;

pub(crate) use audit_gap::AuditGaps;
pub use clock::Clocks;
pub(crate) use identities::{Closed, Identities, Looked, SavedIdentities};
pub(crate) use identity_kind::{Conduct, application_name};
pub(crate) use profile::{ClosedDay, Profile, grouped, model_family};
pub(crate) use value::Family;
pub(crate) use volume::Measure;

/// What is usual, as rules see it.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// What the identity is: said by the operator or the source, else judged by what it does.
    pub(crate) identity_kind: ActorKind,
    pub(crate) account_age: AccountAge,
    /// One bit for each [`Family`] in which the event has a value that its identity has never had
    /// before today, and one for the identity itself.
    pub(crate) first_seen: u16,
    /// Chance of the rarest value of each family on a day of the identity.
    pub(crate) rarity: [Option<f64>; Family::COUNT],
    /// Share of the identity's peers that hold the rarest of the tables; none without peers.
    pub(crate) peer_share: Option<f64>,
    /// Share of the identity's statements that gave no more rows than this one.
    pub(crate) rows_percentile: Option<f64>,
    /// Highest level among the tables.
    pub(crate) sensitivity: Option<i32>,
    /// Days on which the identity was active before today.
    pub(crate) active_days: u32,
    pub(crate) in_change_window: bool,
    /// Whether the identity made each of the tables that are written, or the database.
    pub(crate) owns_tables: bool,
    /// Whether the session has looked at the list of a migration tool. Anyone can do that.
    pub(crate) in_migration: bool,
}

/// How long an identity has been known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AccountAge {
    /// First seen today.
    New,
    /// Too little is known to call something unusual for it.
    Learning,
    /// Enough is known.
    Known,
}

/// The bit of the identity itself in `first_seen`.
const IDENTITY: u16 = 1 << Family::COUNT;

impl Default for Context {
    fn default() -> Self {
        Self {
            identity_kind: ActorKind::Unknown,
            account_age: AccountAge::New,
            first_seen: 0,
            rarity: [None; Family::COUNT],
            peer_share: None,
            rows_percentile: None,
            sensitivity: None,
            active_days: 0,
            in_change_window: false,
            owns_tables: false,
            in_migration: false,
        }
    }
}

impl Context {
    /// Notes a value that was never seen before today, or the identity itself for none.
    pub(crate) fn see_first(&mut self, family: Option<Family>) {
        self.first_seen |= family.map_or(IDENTITY, |family| 1 << family as usize);
    }

    /// Notes how rare a value is; the rarest of a family counts.
    pub(crate) fn see_rare(&mut self, family: Family, chance: f64) {
        let rarest = &mut self.rarity[family as usize];
        *rarest = Some(rarest.map_or(chance, |known| known.min(chance)));
    }

    /// A field of few values, such as `first_seen.table`; none if there is no such field.
    pub(crate) fn text(&self, name: &str) -> Option<&'static str> {
        let word = |holds: bool| Some(if holds { "true" } else { "false" });
        match name {
            "identity_kind" => Some(self.identity_kind.as_str()),
            "account_age" => Some(match self.account_age {
                AccountAge::New => "new",
                AccountAge::Learning => "learning",
                AccountAge::Known => "known",
            }),
            "change_window" => word(self.in_change_window),
            "own_tables" => word(self.owns_tables),
            "migration" => word(self.in_migration),
            "first_seen.identity" => word(self.first_seen & IDENTITY != 0),
            _ => {
                let family = Family::named(name.strip_prefix("first_seen.")?)?;
                word(self.first_seen & (1 << family as usize) != 0)
            }
        }
    }

    /// A measure from 0 to 1, such as `rows_percentile`; none if it is not known.
    pub(crate) fn measure(&self, name: &str) -> Option<f64> {
        match name {
            "peer_share" => self.peer_share,
            "rows_percentile" => self.rows_percentile,
            _ => self.rarity[Family::named(name.strip_prefix("rarity.")?)? as usize],
        }
    }
}
