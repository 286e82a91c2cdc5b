//! Tests of the file source on real folders.

mod cells;
mod followed;
mod model;
mod received;
mod rig;
mod spawned;
mod to_end;
