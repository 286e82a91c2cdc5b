//! What the statement of an event does: its facts, united with the objects that the server names.
//!
//! The one place that speaks with `statement`. A view hides its tables from the text, and the
//! search path hides their schema; what the server resolved is canonical.

mod canonical;

use std::sync::Arc;

use event::AuditEvent;
use event::vocabulary::Action;
use statement::{Analysis, Analyzer, Dialect, Facts};

pub(crate) use canonical::TableNames;

/// Fingerprints whose facts are remembered, about 1 KiB each.
const FACTS_MAX: usize = 16_384;

/// Analyses statements; remembers the facts of those that it met lately.
pub(crate) struct StatementAnalyzer {
    analyzer: Analyzer,
    /// Schemas of tables, as the server resolved them.
    pub(crate) table_names: TableNames,
}

/// What is known of one event beyond its columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct StatementAnalysis {
    /// Hash of the normal form.
    pub(crate) fingerprint: Option<u64>,
    /// By which baselines know the statement; `Facts::baseline_fingerprint`.
    pub(crate) baseline_fingerprint: Option<u64>,
    /// One bit per flag, of facts and text together: with the fingerprint it decides the facts.
    pub(crate) flag_bits: u64,
    facts: Option<Arc<Facts>>,
    flags: Vec<&'static str>,
    /// The tables, where they are not those of the facts.
    tables: Option<Tables>,
}

#[derive(Clone, Debug, Default)]
struct Tables {
    read: Vec<String>,
    written: Vec<String>,
}

impl StatementAnalyzer {
    pub(crate) fn new() -> Self {
        Self { analyzer: Analyzer::new(FACTS_MAX), table_names: TableNames::default() }
    }

    /// Analyses the SQL of `event`; an event without SQL still means the object that it names.
    pub(crate) fn analyze(&mut self, event: &AuditEvent<'_>, analysis: &mut StatementAnalysis) {
        analysis.clear();
        if let Some(sql) = event.statement {
            analysis.set(self.analyzer.analyze(sql, dialect(event.engine)));
        }
        let object = resolved_table(event);
        if let Some(object) = object {
            self.table_names.learn(event, object);
        }
        analysis.unite(event, object, &mut self.table_names);
    }
}

/// The dialect of an engine.
pub(crate) fn dialect(engine: &str) -> Dialect {
    match engine {
        "mysql" | "mariadb" => Dialect::MySql,
        _ => Dialect::PostgreSql,
    }
}

/// What a statement aims at, such as `program /opt/etl/fetch.sh` or `path /etc/passwd`: what makes
/// two acts of one kind different. Read from the text when a rule has matched, not before.
pub(crate) fn targets(event: &AuditEvent<'_>) -> Vec<String> {
    let Some(sql) = event.statement else { return Vec::new() };
    statement::targets(sql, dialect(event.engine)).iter().map(ToString::to_string).collect()
}

/// The table or view that the server names for this record.
fn resolved_table<'a>(event: &AuditEvent<'a>) -> Option<&'a str> {
    let kind = event.object_kind?;
    let is_table = ["TABLE", "VIEW"].iter().any(|word| kind.ends_with(word));
    event.object.filter(|object| is_table && !object.is_empty())
}

impl StatementAnalysis {
    /// The engine's tag in the words of the SQL.
    pub(crate) fn command(&self) -> Option<&str> {
        self.facts
            .as_ref()
            .map(|facts| facts.command.as_str())
            .filter(|command| !command.is_empty())
    }

    /// Tables read.
    pub(crate) fn tables_read(&self) -> &[String] {
        match (&self.tables, &self.facts) {
            (Some(tables), _) => &tables.read,
            (None, Some(facts)) => &facts.tables_read,
            (None, None) => &[],
        }
    }

    /// Tables written.
    pub(crate) fn tables_written(&self) -> &[String] {
        match (&self.tables, &self.facts) {
            (Some(tables), _) => &tables.written,
            (None, Some(facts)) => &facts.tables_written,
            (None, None) => &[],
        }
    }

