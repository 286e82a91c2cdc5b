//! Keeps what happened: two Delta tables, `events` and `rejects`, with one writer.
//!
//! # Layout
//!
//! - [`Lake`]: opens the folder, answers for what is in it, keeps it in order.
//! - [`Writer`]: takes batches, commits them together with the positions they came from.
//! - [`LakeView`]: one consistent picture of files and rows not yet committed, for queries.
//! - `encoder` turns batches into Parquet files; `table` and `log` put them into the Delta log;
//!   `recover` clears up after a crash; `compact` merges, `maintain` retains and deletes.
//!
//! # Promises
//!
//! - Rows and positions enter `events` in one commit: writing twice is writing once.
//! - A commit that returned is on the disk. Until then its rows stay in memory: a full disk
//!   makes the writer wait, it loses nothing.
//! - A view shows every row that was written, once, whatever is committed or merged meanwhile.
//! - Rejects are kept like events. After a crash between the two tables' commits those of the
//!   unfinished commit are taken back at the next start, and read again.
//! - Only one process writes a folder; any number may read it.

mod columns;
mod compact;
mod data_file;
mod encoder;
mod error;
mod lake;
mod lock;
mod log;
mod maintain;
mod recover;
mod settings;
mod table;
mod view;
mod writer;

pub use columns::{events_schema, rejects_schema};
pub use data_file::DataFile;
pub use error::LakeError;
pub use lake::{Lake, LakeStatus};
pub use maintain::Maintenance;
pub use settings::LakeSettings;
pub use view::{LakeView, TableView};
pub use writer::{Committed, Writer};
