//! A simulated organisation: services and people with habits, the log their database would write,
//! and the attacks that `demo` and the evaluation play against it.
//!
//! The same seed and the same days give the same bytes. Nothing here reads a clock or a file:
//! [`Simulation`] turns stretches of time into lines of a PostgreSQL csvlog with pgaudit.

mod act;
mod attack;
mod company;
mod server;
mod simulation;

pub use attack::Attack;
pub use company::Company;
pub use simulation::Simulation;
