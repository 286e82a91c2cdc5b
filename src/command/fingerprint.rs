//! `querywatch fingerprint`: what SQL texts mean, one JSON object a line.

use std::io::{BufRead, BufWriter, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::json;
use statement::{Analyzer, Dialect, Normalizer};

/// Fingerprints whose facts are remembered.
const FACTS_MAX: usize = 10_000;

/// Arguments of `fingerprint`.
#[derive(Args)]
pub struct Fingerprint {
    /// Dialect of the SQL: postgresql or mysql
    #[arg(long, default_value = "postgresql")]
    dialect: Dialect,
}

impl Fingerprint {
    /// Reads NDJSON strings from standard input until it ends.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut normalizer = Normalizer::default();
        let mut analyzer = Analyzer::new(FACTS_MAX);
        let mut out = BufWriter::new(std::io::stdout().lock());
        for (index, line) in std::io::stdin().lock().lines().enumerate() {
            let line = line.context("standard input cannot be read")?;
            if line.trim().is_empty() {
                continue;
            }
            let sql: String = serde_json::from_str(&line)
                .with_context(|| format!("line {} is no JSON string", index + 1))?;
            let analysis = analyzer.analyze(&sql, self.dialect);
            let facts = &analysis.facts;
            let object = json!({
                "fingerprint": analysis.fingerprint.to_string(),
                "normal_form": normalizer.normalize(&sql, self.dialect).normal_form,
                "command": facts.command,
                "tables_read": facts.tables_read,
                "tables_written": facts.tables_written,
                "columns": facts.columns,
                "functions": facts.functions,
                "flags": facts.flags,
            });
            writeln!(out, "{object}").context("standard output cannot be written")?;
        }
        out.flush().context("standard output cannot be written")?;
        Ok(ExitCode::SUCCESS)
    }
}
