//! Keeps what people decide: alerts, deliveries, tokens.
