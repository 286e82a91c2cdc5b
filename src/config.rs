//! The settings: read from one TOML file and the environment, checked before anything starts.
//!
//! Each section is owned by the crate or module that it configures. `querywatch.toml` shows every
//! setting with its default; a test keeps the two equal.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use pipeline::Settings;
use toml::{Table, Value};

/// The settings with their comments, as `config defaults` prints them.
pub const DEFAULTS: &str = include_str!("../querywatch.toml");

/// Where the settings are looked for if `--config` does not say.
const PLACES: [&str; 2] = ["querywatch.toml", "/etc/querywatch/querywatch.toml"];

/// `QUERYWATCH__QUERY__ADDRESS=127.0.0.1:9000` sets `query.address`.
const ENVIRONMENT_PREFIX: &str = "QUERYWATCH__";

/// Reads the file, or the first of the usual places that exists, or the defaults; then the
/// environment.
pub fn load(file: Option<&Path>) -> anyhow::Result<Settings> {
    let found = file
        .map(Path::to_path_buf)
        .or_else(|| PLACES.iter().map(PathBuf::from).find(|place| place.is_file()));
    let variables = std::env::vars().filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX));
    let Some(path) = found else { return parse("", variables) };
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("the settings in {} cannot be read", path.display()))?;
    parse(&text, variables).with_context(|| format!("the settings in {} are wrong", path.display()))
}

/// Reads settings from text; variables of the environment win over it.
pub fn parse(
    text: &str,
    variables: impl Iterator<Item = (String, String)>,
) -> anyhow::Result<Settings> {
    // The text alone first: its errors name line and column, which a changed table cannot.
    let _: Settings = toml::from_str(text)?;
    let mut table: Table = toml::from_str(text)?;
    for (name, value) in variables {
        let path = name.trim_start_matches(ENVIRONMENT_PREFIX).to_lowercase();
        set(&mut table, &path, &value).with_context(|| format!("the variable {name}"))?;
    }
    let settings: Settings = table.try_into().context("a variable of the environment is wrong")?;
    settings.check()?;
    Ok(settings)
}

/// The settings as TOML.
pub fn to_toml(settings: &Settings) -> anyhow::Result<String> {
    toml::to_string_pretty(settings).context("the settings cannot be written as TOML")
}

/// Sets the value at a path such as `query__rows_max`.
fn set(table: &mut Table, path: &str, value: &str) -> anyhow::Result<()> {
    match path.split_once("__") {
        None => {
            let value = match value.parse::<Value>() {
                Ok(value) => value,
                Err(_) => Value::String(value.to_owned()),
            };
            table.insert(path.to_owned(), value);
            Ok(())
        }
        Some((section, rest)) => {
            let inner =
                table.entry(section.to_owned()).or_insert_with(|| Value::Table(Table::new()));
            match inner {
                Value::Table(inner) => set(inner, rest, value),
                _ => bail!("`{section}` is no section of the settings"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> std::vec::IntoIter<(String, String)> {
        Vec::new().into_iter()
    }

    #[test]
    fn the_file_shows_every_setting_with_its_default() {
        let shown: Settings = parse(DEFAULTS, none()).expect("querywatch.toml is right");
        assert_eq!(shown, Settings::default());
        let written: Table = toml::from_str(DEFAULTS).expect("TOML");
        let all: Table = to_toml(&Settings::default()).expect("TOML").parse().expect("TOML");
        let missing = missing(&all, &written, String::new());
        assert!(missing.is_empty(), "querywatch.toml does not show {missing:?}");
    }

    /// Keys of `all` that `shown` does not have.
    fn missing(all: &Table, shown: &Table, path: String) -> Vec<String> {
        let mut found = Vec::new();
        for (key, value) in all {
            let name = format!("{path}{key}");
            match (value, shown.get(key)) {
                (Value::Table(all), Some(Value::Table(shown))) => {
                    found.extend(missing(all, shown, format!("{name}.")));
                }
                (Value::Array(array), _) if array.is_empty() => {}
                (Value::Table(table), None) if table.is_empty() => {}
                (_, None) => found.push(name),
                _ => {}
            }
        }
        found
    }

    #[test]
    fn the_environment_wins() {
        let variable = ("QUERYWATCH__QUERY__ROWS_MAX".to_owned(), "7".to_owned());
        let config = parse("[query]\nrows_max = 5", vec![variable].into_iter());
        assert_eq!(config.expect("right").query.rows_max, 7);
    }

    #[test]
    fn a_wrong_setting_is_named() {
        let wrong = parse("[query]\nrows_maximum = 5", none()).expect_err("unknown");
        let message = format!("{wrong:#}");
        assert!(message.contains("rows_maximum") && message.contains("line 2"), "{message}");
        let twice = "[[sources]]\nname = \"a\"\nfiles.paths = [\"x\"]\n".repeat(2);
        let wrong = parse(&twice, none()).expect_err("two of one name");
        assert!(format!("{wrong:#}").contains("two sources are called `a`"), "{wrong:#}");
    }

    #[test]
    fn a_source_reads_one_thing() {
        let refused = |source: &str| {
            let text = format!("[[sources]]\nname = \"orders\"\n{source}");
            parse(&text, none()).map_or_else(|error| format!("{error:#}"), |_| String::new())
        };
        assert_eq!(refused("stdin = {}"), "");
        assert_eq!(refused("syslog_tcp.listen = \"127.0.0.1:6514\""), "");
        let nothing = refused("");
        assert!(nothing.contains("the source has no kind; add `files` or `stdin`"), "{nothing}");
        let nothing = refused("files.paths = []");
        assert!(nothing.contains("source `orders`: files.paths is empty; name"), "{nothing}");
        let two = refused("files.paths = [\"/log\"]\nsyslog_tcp = {}");
        assert!(two.contains("it has `files` and `syslog_tcp`; keep one"), "{two}");
        let zero = refused("stdin.spool_bytes_max = 0");
        assert!(zero.contains("stdin.spool_bytes_max is 0; allow"), "{zero}");
        let twice = refused("stdin = {}\n[[sources]]\nname = \"b\"\nstdin = {}");
        assert!(twice.contains("`orders` and `b` read standard input"), "{twice}");
        let unknown = refused("stdin = {}\nlogs.format = \"x\"");
        assert!(unknown.contains("unknown field `logs`; a source has name, instance"), "{unknown}");
    }

    #[test]
    fn the_file_shows_the_settings_of_every_source() {
        let example = |key: &str| {
            let is_of = |line: &&str| line.starts_with(key) || line.starts_with("log.");
            let lines = DEFAULTS.lines().filter_map(|line| line.strip_prefix("# "));
            let lines: Vec<&str> = lines.filter(is_of).collect();
            format!("[[sources]]\nname = \"orders\"\n{}", lines.join("\n"))
        };
        for name in open_set::kind_names::<ingest::source::Sources>() {
            let key = format!("{name}.");
            let text = example(&key);
            let settings = parse(&text, none()).expect(name);
            let all: Table = to_toml(&settings).expect("TOML").parse().expect("TOML");
            let shown: Table = toml::from_str(&text).expect("TOML");
            let of = |table: &Table| table["sources"][0][name].as_table().expect("a table").clone();
            assert_eq!(missing(&of(&all), &of(&shown), key), Vec::<String>::new());
        }
    }
}
