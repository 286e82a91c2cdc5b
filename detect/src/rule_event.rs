//! One event as rules see it: fields are the columns of `events`, three that follow from them, and
//! what is known of its identity (`context.…`).

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

use event::{AuditEvent, EventId};
use rsigma_eval::{Event, EventValue};

use crate::analysis::{self, StatementAnalysis};
use crate::context::Context;

/// An event, what its statement does, and what is usual.
pub(crate) struct RuleEvent<'a> {
    pub(crate) event: &'a AuditEvent<'a>,
    pub(crate) analysis: &'a StatementAnalysis,
    /// See [`ClientNetwork`].
    pub(crate) client_network: &'a str,
    pub(crate) context: &'a Context,
}

/// A column that rules can look at.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    /// Whether results may be remembered by its values; the others are too diverse.
    pub(crate) memorable: bool,
    /// Whether the statement, or without one the object, decides its value.
    pub(crate) of_statement: bool,
}

const fn event_column(name: &'static str) -> Column {
    Column { name, memorable: true, of_statement: false }
}

const fn statement_column(name: &'static str) -> Column {
    Column { name, memorable: true, of_statement: true }
}

const fn diverse_column(name: &'static str) -> Column {
    Column { name, memorable: false, of_statement: false }
}

/// Every field of a rule. `client` is the address, else the host; `client_network` its /24 or
/// /48; `identity` the person if known, else the account.
pub(crate) const COLUMNS: &[Column] = &[
    event_column("source"),
    event_column("format"),
    event_column("evidence"),
    event_column("engine"),
    event_column("instance"),
    event_column("database"),
    event_column("action"),
    event_column("command"),
    event_column("user"),
    event_column("actor"),
    event_column("actor_kind"),
    event_column("actor_basis"),
    event_column("identity"),
    event_column("path"),
    event_column("client_address"),
    event_column("client_host"),
    event_column("client"),
    event_column("client_network"),
    event_column("application"),
    event_column("authentication"),
    event_column("tls"),
    event_column("object_kind"),
    event_column("object"),
    event_column("statement_state"),
    event_column("outcome"),
    event_column("error_code"),
    event_column("error"),
    event_column("grant_id"),
    event_column("message"),
    statement_column("fingerprint"),
    statement_column("tables_read"),
    statement_column("tables_written"),
    statement_column("columns"),
    statement_column("functions"),
    statement_column("flags"),
    statement_column("sensitivity"),
    diverse_column("id"),
    diverse_column("time"),
    diverse_column("session"),
    diverse_column("statement"),
    diverse_column("parameters"),
    diverse_column("client_port"),
    diverse_column("statement_number"),
    diverse_column("position"),
    diverse_column("rows"),
    diverse_column("duration_us"),
    diverse_column("targets"),
    event_column("context.identity_kind"),
    event_column("context.account_age"),
    event_column("context.first_seen.identity"),
    event_column("context.first_seen.table"),
    event_column("context.first_seen.statement"),
    event_column("context.first_seen.command"),
    event_column("context.first_seen.network"),
    event_column("context.first_seen.application"),
    event_column("context.first_seen.hour"),
    event_column("context.change_window"),
    event_column("context.own_tables"),
    event_column("context.migration"),
    diverse_column("context.rarity.table"),
    diverse_column("context.rarity.statement"),
    diverse_column("context.rarity.command"),
    diverse_column("context.rarity.network"),
    diverse_column("context.rarity.application"),
    diverse_column("context.rarity.hour"),
    diverse_column("context.peer_share"),
    diverse_column("context.rows_percentile"),
    diverse_column("context.active_days"),
];

/// The column called `name`.
pub(crate) fn column(name: &str) -> Option<&'static Column> {
    COLUMNS.iter().find(|column| column.name == name)
}

/// The network that stands for a client: `10.1.2.0/24`, `2001:db8:1::/48`, the host's name, or
/// nothing. Many events in a row come from one client, so the last one is remembered.
#[derive(Debug, Default)]
pub(crate) struct ClientNetwork {
    client: String,
    is_address: bool,
    network: String,
}

