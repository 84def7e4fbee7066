//! `cargo xtask demo`: a successful rollout and one that the gray gate halts, on 20 real agents.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use testkit::DevCluster;

use crate::{cluster, install, process, say};

const DESKTOPS: u32 = 20;
const GRAY_COUNT: u32 = 4;
const GRAY_FAIL_THRESHOLD: u32 = 2;
/// Time limit of a rollout.
const TIMEOUT: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Shortest build whose duration is worth a line before the next one.
const LONG_BUILD: Duration = Duration::from_secs(30);

/// Number of records per status in one wave.
type Wave = BTreeMap<String, u32>;

/// Finds or installs Postgres, builds the program and runs the demo.
pub(crate) fn build_and_run(keep: bool) -> anyhow::Result<()> {
    install::postgres()?;
    build()?;
    run(keep)
}

/// Builds with cargo's own progress, after the time that the last long build took.
fn build() -> anyhow::Result<()> {
    let record = cluster::target_directory().join("demo-build-seconds");
    let last: Option<u64> = fs::read_to_string(&record).ok().and_then(|text| text.trim().parse().ok());
    say(&match last {
        None => "building graywave; the first build takes a few minutes".to_owned(),
        Some(seconds) => format!("building graywave; the last whole build took {}", minutes(seconds)),
    });
    let begun = Instant::now();
    process::run(&mut process::cargo(&["build", "--package", "graywave"]))?;
    // A shorter build changed little, and says nothing about the next whole one.
    if begun.elapsed() >= LONG_BUILD {
        fs::write(&record, begun.elapsed().as_secs().to_string())?;
    }
    Ok(())
}

fn minutes(seconds: u64) -> String {
    format!("{} min {} s", seconds / 60, seconds % 60)
}

/// Runs the demo. Fails unless the results are exactly as expected.
pub(crate) fn run(keep: bool) -> anyhow::Result<()> {
    let directory = testkit::directory("graywave-demo-")?;
    say(&format!("starting a cluster of {DESKTOPS} desktops"));
    let mut cluster = DevCluster::start(&directory.path().join("data"), DESKTOPS, &[])?;
    let outcome = rollouts(&cluster);
    if keep {
        say(&format!(
            "\nthe cluster runs until Ctrl-C; in another shell:\n  . {}\n  graywave desktops",
            directory.path().join("data/env").display()
        ));
        if let Some(console) = &cluster.ready.console {
            say(&format!("or in a browser, signed in once within 10 minutes:\n  {console}"));
        }
        cluster.process.child().wait()?;
        return outcome;
    }
    cluster.process.stop_cleanly()?;
    outcome
}

fn rollouts(cluster: &DevCluster) -> anyhow::Result<()> {
    let desktops = desktop_ids(cluster)?;
    ensure!(desktops.len() == DESKTOPS as usize, "{} desktops are listed, not {DESKTOPS}", desktops.len());

    say("\n1. a good script");
    let good = rollout(cluster, &desktops, &[], "good", "echo updated $GRAYWAVE_DESKTOP_ID")?;
    // Two of the failing desktops are named for the gray wave; a sample fills the rest.
    say("\n2. a script that fails on four desktops, two of them in the gray wave");
    let content = "case $GRAYWAVE_DESKTOP_ID in *3|*7) echo broken >&2; exit 3;; esac";
    let bad = rollout(cluster, &desktops, &["desktop-0003", "desktop-0007"], "bad", content)?;

    say("\nrollout  status    succeeded  failed  skipped  never started");
    let rows = [("good", &good), ("bad", &bad)].map(|(name, task)| report(cluster, name, task));
    let [good, bad] = rows;
    let (good, bad) = (good?, bad?);
    ensure!(
        good == ("SUCCESS".into(), 20, 0, 0, 0),
        "the good rollout should succeed on all 20 desktops: {good:?}"
    );
    let (status, succeeded, failed, skipped, never_started) = bad;
    ensure!(
        status == "FAILED" && failed >= u64::from(GRAY_FAIL_THRESHOLD),
        "the bad rollout should have failed"
    );
    ensure!(succeeded + failed == u64::from(GRAY_COUNT), "the gray wave should have run, and nothing else");
    ensure!(skipped == 16 && never_started == 16, "the other 16 should never have started");
    say("\npassed: the bad script never left the gray wave");
    Ok(())
}

