//! Stage: events to alerts.
