//! Querywatch: ingest reads, detect judges, respond acts, query answers.
//!
//! The binary is command line and settings: `command` holds one subcommand a file, `config` reads
//! every setting. What runs is the crate `pipeline`.

#![expect(unreachable_pub, reason = "in a binary `pub` says what other rooms use")]

mod command;
mod config;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

// The system allocator costs the hot path a tenth and fragments under long runs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The allocator asks for huge pages, of which most are cleared for a few bytes: without them an
    // ingest takes a tenth less CPU and a quarter less memory. Where it cannot be had, it is not.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    terminal::end_with_the_reader();
    let command = command::CommandLine::parse();
    terminal::start_logging(command.verbosity());
    match command.run() {
        Ok(exit) => exit,
        Err(error) if terminal::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::report(&error);
            ExitCode::from(if error.is::<command::WrongUsage>() { 2 } else { 1 })
        }
    }
}
