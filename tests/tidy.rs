//! The rules of the house as tests: what is only written down drifts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const STAGES: [&str; 4] = ["ingest", "detect", "respond", "query"];
/// Where they meet.
const MEETING: [&str; 1] = ["pipeline"];
const LINES_MAX: usize = 500;
const COLUMNS_MAX: usize = 100;
const TOP_LEVEL_MAX: usize = 22;
/// What building and running leave behind.
const MADE: [&str; 3] = ["target", "querywatch-demo", "querywatch-data"];
/// Names that become drawers.
const DRAWERS: [&str; 12] = [
    "common",
    "util",
    "utils",
    "helper",
    "helpers",
    "types",
    "traits",
    "errors",
    "models",
    "manager",
    "handler",
    "processor",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below `folder` with this extension, sorted; build output and hidden folders left out.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with('.') || MADE.contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", shown(path)))
}

/// Fails with every finding at once: a list is quicker to work through than a treadmill.
fn assert_none(findings: &[String], rule: &str) {
    assert!(findings.is_empty(), "{rule}:\n{}", findings.join("\n"));
}

/// A stage that knows another cannot be replaced, tested or understood alone.
#[test]
fn stages_depend_on_nouns_only() {
    let mut findings = Vec::new();
    let mut seen = 0;
    for manifest in files(root(), "toml") {
        let text = read(&manifest);
        let folder = manifest.parent().expect("a manifest has a folder");
        let package = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_noun = folder.parent().is_some_and(|parent| parent.ends_with("crates"));
        if folder == root() || !(is_noun || STAGES.contains(&package.as_str())) {
            continue;
        }
        seen += 1;
        for stage in MEETING.iter().chain(&STAGES).filter(|stage| **stage != package) {
            let dependency = format!("\n{stage}.workspace");
            if text.contains(&dependency) || text.contains(&format!("\n{stage} =")) {
                findings.push(format!("{} depends on the stage `{stage}`", shown(&manifest)));
            }
        }
    }
    assert!(seen >= 11, "only {seen} stages and nouns were looked at");
    assert_none(&findings, "a stage or noun never depends on a stage, nor on where they meet");
}

/// Heavy or powerful libraries stay in their rooms: builds stay short, reviews stay possible.
#[test]
fn libraries_stay_in_their_rooms() {
    let rooms: [(&str, &[&str]); 6] = [
        ("datafusion", &["query"]),
        ("deltalake-core", &["crates/lake"]),
        ("sqlx", &["crates/state"]),
        ("rdkafka", &["crates/bus"]),
        ("notify", &["ingest"]),
        ("rsigma-eval", &["detect"]),
    ];
    let mut findings = Vec::new();
    for (library, allowed) in rooms {
        let mut users = BTreeSet::new();
        for manifest in files(root(), "toml") {
            let folder = shown(manifest.parent().expect("a manifest has a folder"));
            let text = read(&manifest);
            let named = [format!("\n{library}.workspace"), format!("\n{library} = ")];
            if !folder.is_empty() && named.iter().any(|name| text.contains(name)) {
                users.insert(folder);
            }
        }
        let allowed: BTreeSet<String> = allowed.iter().map(|room| (*room).to_owned()).collect();
        if users != allowed {
            findings.push(format!("{library} is used in {users:?}, its room is {allowed:?}"));
        }
    }
    assert_none(&findings, "a library has its rooms");
}

/// Pure crates: no files, no sockets, no clock, no async.
#[test]
fn event_and_statement_do_no_io() {
    let mut findings = Vec::new();
    for name in ["event", "statement"] {
        for file in files(&root().join("crates").join(name).join("src"), "rs") {
            let text = read(&file);
            for word in ["std::fs", "std::net", "tokio", "SystemTime::now", "Instant::now"] {
                if text.contains(word) {
                    findings.push(format!("{} uses {word}", shown(&file)));
                }
            }
        }
    }
    assert_none(&findings, "`event` and `statement` do no I/O and read no clock");
}

/// Detection that reads a clock or rolls dice cannot be replayed.
#[test]
fn detection_reads_no_clock() {
    let mut findings = Vec::new();
    for file in files(&root().join("detect/src"), "rs") {
        let text = read(&file);
        for word in ["SystemTime::now", "Instant::now", "Utc::now", "rand::", "thread_rng"] {
            if text.contains(word) {
                findings.push(format!("{} uses {word}", shown(&file)));
            }
        }
    }
    assert_none(&findings, "`detect` takes time from events and nothing from chance");
}

