//! What the SQL of an event means: the one place that speaks with `statement`.

use std::sync::Arc;

use event::AuditEvent;
use event::vocabulary::Action;
use statement::{Analysis, Analyzer, Dialect, Facts};

/// Fingerprints whose facts are remembered, about 1 KiB each.
const FACTS_MAX: usize = 16_384;

/// Reads statements; remembers those it has seen.
pub(crate) struct Normaliser {
    analyzer: Analyzer,
}

/// What is known of one event beyond its columns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meaning {
    /// Hash of the normal form.
    pub(crate) fingerprint: Option<u64>,
    /// One bit per flag, of facts and text together: with the fingerprint it decides the facts.
    pub(crate) flag_bits: u64,
    facts: Option<Arc<Facts>>,
    flags: Vec<&'static str>,
    objects_read: Vec<String>,
    objects_written: Vec<String>,
}

impl Normaliser {
    pub(crate) fn new() -> Self {
        Self { analyzer: Analyzer::new(FACTS_MAX) }
    }

    /// Reads the SQL of `event`; an event without SQL still means the object that it names.
    pub(crate) fn read(&mut self, event: &AuditEvent<'_>, meaning: &mut Meaning) {
        meaning.clear();
        match event.statement {
            Some(sql) => meaning.set(self.analyzer.analyze(sql, dialect(event.engine))),
            None => meaning.set_object(event),
        }
    }
}

fn dialect(engine: &str) -> Dialect {
    match engine {
        "mysql" | "mariadb" => Dialect::MySql,
        _ => Dialect::PostgreSql,
    }
}

impl Meaning {
    /// The engine's tag in the words of the SQL.
    pub(crate) fn command(&self) -> Option<&str> {
        self.facts
            .as_ref()
            .map(|facts| facts.command.as_str())
            .filter(|command| !command.is_empty())
    }

    /// Tables read.
    pub(crate) fn tables_read(&self) -> &[String] {
        self.facts.as_ref().map_or(&self.objects_read, |facts| &facts.tables_read)
    }

    /// Tables written.
    pub(crate) fn tables_written(&self) -> &[String] {
        self.facts.as_ref().map_or(&self.objects_written, |facts| &facts.tables_written)
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

    /// Adds a flag that is not the statement's own but its session's.
    pub(crate) fn add_flag(&mut self, flag: &'static str, bit: u64) {
        self.flag_bits |= bit;
        self.flags.push(flag);
    }

    fn clear(&mut self) {
        self.fingerprint = None;
        self.flag_bits = 0;
        self.facts = None;
        self.flags.clear();
        self.objects_read.clear();
        self.objects_written.clear();
    }

    fn set(&mut self, analysis: Analysis) {
        self.fingerprint = Some(analysis.fingerprint.0);
        for flag in analysis.flags() {
            self.flag_bits |= 1 << flag as u64;
            self.flags.push(flag.name());
        }
        self.facts = Some(analysis.facts);
    }

    fn set_object(&mut self, event: &AuditEvent<'_>) {
        let (Some(object), Some(kind)) = (event.object, event.object_kind) else { return };
        let is_table = ["TABLE", "VIEW"].iter().any(|word| kind.ends_with(word));
        if !is_table {
            return;
        }
        match event.action {
            Action::Read => self.objects_read.push(object.to_owned()),
            Action::Write | Action::Define => self.objects_written.push(object.to_owned()),
            _ => {}
        }
    }
}
