//! The lake as its users see it: write, commit, query, crash, merge, expire, alone and with others.

mod append;
mod claims;
mod crash;
mod follow;
mod kill;
mod merge;
mod model;
mod read;
mod refuse;
mod sample;
mod shared;
mod takeover;
mod upkeep;
