//! What SQL means: normal form, fingerprint, facts. Pure; never fails, never panics.
//!
//! # Layout
//!
//! `lexer` cuts text into tokens · `normalizer` writes them as the normal form, with `list`
//! folding lists and `word` knowing the keywords · `fingerprint` names it · `token_tree` reads it
//! back, for `tables`, `references` (functions, columns) and `flags` · `command` classifies by
//! leading tokens · `baseline_name` and `baseline_form` fold names that
//! are made anew each time · `plain` tells which statements
//! tokens tell all of; of others `syntax` asks `sqlparser` for finer names · `facts` puts them
//! together · `analyzer` keeps them.

mod analyzer;
mod baseline_form;
mod baseline_name;
mod command;
mod comment_tag;
mod dialect;
mod facts;
mod fingerprint;
mod flag;
mod flags;
mod lexer;
mod list;
mod names;
mod normalizer;
mod plain;
mod references;
mod secret;
mod syntax;
mod tables;
mod targets;
mod token_tree;
mod word;

pub use analyzer::{Analysis, Analyzer};
pub use baseline_name::baseline_name;
pub use command::{Command, CommandClass};
pub use comment_tag::comment_tags;
pub use dialect::Dialect;
pub use facts::Facts;
pub use fingerprint::Fingerprint;
pub use flag::Flag;
pub use normalizer::{Normalized, Normalizer};
pub use secret::redact_secrets;
pub use targets::{Target, TargetKind, targets};
