//! Standard Webhooks: a signed POST of JSON to one address.
//!
//! Source: the specification at <https://www.standardwebhooks.com>.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use event::Timestamp;
use open_set::KindSettings;
use reqwest::dns::Resolve;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, redirect};
use secret::SecretSource;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::channel::{Channel, Kind, Opened, Opening, Receipt, SendError};
use crate::destination::{GuardedResolver, SystemResolver, check_url};
use crate::notification::Notification;
use crate::respond::RespondError;
use crate::schedule::retry_after;
use crate::signature::{SigningKey, sign};

/// `webhook`: one receiver of Standard Webhooks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookSettings {
    /// Where case events are posted to.
    pub url: String,
    /// One secret, or two while one replaces the other: `whsec_` and base64 of 24 to 64 bytes.
    pub secrets: Vec<SecretSource>,
    /// Allows addresses inside your network, and http.
    pub allow_private: bool,
}

/// A receiver of Standard Webhooks. Connections are kept and used again.
pub struct WebhookChannel {
    client: Client,
    url: Url,
    keys: Vec<SigningKey>,
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes that are read of an answer; a longer one costs its connection.
const ANSWER_BYTES_MAX: usize = 4 << 10;

/// Characters of an answer that are kept for people.
const ANSWER_CHARACTERS_MAX: usize = 200;

impl WebhookChannel {
    /// Checks the address, reads the secrets, and prepares connections that resolve names through
    /// `lookup`, guarded.
    pub fn new(
        settings: &WebhookSettings,
        opening: &Opening<'_>,
        lookup: Arc<dyn Resolve>,
    ) -> Result<Self, RespondError> {
        let setting = |field: &str| opening.setting::<WebhookSettings>(field);
        let wrong = |problem: String| RespondError::Settings { setting: setting("url"), problem };
        let url = Url::parse(&settings.url)
            .map_err(|error| wrong(format!("is not a web address: {error}")))?;
        check_url(&url, settings.allow_private).map_err(|error| wrong(error.to_string()))?;
        let keys = keys(settings, &setting("secrets"))?;
        let client = Client::builder()
            .user_agent(concat!("querywatch/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            // A proxy would resolve names itself, past the guard.
            .no_proxy()
            .https_only(!settings.allow_private)
            .dns_resolver(Arc::new(GuardedResolver::new(lookup, settings.allow_private)))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(Duration::from_secs(opening.limits.timeout_seconds.into()))
            .pool_max_idle_per_host(opening.limits.concurrency_max as usize)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| wrong(format!("cannot be prepared: {}", chain(&error))))?;
        Ok(Self { client, url, keys })
    }
}

impl KindSettings for WebhookSettings {
    const NAME: &'static str = "webhook";
}

impl Kind for WebhookSettings {
    fn receiver(&self) -> &str {
        &self.url
    }

