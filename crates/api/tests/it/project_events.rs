//! The event stream of a project, and the maps that it keeps up to date.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, BodyDataStream},
    http::{HeaderMap, Method, Request, StatusCode},
};
use domain::outcome::Outcome;
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::harness::{Answer, Harness, OTHER_TOKEN, TOKEN, ids};

/// Maximum time for a frame that must arrive.
const WITHIN: Duration = Duration::from_secs(20);

/// A frame of a stream.
#[derive(Debug, Clone)]
struct Frame {
    event: String,
    id: Option<String>,
    retry: Option<u64>,
    data: Value,
}

/// An open stream.
struct Stream {
    body: BodyDataStream,
    text: String,
    headers: HeaderMap,
    last_id: String,
}

async fn open(router: &Router, token: &str, query: &str, last_id: Option<&str>) -> Result<Stream, Answer> {
    let mut request =
        Request::builder().uri(format!("/v1/projects/project-1/events{query}")).header("X-Auth-Token", token);
    if let Some(id) = last_id {
        request = request.header("Last-Event-ID", id);
    }
    let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    if parts.status != StatusCode::OK {
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap();
        return Err(Answer { status: parts.status, headers: parts.headers, body });
    }
    let body = body.into_data_stream();
    Ok(Stream { body, text: String::new(), headers: parts.headers, last_id: String::new() })
}

impl Stream {
    /// Returns the next frame; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, rest)) = self.text.split_once("\n\n") {
                let (frame, rest) = (frame.to_owned(), rest.to_owned());
                self.text = rest;
                let of = |name: &str| {
                    frame.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).map(str::to_owned)
                };
                let frame = Frame {
                    event: of("event").unwrap_or_default(),
                    id: of("id"),
                    retry: of("retry").map(|text| text.parse().unwrap()),
                    data: serde_json::from_str(&of("data").unwrap_or_default()).unwrap(),
                };
                if let Some(id) = &frame.id {
                    self.last_id.clone_from(id);
                }
                return Some(frame);
            }
            let bytes = tokio::time::timeout(WITHIN, self.body.next()).await.expect("a frame in time")?;
            self.text.push_str(std::str::from_utf8(&bytes.unwrap()).unwrap());
        }
    }

    /// Returns the next frame of a kind, and drops those before it.
    async fn until(&mut self, event: &str) -> Frame {
        loop {
            let frame = self.next().await.expect("the stream goes on");
            if frame.event == event {
                return frame;
            }
        }
    }

    /// Reads whole groups until one of them contains a frame that fits. Returns all frames.
    async fn groups_until(&mut self, fits: impl Fn(&Frame) -> bool) -> Vec<Frame> {
        let (mut frames, mut is_there) = (Vec::new(), false);
        loop {
            let frame = self.next().await.expect("the stream goes on");
            is_there |= fits(&frame);
            let is_end = frame.id.is_some();
            frames.push(frame);
            if is_there && is_end {
                return frames;
            }
        }
    }
}

impl Harness {
    /// Returns a router whose streams go on.
    fn live(&self) -> Router {
        api::router(self.control.clone(), &api::Options::default())
    }

    async fn events(&self, query: &str, last_id: Option<&str>) -> Stream {
        open(&self.live(), TOKEN, query, last_id).await.map_err(|answer| answer.body).unwrap()
    }

