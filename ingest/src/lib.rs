//! Stage: bytes to events.
//!
//! # Layout
//!
//! - [`format`]: one log format a file; [`recognise`] tells which one a file has.
//! - [`Stream`]: what a source writes, over all of its files: pieces of files in, batches out.

mod clock;
mod format;
mod framing;
mod joins;
mod log_settings;
mod parsed;
mod session;
pub mod source;
mod stream;

pub use format::{PostgresqlSettings, names as format_names, recognise};
pub use log_settings::{LogSettings, LogSettingsError};
pub use stream::{Counts, Decoded, RestoreError, Stream, StreamSettings};