    fn open(&self, opening: &Opening<'_>) -> Opened {
        Ok(Box::new(WebhookChannel::new(self, opening, Arc::new(SystemResolver))?))
    }
}

fn keys(settings: &WebhookSettings, setting: &str) -> Result<Vec<SigningKey>, RespondError> {
    if !(1..=2).contains(&settings.secrets.len()) {
        let problem = "must name one secret, or two while one replaces the other".to_owned();
        return Err(RespondError::Settings { setting: setting.to_owned(), problem });
    }
    let mut keys = Vec::with_capacity(settings.secrets.len());
    for source in &settings.secrets {
        let secret = source.read(setting)?;
        let key = SigningKey::parse(secret.expose());
        keys.push(key.map_err(|error| source.error(setting, error.to_string()))?);
    }
    Ok(keys)
}

#[async_trait]
impl Channel for WebhookChannel {
    async fn send(&self, note: &Notification) -> Result<Receipt, SendError> {
        let id = note.id();
        let body = note
            .body()
            .map_err(|error| SendError::Refused { reason: format!("no JSON: {error}") })?;
        let seconds = note.time.0.div_euclid(1_000_000);
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", sign(&self.keys, &id, seconds, &body))
            .body(body);
        let response = request.send().await.map_err(|error| SendError::Retry {
            after: None,
            reason: chain(&error.without_url()),
        })?;
        let status = response.status();
        let after = asked_wait(&response, note.time);
        let answer = answer(response).await;
        judge(status, after, &answer)
    }
}

/// What a status means for the outbox. Only what says that this very message will never be taken
/// is refused: a receiver that is misconfigured for an hour must not lose alerts.
fn judge(status: StatusCode, after: Option<Duration>, answer: &str) -> Result<Receipt, SendError> {
    let reason = match answer {
        "" => format!("the receiver answered {}", status.as_u16()),
        answer => format!("the receiver answered {}: {answer}", status.as_u16()),
    };
    match status.as_u16() {
        200..=299 => Ok(Receipt { answer: status.as_u16().to_string() }),
        300..=399 => Err(SendError::Refused {
            reason: format!("{reason}; redirects are not followed, set the final address"),
        }),
        410 => Err(SendError::Gone),
        400 | 413 | 414 | 415 | 422 | 431 => Err(SendError::Refused { reason }),
        429 | 502 | 503 | 504 => Err(SendError::Retry { after, reason }),
        _ => Err(SendError::Retry { after: None, reason }),
    }
}

fn asked_wait(response: &Response, now: Timestamp) -> Option<Duration> {
    let header = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    let seconds = now.0.div_euclid(1_000_000);
    retry_after(header, u64::try_from(seconds).unwrap_or(0))
}

/// The beginning of the answer, made fit to be shown. Reading it also frees the connection for
/// the next attempt.
async fn answer(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = ANSWER_BYTES_MAX - bytes.len().min(ANSWER_BYTES_MAX);
        bytes.extend(chunk.iter().take(room));
        if chunk.len() > room {
            break;
        }
    }
    plain_line(&String::from_utf8_lossy(&bytes), ANSWER_CHARACTERS_MAX)
}

/// One line of printable characters: no controls, nothing that reorders or hides text.
fn plain_line(text: &str, characters_max: usize) -> String {
    let hidden = |character: char| {
        matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
            || matches!(character, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
            || matches!(character, '\u{61c}' | '\u{ad}' | '\u{e0000}'..='\u{e007f}')
    };
    let shown = text.chars().filter(|character| !hidden(*character));
    let plain = shown.map(|character| if character.is_control() { ' ' } else { character });
    plain.take(characters_max).collect::<String>().trim().to_owned()
}

/// An error and all that caused it, one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    plain_line(&texts.join(": "), 500)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_judged() {
        let word = |status: u16| {
            let after = Some(Duration::from_secs(9));
            match judge(StatusCode::from_u16(status).expect("a status"), after, "why") {
                Ok(_) => "delivered",
                Err(SendError::Retry { after: Some(_), .. }) => "wait",
                Err(SendError::Retry { .. }) => "retry",
                Err(SendError::Refused { .. }) => "refused",
                Err(SendError::Gone) => "gone",
            }
        };
        let cases: [(&str, &[u16]); 5] = [
            ("delivered", &[200, 201, 202, 204, 299]),
            ("wait", &[429, 502, 503, 504]),
            ("retry", &[401, 403, 404, 408, 409, 425, 500, 501, 599]),
            ("refused", &[300, 301, 302, 304, 307, 308, 400, 413, 422]),
            ("gone", &[410]),
        ];
        for (expected, statuses) in cases {
            for &status in statuses {
                assert_eq!(word(status), expected, "{status}");
            }
        }
    }

    #[test]
    fn answers_become_one_plain_line() {
        let hostile = "\u{1b}[31mok\r\n\u{202e}level=error\u{0}\u{200b}x\u{85}y";
        assert_eq!(plain_line(hostile, 99), "[31mok  level=error x y");
        assert_eq!(plain_line(&"é".repeat(999), 200).chars().count(), 200);
    }
}