impl ClientNetwork {
    /// Of the event's client.
    pub(crate) fn of(&mut self, event: &AuditEvent<'_>) -> &str {
        let client = event.client_address.or(event.client_host).unwrap_or_default();
        let is_address = event.client_address.is_some();
        if (self.client.as_str(), self.is_address) == (client, is_address) {
            return &self.network;
        }
        self.is_address = is_address;
        self.client.clear();
        self.client.push_str(client);
        self.network.clear();
        let address = event.client_address.and_then(|text| text.parse::<IpAddr>().ok());
        // Writing to a string cannot fail.
        let _ = match address.map(|address| address.to_canonical()) {
            Some(IpAddr::V4(address)) => {
                let [a, b, c, _] = address.octets();
                write!(self.network, "{a}.{b}.{c}.0/24")
            }
            Some(IpAddr::V6(address)) => {
                let [a, b, c, ..] = address.segments();
                write!(self.network, "{a:x}:{b:x}:{c:x}::/48")
            }
            None => self.network.write_str(client),
        };
        &self.network
    }
}

impl RuleEvent<'_> {
    /// Stands for the numbered statement of a session: what runs inside of it, such as the
    /// statements of a DO block, and the error that ends it are the same act. None where the
    /// source does not number.
    pub(crate) fn act(&self) -> Option<u64> {
        let (number, session) = (self.event.statement_number?, self.event.session?);
        let instance = self.event.instance.as_bytes();
        let id = EventId::of(&[instance, session.as_bytes(), &number.to_le_bytes()]);
        Some(u64::from_le_bytes(*id.0.first_chunk()?))
    }

    /// The client's address, else its host.
    pub(crate) fn client(&self) -> Option<&str> {
        self.event.client_address.or(self.event.client_host)
    }

    /// The engine's tag, else the SQL's own.
    pub(crate) fn command(&self) -> Option<&str> {
        self.event.command.or(self.analysis.command())
    }

    /// A text column; `None` for an empty one and for those that hold no text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let event = self.event;
        match name {
            "source" => Some(event.source),
            "format" => Some(event.format),
            "evidence" => Some(event.evidence.as_str()),
            "engine" => Some(event.engine),
            "instance" => Some(event.instance),
            "database" => event.database,
            "action" => Some(event.action.as_str()),
            "command" => self.command(),
            "user" => event.user,
            "actor" => event.actor,
            "actor_kind" => event.actor_kind.map(|kind| kind.as_str()),
            "actor_basis" => event.actor_basis.map(|basis| basis.as_str()),
            "identity" => event.identity(),
            "path" => event.path.map(|path| path.as_str()),
            "client_address" => event.client_address,
            "client_host" => event.client_host,
            "client" => self.client(),
            "client_network" => Some(self.client_network).filter(|text| !text.is_empty()),
            "application" => event.application,
            "authentication" => event.authentication,
            "tls" => event.tls,
            "object_kind" => event.object_kind,
            "object" => event.object,
            "statement_state" => Some(event.statement_state.as_str()),
            "outcome" => Some(event.outcome.as_str()),
            "error_code" => event.error_code,
            "error" => event.error,
            "grant_id" => event.grant_id,
            "message" => event.message,
            "session" => event.session,
            "statement" => event.statement,
            "parameters" => event.parameters,
            _ => self.context.text(name.strip_prefix("context.")?),
        }
    }

    /// A column as an explanation shows it; lists with commas.
    pub(crate) fn shown(&self, name: &str) -> Option<String> {
        match self.get_field(name)? {
            EventValue::Str(text) => Some(text.into_owned()),
            EventValue::Int(number) => Some(number.to_string()),
            EventValue::Float(number) => Some(format!("{number:.4}")),
            EventValue::Array(items) => {
                let texts: Vec<_> =
                    items.iter().filter_map(|item| item.as_str().map(Cow::into_owned)).collect();
                (!texts.is_empty()).then(|| texts.join(", "))
            }
            _ => None,
        }
    }
}

