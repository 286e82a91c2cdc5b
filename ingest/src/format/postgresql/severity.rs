//! The words in front of a message, which the server translates into its own language.

use std::sync::LazyLock;

use hashbrown::HashMap;

/// How bad a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// DEBUG, LOG, INFO, NOTICE, or a word in a language that is not known here.
    Message,
    Warning,
    Error,
    Fatal,
    Panic,
}

/// What a line with a tag adds to its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    /// Begins a record.
    Severity(Severity),
    Detail,
    Hint,
    Query,
    Context,
    Statement,
    Location,
    Backtrace,
}

impl Severity {
    /// The word as csvlog, jsonlog and the text formats write it.
    pub(crate) fn read(word: &str) -> Option<Self> {
        match Tag::read(word)? {
            Tag::Severity(severity) => Some(severity),
            _ => None,
        }
    }

    pub(crate) fn is_error(self) -> bool {
        self >= Self::Error
    }
}

impl Tag {
    /// The word in front of `:  `, in the languages that PostgreSQL is most used in.
    pub(crate) fn read(word: &str) -> Option<Self> {
        // Most of what is asked for is no tag but a name, and those are in lower case.
        if word.bytes().any(|byte| byte.is_ascii_lowercase()) {
            return None;
        }
        TAGS.get(word).copied()
    }
}

static TAGS: LazyLock<HashMap<&str, Tag>> = LazyLock::new(|| {
    WORDS.iter().flat_map(|(tag, words)| words.split('|').map(|word| (word, *tag))).collect()
});

/// The words of each tag: English, German, French, Spanish, Italian, Portuguese, Russian, Polish,
/// Chinese, Japanese, Korean, as far as they differ.
const WORDS: &[(Tag, &str)] = &[
    (
        Tag::Severity(Severity::Message),
        "LOG|INFO|NOTICE|DEBUG|DEBUG1|DEBUG2|DEBUG3|DEBUG4|DEBUG5|HINWEIS|DEPURACIÓN|NOTIFICA|\
         AVISO|СООБЩЕНИЕ|ЗАМЕЧАНИЕ|ИНФОРМАЦИЯ|ОТЛАДКА|DZIENNIK|UWAGA|日志|注意|信息|ログ|로그",
    ),
    (
        Tag::Severity(Severity::Warning),
        "WARNING|WARNUNG|ATTENTION|ADVERTENCIA|ATTENZIONE|ПРЕДУПРЕЖДЕНИЕ|OSTRZEŻENIE|警告|경고",
    ),
    (
        Tag::Severity(Severity::Error),
        "ERROR|FEHLER|ERREUR|ERRORE|ERRO|ОШИБКА|BŁĄD|错误|エラー|오류",
    ),
    (
        Tag::Severity(Severity::Fatal),
        "FATAL|FATALE|ВАЖНО|KATASTROFALNY|致命错误|致命的エラー|치명적오류",
    ),
    (
        Tag::Severity(Severity::Panic),
        "PANIC|PANIK|PANICO|PÂNICO|ПАНИКА|比致命错误还过分的错误|손상",
    ),
    (
        Tag::Detail,
        "DETAIL|DÉTAIL|DETALLE|DETTAGLI|DETALHE|ПОДРОБНОСТИ|SZCZEGÓŁY|描述|详细信息|詳細|상세정보",
    ),
    (
        Tag::Hint,
        "HINT|TIPP|ASTUCE|SUGERENCIA|SUGGERIMENTO|DICA|ПОДСКАЗКА|PODPOWIEDŹ|提示|ヒント|힌트",
    ),
    (Tag::Query, "QUERY|ANFRAGE|REQUÊTE|CONSULTA|ЗАПРОС|ZAPYTANIE|查询|クエリ|쿼리"),
    (
        Tag::Context,
        "CONTEXT|ZUSAMMENHANG|CONTEXTE|CONTEXTO|CONTESTO|КОНТЕКСТ|KONTEKST|上下文|コンテキスト|내용",
    ),
    (
        Tag::Statement,
        "STATEMENT|ANWEISUNG|INSTRUCTION|SENTENCIA|ISTRUZIONE|COMANDO|ОПЕРАТОР|POLECENIE|语句|\
         ステートメント|명령 구문",
    ),
    (Tag::Location, "LOCATION|ORT|EMPLACEMENT|UBICACIÓN|POSIZIONE|LOCAL|ПОЛОЖЕНИЕ|位置|場所|위치"),
    (Tag::Backtrace, "BACKTRACE"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_other_languages_are_known() {
        let cases = [
            ("LOG", Tag::Severity(Severity::Message)),
            ("FEHLER", Tag::Severity(Severity::Error)),
            ("ВАЖНО", Tag::Severity(Severity::Fatal)),
            ("INSTRUCTION", Tag::Statement),
            ("명령 구문", Tag::Statement),
            ("詳細", Tag::Detail),
        ];
        for (word, tag) in cases {
            assert_eq!(Tag::read(word), Some(tag), "{word}");
        }
        assert_eq!(Tag::read("AUDIT"), None);
        assert_eq!(Tag::read("LOG|INFO"), None);
    }
}