/// A task that nobody watches ends without a word.
#[test]
fn tasks_run_under_the_supervisor() {
    let folder = root().join("pipeline/src");
    let sources = files(&folder, "rs");
    assert!(sources.len() > 20, "found only {} files", sources.len());
    let mut findings = Vec::new();
    for file in sources.iter().filter(|file| !file.ends_with("supervisor.rs")) {
        let text = read(file);
        for word in ["tokio::spawn(", "thread::spawn(", "thread::Builder", "runtime.spawn("] {
            if text.contains(word) {
                findings.push(format!("{} uses {word}", shown(file)));
            }
        }
    }
    assert_none(&findings, "a task that goes on is started by the supervisor, with a name");
}

/// The header tells a newcomer whether this is the right room.
#[test]
fn every_file_says_what_it_is() {
    let sources = files(root(), "rs");
    assert!(sources.len() > 60, "found only {} files", sources.len());
    let silent = sources.iter().filter(|file| !read(file).starts_with("//! "));
    let findings: Vec<_> = silent.map(|file| shown(file)).collect();
    assert_none(&findings, "a file opens with `//!`");
}

/// One subject a file; a line that fits beside another window.
#[test]
fn files_and_lines_are_short() {
    let mut findings = Vec::new();
    for file in files(root(), "rs") {
        let text = read(&file);
        let lines = text.lines().count();
        if lines > LINES_MAX {
            findings.push(format!("{}: {lines} lines", shown(&file)));
        }
        for (index, line) in text.lines().enumerate() {
            if line.chars().count() > COLUMNS_MAX {
                findings.push(format!(
                    "{}:{}: over {COLUMNS_MAX} columns",
                    shown(&file),
                    index + 1
                ));
            }
        }
    }
    assert_none(&findings, "at most 500 lines of at most 100 columns");
}

/// A drawer takes everything and gives nothing back.
#[test]
fn no_drawers() {
    let named_like_a_drawer = |file: &&PathBuf| {
        file.file_stem().is_some_and(|stem| DRAWERS.contains(&&*stem.to_string_lossy()))
    };
    let sources = files(root(), "rs");
    let findings: Vec<_> = sources.iter().filter(named_like_a_drawer).map(|f| shown(f)).collect();
    assert_none(&findings, "a file is named for its subject");
}

/// A function fits a screen.
#[test]
fn functions_fit_a_screen() {
    const FUNCTION_LINES_MAX: usize = 70;
    let mut findings = Vec::new();
    for file in files(root(), "rs") {
        let mut open: Option<(usize, usize, String)> = None;
        for (index, line) in read(&file).lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let starts = line.trim_start().split('(').next().is_some_and(|head| {
                head.split_whitespace().any(|word| word == "fn") && !head.contains("//")
            });
            if starts && line.trim_end().ends_with('{') {
                open = Some((index, indent, line.trim().to_owned()));
            }
            if let Some((start, depth, name)) = &open
                && indent == *depth
                && line.trim() == "}"
            {
                let length = index - start + 1;
                if length > FUNCTION_LINES_MAX {
                    findings.push(format!(
                        "{}:{}: {length} lines: {name}",
                        shown(&file),
                        start + 1
                    ));
                }
                open = None;
            }
        }
    }
    assert_none(&findings, "a function has at most 70 lines");
}

/// A format is called the same in code, settings, test data and metrics.
#[test]
fn a_format_has_one_name() {
    let code: BTreeSet<String> = ::ingest::format_names().map(str::to_owned).collect();
    let folders = std::fs::read_dir(root().join("testdata/formats")).expect("the goldens");
    let data: BTreeSet<String> = folders
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(code, data, "each format has a folder of goldens of its name, and no other");
    for name in &code {
        let module = name.rsplit('_').next().expect("a name has words");
        let found = files(&root().join("ingest/src/format"), "rs").iter().any(|file| {
            file.file_stem().is_some_and(|stem| {
                let stem = stem.to_string_lossy();
                stem == name.as_str() || stem == module
            })
        });
        assert!(found, "the format `{name}` has a file of its name");
    }
}

/// More than this and nobody sees the flow any more.
#[test]
fn the_top_level_is_legible() {
    let entries = std::fs::read_dir(root()).expect("the root");
    let visible: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && !MADE.contains(&name.as_str()))
        .collect();
    assert!(visible.len() <= TOP_LEVEL_MAX, "{} entries: {visible:?}", visible.len());
}

/// Half-done work is not called done.
#[test]
fn nothing_is_ignored_or_unfinished() {
    let marks = [concat!("#[", "ignore"), concat!("todo", "!("), concat!("unimplemented", "!(")];
    let mut findings = Vec::new();
    for file in files(root(), "rs") {
        let text = read(&file);
        for mark in marks.iter().filter(|mark| text.contains(**mark)) {
            findings.push(format!("{} has {mark}", shown(&file)));
        }
    }
    assert_none(&findings, "no ignored test, no unfinished place");
}
