//! Stage: bytes to events.
