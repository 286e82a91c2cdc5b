//! The command line: one subcommand a file, and nothing here but their names.

mod completions;
mod config;
mod demo;
mod doctor;
mod fingerprint;
mod ingest;
mod parse;
mod rules;
mod run;
mod sql;
mod token;

use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand};

/// Open database activity monitoring: reads audit logs, learns what is normal, says what is wrong.
#[derive(Parser)]
#[command(name = "querywatch", version, propagate_version = true)]
pub struct CommandLine {
    /// Say more; twice for details, three times for everything
    #[arg(short, long, action = ArgAction::Count, global = true)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// A simulated company on this machine: history, live traffic, attacks
    Demo(demo::Demo),
    /// Watch the configured sources, detect, alert, answer
    Run(run::Run),
    /// Read logs that exist to their end, then print a summary
    Ingest(ingest::Ingest),
    /// Print the events of a log as NDJSON; rejects go to standard error
    Parse(parse::Parse),
    /// Print fingerprint and facts of SQL texts (NDJSON strings on standard input)
    Fingerprint(fingerprint::Fingerprint),
    /// Query the stored events
    Sql(sql::Sql),
    /// List, check or test detection rules
    Rules(rules::Rules),
    /// Check or show the settings
    Config(config::Config),
    /// Create, list or revoke access tokens
    Token(token::Token),
    /// Look for what would keep Querywatch from working here
    Doctor(doctor::Doctor),
    /// Print a completion script for a shell
    Completions(completions::Completions),
}

impl CommandLine {
    /// How often `-v` was given.
    pub fn verbosity(&self) -> u8 {
        self.verbose
    }

    /// Runs the subcommand; the exit code is 0 for done, 1 for something found or failed.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Demo(demo) => demo.run(),
            Command::Run(run) => run.run(),
            Command::Ingest(ingest) => ingest.run(),
            Command::Parse(parse) => parse.run(),
            Command::Fingerprint(fingerprint) => fingerprint.run(),
            Command::Sql(sql) => sql.run(),
            Command::Rules(rules) => rules.run(),
            Command::Config(config) => config.run(),
            Command::Token(token) => token.run(),
            Command::Doctor(doctor) => doctor.run(),
            Command::Completions(completions) => completions.run(),
        }
    }
}

/// Arguments that cannot be meant; the exit code says so.
#[derive(Debug)]
pub struct WrongUsage;

impl std::fmt::Display for WrongUsage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("wrong usage")
    }
}
