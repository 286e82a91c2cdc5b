//! Keeps what happened: two Delta tables, `events` and `rejects`, written by one process or many.
//!
//! # Layout
//!
//! - [`Lake`]: opens the folder, answers for what is in it, keeps it in order.
//! - [`Writer`]: takes batches, commits them together with the positions they came from;
//!   [`Claim`] says which positions are its own.
//! - [`LakeView`]: one consistent picture of files and rows not yet committed, for queries;
//!   [`LakeReader`] has one for processes that write nothing.
//! - `stage` and `encoder` turn batches into Parquet files; `change`, `table` and `log` put them
//!   into the Delta log; `opening` reads it; `sweep` clears up after crashes; `compact` merges,
//!   `maintain` retains and deletes.
//!
//! # Promises
//!
//! - Rows and positions enter a table in one commit: writing twice is writing once.
//! - A commit that returned is on the disk. Until then its rows stay in memory: a full disk
//!   makes the writer wait, it loses nothing.
//! - A view shows every row that this process wrote and every row that others committed, once,
//!   whatever is committed or merged meanwhile. Only of a partition that another process has
//!   taken over may rows be shown twice, until the writer was told and has discarded its own.
//! - Rejects are kept like events, and enter their table first. After a crash in between, their
//!   position is ahead, so that no reject is given again.
//! - Any number of processes write a folder that they share: a log entry is never replaced, and
//!   a commit whose positions another process moved is refused. One of them at a time does the
//!   upkeep.

mod change;
mod claim;
mod columns;
mod compact;
mod data_file;
mod encoder;
mod error;
mod lake;
mod lock;
mod log;
mod maintain;
mod opening;
mod reader;
mod settings;
mod stage;
mod sweep;
mod table;
mod view;
mod writer;

pub use claim::Claim;
pub use columns::{events_schema, rejects_schema};
pub use data_file::DataFile;
pub use error::LakeError;
pub use lake::{Lake, LakeStatus};
pub use lock::Sharing;
pub use maintain::Maintenance;
pub use reader::LakeReader;
pub use settings::LakeSettings;
pub use view::{LakeView, TableView};
pub use writer::{Committed, Writer};
