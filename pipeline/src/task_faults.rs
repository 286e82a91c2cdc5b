//! A whole pipeline whose tasks are struck one after the other: each shows in `/readyz` and in the
//! metrics, is started again, or ends the process with a reason.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use query::api::TaskState;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::supervisor::tests::Fault;
use crate::{DataFolder, Pipeline, Role, Settings, SourceSettings};

const PATIENCE: Duration = Duration::from_secs(20);

async fn start(folder: &Path) -> Pipeline {
    let log = folder.join("log");
    std::fs::create_dir_all(&log).expect("a folder");
    let secret = folder.join("secret");
    std::fs::write(&secret, "whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0").expect("written");
    let settings = format!(
        "{{\"query\": {{\"address\": \"127.0.0.1:0\"}}, \"respond\": {{\"channels\": [{{\"name\": \
         \"soc\", \"webhook\": {{\"url\": \"https://127.0.0.1:9/\", \"allow_private\": true, \
         \"secrets\": [{{\"file\": {secret:?}}}]}}}}]}}}}"
    );
    let mut settings: Settings = serde_json::from_str(&settings).expect("settings");
    settings.data = folder.join("data");
    let source = format!("{{\"name\": \"orders\", \"files\": {{\"paths\": [{log:?}]}}}}");
    let source: SourceSettings = serde_json::from_str(&source).expect("a source");
    settings.sources = vec![source];
    let data = DataFolder::open(&settings.data).expect("a data folder");
    let started = Pipeline::start(&settings, &data, Role::All, Arc::new(|_| {})).await;
    started.expect("started")
}

/// What the process answers; nothing while nobody listens.
async fn get(pipeline: &Pipeline, path: &str) -> String {
    let ask = async {
        let mut stream = TcpStream::connect(pipeline.address).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answered = tokio::time::timeout(Duration::from_secs(5), ask).await;
    answered.ok().and_then(Result::ok).unwrap_or_default()
}

async fn wait_for(pipeline: &Pipeline, path: &str, parts: &[&str]) {
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = get(pipeline, path).await;
        if parts.iter().all(|part| answer.contains(part)) {
            return;
        }
        assert!(Instant::now() < until, "{parts:?} are not in: {answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_task_that_breaks_off_shows_and_is_started_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipeline = start(folder.path()).await;
    let all = [
        "state: running",
        "alerts: running",
        "send to soc: running",
        "store: running",
        "detect: running",
        "upkeep: running",
        "collect orders: running",
        "record reads: running",
        "watch lag: running",
        "http: running",
    ];
    wait_for(&pipeline, "/readyz", &[&["200 OK", "ready"], &all[..]].concat()).await;
    let restarted =
        ["state", "alerts", "send to soc", "upkeep", "record reads", "watch lag"].into_iter();
    for (name, fault) in restarted.zip([Fault::Panic, Fault::Error, Fault::End].iter().cycle()) {
        pipeline.supervisor().strike(name, *fault);
        let shown = format!("`{name}` is restarting: ");
        wait_for(&pipeline, "/readyz", &["503", &shown]).await;
        let metric = format!("querywatch_task_running{{task=\"{name}\"}} 0");
        wait_for(&pipeline, "/metrics", &[&metric]).await;
        wait_for(&pipeline, "/readyz", &["200 OK", &format!("{name}: running")]).await;
        assert_eq!(pipeline.supervisor().status(name).restarts, 1, "{name}");
    }
    // While it is away there is no answer; it listens on the same address again.
    pipeline.supervisor().strike("http", Fault::Panic);
    let until = Instant::now() + PATIENCE;
    while pipeline.supervisor().status("http").restarts == 0 {
        assert!(Instant::now() < until, "the service is not started again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let metric = "querywatch_task_restarts_total{task=\"http\"} 1";
    wait_for(&pipeline, "/metrics", &[metric]).await;
    pipeline.stop().await.expect("stopped in good order");
}

/// The bus is closed under everybody: nothing can go on, and the first to notice says why.
#[tokio::test(flavor = "multi_thread")]
async fn what_detection_is_nothing_without_ends_the_process_with_a_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let pipeline = start(folder.path()).await;
    wait_for(&pipeline, "/readyz", &["200 OK"]).await;
    pipeline.bus().shutdown().await.expect("closed");
    let failed = tokio::time::timeout(PATIENCE, pipeline.failed().cancelled()).await;
    failed.expect("the process is to end");
    wait_for(&pipeline, "/readyz", &["503", "` has ended: "]).await;
    let ended = |name| pipeline.supervisor().status(name).state == TaskState::Ended;
    assert!(ended("detect") || ended("collect orders"));
    let reason = format!("{:#}", pipeline.stop().await.expect_err("it failed"));
    assert!(reason.contains("the bus is shut down"), "{reason}");
}
