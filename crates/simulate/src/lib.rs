//! A simulated organisation: people, services, normal weeks, attacks.
