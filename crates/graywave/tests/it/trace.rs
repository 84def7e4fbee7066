//! One trace across all processes, from a client's request to the commit of its results.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::{
    cluster::Cluster,
    collector::{Collector, ExportedSpan, text},
    harness::wait_for,
};

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const CLIENTS_SPAN: &str = "b7ad6b7169203331";
const DESKTOPS: usize = 3;

/// Starts a cluster that exports spans quickly and samples only requested traces.
fn cluster(collector: &Collector, desktops: usize) -> (Cluster, Vec<String>) {
    let mut cluster = Cluster::start_with(&[
        ("GRAYWAVE__TELEMETRY__OTLP_ENDPOINT", &collector.url),
        ("GRAYWAVE__TELEMETRY__SAMPLE_RATIO", "0"),
        ("GRAYWAVE__TELEMETRY__FORMAT", "json"),
        ("GRAYWAVE_AGENT_OTLP_ENDPOINT", &collector.url),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ]);
    let ids = cluster.add_agents(desktops);
    (cluster, ids)
}

fn submit(cluster: &Cluster, desktops: &[String], sampled: bool) -> String {
    let traceparent = format!("00-{TRACE_ID}-{CLIENTS_SPAN}-0{}", u8::from(sampled));
    let headers = [("traceparent", traceparent.as_str()), ("tracestate", "vendor=1")];
    let body = json!({"resource_ids": desktops, "command": "true", "command_type": "SHELL", "gray_count": 1});
    let (status, answer) = cluster.api.post_with("/script-executions", &headers, &body);
    assert_eq!(status, 200, "{answer}");
    answer["task_id"].as_str().unwrap().to_owned()
}

struct Tree(Vec<ExportedSpan>);

impl Tree {
    fn named(&self, name: &str) -> Vec<&ExportedSpan> {
        self.0.iter().filter(|exported| exported.span.name == name).collect()
    }

    /// Counts the results of all commits. Each result is the span's parent or one of its links.
    fn settled(&self) -> usize {
        self.named("settle").iter().map(|exported| 1 + exported.span.links.len()).sum()
    }

    fn is_whole(&self) -> bool {
        let by_id: HashMap<&[u8], &ExportedSpan> =
            self.0.iter().map(|exported| (&exported.span.span_id[..], exported)).collect();
        self.named("script").len() == DESKTOPS
            && self.named("report").len() == DESKTOPS
            && self.settled() == DESKTOPS
            && self.named("commit").len() == self.named("settle").len()
            && self.0.iter().all(|exported| {
                let parent = &exported.span.parent_span_id[..];
                by_id.contains_key(parent) || parent == hex::decode(CLIENTS_SPAN).unwrap()
            })
    }

    /// Returns service and name of each span from a span up to the client's.
    fn way_up(&self, from: &ExportedSpan) -> Vec<String> {
        let mut way = vec![format!("{} {}", from.service, from.span.name)];
        let mut parent = &from.span.parent_span_id;
        while let Some(exported) = self.0.iter().find(|exported| exported.span.span_id == *parent) {
            way.push(format!("{} {}", exported.service, exported.span.name));
            parent = &exported.span.parent_span_id;
        }
        assert_eq!(hex::encode(parent), CLIENTS_SPAN, "{way:?} does not end at the client");
        way
    }
}

#[test]
fn clients_trace_spans_request_to_commit_of_the_results() {
    let collector = Collector::start();
    let (cluster, desktops) = cluster(&collector, DESKTOPS);
    let unsampled = submit(&cluster, &desktops, false);
    cluster.api.ended(&unsampled);
    let task = submit(&cluster, &desktops, true);
    cluster.api.ended(&task);
    let tree = wait_for("the whole tree", || Some(Tree(collector.spans())).filter(Tree::is_whole));

    for exported in &tree.0 {
        assert_eq!(
            hex::encode(&exported.span.trace_id),
            TRACE_ID,
            "a trace that no client requested: {exported:?}"
        );
        assert_eq!(exported.span.trace_state, "vendor=1", "{exported:?}");
        let of = text(&exported.span.attributes, "task_id");
        assert!(of.is_none_or(|of| of == task), "a task that was not sampled: {exported:?}");
    }
    for commit in tree.named("commit") {
        let way = [
            "graywave-scheduler commit",
            "graywave-scheduler settle",
            "graywave-worker report",
            "graywave-agent order",
            "graywave-worker dispatch",
            "graywave-scheduler lease",
            "graywave-api submit",
            "graywave-api POST /v2/{project_id}/script-executions",
        ];
        assert_eq!(tree.way_up(commit), way);
    }
    for script in tree.named("script") {
        assert_eq!(tree.way_up(script)[1], "graywave-agent order");
        assert_eq!(text(&script.span.attributes, "outcome").as_deref(), Some("SUCCESS"));
    }
    let admissions = tree.named("admit");
    assert!(admissions.len() >= 2, "one for each wave at least");
    assert!(admissions.iter().all(|span| tree.way_up(span)[1] == "graywave-api submit"));
    let request = tree.named("POST /v2/{project_id}/script-executions");
    assert_eq!(text(&request[0].span.attributes, "status").as_deref(), Some("200"));
    let verdicts = tree.named("settle").into_iter().flat_map(|exported| &exported.span.events);
    let verdicts: Vec<String> = verdicts.filter_map(|event| text(&event.attributes, "verdict")).collect();
    assert_eq!(verdicts.iter().filter(|verdict| *verdict == "proceed").count(), 2, "{verdicts:?}");
    logs_carry_the_ids(&cluster, &task);
}

/// Asserts that log lines carry the ids of trace, span, request and task.
fn logs_carry_the_ids(cluster: &Cluster, task: &str) {
    let log = std::fs::read_to_string(cluster.log("api")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let accepted: Vec<Value> = lines.filter(|line| line["fields"]["message"] == "task accepted").collect();
    let [untraced, traced] = accepted.as_slice() else { panic!("{accepted:?}") };
    assert_eq!((&traced["trace_id"], &traced["fields"]["task_id"]), (&json!(TRACE_ID), &json!(task)));
    assert!(traced["span_id"].is_string() && traced["spans"][0]["request_id"].is_string(), "{traced}");
    assert_eq!(untraced["trace_id"], Value::Null);
    let log = std::fs::read_to_string(cluster.log("scheduler")).unwrap();
    let ended = log.lines().find(|line| line.contains("task ended") && line.contains(task)).unwrap();
    let ended: Value = serde_json::from_str(ended).unwrap();
    assert_eq!(ended["trace_id"], TRACE_ID, "{ended}");
}
