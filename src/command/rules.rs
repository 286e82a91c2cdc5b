//! `querywatch rules`: which rules there are, whether they are right, and whether they work.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use detect::RuleSet;

use crate::terminal;

/// Arguments of `rules`.
#[derive(Args)]
pub struct Rules {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List the rules
    List {
        /// Rule files or folders; the built-in rules if none
        paths: Vec<PathBuf>,
    },
    /// Check that rules can be read and compiled
    Check {
        /// Rule files or folders; the built-in rules if none
        paths: Vec<PathBuf>,
    },
    /// Run the cases at the bottom of each rule
    Test {
        /// Rule files or folders; the built-in rules if none
        paths: Vec<PathBuf>,
    },
}

impl Rules {
    /// Exit code 1 if something is wrong with a rule.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.action {
            Action::List { paths } => list(&load(&paths)?),
            Action::Check { paths } => check(&load(&paths)?),
            Action::Test { paths } => test(&load(&paths)?),
        }
    }
}

fn load(paths: &[PathBuf]) -> anyhow::Result<RuleSet> {
    Ok(if paths.is_empty() { RuleSet::builtin()? } else { RuleSet::load(paths)? })
}

#[expect(clippy::print_stdout, reason = "the list is the command's output")]
fn list(rules: &RuleSet) -> anyhow::Result<ExitCode> {
    let mut table = terminal::table();
    table.set_header(["id", "severity", "title", "ATT&CK", "controls"]);
    for rule in rules.rules() {
        let (attack, controls) = (rule.attack.join(" "), rule.controls.join(", "));
        table.add_row([&rule.id, rule.severity.as_str(), &rule.title, &attack, &controls]);
    }
    println!("{table}\n{}", terminal::count(rules.rules().len() as u64, "rule"));
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the verdict is the command's output")]
fn check(rules: &RuleSet) -> anyhow::Result<ExitCode> {
    match rules.rules().len() {
        0 => bail!("there is no rule in there: a rule is a file whose name ends in .yml"),
        1 => println!("1 rule is right"),
        number => println!("{number} rules are right"),
    }
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the outcome is the command's output")]
fn test(rules: &RuleSet) -> anyhow::Result<ExitCode> {
    let outcomes = rules.test();
    let failed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.passed()).collect();
    for outcome in &failed {
        let (expected, observed) = (outcome.expected, outcome.observed);
        println!(
            "{} `{}` in {}: expected {expected} alerts, got {observed}",
            outcome.rule, outcome.name, outcome.path
        );
        if let Some(problem) = &outcome.problem {
            println!("  {problem}");
        }
    }
    println!("{} passed, {} failed", outcomes.len() - failed.len(), failed.len());
    let every_rule_is_tested = rules.rules().iter().all(|rule| rule.tests > 0);
    if !every_rule_is_tested {
        let untested = rules.rules().iter().filter(|rule| rule.tests == 0);
        untested.for_each(|rule| println!("{} has no case; add `tests:` to its file", rule.id));
    }
    let works = failed.is_empty() && every_rule_is_tested;
    Ok(if works { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
