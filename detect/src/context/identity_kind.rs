//! What an identity is, by what it does: a person at a tool, or a program with its few statements.

use event::vocabulary::ActorKind;

/// Names of programs that people sit in front of, in lower case.
const INTERACTIVE: &[&str] = &[
    "psql",
    "pgcli",
    "mysql",
    "mycli",
    "mariadb",
    "dbeaver",
    "pgadmin",
    "datagrip",
    "intellij",
    "navicat",
    "heidisql",
    "tableplus",
    "postico",
    "beekeeper",
    "azure data studio",
    "mysql workbench",
    "mysqlworkbench",
    "sqlworkbench",
    "squirrel",
];

/// Whether people use the program to type SQL.
pub(super) fn is_interactive(application: &str) -> bool {
    let name = application.to_ascii_lowercase();
    INTERACTIVE.iter().any(|program| name.starts_with(program))
}

/// The application without what changes from run to run: versions, process ids, host names.
///
/// `puma: cluster worker 2: 44125 [shop]` is `puma: cluster worker`, `DBeaver 24.1.0 - Main` is
/// `DBeaver`.
pub(crate) fn application_name(application: &str) -> &str {
    let end = application.find(|c: char| c.is_ascii_digit() || c == '[' || c == '@');
    let name = application[..end.unwrap_or(application.len())]
        .trim_end_matches([' ', '-', ':', '/', '_', '.', 'v']);
    if name.is_empty() { application } else { name }
}

/// How an identity has to be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conduct {
    /// A near-closed set of statements from few places: what is new is serious.
    Closed,
    /// Invents SQL as its work: only the way in is telling.
    Inventive,
    /// Not known yet.
    Unknown,
}

/// What is known about how an identity behaves.
pub(super) struct Traits {
    /// Active days with an interactive program first.
    pub(super) interactive_days: u32,
    pub(super) active_days: u32,
    /// New statements are expected on so many of its days, 0–1.
    pub(super) novelty: f64,
    /// Different hours of the day in which it was active.
    pub(super) hours: u32,
}

/// How to judge an identity, and what it is: what the operator or the source says, else what its
/// traits say.
pub(super) fn conduct(
    settings: Option<ActorKind>,
    source: Option<ActorKind>,
    traits: &Traits,
) -> (Conduct, ActorKind) {
    let said = settings.or(source).unwrap_or(ActorKind::Unknown);
    match said {
        ActorKind::Service | ActorKind::Etl => return (Conduct::Closed, said),
        ActorKind::Human | ActorKind::Dba | ActorKind::Agent => return (Conduct::Inventive, said),
        ActorKind::Bi | ActorKind::Unknown => {}
    }
    let or = |kind| if said == ActorKind::Unknown { kind } else { said };
    if traits.interactive_days > 0 && traits.interactive_days * 2 >= traits.active_days {
        (Conduct::Inventive, or(ActorKind::Human))
    } else if traits.novelty < 0.3 && (traits.hours >= 12 || traits.interactive_days == 0) {
        (Conduct::Closed, or(ActorKind::Service))
    } else {
        (Conduct::Unknown, said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_changes() {
        for (name, expected) in [
            ("puma: cluster worker 2: 44125 [shop]", "puma: cluster worker"),
            ("DBeaver 24.1.0 - Main", "DBeaver"),
            ("PostgreSQL JDBC Driver", "PostgreSQL JDBC Driver"),
            ("sidekiq-7.2", "sidekiq"),
            ("7z", "7z"),
        ] {
            assert_eq!(application_name(name), expected);
        }
    }

    #[test]
    fn tools_are_told_from_drivers() {
        assert!(is_interactive("psql") && is_interactive("DBeaver 24.1.0 - Main"));
        assert!(!is_interactive("PostgreSQL JDBC Driver") && !is_interactive("checkout-api"));
    }
}
