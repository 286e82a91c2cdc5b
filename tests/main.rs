//! One integration binary: linking it once is cheaper than linking one per file.

#![expect(unreachable_pub, reason = "in a test binary `pub` says what other rooms use")]

mod api;
mod bad_bus;
mod bad_input;
mod binary;
mod cluster;
mod crash;
mod csvlog;
mod decisions;
mod faults;
mod fixed_models;
mod full_disk;
mod habits;
mod history;
mod kafka;
mod network_source;
mod permission;
mod postgresql;
mod processes;
mod replay;
mod state_fails;
mod ticks;
mod tidy;
mod topic;
mod webhook;
mod weeks;
