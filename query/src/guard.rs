//! What a query may not do: write, read files, set options, take the machine down.

use datafusion::common::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// Functions that make much out of nothing: one call can ask for gigabytes, and DataFusion's
/// memory limit does not see it.
const MULTIPLIERS: [&str; 12] = [
    "array_repeat",
    "array_resize",
    "generate_series",
    "list_repeat",
    "list_resize",
    "lpad",
    "range",
    "gen_series",
    "repeat",
    "rpad",
    "space",
    "array_pad",
];

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The query is wrong: its author can mend it.
    #[error("{0}")]
    Refused(String),
    /// It took too long.
    #[error("no answer within {0} seconds; narrow the time range or add a filter")]
    Timeout(u64),
    /// It needed more memory or disk than there is for it.
    #[error("the query needs more memory than it may have; narrow it: {0}")]
    Resources(String),
    /// Something here is broken.
    #[error("the query could not be answered: {0}")]
    Failed(String),
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        let text = in_our_words(&error).unwrap_or_else(|| error.strip_backtrace());
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => Self::Resources(text),
            DataFusionError::SQL(..)
            | DataFusionError::Plan(_)
            | DataFusionError::SchemaError(..)
            | DataFusionError::NotImplemented(_)
            | DataFusionError::Configuration(_)
            | DataFusionError::Diagnostic(..)
            | DataFusionError::Execution(_)
            | DataFusionError::ArrowError(..) => Self::Refused(text),
            _ => Self::Failed(text),
        }
    }
}

/// What a caller can read without knowing the engine.
fn in_our_words(error: &DataFusionError) -> Option<String> {
    match error.find_root() {
        DataFusionError::SQL(problem, _) => {
            let text = problem.to_string();
            let text = text.trim_start_matches("sql parser error: ");
            Some(format!("the SQL cannot be read: {text}"))
        }
        DataFusionError::Plan(text) if text.contains(" not supported: ") => {
            Some("this service only reads: SELECT, WITH, VALUES, EXPLAIN".to_owned())
        }
        DataFusionError::Plan(text) => Some(text.replace("datafusion.public.", "")),
        _ => None,
    }
}

impl From<arrow_schema::ArrowError> for QueryError {
    fn from(error: arrow_schema::ArrowError) -> Self {
        Self::Refused(error.to_string())
    }
}

/// Refuses SQL with more operators and keywords than `most`: a chain of them is a tree as deep as
/// the chain is long, which planning walks recursively and more than once. Names, literals and
/// what separates them may be as many as the length allows.
pub(crate) fn refuse_sprawl(sql: &str, most: usize) -> Result<(), QueryError> {
    // Text that is no SQL is refused by the parser, in its words.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else { return Ok(()) };
    let nests = |token: &&Token| match token {
        Token::Word(word) => word.keyword != Keyword::NoKeyword,
        Token::Comma | Token::Period | Token::LParen | Token::RParen => false,
        Token::Whitespace(_) | Token::Number(..) | Token::SingleQuotedString(_) => false,
        _ => true,
    };
    let count = tokens.iter().filter(nests).count();
    if count <= most {
        return Ok(());
    }
    let advice = "write long lists as `IN (…)`, or ask in parts";
    let refusal =
        format!("the SQL has {count} operators and keywords, the limit is {most}; {advice}");
    Err(QueryError::Refused(refusal))
}

/// Only queries: no definition, no change, no `COPY`, no `SET`.
pub(crate) fn read_only() -> SQLOptions {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false)
}

/// Takes away what could take the machine down.
pub(crate) fn disarm(context: &SessionContext) {
    for name in MULTIPLIERS {
        context.deregister_udf(name);
        context.deregister_udtf(name);
    }
}
