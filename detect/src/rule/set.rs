//! All rules that run together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use event::alert::Severity;
use rsigma_eval::matcher::ExpandPart;
use rsigma_eval::{CompiledDetection, CompiledDetectionItem, CompiledMatcher, CompiledRule};
use rsigma_parser::SigmaCollection;

use crate::correlator::Side;

use super::{Rule, RuleError, TestOutcome, file};

const BUILTIN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/rules.rs"));

/// Rules that run together. Ids are unique, and every field is a column.
#[derive(Clone, Default)]
pub struct RuleSet {
    rules: Vec<Rule>,
    sources: Vec<SigmaCollection>,
    /// By Sigma id.
    documents: BTreeMap<String, Document>,
    digest: [u8; 16],
}

/// One Sigma document of a rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Document {
    /// Index of its rule.
    pub(crate) rule: usize,
    /// Position in load order, which is the order of results.
    pub(crate) order: usize,
    /// Whether a match is an alert; if not it only feeds correlations.
    pub(crate) alerts: bool,
    pub(crate) severity: Severity,
}

impl RuleSet {
    /// The rules in the binary, without the `disabled` ids.
    ///
    /// # Errors
    /// If the files that were compiled in are wrong, which a test rules out.
    pub fn builtin() -> Result<Self, RuleError> {
        let texts = BUILTIN.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Self::from_texts(texts.collect())
    }

    /// The rules in `paths`: files, or folders that are searched for `*.yml`.
    ///
    /// # Errors
    /// The first file that cannot be read or used, with its line and the cure.
    pub fn load(paths: &[PathBuf]) -> Result<Self, RuleError> {
        Self::from_texts(read_paths(paths)?)
    }

    /// What the settings ask for: built-in rules, rules of the operator, none that is disabled.
    ///
    /// # Errors
    /// As [`RuleSet::load`], and if two rules have the same id or a disabled one does not exist.
    pub fn from_settings(settings: &crate::RuleSettings) -> Result<Self, RuleError> {
        let mut texts = Vec::new();
        if settings.builtin {
            texts.extend(BUILTIN.iter().map(|(path, text)| (path.to_string(), text.to_string())));
        }
        texts.extend(read_paths(&settings.paths)?);
        let all = Self::from_texts(texts.clone())?;
        let mut disabled = BTreeSet::new();
        for id in &settings.disabled {
            let rule = all.rules.iter().find(|rule| rule.id == *id).ok_or_else(|| RuleError {
                path: "detect.rules.disabled".into(),
                line: 1,
                problem: format!("`{id}` is not a rule; `querywatch rules list` shows them"),
            })?;
            disabled.insert(rule.path.clone());
        }
        texts.retain(|(path, _)| !disabled.contains(path));
        Self::from_texts(texts)
    }

    /// Rules from texts in memory: (name of the file, its content).
    ///
    /// # Errors
    /// As [`RuleSet::load`].
    pub fn from_texts(texts: Vec<(String, String)>) -> Result<Self, RuleError> {
        let mut set = Self::default();
        let mut hasher = blake3::Hasher::new();
        for (path, text) in texts {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
            let (rule, sigma) = file::read(&path, &text)?;
            set.add(rule, sigma)?;
        }
        set.digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Ok(set)
    }

    /// The rules, in load order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What rules count less of when a stream is divided by identity: a warning for each.
    pub fn divided(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (rule, source) in self.rules.iter().zip(&self.sources) {
            let is_builtin = BUILTIN.iter().any(|(path, _)| *path == rule.path);
            for correlation in &source.correlations {
                let by = correlation.group_by.join(", ");
                let what = match Side::of(&correlation.group_by) {
                    Side::Client if is_builtin => continue,
                    Side::Client => "only failed log-ins are counted so",
                    Side::Identity if Side::names_identity(&correlation.group_by) => continue,
                    Side::Identity => "each partition counts its own identities",
                };
                let id = &rule.id;
                warnings
                    .push(format!("rule `{id}` counts by {by}: with several partitions {what}"));
            }
        }
        warnings
    }

    /// Runs the tests that rules carry; each case sees its own rule alone.
    pub fn test(&self) -> Vec<TestOutcome> {
        let cases = self.rules.iter().zip(&self.sources).enumerate();
        cases.flat_map(|(index, _)| super::rule_test::run(&self.only(index))).collect()
    }

    pub(crate) fn digest(&self) -> [u8; 16] {
        self.digest
    }

    pub(crate) fn document(&self, sigma_id: &str) -> Option<Document> {
        self.documents.get(sigma_id).copied()
    }

    /// All Sigma documents, in load order.
    pub(crate) fn collection(&self) -> SigmaCollection {
        let mut all = SigmaCollection::new();
        for source in &self.sources {
            all.rules.extend(source.rules.iter().cloned());
            all.correlations.extend(source.correlations.iter().cloned());
            all.filters.extend(source.filters.iter().cloned());
        }
        all
    }

