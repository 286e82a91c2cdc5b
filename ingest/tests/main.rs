//! Whole streams: real captures against goldens, carriers against each other, cuts and restarts,
//! hostile bytes, forged lines.

mod captures;
mod carriers;
mod cuts;
mod damage;
mod forgeries;
mod lengths;
mod outcomes;
mod sessions;
mod shared_syslog;
mod support;
mod trimmed;
