//! What people decide about what detection finds. A decision enters the stream as a record, so
//! that a replay decides the same; it never changes, it can only be withdrawn by another one.

use globset::{Glob, GlobBuilder};
use serde::{Deserialize, Serialize};

use crate::{EventId, Timestamp};

/// Exceptions and change windows that may hold at once.
pub const HELD_MAX: usize = 10_000;

/// Most characters of one text of a decision.
pub const TEXT_CHARACTERS_MAX: usize = 1_000;

/// Longest life of an exception, in days.
pub const EXCEPTION_DAYS_MAX: i64 = 366;

/// Longest change window, in days.
pub const CHANGE_WINDOW_DAYS_MAX: i64 = 31;

const SECONDS_PER_DAY: i64 = 86_400;

/// One decision of one person or program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Hash of author, time and content: the same decision twice is one.
    pub id: EventId,
    /// When it was decided.
    pub time: Timestamp,
    /// Name of the token that decided.
    pub author: String,
    /// What was decided.
    pub kind: DecisionKind,
}

/// What can be decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionKind {
    /// What is in scope is expected: it makes no case.
    Exception(Exception),
    /// What a case turned out to be.
    Verdict(Verdict),
    /// What is in scope is announced for some time.
    ChangeWindow(ChangeWindow),
    /// An earlier exception, verdict or change window no longer holds.
    Withdrawn {
        /// Id of that decision.
        decision: EventId,
    },
}

/// What is in scope is expected until it expires.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// What it is about.
    pub scope: Scope,
    /// Why it is expected.
    pub reason: String,
    /// From when it no longer holds, at most [`EXCEPTION_DAYS_MAX`] after the decision; none holds
    /// until it is withdrawn.
    pub expires: Option<Timestamp>,
}

/// Which signals are meant: globs, at least one; all that are given must match.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scope {
    /// Configured name of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Person or account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Network or address of the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Table read or written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Id of a rule or baseline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// What tells the act from others of the rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// What a case turned out to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The case.
    pub case_id: EventId,
    /// Id of the rule or baseline that is judged.
    pub rule: String,
    /// The causes that are judged: one, or all that the case lists of the rule.
    pub causes: Vec<String>,
    /// Whom the case is about.
    pub identity: Option<String>,
    /// Server of the case.
    pub instance: String,
    /// What it turned out to be.
    pub verdict: Disposition,
    /// How that is known.
    pub reason: String,
}

/// What a finding turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// A true positive: it happened, and it was wrong.
    True,
    /// A benign positive: it happened, and it was allowed.
    Benign,
    /// A false positive: it did not happen as told.
    False,
}

/// What is in scope is announced from one moment to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeWindow {
    /// What it is about.
    pub scope: Scope,
    /// When it begins.
    pub from: Timestamp,
    /// When it ends, at most [`CHANGE_WINDOW_DAYS_MAX`] after its begin.
    pub until: Timestamp,
    /// What is changed, and why.
    pub reason: String,
}

/// Why a decision is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecisionError {
    /// A text that must be there is not.
    #[error("`{0}` is empty; say it in a few words")]
    Missing(&'static str),
    /// A text is too long.
    #[error("`{name}` has {characters} characters; the limit is {TEXT_CHARACTERS_MAX}")]
    Long {
        /// Which one.
        name: &'static str,
        /// How long it is.
        characters: usize,
    },
    /// The scope names nothing.
    #[error("the scope is empty; set instance, identity, network, table, rule or cause")]
    ScopeEmpty,
    /// The scope is of wildcards only.
    #[error("the scope matches everything; write at least one name without wildcards in it")]
    ScopeBoundless,
    /// A part of the scope cannot be matched.
    #[error(
        "`{name}` is no glob: {problem}; put a backslash before a bracket that stands for itself"
    )]
    NotGlob {
        /// Which one.
        name: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// It would end before it was decided.
    #[error("`{0}` is not after the time of the decision; choose a later time")]
    Over(&'static str),
    /// An exception would live too long.
    #[error(
        "`expires` is more than {EXCEPTION_DAYS_MAX} days away; choose an earlier time and renew it"
    )]
    ExceptionLong,
    /// A change window ends before it begins.
    #[error("the change window ends before it begins; `until` must be after `from`")]
    WindowReversed,
    /// A change window is too long.
    #[error("the window is longer than {CHANGE_WINDOW_DAYS_MAX} days; announce it in parts")]
    WindowLong,
}

