//! What the ends of hours and days tell of identities.

use event::alert::{Detector as Layer, Severity};
use event::vocabulary::CauseFamily;
use event::{Alert, Timestamp};

use super::Detector;
use crate::analysis::StatementAnalysis;
use crate::cases::{Scene, tick_event};
use crate::context::{Closed, Context};
use crate::explanation;
use crate::risk;
use crate::rule_event::RuleEvent;
use crate::signal::{Family, Signal, Told};

impl Detector {
    pub(super) fn end_hours(&mut self, instance: &str, alerts: &mut Vec<Alert>) {
        for hour in self.clocks.ended_hours(instance) {
            let closed = self.identities.close_hour(instance, hour, &mut self.statistics);
            let end = Timestamp((hour + 1).saturating_mul(3_600_000_000));
            for closed in closed {
                self.close(instance, end, closed, alerts);
            }
        }
    }

    /// What the end of an hour or a day of an identity tells.
    pub(super) fn close(
        &mut self,
        instance: &str,
        time: Timestamp,
        closed: Closed,
        alerts: &mut Vec<Alert>,
    ) {
        let Closed { identity, kind, profile, day, silence } = closed;
        self.profiles.extend(profile);
        let maturity = self.maturity(instance, &identity);
        let mut found = Vec::new();
        if let Some((hours, usual)) = silence {
            let told = explanation::explain_silence(&identity, hours, usual, maturity.clone());
            found.push(("baseline.silence", CauseFamily::Tampering, Severity::Medium, told));
        }
        if let Some(collapse) = day.collapse {
            let told = explanation::explain_collapse(&identity, collapse, maturity.clone());
            found.push(("baseline.collapse", CauseFamily::Tampering, Severity::Medium, told));
        }
        if let Some(told) = explanation::explain_leak(&identity, &day, maturity) {
            found.push(("baseline.leak", CauseFamily::Exfiltration, Severity::High, told));
        }
        let models = self.models.versions(instance);
        for (detector, case_family, severity, (title, explanation)) in found {
            let hour = time.0.div_euclid(3_600_000_000);
            let event = tick_event(instance, &identity, hour, "querywatch");
            let analysis = StatementAnalysis::default();
            let context = Context { identity_kind: kind, ..Context::default() };
            let event = RuleEvent {
                event: &event,
                analysis: &analysis,
                client_network: "",
                context: &context,
            };
            let kind = (Layer::Baseline, Family::Silence);
            let signal = Signal::of_identity(detector, kind, case_family, severity, String::new());
            let told = Told::of_behaviour(title, explanation);
            let risk = risk::points(signal.score(), 1.0);
            let scene = Scene { event: &event, time, risk, models: &models };
            alerts.extend(self.cases.add(&signal, &scene, true, |_| told));
        }
    }
}