fn desktop_ids(cluster: &DevCluster) -> anyhow::Result<Vec<String>> {
    let answer = cluster.rest.get("/desktops?status=ACTIVE")?;
    let desktops = answer["desktops"].as_array().context("no desktops in the answer")?;
    Ok(desktops.iter().filter_map(|desktop| desktop["desktop_id"].as_str()).map(str::to_owned).collect())
}

/// Runs a script over all desktops, prints its waves as they progress, and returns the task id
/// after the end.
fn rollout(
    cluster: &DevCluster,
    desktops: &[String],
    gray: &[&str],
    name: &str,
    content: &str,
) -> anyhow::Result<String> {
    let script =
        cluster.rest.post("/scripts", &json!({"name": name, "type": "SHELL", "content": content}))?;
    let body = json!({
        "resource_type": "DESKTOP", "resource_ids": desktops, "script_ids": [script["script_id"]],
        "gray_count": GRAY_COUNT, "gray_resource_ids": gray, "gray_fail_threshold": GRAY_FAIL_THRESHOLD, "execution_timeout": 1,
    });
    let answer = cluster.rest.post("/script-executions", &body)?;
    let task_id = answer["task_id"].as_str().context("no task_id in the answer")?.to_owned();
    say(&format!("   task {task_id}"));
    let begun = Instant::now();
    let mut shown = BTreeMap::new();
    loop {
        let ended = !task(cluster, &task_id)?["end_time"].is_null();
        let waves = waves(cluster, &task_id)?;
        for (order, wave) in &waves {
            if shown.get(order) != Some(wave) {
                say(&format!(
                    "   {:>5} ms  {:<9} {}",
                    begun.elapsed().as_millis(),
                    wave_name(*order),
                    wave_line(wave)
                ));
            }
        }
        shown = waves;
        if ended {
            return Ok(task_id);
        }
        if begun.elapsed() > TIMEOUT {
            bail!("task {task_id} did not end within {TIMEOUT:?}");
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn task(cluster: &DevCluster, task_id: &str) -> anyhow::Result<Value> {
    let answer = cluster.rest.get(&format!("/script-execution-tasks?task_id={task_id}"))?;
    Ok(answer["script_tasks"][0].clone())
}

fn records(cluster: &DevCluster, task_id: &str) -> anyhow::Result<Vec<Value>> {
    let answer =
        cluster.rest.get(&format!("/script-execution-records?script_task_id={task_id}&limit=100"))?;
    Ok(answer["script_records"].as_array().cloned().unwrap_or_default())
}

fn waves(cluster: &DevCluster, task_id: &str) -> anyhow::Result<BTreeMap<u64, Wave>> {
    let mut waves: BTreeMap<u64, Wave> = BTreeMap::new();
    for record in records(cluster, task_id)? {
        let order = record["execute_order"].as_u64().unwrap_or_default();
        let status = record["status"].as_str().unwrap_or_default().to_owned();
        *waves.entry(order).or_default().entry(status).or_default() += 1;
    }
    Ok(waves)
}

const fn wave_name(execute_order: u64) -> &'static str {
    if execute_order == 1 { "gray wave" } else { "the rest" }
}

fn wave_line(wave: &Wave) -> String {
    wave.iter()
        .map(|(status, count)| format!("{count} {}", status.to_lowercase()))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Prints the summary of a rollout, read through the API, and returns its counts.
fn report(cluster: &DevCluster, name: &str, task_id: &str) -> anyhow::Result<(String, u64, u64, u64, u64)> {
    let task = task(cluster, task_id)?;
    let number = |key: &str| task[key].as_u64().with_context(|| format!("no {key} in the answer"));
    let status = task["status"].as_str().unwrap_or_default().to_owned();
    let never_started =
        records(cluster, task_id)?.iter().filter(|record| record["start_time"].is_null()).count() as u64;
    let row = (status, number("success_num")?, number("failed_num")?, number("skip_num")?, never_started);
    say(&format!("{name:<7}  {:<8}  {:>9}  {:>6}  {:>7}  {:>13}", row.0, row.1, row.2, row.3, row.4));
    Ok(row)
}
