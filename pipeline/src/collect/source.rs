//! The settings of a source, and its reader.

use anyhow::{Context, ensure};
use ingest::source::{FileSourceSettings, SourceKind, StdinSettings, SyslogTcpSettings};
use ingest::{LogSettings, Stream};
use serde::{Deserialize, Serialize};

/// `[[sources]]`: the logs of one server, from one of `files`, `stdin` and `syslog_tcp`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSettings {
    /// Name of the source; unique.
    pub name: String,
    /// Name of the server or cluster the logs are of; the source's name if not given.
    pub instance: Option<String>,
    /// Files that are followed.
    #[serde(default)]
    pub files: FileSourceSettings,
    /// What is piped into the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<StdinSettings>,
    /// Syslog over TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub syslog_tcp: Option<SyslogTcpSettings>,
    /// How it is read.
    #[serde(default)]
    pub log: LogSettings,
}

impl SourceSettings {
    /// Of the files of one server, with all else by default.
    pub fn of_files(name: &str, instance: &str, paths: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            instance: Some(instance.to_owned()),
            files: FileSourceSettings { paths, ..FileSourceSettings::default() },
            stdin: None,
            syslog_tcp: None,
            log: LogSettings::default(),
        }
    }

    /// What is read.
    pub fn kind(&self) -> SourceKind {
        match (&self.stdin, &self.syslog_tcp) {
            (Some(stdin), _) => SourceKind::Stdin(stdin.clone()),
            (_, Some(syslog)) => SourceKind::SyslogTcp(syslog.clone()),
            _ => SourceKind::Files(self.files.clone()),
        }
    }

    /// Name of the server.
    pub fn instance(&self) -> &str {
        self.instance.as_deref().unwrap_or(&self.name)
    }

    /// Refuses settings by which nothing could be read.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let given: Vec<&str> = [
            ("files.paths", self.files != FileSourceSettings::default()),
            ("stdin", self.stdin.is_some()),
            ("syslog_tcp", self.syslog_tcp.is_some()),
        ]
        .iter()
        .filter_map(|(setting, is_given)| is_given.then_some(*setting))
        .collect();
        ensure!(
            given.len() < 2,
            "it has {}; keep one of them, and make a source of its own of each other",
            given.join(" and ")
        );
        self.log.check()?;
        match self.kind() {
            SourceKind::Files(files) => {
                ensure!(
                    !files.paths.is_empty(),
                    "it has no files.paths; name files, folders or patterns, or set stdin or \
                     syslog_tcp"
                );
                ingest::source::list(&files)?;
            }
            SourceKind::Stdin(stdin) => {
                self.check_spool("stdin.spool_bytes_max", stdin.spool_bytes_max)?;
            }
            SourceKind::SyslogTcp(syslog) => {
                self.check_spool("syslog_tcp.spool_bytes_max", syslog.spool_bytes_max)?;
                let (connections, bytes) = (syslog.connections_max, syslog.message_bytes_max);
                ensure!(connections > 0, "syslog_tcp.connections_max is 0; allow at least 1");
                ensure!(bytes > 0, "syslog_tcp.message_bytes_max is 0; allow at least 1");
            }
        }
        Ok(())
    }

    /// What is spooled has a folder that is called as the source is.
    fn check_spool(&self, setting: &str, bytes_max: u64) -> anyhow::Result<()> {
        ensure!(bytes_max > 0, "{setting} is 0; allow at least 1");
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        ensure!(
            self.name.chars().all(is_plain) && !self.name.starts_with('.'),
            "its name is to name its spool; use letters, digits, `-`, `_` and `.`, which does \
             not come first"
        );
        Ok(())
    }

    /// The reader, as its snapshot left it.
    pub(crate) fn stream(&self, snapshot: Option<&[u8]>) -> anyhow::Result<Stream> {
        let settings = self.log.stream(&self.name, self.instance());
        match snapshot {
            Some(snapshot) if !snapshot.is_empty() => Stream::restore(settings, snapshot)
                .with_context(|| format!("the reader of source `{}`", self.name)),
            _ => Ok(Stream::new(settings)),
        }
    }
}
