//! `querywatch completions`: a script that teaches a shell the command line.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Arguments of `completions`.
#[derive(Args)]
pub struct Completions {
    /// The shell to write for
    shell: Shell,
}

impl Completions {
    /// Writes the script to standard output.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut command = super::CommandLine::command();
        clap_complete::generate(self.shell, &mut command, "querywatch", &mut std::io::stdout());
        Ok(ExitCode::SUCCESS)
    }
}
