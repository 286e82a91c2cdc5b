//! What a person sees: the log, errors with their causes, progress bars on a terminal.
#![expect(clippy::print_stderr, reason = "this is the place that talks to the terminal")]

use std::fmt::Write;
use std::io::IsTerminal;

use comfy_table::{ContentArrangement, Table, TableComponent, presets};
use indicatif::{ProgressBar, ProgressStyle};
use tracing_subscriber::EnvFilter;

/// Starts the log on standard error: warnings by default, more with `-v`, or as `QUERYWATCH_LOG`
/// says.
pub fn start_logging(verbosity: u8) {
    let level = match verbosity {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("QUERYWATCH_LOG")
        .unwrap_or_else(|_| EnvFilter::new(format!("error,{}", our_crates(level))));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}

/// The level holds for our crates; the libraries beneath speak only of errors.
fn our_crates(level: &str) -> String {
    let ours =
        ["querywatch", "pipeline", "ingest", "detect", "respond", "query", "bus", "lake", "state"];
    ours.map(|name| format!("{name}={level}")).join(",")
}

/// Ends the program quietly when it prints to a pipe whose reader has seen enough, as in
/// `querywatch rules list | head`. Rust's `println!` panics then.
pub fn end_with_the_reader() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or_default();
        if text.starts_with("failed printing to stdout") && text.contains("Broken pipe") {
            std::process::exit(0);
        }
        report(panic);
    }));
}

/// Whether what went wrong is only that nobody reads any more.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kind = |cause: &(dyn std::error::Error + 'static)| {
        let input = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        input.or_else(|| cause.downcast_ref::<serde_json::Error>()?.io_error_kind())
    };
    error.chain().any(|cause| kind(cause) == Some(std::io::ErrorKind::BrokenPipe))
}

/// Prints an error with its causes, each once, safe for a terminal.
pub fn report(error: &anyhow::Error) {
    let mut text = printable(&error.to_string());
    for cause in error.chain().skip(1) {
        let cause = printable(&cause.to_string());
        if !text.contains(&cause) {
            let _ = write!(text, ": {cause}");
        }
    }
    eprintln!("querywatch: {text}");
}

/// The program as it was started: from the sources it is not on the path.
pub fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "querywatch".to_owned())
}

/// A number of things: `1 alert`, `2 alerts`.
pub fn count(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// A table with a rule below its head only.
pub fn table() -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.remove_style(TableComponent::HorizontalLines);
    table.remove_style(TableComponent::MiddleIntersections);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table
}

/// The text without characters that steer a terminal, or turn the order of what is read: it may
/// come out of a log.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if steers(c) { '\u{fffd}' } else { c }).collect()
}

fn steers(c: char) -> bool {
    c.is_control() && c != '\n'
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// The text in lines of at most 80 columns, none of its words broken, each line behind `indent`.
pub fn wrapped(text: &str, indent: &str) -> String {
    const COLUMNS: usize = 80;
    let mut lines = Vec::new();
    let mut line = String::from(indent);
    for word in text.split_whitespace() {
        let is_empty = line.len() == indent.len();
        if !is_empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            lines.push(std::mem::replace(&mut line, format!("{indent}{word}")));
            continue;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines.join("\n")
}

/// A bar for work of a known size in bytes; invisible where standard error is no terminal.
pub fn byte_bar(total: u64, what: &'static str) -> ProgressBar {
    bar(total, what, "{msg} {bar:32.cyan/blue} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
}

/// A bar for work of a known number of steps; invisible where standard error is no terminal.
pub fn step_bar(total: u64, what: &'static str) -> ProgressBar {
    bar(total, what, "{msg} {bar:32.cyan/blue} {human_pos}/{human_len} {eta}")
}

fn bar(total: u64, what: &'static str, template: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template).expect("the template is ours");
    ProgressBar::new(total).with_style(style).with_message(what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_or_turns_the_text_is_replaced() {
        let hostile = "a\u{1b}[2Jb\rc\u{9b}d\u{202e}e\u{2028}f\u{2066}g\u{feff}h";
        assert_eq!(
            printable(hostile),
            "a\u{fffd}[2Jb\u{fffd}c\u{fffd}d\u{fffd}e\u{fffd}f\u{fffd}g\u{fffd}h"
        );
        let plain = "naïve 日本 👩‍💻\nline";
        assert_eq!(printable(plain), plain);
    }
}
