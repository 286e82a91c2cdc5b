//! One integration binary: linking it once is cheaper than linking one per file.

mod api;
mod bad_input;
mod binary;
mod crash;
mod csvlog;
mod postgresql;
mod replay;
mod tidy;
mod webhook;
