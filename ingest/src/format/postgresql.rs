//! PostgreSQL: the four carriers of its log, and what they have in common: records, their meaning.

mod base;
mod command;
pub(super) mod csvlog;
mod forgery;
mod interpret;
pub(super) mod jsonlog;
pub(super) mod logtofile;
mod message;
mod outcome;
mod parameters;
mod pgaudit;
mod prefix;
mod prefix_guess;
mod record;
mod secret;
mod settings;
mod severity;
pub(super) mod stderr;
pub(super) mod syslog;
mod text_record;

pub use settings::PostgresqlSettings;
