//! The test on the cluster: its steps and the expected results.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use testkit::Rest;

use super::cluster::{Cluster, Container, PROJECT, wait_for};
use crate::{process, say};

/// Every script appends a line beside the journal of its desktop, which reveals a second start.
const NOTE_START: &str = "echo started >> /var/lib/graywave-agent/starts-$GRAYWAVE_TASK_ID";

/// Services of the workers. Each has a certificate of its own.
const WORKERS: [&str; 3] = ["worker-1", "worker-2", "worker-3"];
/// Time in which a hung worker is killed, as the liveness probe in Kubernetes does.
const KILLED_WITHIN: Duration = Duration::from_secs(10);
const FIRST_DESKTOPS: u32 = 10;
const MORE_DESKTOPS: u32 = 16;

/// Runs the test from `docker compose up` on nothing to an orderly stop.
pub(super) fn run(cluster: &Cluster<'_>) -> anyhow::Result<()> {
    say("-- docker compose up");
    cluster.up(FIRST_DESKTOPS)?;
    let token = wait_for("a token", || {
        let create = [
            "graywave",
            "admin",
            "tokens",
            "create",
            "--project",
            PROJECT,
            "--principal",
            "admin",
            "--only-token",
        ];
        cluster.exec("api", &create).map(Some)
    })?;
    let http = format!("http://127.0.0.1:{}", cluster.http_port);
    let rest = Rest::new(&http, PROJECT, token.trim());
    let desktops = wait_for_desktops(&rest, FIRST_DESKTOPS)?;

    say("-- a successful rollout, and one that the gray gate halts");
    let good = submit(&rest, &desktops, "true", &json!({"gray_count": 2, "gray_fail_threshold": 1}))?;
    ensure!(wait_for_end(&rest, &good)? == "SUCCESS", "the good rollout should have succeeded");
    ensure!(count_starts(cluster, &good)? == FIRST_DESKTOPS, "each desktop should have started it once");
    let bad = submit(&rest, &desktops, "exit 3", &json!({"gray_count": 2, "gray_fail_threshold": 1}))?;
    ensure!(wait_for_end(&rest, &bad)? == "FAILED", "the bad rollout should have failed");
    ensure!(count_starts(cluster, &bad)? <= 2, "the bad script should never have left the gray wave");

    check_listed_workers(cluster)?;
    check_login_with_a_token(cluster, token.trim())?;
    kill_containers(cluster, &rest, &desktops)?;
    check_reaped_orphans(cluster, &rest, &desktops)?;
    hang_worker(cluster, &rest, &desktops)?;
    fail_migration(cluster)?;
    drain_without_database(cluster, &rest)?;
    change_replicas(cluster, &rest)?;
    check_prometheus_targets(cluster)?;
    stop_in_order(cluster)
}

/// Calls the admin gRPC with the operator's certificate.
fn check_listed_workers(cluster: &Cluster<'_>) -> anyhow::Result<()> {
    let listed = cluster.run(&["run", "--rm", "-T", "admin", "workers"])?;
    ensure!(
        WORKERS.iter().all(|worker| listed.contains(&format!("worker-{worker}-"))),
        "three workers should be listed:\n{listed}"
    );
    Ok(())
}

/// Logs in from outside of the cluster with a token and the CA, and lists the desktops.
fn check_login_with_a_token(cluster: &Cluster<'_>, token: &str) -> anyhow::Result<()> {
    say("-- graywave login with a token");
    let directory = testkit::directory("graywave-compose-")?;
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("ca.crt"), cluster.exec("scheduler", &["cat", "/run/graywave/tls/ca.crt"])?)?;
    std::fs::write(at("token"), token)?;
    let graywave = |arguments: &[&str]| -> anyhow::Result<String> {
        let mut command = process::built("graywave")?;
        command.args(arguments).env("GRAYWAVE_CONTEXTS", at("contexts.toml"));
        process::output(command.stdin(std::fs::File::open(at("token"))?))
    };
    let address = format!("https://localhost:{}", cluster.admin_port);
    let ca_file = at("ca.crt").display().to_string();
    graywave(&["login", &address, "--ca-file", &ca_file])?;
    let desktops = graywave(&["desktops", "--output", "name"])?.lines().count();
    ensure!(desktops == FIRST_DESKTOPS as usize, "{desktops} desktops are listed");
    Ok(())
}

