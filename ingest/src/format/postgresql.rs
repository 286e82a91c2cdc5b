//! What the four carriers of PostgreSQL's log have in common: records, their meaning, sessions.

pub(super) mod command;
pub(super) mod draft;
pub(super) mod forgery;
pub(super) mod interpret;
pub(super) mod message;
pub(super) mod outcome;
pub(super) mod parameters;
pub(super) mod pgaudit;
pub(super) mod prefix;
pub(super) mod prefix_guess;
pub(super) mod record;
pub(super) mod secret;
pub(super) mod session;
pub(super) mod severity;
pub(super) mod text_record;
pub(super) mod timestamp;