    /// All tables, those that are read first.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &String> {
        self.tables_read().iter().chain(self.tables_written())
    }

    /// Columns named.
    pub(crate) fn columns(&self) -> &[String] {
        self.facts.as_ref().map_or(&[], |facts| &facts.columns)
    }

    /// Functions called.
    pub(crate) fn functions(&self) -> &[String] {
        self.facts.as_ref().map_or(&[], |facts| &facts.functions)
    }

    /// Names of the flags, of the facts and of the text.
    pub(crate) fn flags(&self) -> &[&'static str] {
        &self.flags
    }

    /// Whether the tables are not those that the fingerprint decides.
    pub(crate) fn has_own_tables(&self) -> bool {
        self.tables.is_some()
    }

    /// Adds a flag that is not the statement's own but its session's.
    pub(crate) fn add_flag(&mut self, flag: &'static str, bit: u64) {
        self.flag_bits |= bit;
        self.flags.push(flag);
    }

    fn clear(&mut self) {
        self.fingerprint = None;
        self.baseline_fingerprint = None;
        self.flag_bits = 0;
        self.facts = None;
        self.flags.clear();
        self.tables = None;
    }

    fn set(&mut self, analysis: Analysis) {
        self.fingerprint = Some(analysis.fingerprint.0);
        self.baseline_fingerprint = Some(analysis.facts.baseline_fingerprint.0);
        for flag in analysis.flags() {
            self.flag_bits |= 1 << flag as u64;
            self.flags.push(flag.name());
        }
        self.facts = Some(analysis.facts);
    }

    /// Gives tables their schema where it is known, and adds the one that the server names.
    fn unite(&mut self, event: &AuditEvent<'_>, object: Option<&str>, names: &mut TableNames) {
        let resolved = |tables: &[String], names: &mut TableNames| {
            let mut resolved = None::<Vec<String>>;
            for (index, table) in tables.iter().enumerate() {
                if let Some(name) = names.resolve(event, table) {
                    resolved.get_or_insert_with(|| tables.to_vec())[index] = name;
                }
            }
            resolved
        };
        let read = resolved(self.tables_read(), names);
        let written = resolved(self.tables_written(), names);
        let is_named = |object: &str| {
            let mut tables = read.iter().flatten().chain(written.iter().flatten());
            tables.any(|table| table == object) || self.tables().any(|table| table == object)
        };
        let object = object.filter(|object| !is_named(object));
        if read.is_none() && written.is_none() && object.is_none() {
            return;
        }
        let mut tables = Tables {
            read: read.unwrap_or_else(|| self.tables_read().to_vec()),
            written: written.unwrap_or_else(|| self.tables_written().to_vec()),
        };
        match (object, event.action) {
            (Some(object), Action::Read) => tables.read.push(object.to_owned()),
            (Some(object), Action::Write | Action::Define) => {
                tables.written.push(object.to_owned());
            }
            _ => {}
        }
        self.tables = Some(tables);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event<'a>(sql: Option<&'a str>, object: Option<&'a str>) -> AuditEvent<'a> {
        AuditEvent {
            action: Action::Read,
            database: Some("shop"),
            statement: sql,
            object,
            object_kind: object.map(|_| "TABLE"),
            ..AuditEvent::new("log", "test", "postgresql", "main")
        }
    }

    fn tables(analyzer: &mut StatementAnalyzer, event: &AuditEvent<'_>) -> Vec<String> {
        let mut analysis = StatementAnalysis::default();
        analyzer.analyze(event, &mut analysis);
        analysis.tables_read().to_vec()
    }

    #[test]
    fn the_name_of_the_server_is_canonical() {
        let mut analyzer = StatementAnalyzer::new();
        let text = Some("select * from salaries");
        assert_eq!(tables(&mut analyzer, &event(text, None)), ["salaries"]);
        assert_eq!(tables(&mut analyzer, &event(text, Some("hr.salaries"))), ["hr.salaries"]);
        assert_eq!(tables(&mut analyzer, &event(text, None)), ["hr.salaries"], "learnt");
        let other = AuditEvent { database: Some("other"), ..event(text, None) };
        assert_eq!(tables(&mut analyzer, &other), ["salaries"], "another database");
    }

    #[test]
    fn a_view_does_not_hide_its_table() {
        let mut analyzer = StatementAnalyzer::new();
        let view = event(Some("select * from pay"), Some("hr.salaries"));
        assert_eq!(tables(&mut analyzer, &view), ["pay", "hr.salaries"]);
        assert_eq!(tables(&mut analyzer, &event(None, Some("hr.salaries"))), ["hr.salaries"]);
    }

    #[test]
    fn a_name_in_two_schemas_is_left_as_it_is_written() {
        let mut analyzer = StatementAnalyzer::new();
        for object in ["hr.notes", "public.notes"] {
            tables(&mut analyzer, &event(None, Some(object)));
        }
        assert_eq!(tables(&mut analyzer, &event(Some("select * from notes"), None)), ["notes"]);
    }
}
