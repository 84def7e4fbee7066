//! Load on the cluster during the faults: rollouts that succeed, fail, time out, are stopped,
//! paused and retried.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use rand::{Rng as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tokio::task::{JoinHandle, JoinSet};

use super::{
    rest::{PROJECT, get, post},
    system::{System, desktop_id},
};

/// Maximum time over which a call is retried. The longest outage lasts 75 s.
const TIMEOUT: Duration = Duration::from_secs(150);
/// Maximum number of rollouts in progress.
const MAX_PENDING: usize = 16;
/// Share of the rollouts that include the desktop that lies.
const LIAR_PROBABILITY: f64 = 0.6;

/// A task whose id was answered.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    pub(crate) task_id: String,
    /// Kind of the rollout, such as `strict`.
    pub(crate) kind: &'static str,
}

/// The submitting task. It ends when its condition no longer holds.
pub(crate) struct Load(JoinHandle<anyhow::Result<Vec<Accepted>>>);

impl Load {
    pub(crate) fn start(
        system: Arc<System>,
        rng: ChaCha8Rng,
        is_running: impl Fn() -> bool + Send + 'static,
    ) -> Self {
        Self(tokio::spawn(submit_all(system, rng, is_running)))
    }

    /// Waits for the load and returns the accepted tasks.
    pub(crate) async fn finish(self) -> anyhow::Result<Vec<Accepted>> {
        self.0.await?
    }
}

/// Operation on an accepted task.
#[derive(Debug, Clone, Copy)]
enum FollowUp {
    Nothing,
    Stop(Duration),
    Pause(Duration),
    Retry,
}

struct Plan {
    kind: &'static str,
    body: Value,
    follow_up: FollowUp,
}

async fn submit_all(
    system: Arc<System>,
    mut rng: ChaCha8Rng,
    is_running: impl Fn() -> bool,
) -> anyhow::Result<Vec<Accepted>> {
    let mut pending: JoinSet<anyhow::Result<Vec<Accepted>>> = JoinSet::new();
    let mut accepted = Vec::new();
    let mut number = 0;
    while is_running() {
        let plan = draw(&system, &mut rng);
        let key = format!("chaos-{number}");
        number += 1;
        pending.spawn(follow(Arc::clone(&system), plan, key));
        if pending.len() >= MAX_PENDING
            && let Some(done) = pending.join_next().await
        {
            accepted.extend(done??);
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(300..1_500))).await;
    }
    while let Some(done) = pending.join_next().await {
        accepted.extend(done??);
    }
    Ok(accepted)
}

fn draw(system: &System, rng: &mut ChaCha8Rng) -> Plan {
    let fleet: Vec<usize> = (0..system.agents.len()).collect();
    let number = rng.random_range(4..=fleet.len().clamp(4, 25));
    let mut chosen: Vec<usize> = fleet.choose_multiple(rng, number).copied().collect();
    chosen.sort_unstable();
    let mut desktops: Vec<String> = chosen.into_iter().map(desktop_id).collect();
    if let Some(liar) = system.liar()
        && rng.random_bool(LIAR_PROBABILITY)
    {
        // Anywhere in the plan, also among the canaries.
        desktops.insert(rng.random_range(0..=desktops.len()), liar.to_owned());
    }
    let later = Duration::from_millis(rng.random_range(200..3_000));
    let hundredths = rng.random_range(0..15);
    let sleep = format!("sleep 0.{hundredths:02}");
    let (kind, work, more, follow_up) = match rng.random_range(0..9) {
        0 | 1 => ("good", sleep, json!({"gray_count": 2}), FollowUp::Nothing),
        2 => (
            "halting",
            "exit 3".into(),
            json!({"gray_count": 3, "gray_fail_threshold": 2}),
            FollowUp::Nothing,
        ),
        3 => (
            "timing out",
            "sleep 600".into(),
            json!({"gray_count": 2, "gray_fail_threshold": 1}),
            FollowUp::Nothing,
        ),
        4 => ("stopped", "sleep 3".into(), json!({"gray_count": 3}), FollowUp::Stop(later)),
        5 => ("paused", sleep, json!({"rollout": {"max_concurrency": 3}}), FollowUp::Pause(later)),
        6 => ("retried", "[ $GRAYWAVE_ATTEMPT != 1 ]".into(), json!({"gray_count": 2}), FollowUp::Retry),
        7 => (
            "strict",
            "case $GRAYWAVE_DESKTOP_ID in *3|*7) exit 4;; esac".into(),
            json!({"rollout": {"strict": true, "fail_threshold": {"count": STRICT_THRESHOLD}}}),
            FollowUp::Nothing,
        ),
        _ => (
            "waves",
            sleep,
            json!({"rollout": {"waves": [{"count": 2}, {"percent": 30}, {"rest": true}], "max_concurrency": 5,
                               "quorum_percent": 60, "delivery_timeout_seconds": 8}}),
            FollowUp::Nothing,
        ),
    };
    let mut body =
        json!({"resource_ids": desktops, "command": marking(system, &work), "command_type": "SHELL"});
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    Plan { kind, body, follow_up }
}