    async fn submitted(&self, number: u32, rollout: Value) -> String {
        let body = json!({
            "resource_ids": ids(number), "command": "echo hello\nexit 0", "command_type": "SHELL", "rollout": rollout
        });
        let answer = self.native_post("/executions", &body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["task_id"].as_str().unwrap().to_owned()
    }

    /// Reads a map with its version and its tag, and compares it with the rows.
    async fn map(&self, task_id: &str) -> (Vec<u8>, i64, String) {
        let (status, headers, bytes) = self.raw_map(task_id, &[]).await;
        assert_eq!(status, 200);
        let mut connection = self.database.connection().await.unwrap();
        let (project, id) = ("project-1".parse().unwrap(), task_id.parse().unwrap());
        let head = store::map::head(&mut connection, &project, id).await.unwrap().unwrap();
        let rows = store::map::parts(&mut connection, id).await.unwrap().bytes(head.size, head.status);
        assert_eq!(bytes, rows, "the cached map, and the rows");
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        (bytes, header("x-graywave-map-version").parse().unwrap(), header("etag"))
    }

    async fn raw_map(&self, task_id: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, Vec<u8>) {
        let mut request = Request::builder()
            .uri(format!("/v1/projects/project-1/tasks/{task_id}/map"))
            .header("X-Auth-Token", TOKEN);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (parts.status.as_u16(), parts.headers, bytes.to_vec())
    }
}

/// Applies the changes of a `map` frame to a map. Returns false for a reset.
fn apply(map: &mut [u8], delta: &Value) -> bool {
    if delta["reset"] == true {
        return false;
    }
    for change in delta["changes"].as_array().unwrap() {
        let code = u8::try_from(change["code"].as_u64().unwrap()).unwrap();
        for range in change["ranges"].as_array().unwrap() {
            let end = |at: usize| usize::try_from(range[at].as_u64().unwrap()).unwrap();
            map[end(0)..=end(1)].fill(code);
        }
    }
    true
}

fn kinds(frames: &[Frame]) -> Vec<&str> {
    frames
        .iter()
        .filter(|frame| frame.event == "event")
        .map(|frame| frame.data["kind"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn new_stream_shows_open_tasks_and_their_margin() {
    let harness = Harness::new().await;
    harness.desktops(4).await;
    let task_id = harness.submitted(4, json!({"fail_threshold": {"count": 3}})).await;
    let mut stream = harness.events("", None).await;
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    assert_eq!(
        (&stream.headers["cache-control"], &stream.headers["x-accel-buffering"]),
        (&"no-store, no-transform".parse().unwrap(), &"no".parse().unwrap())
    );
    let hello = stream.next().await.unwrap();
    assert_eq!((hello.event.as_str(), hello.data["heartbeat_seconds"].as_u64()), ("hello", Some(15)));
    assert!((1_000..=5_000).contains(&hello.retry.unwrap()), "{hello:?}");
    let task = stream.until("task").await.data;
    assert_eq!(
        (&task["task_id"], &task["status"], &task["title"]),
        (&json!(task_id), &json!("WAITING"), &json!("echo hello"))
    );
    assert_eq!((&task["target_count"], &task["not_admitted"]), (&json!(4), &json!(4)));
    assert_eq!(
        task["margin"]["sentence"],
        "0 of 4 targets failed, 0 are at risk; the rollout halts at 3 failures"
    );
    let desktops = stream.until("desktops").await;
    assert_eq!(desktops.data, json!({"connected": 4}));
    assert!(desktops.id.is_some(), "the last frame of a group has the position");
    // The same state of the task, and its margin, as the task itself shows them.
    assert_eq!(harness.native(&format!("/tasks/{task_id}")).await["margin"], task["margin"]);

    harness.run(&task_id, &[Outcome::Success, Outcome::Failed, Outcome::Success, Outcome::Success]).await;
    let frames = stream.groups_until(|frame| frame.event == "task" && frame.data["status"] == "FAILED").await;
    assert_eq!(kinds(&frames), ["WAVE_OPENED", "WAVE_CLOSED", "ENDED"]);
    let task = &frames.iter().rfind(|frame| frame.event == "task").unwrap().data;
    assert_eq!((&task["tally"]["success"], &task["tally"]["failed"]), (&json!(3), &json!(1)));
    assert_eq!(task["margin"], Value::Null);
}

#[tokio::test]
async fn deltas_lead_from_one_map_to_the_next() {
    let harness = Harness::new().await;
    harness.desktops(6).await;
    harness.offline(&[5]).await;
    let task_id = harness.submitted(6, json!({"waves": [{"count": 2}, {"rest": true}]})).await;
    let (mut map, version, _) = harness.map(&task_id).await;
    assert_eq!((map.as_slice(), version), ([0; 6].as_slice(), 0));
    let mut stream = harness.events(&format!("?types=map&map={task_id}:{version}"), None).await;
    harness.run(&task_id, &[Outcome::Success, Outcome::Timeout]).await;
    let leased = harness.lease(&task_id).await;
    let (end, version, _) = harness.map(&task_id).await;
    assert_eq!(end.iter().filter(|code| **code == 1).count(), 1, "one desktop is offline: {end:?}");
    let mut seen = 0;
    while seen < version {
        let frame = stream.until("map").await;
        assert_eq!(frame.data["task_id"], task_id.as_str());
        assert!(apply(&mut map, &frame.data));
        seen = frame.data["version"].as_i64().unwrap();
    }
    assert_eq!((map.as_slice(), seen), (end.as_slice(), version));

    // A later connection goes on where this one ended, with the position alone.
    let position = stream.last_id.clone();
    drop(stream);
    let count = leased.batch.members.len();
    harness.report(&leased, &vec![[Outcome::Failed].as_slice(); count]).await;
    let mut stream = harness.events(&format!("?types=map&map={task_id}"), Some(&position)).await;
    assert!(apply(&mut map, &stream.until("map").await.data));
    assert_eq!(map, harness.map(&task_id).await.0);
}

#[tokio::test]
async fn halt_resets_the_map() {
    let harness = Harness::new().await;
    harness.desktops(4).await;
    let task_id = harness
        .submitted(4, json!({"waves": [{"count": 1, "fail_threshold": {"count": 1}}, {"rest": true}]}))
        .await;
    let mut stream = harness.events(&format!("?types=map&map={task_id}:0"), None).await;
    harness.run(&task_id, &[Outcome::Failed]).await;
    let reset = loop {
        let frame = stream.until("map").await;
        if frame.data["reset"] == true {
            break frame.data;
        }
    };
    let (map, version, tag) = harness.map(&task_id).await;
    assert_eq!(map, [17, 23, 23, 23]);
    assert!(version >= reset["version"].as_i64().unwrap());
    assert_eq!(tag, format!("\"{task_id}-end\""), "an ended map keeps its tag");
}

#[tokio::test]
async fn resumed_stream_repeats_no_group_and_misses_none() {
    let harness = Harness::new().await;
    harness.desktops(2).await;
    let task_id = harness.submitted(2, json!({"waves": [{"count": 1}, {"rest": true}]})).await;
    let mut stream = harness.events("?types=event,task", None).await;
    stream.groups_until(|frame| frame.event == "task").await;
    let position = stream.last_id.clone();
    drop(stream);
    harness.run(&task_id, &[Outcome::Success]).await;
    let mut stream = harness.events("?types=event", Some(&position)).await;
    let frames = stream.groups_until(|frame| frame.event == "event").await;
    assert_eq!(kinds(&frames), ["WAVE_OPENED", "WAVE_CLOSED", "WAVE_OPENED"]);
    let position = stream.last_id.clone();
    harness.run(&task_id, &[Outcome::Success]).await;
    // By the query, as a client that opens another connection sends it.
    let mut stream = harness.events(&format!("?types=event&last_event_id={position}"), None).await;
    assert_eq!(kinds(&stream.groups_until(|frame| frame.event == "event").await), ["WAVE_CLOSED", "ENDED"]);
}

#[tokio::test]
async fn old_position_is_a_reset_and_the_stream_goes_on() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let task_id = harness.submitted(1, Value::Null).await;
    let old = "1.0.3:3:.";
    let mut stream = harness.events(&format!("?map={task_id}:0"), Some(old)).await;
    assert_eq!(stream.until("reset").await.data, json!({"reason": "POSITION_EXPIRED"}));
    assert_eq!(stream.until("task").await.data["task_id"], task_id.as_str());
    assert_eq!(stream.until("map").await.data, json!({"task_id": task_id, "version": 0, "reset": true}));
    let later = format!("1.{}.9000000000000000000:9000000000000000000:.", Harness::now().timestamp_millis());
    let mut stream = harness.events("", Some(&later)).await;
    assert_eq!(stream.until("reset").await.data, json!({"reason": "DATABASE_RESTORED"}));
}

#[tokio::test]
async fn filter_narrows_the_stream_to_its_tasks() {
    let harness = Harness::new().await;
    harness.desktops(2).await;
    let other = harness.submitted(1, Value::Null).await;
    let task_id = harness.submitted(2, Value::Null).await;
    let mut stream = harness.events(&format!("?types=task,event&task_id={task_id}"), None).await;
    stream.groups_until(|frame| frame.event == "task").await;
    while harness.engine.admit_all(Harness::now()).await.unwrap() {}
    harness.run_some(&other, Outcome::Success).await;
    assert_eq!(harness.native(&format!("/tasks/{other}")).await["status"], "SUCCESS");
    let frames = stream.groups_until(|frame| frame.event == "task").await;
    assert!(frames.iter().all(|frame| frame.data["task_id"] == task_id.as_str()), "{frames:?}");
}

#[tokio::test]
async fn stream_refuses_what_it_cannot_serve() {
    let harness = Harness::new().await;
    harness.desktops(1).await;
    let task_id = harness.submitted(1, Value::Null).await;
    let refused = async |token: &str, query: &str, id: Option<&str>| {
        let answer = open(&harness.live(), token, query, id).await.err().expect(query);
        (answer.status.as_u16(), answer.body["error_code"].as_str().unwrap().to_owned())
    };
    let missing = task_id.replace("019a", "019b");
    for (query, status) in [
        ("?types=tasks".to_owned(), 400),
        (format!("?map={task_id}:x"), 400),
        (format!("?map={task_id}:-1"), 400),
        (format!("?{}", vec![format!("task_id={task_id}"); 101].join("&")), 400),
        (format!("?map={missing}"), 404),
        (format!("?task_id={missing}"), 404),
        ("?task_id=x".to_owned(), 404),
    ] {
        assert_eq!(refused(TOKEN, &query, None).await.0, status, "{query}");
    }
    for id in ["x", "1.0.3:3:.'; DROP TABLE task", "1.0.99999999999999999999:3:."] {
        assert_eq!(refused(TOKEN, "", Some(id)).await.0, 400, "{id}");
    }
    assert_eq!(refused(OTHER_TOKEN, "", None).await.0, 403);
    let narrow = json!({"Version": "5.0", "Statement": [
        {"Effect": "Allow", "Action": ["graywave:tasks:get"], "Resource": [format!("task:{task_id}")]}]});
    let token = harness.token("alice", &[&format!("one={narrow}")]).await;
    assert_eq!(refused(&token, "", None).await.0, 403, "all tasks of the project");
    assert!(open(&harness.live(), &token, &format!("?task_id={task_id}"), None).await.is_ok());
}

#[tokio::test]
async fn caller_has_a_bounded_number_of_streams() {
    let harness = Harness::new().await;
    let mut open_streams = Vec::new();
    for _ in 0..domain::limits::MAX_PROJECT_STREAMS_PER_CALLER {
        open_streams.push(harness.events("", None).await);
    }
    let refused = open(&harness.live(), TOKEN, "", None).await.err().unwrap();
    assert_eq!(refused.status, 429, "{}", refused.body);
    open_streams.pop();
    // The place is free once the server drops the stream.
    assert!(open(&harness.live(), TOKEN, "", None).await.is_ok());
}

#[tokio::test]
async fn stop_ends_the_stream_with_a_hint_to_reconnect() {
    let harness = Harness::new().await;
    let stop = CancellationToken::new();
    let options = api::Options { stop: stop.clone(), ..api::Options::default() };
    let router = api::router(harness.control.clone(), &options);
    let mut stream = open(&router, TOKEN, "", None).await.map_err(|answer| answer.body).unwrap();
    stream.until("desktops").await;
    stop.cancel();
    let bye = stream.until("bye").await;
    assert_eq!(bye.data, json!({"reason": "SERVER_STOPPING"}));
    assert!(bye.retry.is_some());
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn map_is_compressed_and_cached_by_its_tag() {
    let harness = Harness::new().await;
    harness.desktops(3).await;
    let task_id = harness.submitted(3, Value::Null).await;
    let (_, _, tag) = harness.map(&task_id).await;
    let (status, headers, bytes) = harness.raw_map(&task_id, &[("If-None-Match", &tag)]).await;
    assert_eq!((status, bytes.len()), (304, 0));
    assert_eq!(
        (headers["etag"].to_str().unwrap(), &headers["x-graywave-map-version"]),
        (tag.as_str(), &"0".parse().unwrap())
    );
    let (status, headers, bytes) = harness.raw_map(&task_id, &[("Accept-Encoding", "br, gzip")]).await;
    assert_eq!((status, headers["content-encoding"].to_str().unwrap()), (200, "gzip"));
    assert_eq!(headers["content-type"], "application/octet-stream");
    assert_ne!(headers["etag"].to_str().unwrap(), tag, "another encoding has another tag");
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes.as_slice()), &mut plain).unwrap();
    assert_eq!(plain, [0, 0, 0]);
    let zipped = headers["etag"].to_str().unwrap();
    let again = [("Accept-Encoding", "gzip"), ("If-None-Match", zipped)];
    assert_eq!(harness.raw_map(&task_id, &again).await.0, 304);
    let leased = harness.lease(&task_id).await;
    assert_eq!(harness.raw_map(&task_id, &again).await.0, 200, "the map has changed");
    assert_eq!(harness.map(&task_id).await.0, [2, 2, 2]);
    harness.report(&leased, &[&[Outcome::Success], &[Outcome::Unknown], &[Outcome::Stopped]]).await;
    assert_eq!(harness.map(&task_id).await.0, [16, 21, 22]);
    let path = format!("/v1/projects/project-2/tasks/{task_id}/map");
    assert_eq!(harness.call_as(OTHER_TOKEN, Method::GET, &path, None).await.status, 404);
}