impl Decision {
    /// A decision whose id follows from its content.
    pub fn new(time: Timestamp, author: &str, kind: DecisionKind) -> Self {
        // `Debug` of these types shows every field, and texts with their ends escaped.
        let content = format!("{kind:?}");
        let parts: [&[u8]; 4] =
            [b"decision", author.as_bytes(), &time.0.to_le_bytes(), content.as_bytes()];
        Self { id: EventId::of(&parts), time, author: author.to_owned(), kind }
    }

    /// Whether it may be taken: texts are there and bounded, the scope is narrower than
    /// everything, and it holds for a bounded time that is not over.
    pub fn check(&self) -> Result<(), DecisionError> {
        required("author", &self.author)?;
        match &self.kind {
            DecisionKind::Exception(exception) => exception.check(self.time),
            DecisionKind::Verdict(verdict) => verdict.check(),
            DecisionKind::ChangeWindow(window) => window.check(self.time),
            DecisionKind::Withdrawn { .. } => Ok(()),
        }
    }
}

impl DecisionKind {
    /// The word as it stands in tables and answers.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Exception(_) => "exception",
            Self::Verdict(_) => "verdict",
            Self::ChangeWindow(_) => "change_window",
            Self::Withdrawn { .. } => "withdrawn",
        }
    }
}

impl Disposition {
    /// Every word.
    pub const ALL: &'static [Self] = &[Self::True, Self::Benign, Self::False];

    /// The word as it stands in tables and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::Benign => "benign",
            Self::False => "false",
        }
    }
}

impl Exception {
    fn check(&self, time: Timestamp) -> Result<(), DecisionError> {
        self.scope.check()?;
        required("reason", &self.reason)?;
        match self.expires {
            Some(expires) if expires <= time => Err(DecisionError::Over("expires")),
            Some(expires) if expires > days_after(time, EXCEPTION_DAYS_MAX) => {
                Err(DecisionError::ExceptionLong)
            }
            _ => Ok(()),
        }
    }
}

impl Verdict {
    fn check(&self) -> Result<(), DecisionError> {
        required("rule", &self.rule)?;
        required("instance", &self.instance)?;
        required("reason", &self.reason)?;
        self.causes.iter().try_for_each(|cause| bounded("cause", Some(cause)))?;
        bounded("identity", self.identity.as_deref())
    }
}

impl ChangeWindow {
    fn check(&self, time: Timestamp) -> Result<(), DecisionError> {
        self.scope.check()?;
        required("reason", &self.reason)?;
        if self.until <= self.from {
            return Err(DecisionError::WindowReversed);
        }
        if self.until <= time {
            return Err(DecisionError::Over("until"));
        }
        let is_long = self.until > days_after(self.from, CHANGE_WINDOW_DAYS_MAX);
        if is_long { Err(DecisionError::WindowLong) } else { Ok(()) }
    }
}

impl Scope {
    fn check(&self) -> Result<(), DecisionError> {
        let globs = [
            ("instance", &self.instance),
            ("identity", &self.identity),
            ("network", &self.network),
            ("table", &self.table),
            ("rule", &self.rule),
            ("cause", &self.cause),
        ];
        let given = globs.iter().filter_map(|(name, glob)| Some((*name, glob.as_deref()?)));
        let mut are_all_boundless = true;
        for (name, glob) in given.clone() {
            required(name, glob)?;
            are_all_boundless &= !names_something(glob);
        }
        match given.clone().count() {
            0 => Err(DecisionError::ScopeEmpty),
            _ if are_all_boundless => Err(DecisionError::ScopeBoundless),
            _ => Ok(()),
        }?;
        given.clone().try_for_each(|(name, text)| match glob(text) {
            Ok(_) => Ok(()),
            Err(error) => Err(DecisionError::NotGlob { name, problem: error.kind().to_string() }),
        })
    }
}

