//! What a process reports to the others, and how that is read: anybody who may write to the topic
//! may have written it.

use std::time::Duration;

use bus::kafka::{REPORT_BYTES_MAX, Report};
use event::Timestamp;
use query::api::{PartitionLag, ProcessStatus, SourceList, SourceStatus};
use serde::{Deserialize, Serialize};

/// Raised when the fields of an older program would mislead; fields may be added without.
const VERSION: u32 = 1;

/// A process that reports nothing for so long is called silent; each does so every few seconds.
const SILENT: Duration = Duration::from_secs(30);

/// Sources of all processes that are read, at most.
const SOURCES_MAX: usize = 10_000;

/// A process and its sources, as of a moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessReport {
    version: u32,
    /// The process itself.
    pub process: ProcessStatus,
    /// What it reads.
    pub sources: Vec<SourceStatus>,
}

impl ProcessReport {
    /// A report of this moment.
    pub fn new(process: ProcessStatus, sources: Vec<SourceStatus>) -> Self {
        let mut report = Self { version: VERSION, process, sources };
        report.sign();
        report
    }

    /// As it travels: sources that have no room in it are left out, and the process says so.
    pub fn into_bytes(mut self) -> serde_json::Result<Vec<u8>> {
        let sources = self.sources.len();
        loop {
            let bytes = serde_json::to_vec(&self)?;
            if bytes.len() <= REPORT_BYTES_MAX || self.sources.is_empty() {
                return Ok(bytes);
            }
            self.sources.truncate(self.sources.len() / 2);
            let left_out = sources - self.sources.len();
            let problem = format!("{left_out} of its {sources} sources have no room in its report");
            self.process.problem.get_or_insert(problem);
        }
    }

    /// Those that can be read, as they stood when they were told: `now` is when they are read.
    pub fn read(reports: &[Report], now: Timestamp) -> Vec<Self> {
        let mut room = SOURCES_MAX;
        let mut read = Vec::new();
        for Report { key, age, payload } in reports {
            match serde_json::from_slice::<Self>(payload) {
                Ok(mut report) if report.version == VERSION => {
                    report.sources.truncate(room);
                    room -= report.sources.len();
                    let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
                    report.process.reported = Timestamp(now.0.saturating_sub(age));
                    report.sign();
                    read.push(report);
                }
                Ok(Self { version, .. }) => {
                    tracing::debug!(version, "a report of another version");
                }
                Err(error) => tracing::debug!(key, %error, "no report of a process"),
            }
        }
        read
    }

    /// Says that the process is silent, if it is by now.
    pub fn heed_silence(&mut self, now: Timestamp) {
        let micros = now.0.saturating_sub(self.process.reported.0);
        let silence = Duration::from_micros(u64::try_from(micros).unwrap_or_default());
        if silence <= SILENT {
            return;
        }
        let seconds = silence.as_secs();
        self.process.problem =
            Some(format!("nothing was heard of it for {seconds} s; see whether it runs"));
        let name = &self.process.name;
        for source in &mut self.sources {
            let problem = format!("nothing was heard of {name}, which reads it, for {seconds} s");
            source.problem = Some(problem);
        }
    }

    /// What `/api/v1/sources` shows of reports.
    pub fn list(reports: Vec<Self>, bus: Vec<PartitionLag>) -> SourceList {
        let mut list = SourceList { bus, ..SourceList::default() };
        for report in reports {
            list.sources.extend(report.sources);
            list.processes.push(report.process);
        }
        list
    }

    /// Writes into each source whose it is.
    fn sign(&mut self) {
        for source in &mut self.sources {
            source.process.clone_from(&self.process.name);
            source.host.clone_from(&self.process.host);
            source.reported = Some(self.process.reported);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_760_000_000_000_000);

    fn process_report(name: &str, sources: usize) -> ProcessReport {
        let process =
            ProcessStatus { name: name.into(), host: "db-1".into(), ..Default::default() };
        let source = SourceStatus { name: "orders".into(), events: 7, ..Default::default() };
        ProcessReport::new(process, vec![source; sources])
    }

    fn report(payload: Vec<u8>, age: u64) -> Report {
        let (key, age) = ("key".to_owned(), Duration::from_secs(age));
        Report { key, age, payload: payload.into() }
    }

    #[test]
    fn a_report_comes_back_with_fields_of_later_programs() {
        let mut json = serde_json::to_value(process_report("one", 1)).expect("json");
        json["later"] = serde_json::json!({"a": [1, 2]});
        json["process"]["kafka"] = serde_json::json!({"producer_queue_records": 3,
            "producer_queue_bytes": 4, "rebalances": 5, "partitions": [], "later": 6});
        let read = ProcessReport::read(&[report(json.to_string().into_bytes(), 2)], NOW);
        let [read] = &read[..] else { panic!("{read:?}") };
        assert_eq!(read.process.reported, NOW.plus_seconds(-2));
        assert_eq!(read.process.kafka.as_ref().map(|kafka| kafka.rebalances), Some(5));
        let source = &read.sources[0];
        assert_eq!((source.process.as_str(), source.host.as_str()), ("one", "db-1"));
        assert_eq!((source.events, source.reported), (7, Some(NOW.plus_seconds(-2))));
    }

    #[test]
    fn what_is_no_report_is_left_out() {
        let mut later = process_report("later", 1);
        later.version = VERSION + 1;
        let later = serde_json::to_vec(&later).expect("json");
        let negative = br#"{"version":1,"process":{"name":-1},"sources":[]}"#.to_vec();
        let deep = "[".repeat(100_000).into_bytes();
        let bad = [Vec::new(), b"\xff\xfe{}".to_vec(), b"null".to_vec(), later, negative, deep];
        let mut reports: Vec<_> = bad.into_iter().map(|bytes| report(bytes, 0)).collect();
        reports.push(report(process_report("good", 1).into_bytes().expect("json"), 0));
        let read = ProcessReport::read(&reports, NOW);
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].process.name, "good");
    }

    #[test]
    fn sources_are_bounded_one_by_one_and_together() {
        let bytes = process_report("many", 20_000).into_bytes().expect("json");
        assert!(bytes.len() <= REPORT_BYTES_MAX);
        let reports = vec![report(bytes, 0); 20];
        let read = ProcessReport::read(&reports, NOW);
        let problem = read[0].process.problem.clone().unwrap_or_default();
        assert!(problem.contains("of its 20000 sources"), "{problem}");
        assert!(read[0].sources.len() > 500);
        assert_eq!(read.iter().map(|report| report.sources.len()).sum::<usize>(), SOURCES_MAX);
    }

    #[test]
    fn silence_is_a_problem_of_the_process_and_of_its_sources() {
        let mut read =
            ProcessReport::read(&[report(process_report("one", 1).into_bytes().unwrap(), 29)], NOW);
        read[0].heed_silence(NOW);
        assert_eq!((&read[0].process.problem, &read[0].sources[0].problem), (&None, &None));
        read[0].heed_silence(NOW.plus_seconds(30));
        for problem in [&read[0].process.problem, &read[0].sources[0].problem] {
            assert!(problem.as_ref().is_some_and(|said| said.contains("59 s")), "{problem:?}");
        }
    }
}