    fn only(&self, index: usize) -> Self {
        let mut set = Self { digest: self.digest, ..Self::default() };
        // The set was consistent, so each part of it is.
        let _ = set.add(self.rules[index].clone(), self.sources[index].clone());
        set
    }

    fn add(&mut self, rule: Rule, sigma: SigmaCollection) -> Result<(), RuleError> {
        let error = |problem| RuleError { path: rule.path.clone(), line: 1, problem };
        if let Some(other) = self.rules.iter().find(|other| other.id == rule.id) {
            let problem = format!("rule `{}` is in `{}` too; rename one", rule.id, other.path);
            return Err(error(problem));
        }
        let feeds: BTreeSet<&String> = sigma
            .correlations
            .iter()
            .filter(|correlation| !correlation.generate)
            .flat_map(|correlation| &correlation.rules)
            .collect();
        let detections = sigma.rules.iter().map(|r| (&r.id, &r.name, r.level));
        let correlations = sigma.correlations.iter().map(|r| (&r.id, &r.name, r.level));
        for (id, name, level) in detections.chain(correlations) {
            let Some(id) = id else { continue };
            let alerts = !feeds.contains(id) && !name.as_ref().is_some_and(|n| feeds.contains(n));
            let severity = level.map_or(rule.severity, |level| file::severity(Some(level)));
            let order = self.documents.len();
            let document = Document { rule: self.rules.len(), order, alerts, severity };
            if self.documents.insert(id.clone(), document).is_some() {
                return Err(error(format!("Sigma id `{id}` is used twice; make a new UUID")));
            }
        }
        self.rules.push(rule);
        self.sources.push(sigma);
        Ok(())
    }
}

fn read_paths(paths: &[PathBuf]) -> Result<Vec<(String, String)>, RuleError> {
    let mut texts = Vec::new();
    for path in paths {
        let mut files = Vec::new();
        list(path, &mut files).map_err(|e| unreadable(path, &e))?;
        files.sort();
        for file in files {
            let text = std::fs::read_to_string(&file).map_err(|e| unreadable(&file, &e))?;
            texts.push((file.display().to_string(), text));
        }
    }
    Ok(texts)
}

fn unreadable(path: &Path, problem: &std::io::Error) -> RuleError {
    let problem = format!("cannot be read: {problem}; check `detect.rules.paths`");
    RuleError { path: path.display().to_string(), line: 1, problem }
}

fn list(path: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        let is_rule = path.extension().is_some_and(|extension| extension == "yml");
        if path.is_dir() || is_rule {
            list(&path, files)?;
        }
    }
    Ok(())
}

/// The fields that decide whether a rule matches; keywords count as `statement`, because they
/// look at every text.
pub(crate) fn fields_of(rule: &CompiledRule) -> BTreeSet<String> {
    rule.detections.values().flat_map(fields_of_selection).collect()
}

/// As [`fields_of`], for one selection of a rule.
pub(crate) fn fields_of_selection(selection: &CompiledDetection) -> BTreeSet<String> {
    let mut fields = BTreeSet::new();
    walk(selection, &mut fields);
    fields
}

fn walk(detection: &CompiledDetection, fields: &mut BTreeSet<String>) {
    match detection {
        CompiledDetection::AllOf(items) => items.iter().for_each(|item| walk_item(item, fields)),
        CompiledDetection::AnyOf(parts) | CompiledDetection::And(parts) => {
            parts.iter().for_each(|part| walk(part, fields));
        }
        CompiledDetection::Keywords(_) => {
            fields.insert("statement".into());
        }
        CompiledDetection::ArrayMatch { field, .. } => {
            fields.insert(field.clone());
        }
        CompiledDetection::Conditional { named, .. } => {
            named.values().for_each(|part| walk(part, fields));
        }
    }
}

fn walk_item(item: &CompiledDetectionItem, fields: &mut BTreeSet<String>) {
    fields.insert(item.field.clone().unwrap_or_else(|| "statement".into()));
    walk_matcher(&item.matcher, fields);
}

fn walk_matcher(matcher: &CompiledMatcher, fields: &mut BTreeSet<String>) {
    match matcher {
        CompiledMatcher::FieldRef { field, .. } => {
            fields.insert(field.clone());
        }
        CompiledMatcher::Expand { template, .. } => {
            for part in template {
                if let ExpandPart::Placeholder(field) = part {
                    fields.insert(field.clone());
                }
            }
        }
        CompiledMatcher::Not(inner) | CompiledMatcher::TimestampPart { inner, .. } => {
            walk_matcher(inner, fields);
        }
        CompiledMatcher::AnyOf(parts) | CompiledMatcher::AllOf(parts) => {
            parts.iter().for_each(|part| walk_matcher(part, fields));
        }
        CompiledMatcher::CaseInsensitiveGroup { children, .. } => {
            children.iter().for_each(|part| walk_matcher(part, fields));
        }
        _ => {}
    }
}