/// An empty list is no value, as in the columns.
fn list<T: AsRef<str>>(texts: &[T]) -> Option<EventValue<'_>> {
    if texts.is_empty() {
        return None;
    }
    let texts = texts.iter().map(|text| EventValue::Str(Cow::Borrowed(text.as_ref())));
    Some(EventValue::Array(texts.collect()))
}

fn list_of(texts: Vec<String>) -> Option<EventValue<'static>> {
    let texts: Vec<_> = texts.into_iter().map(|text| EventValue::Str(Cow::Owned(text))).collect();
    (!texts.is_empty()).then_some(EventValue::Array(texts))
}

impl Event for RuleEvent<'_> {
    fn get_field(&self, path: &str) -> Option<EventValue<'_>> {
        let number = |value: Option<i64>| value.map(EventValue::Int);
        match path {
            "flags" => list(self.analysis.flags()),
            "targets" => list_of(analysis::targets(self.event)),
            "tables_read" => list(self.analysis.tables_read()),
            "tables_written" => list(self.analysis.tables_written()),
            "columns" => list(self.analysis.columns()),
            "functions" => list(self.analysis.functions()),
            "fingerprint" => self
                .analysis
                .fingerprint
                .map(|fingerprint| EventValue::Str(format!("{fingerprint:016x}").into())),
            "id" => Some(EventValue::Str(self.event.id.to_string().into())),
            "time" => Some(EventValue::Str(self.event.time.to_string().into())),
            "client_port" => number(self.event.client_port.map(i64::from)),
            "statement_number" => number(self.event.statement_number),
            "position" => number(Some(self.event.position)),
            "rows" => number(self.event.rows),
            "duration_us" => number(self.event.duration_us),
            "sensitivity" => number(self.context.sensitivity.map(i64::from)),
            "context.active_days" => number(Some(i64::from(self.context.active_days))),
            _ if let Some(name) = path.strip_prefix("context.")
                && let Some(measure) = self.context.measure(name) =>
            {
                Some(EventValue::Float(measure))
            }
            _ => self.text(path).map(|text| EventValue::Str(Cow::Borrowed(text))),
        }
    }

    fn any_string_value(&self, predicate: &dyn Fn(&str) -> bool) -> bool {
        self.all_string_values().iter().any(|text| predicate(text))
    }

    fn all_string_values(&self) -> Vec<Cow<'_, str>> {
        let texts = COLUMNS.iter().filter_map(|column| self.text(column.name));
        let lists = [
            self.analysis.tables_read(),
            self.analysis.tables_written(),
            self.analysis.columns(),
            self.analysis.functions(),
        ];
        let lists = lists.into_iter().flatten().map(String::as_str);
        texts.chain(lists).chain(self.analysis.flags().iter().copied()).map(Cow::Borrowed).collect()
    }

    fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "id": self.event.id.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_stands_for_its_clients() {
        let mut event = AuditEvent::new("log", "postgresql_csvlog", "postgresql", "main");
        let mut network = ClientNetwork::default();
        for (address, expected) in [
            ("10.1.2.3", "10.1.2.0/24"),
            ("::ffff:10.1.2.3", "10.1.2.0/24"),
            ("2001:db8:1:2::3", "2001:db8:1::/48"),
            ("unreadable", "unreadable"),
        ] {
            event.client_address = Some(address);
            assert_eq!(network.of(&event), expected);
            assert_eq!(network.of(&event), expected, "again");
        }
        event.client_address = None;
        event.client_host = Some("[local]");
        assert_eq!(network.of(&event), "[local]");
        event.client_host = Some("10.1.2.3");
        assert_eq!(network.of(&event), "10.1.2.3", "a name is no address");
        (event.client_address, event.client_host) = (Some("10.1.2.3"), None);
        assert_eq!(network.of(&event), "10.1.2.0/24");
    }

    #[test]
    fn every_column_of_events_is_a_field_or_an_outcome_of_detection() {
        let outcomes = ["time_basis", "date", "received", "risk", "reasons", "rules", "batch"];
        for field in event::schema::events().fields() {
            let known = column(field.name()).is_some() || outcomes.contains(&field.name().as_str());
            assert!(known, "{} is not a field of rules", field.name());
        }
    }
}