/// Kills a container of each role and the database during a rollout.
fn kill_containers(cluster: &Cluster<'_>, rest: &Rest, desktops: &[String]) -> anyhow::Result<()> {
    say("-- a rollout during which containers die");
    let few_at_once = json!({"rollout": {"waves": [{"count": 2}, {"rest": true}], "max_concurrency": 2}, "execution_timeout": 5});
    let task = submit(rest, desktops, "sleep 6", &few_at_once)?;
    for service in [WORKERS[0], "scheduler", "api", "postgres"] {
        let before = success_count(&read_task(rest, &task)?);
        ensure!(before < u64::from(FIRST_DESKTOPS), "the rollout ended before {service} was killed");
        cluster.crash(service, 0)?;
        // The cluster recovers without intervention.
        wait_for("progress after a crash", || {
            Ok((success_count(&read_task(rest, &task)?) > before).then_some(()))
        })?;
    }
    ensure!(wait_for_end(rest, &task)? == "SUCCESS", "a crash in the control plane should lose no result");
    let started = count_starts(cluster, &task)?;
    ensure!(started == FIRST_DESKTOPS, "{started} starts on {FIRST_DESKTOPS} desktops");
    Ok(())
}

/// Runs a script that forks twice: the agent is process 1 of its container, and must reap orphans.
fn check_reaped_orphans(cluster: &Cluster<'_>, rest: &Rest, desktops: &[String]) -> anyhow::Result<()> {
    say("-- orphans of a script");
    let orphan = "setsid sh -c '(sleep 2; echo ended >> /var/lib/graywave-agent/orphans) &' < /dev/null > /dev/null 2>&1";
    let task = submit(rest, desktops, orphan, &json!({}))?;
    ensure!(wait_for_end(rest, &task)? == "SUCCESS", "the script with orphans should have succeeded");
    for desktop in cluster.containers("desktop")? {
        let ask = |command: &str| cluster.docker(&["exec", &desktop.id, "sh", "-c", command]);
        wait_for("the end of the orphans", || {
            Ok((ask("cat /var/lib/graywave-agent/orphans 2>/dev/null | wc -l")?.trim() == "1").then_some(()))
        })?;
        let zombies = "grep -ls '^State:.Z' /proc/[0-9]*/status | wc -l";
        wait_for("a desktop without zombies", || Ok((ask(zombies)?.trim() == "0").then_some(())))?;
    }
    Ok(())
}

/// Stops the processes of a worker without ending them, during a rollout. Its agents go to the
/// other workers, its health check fails, and a stop kills it.
fn hang_worker(cluster: &Cluster<'_>, rest: &Rest, desktops: &[String]) -> anyhow::Result<()> {
    say("-- a worker that hangs");
    let few_at_once = json!({"rollout": {"max_concurrency": 4}, "execution_timeout": 5});
    let task = submit(rest, desktops, "sleep 2", &few_at_once)?;
    let worker = first(cluster, WORKERS[1])?;
    cluster.docker(&["kill", "--signal", "STOP", &worker])?;
    ensure!(wait_for_end(rest, &task)? == "SUCCESS", "a hung worker should lose no result");
    ensure!(count_starts(cluster, &task)? == FIRST_DESKTOPS, "each desktop should have started it once");
    wait_for("the failed health check of the hung worker", || {
        let health = cluster.docker(&["inspect", "--format", "{{.State.Health.Status}}", &worker])?;
        Ok((health.trim() == "unhealthy").then_some(()))
    })?;
    let begun = Instant::now();
    cluster.docker(&["stop", "--time", "5", &worker])?;
    ensure!(begun.elapsed() < KILLED_WITHIN, "the hung worker ended after {:?}", begun.elapsed());
    cluster.docker(&["start", &worker])?;
    wait_for_ready(cluster, WORKERS[1], "worker")
}

