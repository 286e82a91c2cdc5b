//! Bearer tokens: 256 random bits, shown once; only their BLAKE3 hash is kept. They are looked up
//! by that hash, so that the time of an answer tells nothing about a token.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use event::Timestamp;
use rand::TryRngCore;
use rand::rngs::OsRng;

use crate::state::{State, StateError};

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Queries and lists.
    Read,
    /// Decisions: verdicts, silences, responses.
    Write,
    /// Pushing events and grants.
    Ingest,
    /// All of it, and the tokens themselves.
    Admin,
}

/// A token as it is listed: everything but itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// 16 hex digits; names it in `revoke`.
    pub id: String,
    /// Who or what holds it.
    pub name: String,
    /// What it is good for.
    pub scopes: Vec<Scope>,
    /// When it was created.
    pub created: Timestamp,
    /// From when it is no longer good.
    pub expires: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used: Option<Timestamp>,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
}

/// A token at the only moment at which it can be shown.
pub struct NewToken {
    /// What is kept of it.
    pub token: Token,
    /// `qw_` and 43 characters of base64url.
    pub text: String,
}

/// Why a token could not be created.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The name is not one.
    #[error("a token's name is 1 to 64 printable characters")]
    Name,
    /// Another living token has the name.
    #[error("there is a token named `{0}` already; revoke it or choose another name")]
    Taken(String),
    /// No scope was given.
    #[error("a token needs at least one scope: read, write, ingest or admin")]
    NoScope,
    /// It would be dead from the start.
    #[error("the token would have expired already; choose a later time")]
    Expired,
    /// Too many living tokens.
    #[error("there are {TOKENS_MAX} tokens already; revoke some that are no longer used")]
    TooMany,
    /// The system gave no random bytes.
    #[error("the system gave no random bytes: {0}")]
    Random(String),
    /// The state failed.
    #[error(transparent)]
    State(#[from] StateError),
}

/// The word was not a scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a scope; choose read, write, ingest or admin")]
pub struct UnknownScope(String);

/// Most living tokens; also the most of one list.
const TOKENS_MAX: i64 = 1_000;

/// `last_used` is written at most this often, so that reads do not become writes.
const USE_RESOLUTION_SECONDS: i64 = 60;

impl State {
    /// Creates a token.
    pub async fn create_token(
        &self,
        name: &str,
        scopes: &[Scope],
        expires: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<NewToken, TokenError> {
        let new = NewToken::generate(name, scopes, expires, now)?;
        self.insert_token(&new).await?;
        Ok(new)
    }

    pub(crate) async fn insert_token(&self, new: &NewToken) -> Result<(), TokenError> {
        let mut transaction = self.begin().await?;
        let living: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM tokens WHERE revoked IS NULL")
            .fetch_one(&mut *transaction)
            .await
            .map_err(StateError::from)?;
        if living >= TOKENS_MAX {
            return Err(TokenError::TooMany);
        }
        let token = &new.token;
        let inserted = sqlx::query(
            "INSERT INTO tokens (id, name, hash, scopes, created, expires) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        )
        .bind(&token.id)
        .bind(&token.name)
        .bind(hash(&new.text))
        .bind(words(&token.scopes))
        .bind(token.created.0)
        .bind(token.expires.map(|time| time.0))
        .execute(&mut *transaction)
        .await
        .map_err(StateError::from)?;
        if inserted.rows_affected() == 0 {
            return Err(TokenError::Taken(token.name.clone()));
        }
        Ok(transaction.commit().await.map_err(StateError::from)?)
    }

    /// The token, if it is one of ours, living, and not expired.
    pub async fn verify_token(
        &self,
        text: &str,
        now: Timestamp,
    ) -> Result<Option<Token>, StateError> {
        let row: Option<TokenRow> = sqlx::query_as(
            "SELECT id, name, scopes, created, expires, last_used, revoked FROM tokens \
             WHERE hash = $1 AND revoked IS NULL",
        )
        .bind(hash(text))
        .fetch_optional(self.reader())
        .await?;
        let token = row.map(token_of);
        let living = token.filter(|token| token.expires.is_none_or(|expires| now < expires));
        let Some(token) = living else { return Ok(None) };
        let stale = Timestamp::plus_seconds(now, -USE_RESOLUTION_SECONDS);
        if token.last_used.is_none_or(|used| used <= stale) {
            sqlx::query("UPDATE tokens SET last_used = $1 WHERE id = $2")
                .bind(now.0)
                .bind(&token.id)
                .execute(self.writer())
                .await?;
        }
        Ok(Some(token))
    }

    /// Revokes the living token with this id or name; whether there was one.
    pub async fn revoke_token(&self, id_or_name: &str, now: Timestamp) -> Result<bool, StateError> {
        let revoked = sqlx::query(
            "UPDATE tokens SET revoked = $1 WHERE (id = $2 OR name = $2) AND revoked IS NULL",
        )
        .bind(now.0)
        .bind(id_or_name)
        .execute(self.writer())
        .await?;
        Ok(revoked.rows_affected() > 0)
    }

    /// All tokens, the living first, then the newest.
    pub async fn tokens(&self) -> Result<Vec<Token>, StateError> {
        let rows: Vec<TokenRow> = sqlx::query_as(
            "SELECT id, name, scopes, created, expires, last_used, revoked FROM tokens \
             ORDER BY CASE WHEN revoked IS NULL THEN 0 ELSE 1 END, created DESC, id LIMIT $1",
        )
        .bind(TOKENS_MAX)
        .fetch_all(self.reader())
        .await?;
        Ok(rows.into_iter().map(token_of).collect())
    }
}

impl NewToken {
    pub(crate) fn generate(
        name: &str,
        scopes: &[Scope],
        expires: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Self, TokenError> {
        let printable = !name.chars().any(char::is_control) && name.trim() == name;
        if name.is_empty() || name.chars().count() > 64 || !printable {
            return Err(TokenError::Name);
        }
        if scopes.is_empty() {
            return Err(TokenError::NoScope);
        }
        if expires.is_some_and(|expires| expires <= now) {
            return Err(TokenError::Expired);
        }
        let mut random = [0; 40];
        OsRng.try_fill_bytes(&mut random).map_err(|error| TokenError::Random(error.to_string()))?;
        let (id, secret) = random.split_at(8);
        let id = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!("qw_{}", URL_SAFE_NO_PAD.encode(secret));
        let (name, scopes) = (name.to_owned(), scopes.to_vec());
        let token =
            Token { id, name, scopes, created: now, expires, last_used: None, revoked: None };
        Ok(Self { token, text })
    }
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewToken").field("token", &self.token).finish_non_exhaustive()
    }
}

impl Token {
    /// Whether the token is good for this.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }
}

impl Scope {
    /// Every scope.
    pub const ALL: &'static [Self] = &[Self::Read, Self::Write, Self::Ingest, Self::Admin];

    /// The word as it stands in commands and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Ingest => "ingest",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        let found = Self::ALL.iter().find(|scope| scope.as_str() == text);
        found.copied().ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

type TokenRow = (String, String, String, i64, Option<i64>, Option<i64>, Option<i64>);

fn token_of((id, name, scopes, created, expires, last_used, revoked): TokenRow) -> Token {
    Token {
        id,
        name,
        scopes: scopes.split(' ').filter_map(|word| word.parse().ok()).collect(),
        created: Timestamp(created),
        expires: expires.map(Timestamp),
        last_used: last_used.map(Timestamp),
        revoked: revoked.map(Timestamp),
    }
}

fn words(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ")
}

fn hash(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}
