//! Secrets are named in settings, never written: `{ env = "…" }` or `{ file = "…" }`. What is read
//! is wiped when dropped, and shows as `<secret>`.

use std::env::VarError;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Where a secret is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretSource {
    /// In this environment variable.
    Env(String),
    /// In this file; white space around it does not count.
    File(PathBuf),
}

/// A text that must not be shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

/// Why a secret could not be read; says where, never what.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {place} {problem}")]
pub struct SecretError {
    setting: String,
    place: String,
    problem: String,
}

/// Largest file that is taken for a secret.
const SECRET_BYTES_MAX: u64 = 64 << 10;

impl SecretSource {
    /// Reads the secret. `setting` is the name of the setting, for the error.
    pub fn read(&self, setting: &str) -> Result<Secret, SecretError> {
        let text = match self {
            Self::Env(name) => read_variable(name),
            Self::File(path) => read_file(path).map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => "is not UTF-8 text".to_owned(),
                _ => format!("cannot be read: {error}; check its path and owner"),
            }),
        };
        let text = text.map_err(|problem| self.error(setting, problem))?;
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(self.error(setting, "is empty; put the secret in it"));
        }
        Ok(Secret(Zeroizing::new(trimmed.to_owned())))
    }

    /// An error about this secret.
    pub fn error(&self, setting: &str, problem: impl Into<String>) -> SecretError {
        let (setting, problem) = (setting.to_owned(), problem.into());
        SecretError { setting, place: self.to_string(), problem }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable `{name}`"),
            Self::File(path) => write!(f, "file {}", path.display()),
        }
    }
}

impl Secret {
    /// A secret from a text that is already in memory.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The secret itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

fn read_variable(name: &str) -> Result<Zeroizing<String>, String> {
    // `var` panics on a name that can be none.
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err("is no name of a variable".to_owned());
    }
    match std::env::var(name) {
        Ok(text) => Ok(Zeroizing::new(text)),
        Err(VarError::NotPresent) => Err("is not set; set it for this process".to_owned()),
        // The value stands in the error: it must not be shown.
        Err(VarError::NotUnicode(_)) => Err("is not UTF-8 text".to_owned()),
    }
}

fn read_file(path: &PathBuf) -> io::Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    let read = File::open(path)?.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text)?;
    if read as u64 > SECRET_BYTES_MAX {
        return Err(io::Error::other("it is larger than 64 KiB, so hardly a secret"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Holder {
        source: SecretSource,
    }

    #[test]
    fn read_from_the_named_place_and_never_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        std::fs::write(&path, " s3cret\n").expect("written");
        let settings = format!("source = {{ file = \"{}\" }}", path.display());
        let holder: Holder = toml::from_str(&settings).expect("settings");
        let secret = holder.source.read("respond.key").expect("a secret");
        assert_eq!(secret.expose(), "s3cret");
        assert_eq!(format!("{secret:?}"), "<secret>");
        let home: Holder = toml::from_str("source = { env = \"PATH\" }").expect("settings");
        assert!(home.source.read("respond.key").is_ok());
        toml::from_str::<Holder>("source = \"s3cret\"").expect_err("written, not named");
    }

    #[test]
    fn errors_name_the_setting_and_the_place_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        let file = SecretSource::File(path.clone());
        let cases: [(&[u8], &str); 3] = [
            (b"\n", "is empty"),
            (b"s3cret\xff", "is not UTF-8"),
            (&[b's'; 70_000], "larger than"),
        ];
        for (bytes, problem) in cases {
            std::fs::write(&path, bytes).expect("written");
            let message = file.read("respond.key").expect_err("malformed").to_string();
            assert!(message.starts_with("respond.key: file ") && message.contains(problem));
            assert!(!message.contains("s3cret"), "{message}");
        }
        std::fs::remove_file(&path).expect("removed");
        let message = file.read("respond.key").expect_err("missing").to_string();
        assert!(message.contains("cannot be read"), "{message}");
        for name in ["", "A=B", "A\0", "QUERYWATCH_SURELY_NOT_SET"] {
            let source = SecretSource::Env(name.to_owned());
            let message = source.read("respond.key").expect_err("missing").to_string();
            assert!(message.starts_with("respond.key: environment variable"), "{message}");
        }
    }
}