/// Restarts schedulers and a worker on a database whose migration has failed, as an upgrade does.
/// The new worker is not ready and the other workers keep the agents, until the schema is there.
fn fail_migration(cluster: &Cluster<'_>) -> anyhow::Result<()> {
    say("-- an upgrade whose migration fails");
    let mark = |success: bool| {
        let statement = format!("UPDATE _sqlx_migrations SET success = {success}");
        cluster.exec("postgres", &["psql", "--quiet", "--username=graywave", "--command", &statement])
    };
    mark(false)?;
    ensure!(
        cluster.run(&["run", "--rm", "--no-deps", "-T", "migrate"]).is_err(),
        "the migration should have failed"
    );
    cluster.run(&["restart", "scheduler", WORKERS[0]])?;
    let reason = wait_for("the reason of the worker", || {
        let reason = unready(cluster, WORKERS[0], "worker")?;
        Ok(reason.filter(|reason| reason.contains("has no schema that fits them")))
    })?;
    ensure!(reason.contains("graywave migrate"), "the reason names no fix: {reason}");
    let reason = unready(cluster, "scheduler", "scheduler")?.context("the scheduler is ready")?;
    ensure!(reason.contains("schema version 0"), "the scheduler is not ready: {reason}");
    ensure!(unready(cluster, WORKERS[2], "worker")?.is_none(), "an admitted worker should stay ready");
    mark(true)?;
    wait_for_ready(cluster, "scheduler", "scheduler")?;
    wait_for_ready(cluster, WORKERS[0], "worker")
}

/// Stops the database. API and workers stay ready, the API answers 503, and a worker drains and
/// ends in order.
fn drain_without_database(cluster: &Cluster<'_>, rest: &Rest) -> anyhow::Result<()> {
    say("-- a worker drains without a database");
    cluster.run(&["stop", "postgres"])?;
    wait_for("the 503 of the API", || {
        let error = rest.get("/desktops?limit=1").err().map(|error| format!("{error:#}"));
        // In the form of the API's errors: the proxy's own 503 has none.
        Ok(error.filter(|error| error.contains("503") && error.contains("error_code")))
    })?;
    for (service, role) in
        [("api", "api"), ("scheduler", "scheduler"), (WORKERS[0], "worker"), (WORKERS[1], "worker")]
    {
        let reason = unready(cluster, service, role)?;
        ensure!(reason.is_none(), "{service} is not ready without the database: {reason:?}");
    }
    cluster.run(&["stop", WORKERS[1]])?;
    for Container { id, exit_code, is_running } in cluster.containers(WORKERS[1])? {
        ensure!(!is_running && exit_code == 0, "{id} ended with {exit_code}");
    }
    cluster.run(&["start", "postgres", WORKERS[1]])?;
    wait_for_ready(cluster, WORKERS[1], "worker")?;
    wait_for_desktops(rest, FIRST_DESKTOPS).map(drop)
}

/// Returns the id of the first container of a service.
fn first(cluster: &Cluster<'_>, service: &str) -> anyhow::Result<String> {
    let containers = cluster.containers(service)?;
    Ok(containers.first().with_context(|| format!("no container of {service}"))?.id.clone())
}

/// Returns why a service is not ready; `None` if it is.
fn unready(cluster: &Cluster<'_>, service: &str, role: &str) -> anyhow::Result<Option<String>> {
    let id = first(cluster, service)?;
    let asked = cluster.docker(&["exec", &id, "graywave", "healthcheck", role]);
    Ok(asked.err().map(|error| format!("{error:#}")))
}

fn wait_for_ready(cluster: &Cluster<'_>, service: &str, role: &str) -> anyhow::Result<()> {
    wait_for("readiness", || match unready(cluster, service, role)? {
        None => Ok(Some(())),
        Some(reason) => bail!("{service}: {reason}"),
    })
}

/// Adds desktops, and stops a worker during a rollout.
fn change_replicas(cluster: &Cluster<'_>, rest: &Rest) -> anyhow::Result<()> {
    say("-- adding desktops and stopping a worker");
    cluster.up(MORE_DESKTOPS)?;
    let desktops = wait_for_desktops(rest, MORE_DESKTOPS)?;
    let task = submit(rest, &desktops, "sleep 3", &json!({"rollout": {"max_concurrency": 4}}))?;
    cluster.run(&["stop", WORKERS[2]])?;
    ensure!(wait_for_end(rest, &task)? == "SUCCESS", "stopping a worker should lose no result");
    let started = count_starts(cluster, &task)?;
    ensure!(started == MORE_DESKTOPS, "{started} starts on {MORE_DESKTOPS} desktops");
    Ok(())
}

