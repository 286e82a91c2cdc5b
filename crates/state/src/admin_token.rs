//! The first start leaves an administrator's token in a file that only its owner can read.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use event::Timestamp;

use crate::state::{State, StateError};
use crate::tokens::{NewToken, Scope, TokenError};

impl State {
    /// If no token was ever created, creates one named `admin` and writes it to `admin.token`
    /// (mode 0600) in the folder. Returns the file if it was written.
    ///
    /// The file comes first: a token that is stored but was never shown would be of no use, while
    /// a file without its token is replaced by the next start.
    pub async fn ensure_admin_token(
        &self,
        folder: &Path,
        now: Timestamp,
    ) -> Result<Option<PathBuf>, TokenError> {
        let tokens: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM tokens")
            .fetch_one(self.reader())
            .await
            .map_err(StateError::from)?;
        if tokens > 0 {
            return Ok(None);
        }
        let new = NewToken::generate("admin", &[Scope::Admin], None, now)?;
        let path = folder.join("admin.token");
        write_durably(folder, &path, &new.text)
            .map_err(|source| StateError::File { path: path.clone(), source })?;
        self.insert_token(&new).await?;
        Ok(Some(path))
    }
}

/// Writes aside, then renames: the file is whole or not there, and never readable by others.
fn write_durably(folder: &Path, path: &Path, text: &str) -> io::Result<()> {
    let aside = folder.join("admin.token.new");
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&aside)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    File::open(folder)?.sync_all()
}
