//! Where channels may not reach, by address and by name, and settings that are refused.

use std::net::SocketAddr;
use std::sync::Arc;

use event::alert::Severity;
use prometheus_client::registry::Registry;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use respond::channel::webhook::{WebhookChannel, WebhookSettings};
use respond::channel::{Channel, Opening, SendError};
use respond::destination::check_url;
use respond::{
    ChannelSettings, Limits, Notification, Respond, RespondMetrics, RespondSettings, system_clock,
};
use secret::SecretSource;
use state::State;

use crate::receiver::Receiver;
use crate::{alert, channel, folder, second, webhook_settings};

/// Answers every name with these addresses.
struct Told(Vec<SocketAddr>);

impl Resolve for Told {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses = self.0.clone();
        Box::pin(async move { Ok(Box::new(addresses.into_iter()) as Addrs) })
    }
}

#[test]
fn addresses_are_judged_by_the_table() {
    let table = include_str!("../../testdata/destinations.txt");
    let mut judged = 0;
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let (expected, address) = line.split_once(' ').expect("a verdict and an address");
        let check = address.parse().map(|url| check_url(&url, false));
        let allowed = matches!(check, Ok(Ok(())));
        assert_eq!(allowed, expected == "allowed", "{address}: {check:?}");
        judged += 1;
    }
    assert!(judged >= 70, "{judged} addresses");
}

#[tokio::test]
async fn name_that_leads_inside_is_not_reached() {
    let folder = folder();
    let receiver = Receiver::start([]).await;
    let port = receiver.url().parse::<reqwest::Url>().expect("an address").port().expect("a port");
    let note = Notification { alert: alert(1, Severity::High), time: second(1) };
    let inside = [
        "127.0.0.1:0",
        "[::1]:0",
        "[::ffff:127.0.0.1]:0",
        "[64:ff9b::7f00:1]:0",
        "169.254.169.254:0",
        "10.1.2.3:0",
        "[fd00::1]:0",
        "[fe80::1]:0",
    ];
    let url = format!("https://hooks.example.com:{port}/hook");
    let mut settings = webhook_settings(&folder, &url);
    settings.allow_private = false;
    let limits = Limits::default();
    let opening = Opening { name: "soc", limits: &limits };
    let open = |settings: &WebhookSettings, told| {
        WebhookChannel::new(settings, &opening, Arc::new(told)).expect("a channel")
    };
    for addresses in inside.iter().map(|it| vec![*it]).chain([inside.to_vec(), vec![]]) {
        let told = addresses.iter().map(|it| it.parse().expect("an address")).collect();
        let channel = open(&settings, Told(told));
        let error = channel.send(&note).await.expect_err("not reached");
        let SendError::Retry { reason, .. } = error else { panic!("{error:?}") };
        assert!(reason.contains("`hooks.example.com` has no public address"), "{reason}");
    }
    // The same name, where the settings allow it.
    let settings = webhook_settings(&folder, &format!("http://hooks.example.com:{port}/hook"));
    let told = Told(vec!["127.0.0.1:0".parse().expect("an address")]);
    let channel = open(&settings, told);
    channel.send(&note).await.expect("reached");
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn wrong_settings_are_refused_by_name() {
    let folder = folder();
    let path = folder.path().join("state.sqlite");
    let state = State::open(&path).await.expect("a state");
    let good = webhook_settings(&folder, "https://hooks.example.com/hook");
    let unsigned = folder.path().join("unsigned");
    std::fs::write(&unsigned, "hunter2").expect("written");
    let mut cases = Vec::new();
    let mut case = |change: &dyn Fn(&mut ChannelSettings), expected: &'static str| {
        let mut settings = channel(&good);
        change(&mut settings);
        cases.push((vec![settings], expected));
    };
    case(&|it| it.name = "a b".into(), "respond.channels[0].name must be");
    case(&|it| it.limits.timeout_seconds = 0, "timeout_seconds must be between");
    case(&|it| it.limits.concurrency_max = 65, "concurrency_max must be between");
    let mut case = |change: &dyn Fn(&mut WebhookSettings), expected: &'static str| {
        let mut settings = good.clone();
        change(&mut settings);
        cases.push((vec![channel(&settings)], expected));
    };
    case(&|it| it.secrets.clear(), "respond.channels `soc`: webhook.secrets must name");
    case(&|it| it.url = "hook".into(), "respond.channels `soc`: webhook.url is not a web address");
    let no_private = |it: &mut WebhookSettings| {
        it.allow_private = false;
        it.url = "https://127.0.0.1/hook".into();
    };
    case(&no_private, "127.0.0.1 is not a public address; set allow_private");
    let missing = SecretSource::Env("QUERYWATCH_SURELY_NOT_SET".into());
    case(&|it| it.secrets = vec![missing.clone()], "`QUERYWATCH_SURELY_NOT_SET` is not set");
    let malformed = SecretSource::File(unsigned);
    case(&|it| it.secrets = vec![malformed.clone()], "does not hold a webhook secret");
    cases.push((vec![channel(&good), channel(&good)], "respond.channels[1].name is taken"));
    cases.push((vec![channel(&good); 101], "respond.channels are more than 100"));
    for (channels, expected) in cases {
        let metrics = RespondMetrics::register(&mut Registry::default());
        let settings = RespondSettings { channels };
        let started = Respond::start(&settings, state.clone(), metrics, system_clock()).await;
        let message = started.err().expect("refused").to_string();
        assert!(message.contains(expected), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn settings_are_read_from_toml() {
    let text = r#"
        [[channels]]
        name = "soc"
        severity_min = "high"
        families = ["tampering"]
        webhook.url = "https://hooks.example.com/hook"
        webhook.secrets = [{ env = "SOC_SECRET" }, { file = "/run/secrets/soc" }]

        [[channels]]
        name = "shipper"
        concurrency_max = 1
        file.path = "/var/log/querywatch/cases.ndjson"
    "#;
    let settings: RespondSettings = toml::from_str(text).expect("settings");
    let [soc, shipper] = settings.channels.as_slice() else { panic!("{settings:?}") };
    assert_eq!((soc.route.severity_min, soc.route.families.len()), (Severity::High, 1));
    assert_eq!((soc.limits.timeout_seconds, shipper.limits.concurrency_max), (15, 1));
    let written = toml::to_string_pretty(&settings).expect("TOML");
    assert_eq!(toml::from_str::<RespondSettings>(&written).expect("settings"), settings);
    for (wrong, expected) in [
        ("webhook.secret = 1", "unknown field `secret`"),
        ("webhok.url = \"x\"", "unknown field `webhok`; a channel has name, severity_min"),
        ("severity_minimum = \"low\"\nfile.path = \"/x\"", "unknown field `severity_minimum`"),
        ("", "the channel has no kind; add `file` or `webhook`"),
        ("file.path = \"/x\"\nwebhook.url = \"x\"", "it has `file` and `webhook`; keep one"),
        ("severity_min = \"huge\"\nfile.path = \"/x\"", "unknown variant `huge`"),
        ("families = [\"all\"]\nfile.path = \"/x\"", "unknown variant `all`"),
    ] {
        let text = format!("[[channels]]\nname = \"soc\"\n{wrong}\n");
        let error = toml::from_str::<RespondSettings>(&text).expect_err("wrong").to_string();
        assert!(error.contains(expected), "{wrong}: {error}");
    }
}
