//! Querywatch.
fn main() {}
