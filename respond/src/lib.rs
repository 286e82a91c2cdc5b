//! Stage: alerts to people and brokers.
