//! The lake as its users see it: write, commit, query, crash, merge, expire.

mod append;
mod crash;
mod kill;
mod merge;
mod model;
mod read;
mod refuse;
mod sample;
