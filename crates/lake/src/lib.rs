//! Keeps what happened: Delta tables.