/// The glob of a part of a scope; letters match in either case.
///
/// # Errors
/// If it is none.
pub fn glob(text: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(text).case_insensitive(true).build()
}

fn days_after(time: Timestamp, days: i64) -> Timestamp {
    time.plus_seconds(days * SECONDS_PER_DAY)
}

fn required(name: &'static str, text: &str) -> Result<(), DecisionError> {
    if text.trim().is_empty() {
        return Err(DecisionError::Missing(name));
    }
    bounded(name, Some(text))
}

fn bounded(name: &'static str, text: Option<&str>) -> Result<(), DecisionError> {
    let characters = text.map_or(0, |text| text.chars().count());
    let is_long = characters > TEXT_CHARACTERS_MAX;
    if is_long { Err(DecisionError::Long { name, characters }) } else { Ok(()) }
}

/// Whether a glob asks for a letter or digit of its own, whatever its wildcards stand for:
/// characters in `[…]` are choices, and so is `{…}` unless each of its alternatives asks for one.
fn names_something(glob: &str) -> bool {
    // One entry for each open brace: whether every alternative so far asks for a character, and
    // whether the current one does. The outermost entry is the glob itself.
    let mut open = vec![(true, false)];
    let mut characters = glob.chars();
    let mut in_class = false;
    while let Some(character) = characters.next() {
        let depth = open.len();
        let Some((every, current)) = open.last_mut() else { return false };
        match character {
            ']' => in_class = false,
            _ if in_class => {}
            '\\' => *current |= characters.next().is_some_and(char::is_alphanumeric),
            '[' => in_class = true,
            '{' => open.push((true, false)),
            ',' if depth > 1 => (*every, *current) = (*every && *current, false),
            '}' if depth > 1 => {
                let asked = *every && *current;
                open.pop();
                if let Some((_, outer)) = open.last_mut() {
                    *outer |= asked;
                }
            }
            letter => *current |= letter.is_alphanumeric(),
        }
    }
    matches!(open.as_slice(), [(_, true)])
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = SECONDS_PER_DAY;

    fn second(seconds: i64) -> Timestamp {
        Timestamp(0).plus_seconds(seconds)
    }

    fn exception(change: impl Fn(&mut Exception)) -> Result<(), DecisionError> {
        let scope = Scope { identity: Some("etl".into()), ..Scope::default() };
        let expires = Some(second(10 * DAY));
        let mut exception = Exception { scope, reason: "nightly load".into(), expires };
        change(&mut exception);
        Decision::new(second(1), "ann", DecisionKind::Exception(exception)).check()
    }

    #[test]
    fn exceptions_have_a_reason_a_scope_and_an_end() {
        assert_eq!(exception(|_| {}), Ok(()));
        assert_eq!(exception(|it| it.expires = None), Ok(()));
        assert_eq!(exception(|it| it.reason = " \n".into()), Err(DecisionError::Missing("reason")));
        assert_eq!(exception(|it| it.scope = Scope::default()), Err(DecisionError::ScopeEmpty));
        let over = exception(|it| it.expires = Some(second(1)));
        assert_eq!(over, Err(DecisionError::Over("expires")));
        let long = exception(|it| it.expires = Some(second(367 * DAY)));
        assert_eq!(long, Err(DecisionError::ExceptionLong));
        let endless = exception(|it| it.expires = Some(Timestamp(i64::MAX)));
        assert_eq!(endless, Err(DecisionError::ExceptionLong));
        let long = exception(|it| it.scope.cause = Some("é".repeat(1_001)));
        assert_eq!(long, Err(DecisionError::Long { name: "cause", characters: 1_001 }));
        assert_eq!(exception(|it| it.scope.cause = Some("é".repeat(1_000))), Ok(()));
        let empty = exception(|it| it.scope.rule = Some(String::new()));
        assert_eq!(empty, Err(DecisionError::Missing("rule")));
        let reason = "x".repeat(1_001);
        let long = exception(|it| it.reason = reason.clone());
        let message = long.expect_err("too long").to_string();
        assert_eq!(message, "`reason` has 1001 characters; the limit is 1000");
    }

    #[test]
    fn scopes_of_wildcards_are_refused() {
        let boundless = [
            "*",
            "**",
            "?*",
            "*.*",
            "[a-z]*",
            "[!a]*",
            "{*,a}",
            "{a,*}",
            "{{a,b},*}",
            "a{",
            "\\**",
            "{,a}*",
            "*/**/*",
            "[",
            "{",
            "}",
            ",",
            "]",
        ];
        for text in boundless {
            let refused = exception(|it| it.scope.identity = Some(text.into()));
            assert_eq!(refused, Err(DecisionError::ScopeBoundless), "{text}");
            let beside = exception(|it| {
                it.scope.identity = Some(text.into());
                it.scope.rule = Some("D01".into());
            });
            assert_eq!(beside.is_ok(), glob(text).is_ok(), "{text} beside a name: {beside:?}");
        }
        for glob in ["a", "*a*", "{a,b}", "{a,b}*", "x{*,a}", "10.0.*", "日本*", "\\a", "a,b"] {
            let taken = exception(|it| it.scope.identity = Some(glob.into()));
            assert_eq!(taken, Ok(()), "{glob}");
        }
        let deep = "{".repeat(1_000);
        let refused = exception(|it| it.scope.identity = Some(deep.clone()));
        assert_eq!(refused, Err(DecisionError::ScopeBoundless));
    }

    #[test]
    fn a_scope_that_cannot_be_matched_is_refused() {
        for text in ["u[", "{a,b", "u[z-a]", "a\\"] {
            let refused = exception(|it| {
                it.scope.identity = Some(text.into());
                it.scope.rule = Some("D01".into());
            });
            let is_named = |error: &DecisionError| error.to_string().starts_with("`identity` is");
            assert!(refused.as_ref().is_err_and(is_named), "{text}: {refused:?}");
        }
        let bracket = exception(|it| it.scope.identity = Some("u\\[1\\]".into()));
        assert_eq!(bracket, Ok(()));
    }

    #[test]
    fn windows_end_after_they_begin_and_soon() {
        let window = |from, until| {
            let scope = Scope { instance: Some("orders".into()), ..Scope::default() };
            let (from, until) = (second(from), second(until));
            let window = ChangeWindow { scope, from, until, reason: "release 7".into() };
            Decision::new(second(100), "ann", DecisionKind::ChangeWindow(window)).check()
        };
        assert_eq!(window(0, 200), Ok(()));
        assert_eq!(window(1_000, 1_000 + 31 * DAY), Ok(()));
        assert_eq!(window(1_000, 1_001 + 31 * DAY), Err(DecisionError::WindowLong));
        assert_eq!(window(300, 200), Err(DecisionError::WindowReversed));
        assert_eq!(window(0, 100), Err(DecisionError::Over("until")));
    }

    #[test]
    fn what_is_written_is_read_again_and_ids_follow_the_content() {
        let verdict = Verdict {
            case_id: EventId([7; 16]),
            rule: "D01".into(),
            causes: vec!["program '/bin/sh'\0\u{202e}".into()],
            identity: None,
            instance: "orders".into(),
            verdict: Disposition::Benign,
            reason: "announced".into(),
        };
        let decision = Decision::new(second(5), "ann", DecisionKind::Verdict(verdict.clone()));
        assert_eq!(decision.check(), Ok(()));
        let text = serde_json::to_string(&decision).expect("JSON");
        assert!(text.contains(r#""verdict":"benign""#), "{text}");
        assert_eq!(serde_json::from_str::<Decision>(&text).expect("a decision"), decision);
        let again = Decision::new(second(5), "ann", DecisionKind::Verdict(verdict.clone()));
        assert_eq!(again.id, decision.id);
        for other in [
            Decision::new(second(6), "ann", DecisionKind::Verdict(verdict.clone())),
            Decision::new(second(5), "bob", DecisionKind::Verdict(verdict)),
            Decision::new(second(5), "ann", DecisionKind::Withdrawn { decision: decision.id }),
        ] {
            assert_ne!(other.id, decision.id);
        }
        let unknown = r#"{"identity":"etl","databse":"orders"}"#;
        serde_json::from_str::<Scope>(unknown).expect_err("a misspelt scope is not a wider one");
    }
}
