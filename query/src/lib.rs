//! Stage: answers. SQL over what the lake keeps and what people decided, and the HTTP service.
//!
//! # Layout
//!
//! - [`Engine`]: one query, one answer: a read-only, bounded DataFusion over a [`LakeView`].
//! - `stored_table`, `state_table`: what a query can read. `guard`: what it may not do.
//! - [`output`]: answers as JSON, NDJSON, CSV, Arrow.
//! - [`api`]: the HTTP service: routes, tokens, problems, OpenAPI.
//!
//! [`LakeView`]: lake::LakeView

mod alerts_table;
pub mod api;
mod cases_table;
mod condition;
mod engine;
mod guard;
mod hex;
pub mod output;
mod settings;
mod state_columns;
mod state_table;
mod stored_table;

pub use engine::{Answer, Engine, SqlQuery};
pub use guard::QueryError;
pub use settings::QuerySettings;
