//! What a channel is given to say, and its form as JSON.

use event::alert::{Explanation, Fact};
use event::vocabulary::CaseChange;
use event::{Alert, EventId, Timestamp};
use serde::Serialize;

/// A case event on its way to one channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// The event: a case was opened, became graver, or has another cause.
    pub alert: Alert,
    /// The time of this attempt.
    pub time: Timestamp,
}

/// A body is smaller than this; longer texts of the alert are cut until it is.
pub const BODY_BYTES_MAX: usize = 20_000;

/// Most characters of a text and most items of a list, tried in turn until the body fits. JSON
/// writes a character in six bytes at most, so the last one always fits.
const CUTS: [(usize, usize); 7] =
    [(usize::MAX, usize::MAX), (2_000, 20), (1_000, 20), (500, 10), (200, 10), (50, 5), (16, 2)];

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: Timestamp,
    data: &'a Alert,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

impl Notification {
    /// The same for every attempt and every channel: receivers drop what they know by it.
    pub fn id(&self) -> String {
        format!("alert_{}", self.alert.id)
    }

    /// The event as JSON, smaller than [`BODY_BYTES_MAX`], the same for every attempt.
    /// `truncated` is true if texts were cut, which then end with `…`.
    pub fn body(&self) -> serde_json::Result<Vec<u8>> {
        let mut body = Vec::new();
        for (level, (characters_max, items_max)) in CUTS.into_iter().enumerate() {
            let truncated = level > 0;
            let cut;
            let data = if truncated {
                cut = cut_alert(&self.alert, characters_max, items_max);
                &cut
            } else {
                &self.alert
            };
            let timestamp = self.alert.time;
            body = serde_json::to_vec(&Body { kind: self.kind(), timestamp, data, truncated })?;
            if body.len() < BODY_BYTES_MAX {
                break;
            }
        }
        Ok(body)
    }

    /// The body with its id in front, as one line with its end.
    pub fn line(&self) -> serde_json::Result<Vec<u8>> {
        let body = self.body()?;
        let mut line = format!("{{\"id\":\"{}\",", self.id()).into_bytes();
        line.extend_from_slice(body.get(1..).unwrap_or_default());
        line.push(b'\n');
        Ok(line)
    }

    const fn kind(&self) -> &'static str {
        match self.alert.change {
            CaseChange::Opened => "case.opened",
            CaseChange::Escalated => "case.escalated",
            CaseChange::Extended => "case.extended",
            CaseChange::Amended => "case.amended",
        }
    }
}

fn cut_alert(alert: &Alert, characters_max: usize, items_max: usize) -> Alert {
    let text = |text: &String| cut_text(text, characters_max);
    let optional = |optional: &Option<String>| optional.as_ref().map(text);
    let texts = |texts: &[String]| texts.iter().take(items_max).map(text).collect();
    let facts = |facts: &[Fact]| -> Vec<Fact> {
        let cut = |fact: &Fact| Fact { name: text(&fact.name), value: text(&fact.value) };
        facts.iter().take(items_max).map(cut).collect()
    };
    let why = &alert.explanation;
    let explanation = Explanation {
        observed: facts(&why.observed),
        usual: facts(&why.usual),
        maturity: optional(&why.maturity),
        engineer: text(&why.engineer),
        manager: text(&why.manager),
        counterfactual_engineer: text(&why.counterfactual_engineer),
        counterfactual_manager: text(&why.counterfactual_manager),
    };
    Alert {
        cause: text(&alert.cause),
        rule: text(&alert.rule),
        title: text(&alert.title),
        identity: optional(&alert.identity),
        instance: text(&alert.instance),
        database: optional(&alert.database),
        user: optional(&alert.user),
        client: optional(&alert.client),
        application: optional(&alert.application),
        session: optional(&alert.session),
        statement: optional(&alert.statement),
        fingerprint: optional(&alert.fingerprint),
        events: newest(&alert.events, items_max),
        explanation,
        attack: texts(&alert.attack),
        controls: texts(&alert.controls),
        models: texts(&alert.models),
        ..alert.clone()
    }
}

fn newest(events: &[EventId], items_max: usize) -> Vec<EventId> {
    events.get(events.len().saturating_sub(items_max)..).unwrap_or_default().to_vec()
}

fn cut_text(text: &str, characters_max: usize) -> String {
    match text.char_indices().nth(characters_max) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
