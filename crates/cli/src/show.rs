//! `graywave show` and `graywave workers`.

use std::fmt::Write as _;

use clap::Args;
use proto::{
    admin::{
        GetTaskRequest, ListWorkersRequest, Task, TaskStatus, WaveStatus, Worker,
        task_service_client::TaskServiceClient, worker_service_client::WorkerServiceClient,
    },
    word,
};

use crate::{Connection, explain};

/// Show a task with its waves and what the gate said of each
#[derive(Debug, Args)]
pub struct ShowArguments {
    /// Id of the task
    task_id: String,
    #[command(flatten)]
    connection: Connection,
}

/// List the workers that are known
#[derive(Debug, Args)]
pub struct WorkersArguments {
    #[command(flatten)]
    connection: Connection,
}

/// The task, as text.
pub async fn show(arguments: ShowArguments) -> anyhow::Result<String> {
    let request = arguments.connection.request(GetTaskRequest { task_id: arguments.task_id })?;
    let mut client = TaskServiceClient::new(arguments.connection.channel().await?);
    let answer = client.get_task(request).await.map_err(explain)?;
    Ok(task_text(&answer.into_inner().task.unwrap_or_default()))
}

/// The workers, as text.
pub async fn workers(arguments: WorkersArguments) -> anyhow::Result<String> {
    let request = arguments.connection.request(ListWorkersRequest {})?;
    let mut client = WorkerServiceClient::new(arguments.connection.channel().await?);
    let answer = client.list_workers(request).await.map_err(explain)?;
    Ok(workers_text(&answer.into_inner().workers))
}

fn task_text(task: &Task) -> String {
    let status = word::<TaskStatus>(task.status);
    let mut text = format!("task {}  {status}  {} desktops\n", task.task_id, task.target_count);
    text.push_str("wave  status   size  admitted  succeeded  failed  threshold  gate\n");
    for wave in &task.waves {
        let threshold = if wave.fail_threshold.is_empty() { "-" } else { wave.fail_threshold.as_str() };
        line(
            &mut text,
            format_args!(
                "{:>4}  {:<7}  {:>4}  {:>8}  {:>9}  {:>6}  {threshold:>9}  {}",
                wave.wave,
                word::<WaveStatus>(wave.status),
                wave.size,
                wave.admitted,
                wave.targets.unwrap_or_default().success,
                wave.failed,
                wave.verdict
            ),
        );
    }
    if !task.reason.is_empty() {
        line(&mut text, format_args!("halted: {}", task.reason));
    }
    text
}

fn workers_text(workers: &[Worker]) -> String {
    let mut text = String::from(
        "worker                                    address               desktops  capacity  state\n",
    );
    for worker in workers {
        let state = if worker.draining { "draining" } else { "serving" };
        line(
            &mut text,
            format_args!(
                "{:<40}  {:<20}  {:>8}  {:>8}  {state}",
                worker.worker_id, worker.address, worker.desktops, worker.capacity
            ),
        );
    }
    text
}

/// Adds a line without spaces at its end.
fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    let mut added = String::new();
    // Writing to a String never fails.
    if added.write_fmt(arguments).is_ok() {
        text.push_str(added.trim_end());
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use proto::{
        Word as _,
        admin::{Outcomes, Wave},
    };

    use super::*;

    #[test]
    fn a_halted_task_says_why() {
        let wave = |wave, status: &str, reason: &str, fail_threshold: &str| Wave {
            wave,
            status: WaveStatus::number(status),
            size: 4,
            admitted: 4,
            targets: Some(Outcomes { success: 2, ..Outcomes::default() }),
            failed: 2,
            fail_threshold: fail_threshold.into(),
            verdict: reason.into(),
            ..Wave::default()
        };
        let task = Task {
            task_id: "0".repeat(32),
            status: TaskStatus::number("HALTED"),
            target_count: 20,
            waves: vec![wave(1, "HALTED", "2 of 4 targets failed", "2"), wave(2, "PENDING", "", "")],
            reason: "2 of 4 targets failed".into(),
            ..Task::default()
        };
        assert_eq!(
            task_text(&task),
            "task 00000000000000000000000000000000  HALTED  20 desktops\n\
             wave  status   size  admitted  succeeded  failed  threshold  gate\n\
             \x20  1  HALTED      4         4          2       2          2  2 of 4 targets failed\n\
             \x20  2  PENDING     4         4          2       2          -\n\
             halted: 2 of 4 targets failed\n"
        );
    }
}
