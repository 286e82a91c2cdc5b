//! Writes log records byte for byte as the server does, names raw where it writes them raw.
//!
//! Source: `log_status_format`, `append_with_tabs` and `write_syslog` in elog.c; csvlog.c;
//! jsonlog.c.

/// Who a record is about.
#[derive(Clone)]
pub(crate) struct Backend {
    pub(crate) user: Vec<u8>,
    pub(crate) database: Vec<u8>,
    pub(crate) process: u32,
    /// Lines written so far.
    pub(crate) line: u32,
}

/// One record.
pub(crate) struct Report<'a> {
    pub(crate) severity: &'a str,
    pub(crate) code: &'a str,
    pub(crate) activity: &'a str,
    pub(crate) message: Vec<u8>,
    pub(crate) detail: Vec<u8>,
}

const TIME: &str = "2026-11-21 10:11:12.345 UTC";
const SESSION_START: &str = "67c42e10";

impl Backend {
    pub(crate) fn new(user: &[u8], database: &[u8], process: u32) -> Self {
        Self { user: user.to_vec(), database: database.to_vec(), process, line: 0 }
    }

    /// Whether it is known who the client says it is.
    fn is_named(&self) -> bool {
        !self.user.is_empty()
    }

    /// A line of stderr: prefix, tag, text with a TAB after each newline.
    fn line(&mut self, prefix: &str, tag: &str, code: &str, text: &[u8]) -> Vec<u8> {
        self.line += 1;
        let mut out = Vec::new();
        let mut characters = prefix.chars();
        while let Some(character) = characters.next() {
            if character != '%' {
                out.extend(character.to_string().bytes());
                continue;
            }
            let name =
                |name: &[u8]| if name.is_empty() { b"[unknown]".to_vec() } else { name.to_vec() };
            match characters.next() {
                Some('m') => out.extend(TIME.bytes()),
                Some('t') => out.extend(TIME.replace(".345", "").bytes()),
                Some('p') => out.extend(self.process.to_string().bytes()),
                Some('u') => out.extend(name(&self.user)),
                Some('d') => out.extend(name(&self.database)),
                Some('a') => out.extend(b"[unknown]"),
                Some('r') => out.extend(b"10.9.8.7(40112)"),
                Some('h') => out.extend(b"10.9.8.7"),
                Some('c') => out.extend(format!("{SESSION_START}.{:x}", self.process).bytes()),
                Some('l') => out.extend(self.line.to_string().bytes()),
                Some('e') => out.extend(code.bytes()),
                other => assert_eq!(other, Some('q'), "an escape that is not modelled"),
            }
        }
        out.extend(tag.bytes());
        out.extend(b":  ");
        for byte in text {
            out.push(*byte);
            if *byte == b'\n' {
                out.push(b'\t');
            }
        }
        out.push(b'\n');
        out
    }

    pub(crate) fn stderr(&mut self, prefix: &str, report: &Report<'_>) -> Vec<u8> {
        let mut out = self.line(prefix, report.severity, report.code, &report.message);
        if !report.detail.is_empty() {
            out.extend(self.line(prefix, "DETAIL", report.code, &report.detail));
        }
        out
    }

    /// Splits at newlines; blank lines are left out.
    pub(crate) fn syslog(&mut self, prefix: &str, sequence: u32, report: &Report<'_>) -> Vec<u8> {
        let text = self.stderr(prefix, report);
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let mut out = Vec::new();
        for (chunk, line) in lines.enumerate() {
            let (process, chunk) = (self.process, chunk + 1);
            let header = format!("Nov 21 10:11:12 db1 postgres[{process}]: [{sequence}-{chunk}] ");
            out.extend(header.bytes());
            // rsyslog escapes control characters.
            for byte in line {
                match byte {
                    0..32 => out.extend(format!("#{byte:03o}").bytes()),
                    _ => out.push(*byte),
                }
            }
            out.push(b'\n');
        }
        out
    }

    pub(crate) fn csvlog(&mut self, report: &Report<'_>) -> Vec<u8> {
        self.line += 1;
        let quoted = |text: &[u8]| {
            let mut out = b"\"".to_vec();
            for byte in text {
                out.extend(std::iter::repeat_n(*byte, if *byte == b'"' { 2 } else { 1 }));
            }
            out.push(b'"');
            out
        };
        let optional = |text: &[u8]| if text.is_empty() { Vec::new() } else { quoted(text) };
        let (process, line) = (self.process, self.line);
        let text = |text: String| text.into_bytes();
        let backend = if self.is_named() { "client backend" } else { "not initialized" };
        let columns = [
            TIME.as_bytes().to_vec(),
            optional(&self.user),
            optional(&self.database),
            text(process.to_string()),
            quoted(b"10.9.8.7:40112"),
            text(format!("{SESSION_START}.{process:x}")),
            text(line.to_string()),
            quoted(report.activity.as_bytes()),
            TIME.replace(".345", "").into_bytes(),
            text("2/17".to_owned()),
            text("0".to_owned()),
            report.severity.as_bytes().to_vec(),
            report.code.as_bytes().to_vec(),
            quoted(&report.message),
            optional(&report.detail),
        ];
        let mut out = columns.join(&b","[..]);
        out.extend(b",,,,,,,,");
        out.extend(format!("\"\",\"{backend}\",,0\n").bytes());
        out
    }

    pub(crate) fn jsonlog(&mut self, report: &Report<'_>) -> Vec<u8> {
        self.line += 1;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let object = serde_json::json!({
            "timestamp": TIME,
            "user": text(&self.user),
            "dbname": text(&self.database),
            "pid": self.process,
            "remote_host": "10.9.8.7",
            "remote_port": 40112,
            "session_id": format!("{SESSION_START}.{:x}", self.process),
            "line_num": self.line,
            "ps": report.activity,
            "error_severity": report.severity,
            "state_code": report.code,
            "message": text(&report.message),
            "detail": text(&report.detail),
            "backend_type": "client backend",
        });
        format!("{object}\n").into_bytes()
    }
}
