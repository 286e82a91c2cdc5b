//! One event as a JSON object: keys are the column names, nulls are left out.

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::EventRow;

impl Serialize for EventRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.event();
        let mut map = serializer.serialize_map(None)?;
        /// Writes a key only if there is a value.
        macro_rules! optional {
            ($($field:ident),+) => {
                $(if let Some(value) = &event.$field {
                    map.serialize_entry(stringify!($field), value)?;
                })+
            };
        }
        map.serialize_entry("id", &event.id)?;
        map.serialize_entry("time", &event.time)?;
        map.serialize_entry("time_basis", &event.time_basis)?;
        map.serialize_entry("received", &event.received)?;
        map.serialize_entry("source", event.source)?;
        map.serialize_entry("format", event.format)?;
        map.serialize_entry("position", &event.position)?;
        map.serialize_entry("evidence", &event.evidence)?;
        map.serialize_entry("engine", event.engine)?;
        map.serialize_entry("instance", event.instance)?;
        optional!(database);
        map.serialize_entry("action", &event.action)?;
        optional!(command, user, actor, actor_kind, actor_basis, path, client_address);
        optional!(client_port, client_host, application, authentication, tls, session);
        optional!(statement_number, object_kind, object, statement);
        map.serialize_entry("statement_state", &event.statement_state)?;
        optional!(parameters, rows, duration_us);
        map.serialize_entry("outcome", &event.outcome)?;
        optional!(error_code, error, grant_id, message);
        if let Some(fingerprint) = self.fingerprint() {
            map.serialize_entry("fingerprint", &format!("{fingerprint:016x}"))?;
        }
        for name in ["tables_read", "tables_written", "columns", "functions", "flags"] {
            list(&mut map, name, self)?;
        }
        if let Some(sensitivity) = self.sensitivity() {
            map.serialize_entry("sensitivity", &sensitivity)?;
        }
        if let Some(risk) = self.risk() {
            map.serialize_entry("risk", &risk)?;
        }
        list(&mut map, "reasons", self)?;
        list(&mut map, "rules", self)?;
        map.end()
    }
}

fn list<M: SerializeMap>(map: &mut M, name: &str, row: &EventRow<'_>) -> Result<(), M::Error> {
    let texts = row.list(name);
    if texts.is_empty() { Ok(()) } else { map.serialize_entry(name, &texts) }
}
