//! `querywatch config`: the settings, checked or shown.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use respond::Respond;

use crate::config::{self, DEFAULTS};
use crate::terminal::count;

/// Arguments of `config`.
#[derive(Args)]
pub struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Check a file of settings, together with the environment
    Check {
        /// The file; the usual places if not named
        file: Option<PathBuf>,
    },
    /// Show the settings in force, defaults included
    Show {
        /// The file; the usual places if not named
        file: Option<PathBuf>,
    },
    /// Print every setting with its default and its meaning
    Defaults,
}

impl Config {
    /// Exit code 1, with the place and the cure, if a setting is wrong.
    #[expect(clippy::print_stdout, reason = "the settings are the command's output")]
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.action {
            Action::Check { file } => {
                let settings = config::load(file.as_deref())?;
                Respond::check(&settings.respond)?;
                detect::RuleSet::from_settings(&settings.detect.rules)?;
                let sources = count(settings.sources.len() as u64, "source");
                println!("the settings are right; {sources}");
            }
            Action::Show { file } => {
                print!("{}", config::to_toml(&config::load(file.as_deref())?)?)
            }
            Action::Defaults => print!("{DEFAULTS}"),
        }
        Ok(ExitCode::SUCCESS)
    }
}