/// Checks that Prometheus finds two APIs, two schedulers and the remaining workers.
fn check_prometheus_targets(cluster: &Cluster<'_>) -> anyhow::Result<()> {
    say("-- Prometheus finds all roles");
    cluster.run(&["up", "--detach", "--no-build", "prometheus"])?;
    let ask = ["promtool", "query", "instant", "http://127.0.0.1:9090", "count by (role) (up == 1)"];
    wait_for("the roles in Prometheus", || {
        let answer = cluster.exec("prometheus", &ask)?;
        let has_two = |role: &str| answer.contains(&format!("{{role=\"{role}\"}} => 2 "));
        Ok(["api", "scheduler", "worker"].into_iter().all(has_two).then_some(()))
    })
}

/// Checks that every role ends after SIGTERM with exit code 0.
fn stop_in_order(cluster: &Cluster<'_>) -> anyhow::Result<()> {
    say("-- docker compose stop");
    cluster.run(&["stop"])?;
    for service in ["api", "scheduler", "desktop", "postgres"].into_iter().chain(WORKERS) {
        for Container { id, exit_code, is_running } in cluster.containers(service)? {
            ensure!(!is_running && exit_code == 0, "{service} {id} ended with {exit_code}");
        }
    }
    Ok(())
}

/// Waits until this many desktops are connected and returns their ids.
fn wait_for_desktops(rest: &Rest, count: u32) -> anyhow::Result<Vec<String>> {
    let desktops = wait_for("the desktops", || {
        let answer = rest.get("/desktops?status=ACTIVE&limit=100")?;
        let desktops = answer["desktops"].as_array().context("no desktops in the answer")?;
        Ok((desktops.len() == count as usize).then(|| desktops.clone()))
    })?;
    Ok(desktops.iter().filter_map(|desktop| desktop["desktop_id"].as_str()).map(str::to_owned).collect())
}

/// Submits a script that records its start; `more` adds fields to the body.
fn submit(rest: &Rest, desktops: &[String], content: &str, more: &Value) -> anyhow::Result<String> {
    let mut body = json!({
        "resource_type": "DESKTOP", "resource_ids": desktops,
        "command_type": "SHELL", "command": format!("{NOTE_START}; {content}"),
    });
    for (key, value) in more.as_object().context("no object")? {
        body[key] = value.clone();
    }
    let answer = rest.post("/script-executions", &body)?;
    Ok(answer["task_id"].as_str().context("no task_id in the answer")?.to_owned())
}

/// Waits for the end of a task and returns its status.
fn wait_for_end(rest: &Rest, task: &str) -> anyhow::Result<String> {
    let ended = wait_for("the end of a task", || {
        let task = read_task(rest, task)?;
        Ok((!task["end_time"].is_null()).then_some(task))
    })?;
    Ok(ended["status"].as_str().context("no status")?.to_owned())
}

fn read_task(rest: &Rest, task: &str) -> anyhow::Result<Value> {
    let answer = rest.get(&format!("/script-execution-tasks?task_id={task}"))?;
    Ok(answer["script_tasks"].get(0).context("the task is not listed")?.clone())
}

fn success_count(state: &Value) -> u64 {
    state["success_num"].as_u64().unwrap_or_default()
}

/// Counts the starts of a task's script on all desktops. Fails if a desktop started it twice.
fn count_starts(cluster: &Cluster<'_>, task: &str) -> anyhow::Result<u32> {
    let desktops = cluster.containers("desktop")?;
    let mut counts = BTreeMap::new();
    for desktop in &desktops {
        let count = format!("cat /var/lib/graywave-agent/starts-{task} 2>/dev/null | wc -l");
        let lines = cluster.docker(&["exec", &desktop.id, "sh", "-c", &count])?;
        counts.insert(desktop.id.clone(), lines.trim().parse::<u32>()?);
    }
    ensure!(counts.values().all(|count| *count <= 1), "a desktop started task {task} twice: {counts:?}");
    Ok(counts.values().sum())
}