/// Fail threshold of a strict rollout.
pub(crate) const STRICT_THRESHOLD: i64 = 3;

/// A script that says in its desktop's file that it started, and how it wait_for_end.
pub(crate) fn marking(system: &System, work: &str) -> String {
    let marks = system.marks();
    format!(
        "f={}/$GRAYWAVE_DESKTOP_ID; t=\"$GRAYWAVE_TASK_ID $GRAYWAVE_ATTEMPT\"\n\
         echo \"S $t\" >> $f; ({work}); c=$?; echo \"E $t $c\" >> $f; exit $c",
        marks.display()
    )
}

async fn follow(system: Arc<System>, plan: Plan, key: String) -> anyhow::Result<Vec<Accepted>> {
    let Plan { kind, body, follow_up } = plan;
    let (status, answer) = persist(&system, "/script-executions", &body, &key).await?;
    if status != 200 {
        bail!("a {kind} rollout was refused with {status}: {answer}");
    }
    let task_id = answer["task_id"].as_str().context("no task_id")?.to_owned();
    let mut accepted = vec![Accepted { task_id: task_id.clone(), kind }];
    match follow_up {
        FollowUp::Nothing => {}
        FollowUp::Stop(after) => {
            tokio::time::sleep(after).await;
            persist(&system, "/script-executions/stop", &json!({"task_id": task_id}), &format!("{key}-stop"))
                .await?;
        }
        FollowUp::Pause(duration) => {
            let native = format!("/v1/projects/{PROJECT}/tasks/{task_id}");
            persist(&system, &format!("{native}/pause"), &json!({}), &format!("{key}-pause")).await?;
            tokio::time::sleep(duration).await;
            persist(&system, &format!("{native}/resume"), &json!({}), &format!("{key}-resume")).await?;
        }
        FollowUp::Retry => {
            wait_for_end(&system, &task_id).await?;
            let body = json!({"task_id": task_id});
            let (status, answer) =
                persist(&system, "/script-executions/retry", &body, &format!("{key}-retry")).await?;
            if status == 200 {
                let task_id = answer["task_id"].as_str().context("no task_id")?.to_owned();
                accepted.push(Accepted { task_id, kind: "retry" });
            }
        }
    }
    Ok(accepted)
}

/// Waits until a task has ended. Failed calls are repeated.
async fn wait_for_end(system: &System, task_id: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    let path = format!("/script-execution-tasks?task_id={task_id}");
    for turn in 0.. {
        if let Ok((200, answer)) = get(&system.urls[turn % system.urls.len()], &path).await
            && !answer["script_tasks"][0]["end_time"].is_null()
        {
            break;
        }
        if begun.elapsed() > 3 * TIMEOUT {
            bail!("task {task_id} does not end");
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Ok(())
}

/// Retries a call until a server answers. The idempotency key ensures one execution.
async fn persist(system: &System, path: &str, body: &Value, key: &str) -> anyhow::Result<(u16, Value)> {
    let begun = Instant::now();
    for turn in 0.. {
        let url = system.urls[turn % system.urls.len()].clone();
        let answered = post(&url, path, body.clone(), key.to_owned()).await;
        match answered {
            Ok((status, answer)) if status < 500 && status != 429 => return Ok((status, answer)),
            Ok(_) | Err(_) if begun.elapsed() < TIMEOUT => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Ok((status, answer)) => bail!("{path}: still {status} after {TIMEOUT:?}: {answer}"),
            Err(error) => return Err(error.context(format!("{path}: no answer for {TIMEOUT:?}"))),
        }
    }
    bail!("asked often enough")
}
