//! What SQL means: normal form, fingerprint, facts. Pure; never fails, never panics.
//!
//! # Layout
//!
//! `lexer` cuts text into tokens · `normalizer` writes them as the normal form, with `list`
//! folding lists and `word` knowing the keywords · `fingerprint` names it · `outline` reads it
//! back, for `relation` (tables), `mention` (functions, columns) and `remark` (flags) · `command`
//! classifies by leading tokens · `baseline_name` folds dates of partitions ·
//! `syntax` asks `sqlparser` for finer names · `facts` puts them together · `analyzer` keeps them.

mod analyzer;
mod baseline_name;
mod command;
mod comment_tag;
mod dialect;
mod facts;
mod fingerprint;
mod flag;
mod lexer;
mod list;
mod mention;
mod names;
mod normalizer;
mod outline;
mod relation;
mod remark;
mod secret;
mod syntax;
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
