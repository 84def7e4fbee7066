//! The probe: many small rollouts, one after the other, which show when calls were refused.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::bail;
use chrono::{DateTime, Utc};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::chaos::{
    load::{self, Accepted},
    rest,
    system::{System, desktop_id},
};

/// Between two calls, whether the last one was answered or not.
const PAUSE: Duration = Duration::from_millis(50);
/// A submission that is refused for longer has failed.
const TIMEOUT: Duration = Duration::from_secs(120);

/// One call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) sent_at: DateTime<Utc>,
    pub(crate) answered_at: DateTime<Utc>,
    /// `None` when nobody answered in time.
    pub(crate) status: Option<u16>,
}

/// Calls and accepted tasks so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProbeLog {
    pub(crate) calls: Vec<Call>,
    pub(crate) accepted: Vec<Accepted>,
}

impl Call {
    pub(crate) fn is_accepted(&self) -> bool {
        self.status == Some(200)
    }
}

impl ProbeLog {
    /// Counts the calls by their answer.
    pub(crate) fn answers(&self) -> BTreeMap<String, usize> {
        let mut answers = BTreeMap::new();
        for call in &self.calls {
            let answer = call.status.map_or_else(|| "none in 5 s".to_owned(), |status| status.to_string());
            *answers.entry(answer).or_default() += 1;
        }
        answers
    }
}

/// The submitting task. It ends when its condition no longer holds.
pub(crate) struct Probe {
    log: Arc<Mutex<ProbeLog>>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Probe {
    pub(crate) fn start(system: Arc<System>, is_running: impl Fn() -> bool + Send + 'static) -> Self {
        let log = Arc::new(Mutex::new(ProbeLog::default()));
        let task = tokio::spawn(submit_all(system, Arc::clone(&log), is_running));
        Self { log, task }
    }

    /// Returns the log so far.
    pub(crate) fn log(&self) -> ProbeLog {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a call is accepted that was sent after a time.
    pub(crate) async fn accepted_after(&self, time: DateTime<Utc>) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !self.log().calls.iter().rev().any(|call| call.sent_at >= time && call.is_accepted()) {
            if begun.elapsed() > TIMEOUT {
                bail!("nothing is accepted {TIMEOUT:?} after the failover");
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Waits for the probe and returns its log.
    pub(crate) async fn finish(self) -> anyhow::Result<ProbeLog> {
        self.task.await??;
        Ok(std::mem::take(&mut *self.log.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

async fn submit_all(
    system: Arc<System>,
    log: Arc<Mutex<ProbeLog>>,
    is_running: impl Fn() -> bool,
) -> anyhow::Result<()> {
    let record = |call: Call, task_id: Option<String>| {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        log.calls.push(call);
        log.accepted.extend(task_id.map(|task_id| Accepted { task_id, kind: "probe" }));
    };
    for number in 0.. {
        if !is_running() {
            break;
        }
        let desktop = desktop_id(number % system.agents.len());
        let body = json!({"resource_ids": [desktop], "command": load::marking(&system, ":"),
                          "command_type": "SHELL"});
        let begun = Instant::now();
        for turn in number.. {
            let url = &system.urls[turn % system.urls.len()];
            let sent_at = Utc::now();
            let answered =
                rest::post(url, "/script-executions", body.clone(), format!("probe-{number}")).await.ok();
            let status = answered.as_ref().map(|(status, _)| *status);
            let task_id = answered.and_then(|(_, answer)| answer["task_id"].as_str().map(str::to_owned));
            let call = Call { sent_at, answered_at: Utc::now(), status };
            record(call, task_id);
            tokio::time::sleep(PAUSE).await;
            if call.is_accepted() {
                break;
            }
            if begun.elapsed() > TIMEOUT {
                bail!("a submission is not accepted for {TIMEOUT:?}: {status:?}");
            }
        }
    }
    Ok(())
}
