//! Reads one rule file: Sigma documents, our own section `querywatch`, and `tests`.

use std::collections::BTreeSet;

use event::alert::Severity;
use event::vocabulary::CauseFamily;
use rsigma_parser::{Level, SigmaCollection};
use serde::Deserialize;

use super::rule_test::RuleTest;
use super::{Details, Explanation, Rule, Template};

/// A rule file that cannot be used, or a set of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}:{line}: {problem}")]
pub struct RuleError {
    /// The file.
    pub path: String,
    /// Line, counted from 1; 1 if the whole file is meant.
    pub line: usize,
    /// What is wrong and what to do.
    pub problem: String,
}

/// The part of the documents that is ours.
#[derive(Deserialize)]
struct Document {
    querywatch: Option<Section>,
    #[serde(default)]
    tests: Vec<RuleTest>,
}

/// `querywatch:`, once in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    /// Id in the catalogue.
    rule: String,
    #[serde(default)]
    controls: Vec<String>,
    investigation: Vec<String>,
    #[serde(default)]
    known_gaps: Vec<String>,
    engineer: Template,
    manager: Template,
    silent_engineer: Template,
    silent_manager: Template,
    #[serde(default = "default_observed")]
    observed: Vec<String>,
    #[serde(default = "default_cause")]
    cause: Vec<String>,
    #[serde(default)]
    family: Option<CauseFamily>,
    #[serde(default)]
    silent_for_jobs: bool,
}

fn default_observed() -> Vec<String> {
    ["identity", "client", "application", "command", "flags", "outcome"].map(str::to_owned).into()
}

fn default_cause() -> Vec<String> {
    vec!["targets".to_owned()]
}

/// Reads the rule in `text`; `path` is for messages.
pub(super) fn read(path: &str, text: &str) -> Result<(Rule, SigmaCollection), RuleError> {
    let error = |line, problem: String| RuleError { path: path.to_owned(), line, problem };
    let sigma = rsigma_parser::parse_sigma_yaml(text).map_err(|e| error(1, e.to_string()))?;
    let sigma = sigma
        .into_result()
        .map_err(|problems| error(line_in(&problems.join("; ")), problems.join("; ")))?;
    let (section, rule_tests) = read_ours(path, text)?;
    check_documents(path, text, &sigma)?;
    for name in section.observed.iter().chain(&section.cause) {
        if crate::rule_event::column(name).is_none() {
            let line = line_of(text, name);
            return Err(error(line, format!("`{name}` is not a column; see the events table")));
        }
    }
    let rule = assemble(path, section, rule_tests, &sigma)
        .ok_or_else(|| error(1, "the file holds no rule; write `title` and `detection`".into()))?;
    Ok((rule, sigma))
}

fn read_ours(path: &str, text: &str) -> Result<(Section, Vec<RuleTest>), RuleError> {
    let error = |line, problem: String| RuleError { path: path.to_owned(), line, problem };
    let mut section = None;
    let mut rule_tests = Vec::new();
    for document in yaml_serde::Deserializer::from_str(text) {
        let document = Document::deserialize(document).map_err(|problem| {
            let line = problem.location().map_or(1, |location| location.line());
            error(line, problem.to_string())
        })?;
        rule_tests.extend(document.tests);
        if document.querywatch.is_some() && section.is_some() {
            let line = line_of(text, "querywatch:");
            return Err(error(line, "`querywatch` stands twice; keep it in one document".into()));
        }
        section = section.or(document.querywatch);
    }
    let section = section.ok_or_else(|| {
        error(
            1,
            "`querywatch` is missing; add it with `rule`, `investigation`, `engineer`, \
                  `manager`, `silent_engineer` and `silent_manager`"
                .into(),
        )
    })?;
    Ok((section, rule_tests))
}

/// What Sigma accepts but would never match, or would leak to other rules.
fn check_documents(path: &str, text: &str, sigma: &SigmaCollection) -> Result<(), RuleError> {
    let error = |line, problem: String| RuleError { path: path.to_owned(), line, problem };
    let detections =
        sigma.rules.iter().map(|rule| (&rule.title, &rule.id, &rule.custom_attributes));
    let correlations =
        sigma.correlations.iter().map(|rule| (&rule.title, &rule.id, &rule.custom_attributes));
    for (title, id, attributes) in detections.chain(correlations) {
        if id.is_none() {
            let problem = format!("`{title}` has no `id`; give it a new UUID, as text");
            return Err(error(line_of(text, title), problem));
        }
        if let Some(name) = attributes.keys().filter(|name| name.starts_with("rsigma.")).min() {
            let problem = format!("`{name}` would change other rules too; remove it");
            return Err(error(line_of(text, name), problem));
        }
    }
    for correlation in &sigma.correlations {
        if let Some(name) =
            correlation.group_by.iter().find(|name| crate::rule_event::column(name).is_none())
        {
            let problem = format!("`{name}` is not a column; see the events table");
            return Err(error(line_of(text, name), problem));
        }
    }
    for rule in &sigma.rules {
        let compiled = rsigma_eval::compile_rule(rule)
            .map_err(|problem| error(line_of(text, &rule.title), problem.to_string()))?;
        for field in super::set::fields_of(&compiled) {
            if crate::rule_event::column(&field).is_none() {
                let problem = format!("`{field}` is not a column; see the events table");
                return Err(error(line_of(text, &field), problem));
            }
        }
    }
    Ok(())
}

