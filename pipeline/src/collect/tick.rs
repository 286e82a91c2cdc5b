//! Event-time ticks: when an instance's events enter a new hour, every partition is told at the
//! same place of the file, so that detection closes hours and days of the instance alike in all
//! of them, however the stream is divided and however its bytes are cut.

use std::collections::HashMap;

use event::EventBatch;
use serde::{Deserialize, Serialize};

const HOUR_MICROSECONDS: i64 = 3_600_000_000;

/// An instance has come to an hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// Position in the file of the event that entered the hour: events before it come first.
    pub position: u64,
    /// Name of the server.
    pub instance: String,
    /// Hours since 1970, by event time.
    pub hour: i64,
}

/// The newest hour of each instance, by what is believed of its events.
#[derive(Clone, Debug, Default)]
pub struct TickClock {
    clocks: detect::Clocks,
    hours: HashMap<String, i64>,
}

impl TickClock {
    /// The hours that events of one file enter, in order of position. An event that is more than
    /// an hour ahead of the clock that read it enters none: a server's clock that is days ahead
    /// must not close days that are not over.
    pub fn advance(&mut self, events: &EventBatch) -> Vec<Tick> {
        let mut ticks = Vec::new();
        // Rows of one instance come in runs.
        let mut last = ("", i64::MAX);
        for row in events.rows().iter() {
            let instance = row.instance();
            let time = self.clocks.time_of(instance, row.time(), row.received());
            let hour = hour_of(time.0);
            if last.0 != instance || last.1 == i64::MAX {
                last = (instance, self.hours.get(instance).copied().unwrap_or(i64::MIN));
            }
            if hour <= last.1 || hour > hour_of(row.received().0) + 1 {
                continue;
            }
            last.1 = hour;
            self.hours.insert(instance.to_owned(), hour);
            let position = row.position().cast_unsigned();
            ticks.push(Tick { position, instance: instance.to_owned(), hour });
        }
        ticks
    }
}

/// Hours since 1970.
pub fn hour_of(microseconds: i64) -> i64 {
    microseconds.div_euclid(HOUR_MICROSECONDS)
}

/// What happens next in a file.
#[derive(Debug, PartialEq)]
pub enum Step<'a> {
    Tick(&'a Tick),
    Events(EventBatch),
}

/// Events and ticks of a part of one file, in order of position: a tick comes before the event
/// that caused it, whether or not that event is among these.
pub fn steps(events: Option<EventBatch>, ticks: &[Tick]) -> Vec<Step<'_>> {
    let mut steps = Vec::with_capacity(2 * ticks.len() + 1);
    let mut rest = events;
    for tick in ticks {
        if let Some(events) = rest.take() {
            let row = row_at(&events, tick.position);
            if row > 0 {
                steps.push(Step::Events(events.slice(0, row)));
            }
            rest = (row < events.len()).then(|| events.slice(row, events.len() - row));
        }
        steps.push(Step::Tick(tick));
    }
    steps.extend(rest.map(Step::Events));
    steps
}

/// The events of a batch at this position of their file or later.
pub fn after(events: EventBatch, position: u64) -> EventBatch {
    match row_at(&events, position) {
        0 => events,
        row => events.slice(row, events.len() - row),
    }
}

/// The first row at this position or later; positions ascend.
fn row_at(events: &EventBatch, position: u64) -> usize {
    let rows = events.rows();
    let (mut low, mut high) = (0, rows.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let is_before = rows.row(middle).position().cast_unsigned() < position;
        if is_before { low = middle + 1 } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use event::{AuditEvent, EventBatchBuilder, Timestamp};

    use super::*;

    const NOW: i64 = 500_000;

    /// Events at these positions, in these hours.
    fn batch(events: &[(i64, i64)]) -> EventBatch {
        let mut builder = EventBatchBuilder::default();
        for (position, hour) in events {
            let time = Timestamp(hour * HOUR_MICROSECONDS + 17);
            let received = Timestamp(NOW * HOUR_MICROSECONDS);
            let event = AuditEvent::new("log", "test", "postgresql", "orders");
            builder.push(&AuditEvent { time, received, position: *position, ..event });
        }
        builder.finish()
    }

    fn hours(ticks: &[Tick]) -> Vec<(u64, i64)> {
        ticks.iter().map(|tick| (tick.position, tick.hour)).collect()
    }

    #[test]
    fn each_hour_is_entered_once_wherever_the_stream_is_cut() {
        let events = [(0, 7), (10, 7), (20, 8), (30, 7), (40, 8), (50, 11), (60, 11)];
        let expected = [(0, 7), (20, 8), (50, 11)];
        assert_eq!(hours(&TickClock::default().advance(&batch(&events))), expected);
        for cut in 0..=events.len() {
            let mut clock = TickClock::default();
            let mut ticks = clock.advance(&batch(&events[..cut]));
            ticks.extend(clock.advance(&batch(&events[cut..])));
            assert_eq!(hours(&ticks), expected, "cut before row {cut}");
        }
    }

    #[test]
    fn a_clock_that_is_days_ahead_closes_nothing() {
        let events = [(0, NOW - 1), (1, NOW + 48), (2, NOW), (3, NOW + 1), (4, NOW + 2)];
        let ticks = TickClock::default().advance(&batch(&events));
        assert_eq!(hours(&ticks), [(0, NOW - 1), (2, NOW), (3, NOW + 1)]);
    }

    #[test]
    fn a_tick_stands_before_the_event_that_caused_it_on_every_partition() {
        let all = batch(&[(0, 7), (10, 8), (20, 8), (30, 9)]);
        let ticks = TickClock::default().advance(&all);
        let shown = |events: Option<EventBatch>| -> Vec<String> {
            let step = |step: &Step<'_>| match step {
                Step::Tick(tick) => format!("hour {}", tick.hour),
                Step::Events(events) => {
                    let rows = events.rows();
                    let positions = rows.iter().map(|row| row.position().to_string());
                    positions.collect::<Vec<_>>().join(" ")
                }
            };
            steps(events, &ticks).iter().map(step).collect()
        };
        assert_eq!(shown(Some(all.clone())), ["hour 7", "0", "hour 8", "10 20", "hour 9", "30"]);
        assert_eq!(shown(Some(all.take(vec![0, 2]))), ["hour 7", "0", "hour 8", "20", "hour 9"]);
        assert_eq!(shown(Some(all.take(vec![3]))), ["hour 7", "hour 8", "hour 9", "30"]);
        assert_eq!(shown(None), ["hour 7", "hour 8", "hour 9"]);
    }
}