fn assemble(
    path: &str,
    section: Section,
    rule_tests: Vec<RuleTest>,
    sigma: &SigmaCollection,
) -> Option<Rule> {
    let detections = sigma.rules.iter().map(|r| (&r.title, &r.description, r.level, &r.tags));
    let correlations =
        sigma.correlations.iter().map(|r| (&r.title, &r.description, r.level, &r.tags));
    let documents: Vec<_> = detections.chain(correlations).collect();
    // The document with a level speaks for the file: building blocks have none.
    let (title, description, level, _) =
        documents.iter().find(|document| document.2.is_some()).or(documents.first())?;
    let attack: BTreeSet<String> =
        documents.iter().flat_map(|document| document.3).filter_map(|tag| technique(tag)).collect();
    let tags = documents.iter().flat_map(|document| document.3);
    // Rules stand in folders that are called as the families.
    let folder = std::path::Path::new(path).parent().and_then(|folder| folder.file_name());
    let family = section.family.or_else(|| folder?.to_str()?.parse().ok());
    let family = family.or_else(|| tags.rev().find_map(|tag| family_of_tactic(tag)));
    let family = family.unwrap_or(CauseFamily::Behaviour);
    let false_positives = sigma.rules.iter().flat_map(|rule| &rule.falsepositives);
    let false_positives =
        false_positives.chain(sigma.correlations.iter().flat_map(|rule| &rule.falsepositives));
    Some(Rule {
        id: section.rule,
        path: path.to_owned(),
        title: (*title).clone(),
        description: description.as_deref().unwrap_or_default().trim().to_owned(),
        severity: severity(*level),
        attack: attack.into_iter().collect(),
        controls: section.controls,
        false_positives: false_positives.cloned().collect(),
        investigation: section.investigation,
        known_gaps: section.known_gaps,
        tests: rule_tests.len(),
        details: Details {
            explanation: Explanation {
                engineer: section.engineer,
                manager: section.manager,
                silent_engineer: section.silent_engineer,
                silent_manager: section.silent_manager,
            },
            observed: section.observed,
            cause: section.cause,
            family,
            silent_for_jobs: section.silent_for_jobs,
            rule_tests,
        },
    })
}

/// The family of causes that a tactic of MITRE ATT&CK belongs to, as in `attack.execution`.
fn family_of_tactic(tag: &str) -> Option<CauseFamily> {
    match tag.strip_prefix("attack.")? {
        "initial-access" | "credential-access" => Some(CauseFamily::Access),
        "privilege-escalation" | "persistence" => Some(CauseFamily::Privilege),
        "defense-evasion" => Some(CauseFamily::Tampering),
        "execution" => Some(CauseFamily::Execution),
        "discovery" | "reconnaissance" => Some(CauseFamily::Injection),
        "collection" | "exfiltration" => Some(CauseFamily::Exfiltration),
        "impact" => Some(CauseFamily::Impact),
        _ => None,
    }
}

/// Severity of a Sigma level; without one a rule is `medium`.
pub(super) fn severity(level: Option<Level>) -> Severity {
    match level {
        Some(Level::Critical) => Severity::Critical,
        Some(Level::High) => Severity::High,
        Some(Level::Medium) | None => Severity::Medium,
        Some(Level::Low | Level::Informational) => Severity::Low,
    }
}

/// `T1059.004` of the tag `attack.t1059.004`.
fn technique(tag: &str) -> Option<String> {
    let name = tag.strip_prefix("attack.")?;
    let is_technique =
        name.starts_with(['t', 'T']) && name[1..].starts_with(|c: char| c.is_ascii_digit());
    is_technique.then(|| name.to_ascii_uppercase())
}

/// The first line that holds `needle`, counted from 1.
fn line_of(text: &str, needle: &str) -> usize {
    text.lines().position(|line| line.contains(needle)).map_or(1, |index| index + 1)
}

/// The number after `line ` in a message of the parser.
fn line_in(message: &str) -> usize {
    let digits = message.split_once("line ").map_or("", |(_, rest)| rest);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(1)
}
