use super::*;

const BEFORE: &str = "stopped by request before it started";
const WHILE: &str = "stopped by request while it ran";
const CARRIED: &str = "succeeded in an earlier task; not run again";

fn carried() -> (String, String, String) {
    row("SUCCESS", CARRIED, "")
}

impl Rig {
    /// Script that writes to `up` once it runs, and then waits for a write to `go`.
    fn waits(&self, name: &str) -> (String, PathBuf, PathBuf) {
        let (up, go) = (self.fifo(&format!("{name}-up")), self.fifo(&format!("{name}-go")));
        let content = format!("echo {name}; echo > {}; cat {}", up.display(), go.display());
        (content, up, go)
    }

    /// Script that creates a mark file when it runs.
    fn marks(&self, name: &str) -> (String, PathBuf) {
        let mark = self.dir.path().join(name);
        (format!("echo > {}", mark.display()), mark)
    }

    async fn accept(&self, order: Order) {
        assert_eq!(self.orders.accept(order).await, None);
    }

    async fn start_times(&self, ordinal: u32) -> Vec<i64> {
        let result = self.orders.result(key(ordinal)).await.unwrap();
        result.scripts.into_iter().map(|script| script.started_at_unix_ms).collect()
    }
}

async fn resume(go: PathBuf) {
    blocking(move || fs::write(go, "went on\n").unwrap()).await;
}

#[tokio::test]
async fn stopped_script_dies_with_its_tree_and_keeps_its_output() {
    let rig = rig(4);
    let (up, (never, mark)) = (rig.fifo("up"), rig.marks("mark"));
    let content = format!("setsid sleep 300 &\necho one; echo > {}; wait", up.display());
    rig.accept(order(1, &[&content, &never])).await;
    written(&up).await;
    rig.orders.stop(&key(1), 0).await;
    assert_eq!(rig.result(1).await, [row("STOPPED", WHILE, "one\n"), row("SKIPPED", SKIPPED, "")]);
    let starts = rig.start_times(1).await;
    assert!(starts[0] > 0 && starts[1] == 0, "{starts:?}");
    gone(&format!("{}-1-0-1", key(1).task)).await;
    assert!(!mark.exists());
    // The stop does not affect another order.
    assert_eq!(rig.run(order(2, &["echo two"])).await, [row("SUCCESS", "", "two\n")]);
}

#[tokio::test]
async fn what_waits_is_ended_at_once_and_leaves_the_queue() {
    let rig = rig(1);
    let (content, up, go) = rig.waits("one");
    rig.accept(order(1, &[&content])).await;
    written(&up).await;
    let (never, mark) = rig.marks("mark");
    rig.accept(order(2, &[&never, &never])).await;
    rig.accept(order(3, &["echo three"])).await;
    // The stop does not wait for the order's turn: the first order still runs.
    rig.orders.stop(&key(2), 0).await;
    assert_eq!(rig.result(2).await, [row("STOPPED", BEFORE, ""), row("SKIPPED", SKIPPED, "")]);
    assert_eq!(rig.start_times(2).await, [0, 0]);
    assert_eq!(rig.orders.result(key(1)).await, None);
    resume(go).await;
    assert_eq!(rig.result(3).await, [row("SUCCESS", "", "three\n")]);
    assert_eq!(rig.result(1).await, [row("SUCCESS", "", "one\nwent on\n")]);
    assert!(!mark.exists());
    // A repeated order is answered from the journal.
    assert_eq!(rig.orders.accept(order(2, &[&never, &never])).await, Some(key(2)));
}

#[tokio::test]
async fn a_stopped_order_makes_room_for_another() {
    let rig = rig(1);
    let (content, up, _go) = rig.waits("one");
    rig.accept(order(0, &[&content])).await;
    written(&up).await;
    let waiting = u32::try_from(MAX_ORDERS_PER_AGENT).unwrap();
    for ordinal in 1..=waiting {
        rig.accept(order(ordinal, &["true"])).await;
    }
    rig.orders.stop(&key(7), 0).await;
    rig.accept(order(waiting + 1, &["true"])).await;
    assert_eq!(rig.orders.result(key(waiting + 1)).await, None, "the order is queued, not refused");
    rig.stop.cancel();
    timeout(SOON, rig.dispatcher).await.unwrap().unwrap();
}

#[tokio::test]
async fn before_its_place_a_script_runs_on_and_what_succeeded_is_kept() {
    let rig = rig(4);
    let (content, up, go) = rig.waits("one");
    let (never, mark) = rig.marks("mark");
    rig.accept(order(1, &[&content, &never, &never])).await;
    written(&up).await;
    rig.orders.stop(&key(1), 1).await;
    resume(go).await;
    let wanted =
        [row("SUCCESS", "", "one\nwent on\n"), row("STOPPED", BEFORE, ""), row("SKIPPED", SKIPPED, "")];
    assert_eq!(rig.result(1).await, wanted);
    assert!(!mark.exists());
}

#[tokio::test]
async fn stop_of_an_ended_script_stops_the_running_later_one() {
    let rig = rig(4);
    let (content, up, _go) = rig.waits("two");
    rig.accept(order(1, &["echo one", &content, "true"])).await;
    written(&up).await;
    rig.orders.stop(&key(1), 0).await;
    let wanted = [row("SUCCESS", "", "one\n"), row("STOPPED", WHILE, "two\n"), row("SKIPPED", SKIPPED, "")];
    assert_eq!(rig.result(1).await, wanted);
}

#[tokio::test]
async fn what_fails_before_the_place_of_the_stop_has_failed() {
    let rig = rig(4);
    let (content, up, go) = rig.waits("one");
    rig.accept(order(1, &[&format!("{content}; exit 3"), "true"])).await;
    written(&up).await;
    rig.orders.stop(&key(1), 1).await;
    resume(go).await;
    let wanted = [row("FAILED", "exit code 3", "one\nwent on\n"), row("SKIPPED", SKIPPED, "")];
    assert_eq!(rig.result(1).await, wanted);
}

#[tokio::test]
async fn a_place_that_is_not_in_the_order_stops_nothing() {
    let rig = rig(1);
    let (content, up, go) = rig.waits("one");
    rig.accept(order(1, &[&content, "echo two"])).await;
    written(&up).await;
    rig.orders.stop(&key(1), 2).await;
    resume(go).await;
    assert_eq!(rig.result(1).await, [row("SUCCESS", "", "one\nwent on\n"), row("SUCCESS", "", "two\n")]);
}

#[tokio::test]
async fn of_several_stops_the_smallest_place_counts() {
    let rig = rig(1);
    let (content, up, _go) = rig.waits("one");
    rig.accept(order(1, &[&content, "true"])).await;
    rig.accept(order(2, &["echo two", "echo three"])).await;
    rig.accept(order(3, &["true", "true"])).await;
    written(&up).await;
    for script in [1, 1, 9] {
        rig.orders.stop(&key(2), script).await;
    }
    for script in [1, 0, 0] {
        rig.orders.stop(&key(3), script).await;
    }
    assert_eq!(rig.result(3).await, [row("STOPPED", BEFORE, ""), row("SKIPPED", SKIPPED, "")]);
    for script in [1, 5, 0, 1, 0] {
        rig.orders.stop(&key(1), script).await;
    }
    assert_eq!(rig.result(1).await, [row("STOPPED", WHILE, "one\n"), row("SKIPPED", SKIPPED, "")]);
    // Stopped from its second script on, the order waited for its turn.
    assert_eq!(rig.result(2).await, [row("SUCCESS", "", "two\n"), row("STOPPED", BEFORE, "")]);
}

#[tokio::test]
async fn a_stop_of_the_finished_or_unknown_changes_nothing() {
    let rig = rig(4);
    let results = rig.run(order(1, &["echo one"])).await;
    let numbers = rig.orders.unacked_after(0).await;
    rig.orders.stop(&key(1), 0).await;
    rig.orders.stop(&key(2), 0).await;
    assert_eq!(rig.result(1).await, results);
    assert_eq!(rig.orders.unacked_after(0).await, numbers);
    // An order that arrives after its stop runs until the stop is repeated.
    assert_eq!(rig.run(order(2, &["echo two"])).await, [row("SUCCESS", "", "two\n")]);
}

#[tokio::test]
async fn a_late_order_that_is_stopped_has_not_failed() {
    let rig = rig(1);
    let (content, up, go) = rig.waits("one");
    rig.accept(order(1, &[&content])).await;
    written(&up).await;
    let late = |ordinal, stop_script| Order {
        deliver_by_unix_ms: rig.clock.now().timestamp_millis() - 1,
        stop_script: Some(stop_script),
        ..order(ordinal, &["true", "true"])
    };
    rig.accept(late(2, 0)).await;
    rig.accept(late(3, 1)).await;
    resume(go).await;
    assert_eq!(rig.result(2).await, [row("STOPPED", BEFORE, ""), row("SKIPPED", SKIPPED, "")]);
    let late = "the delivery deadline passed before it could start";
    assert_eq!(rig.result(3).await, [row("REJECTED", late, ""), row("SKIPPED", SKIPPED, "")]);
}

#[tokio::test]
async fn what_an_earlier_task_has_done_is_not_run() {
    let rig = rig(4);
    let (never, mark) = rig.marks("mark");
    let scripts = [&never, &never, "echo three", "echo four"];
    let results = rig.run(Order { first_script: 2, ..order(1, &scripts) }).await;
    assert_eq!(results, [carried(), carried(), row("SUCCESS", "", "three\n"), row("SUCCESS", "", "four\n")]);
    let starts = rig.start_times(1).await;
    assert!(starts[..2] == [0, 0] && starts[2..].iter().all(|at| *at > 0), "{starts:?}");
    assert!(!mark.exists());
    let log = fs::read_to_string(rig.dir.path().join("journal.log")).unwrap();
    let lines =
        |word: &str| log.lines().filter(|line| line.contains(&format!("\"event\":\"{word}\""))).count();
    assert_eq!((lines("started"), lines("script_finished"), lines("finished")), (2, 1, 1), "{log}");
}

#[tokio::test]
async fn scripts_done_by_earlier_task_stay_done_after_any_end() {
    let rig = rig(1);
    let from_1 = |ordinal, scripts: &[&str]| Order { first_script: 1, ..order(ordinal, scripts) };
    let skipped = row("SKIPPED", SKIPPED, "");
    // Query only.
    let halted = row("SKIPPED", "the task was halted before it started", "");
    let asks = Order { query_only: true, ..from_1(1, &["true", "true", "true"]) };
    assert_eq!(rig.run(asks).await, [carried(), halted.clone(), halted]);
    // Late order.
    let late = Order {
        deliver_by_unix_ms: rig.clock.now().timestamp_millis() - 1,
        ..from_1(2, &["true", "true", "true"])
    };
    let rejected = row("REJECTED", "the delivery deadline passed before it could start", "");
    assert_eq!(rig.run(late).await, [carried(), rejected, skipped.clone()]);
    // Failed script.
    let failed = row("FAILED", "exit code 3", "");
    assert_eq!(rig.run(from_1(3, &["true", "exit 3", "true"])).await, [carried(), failed, skipped.clone()]);
    // Stopped in the queue, from its first script on.
    let (content, up, _go) = rig.waits("one");
    rig.accept(from_1(4, &["true", &content, "true"])).await;
    written(&up).await;
    rig.accept(from_1(5, &["true", "true", "true"])).await;
    rig.orders.stop(&key(5), 1).await;
    assert_eq!(rig.result(5).await, [carried(), row("STOPPED", BEFORE, ""), skipped.clone()]);
    // Stopped while running.
    rig.orders.stop(&key(4), 0).await;
    assert_eq!(rig.result(4).await, [carried(), row("STOPPED", WHILE, "one\n"), skipped]);
}

#[tokio::test]
async fn an_order_that_leaves_nothing_to_run_is_malformed() {
    let rig = rig(4);
    let reason = "the order is malformed: first_script leaves no script to run";
    let wanted = [row("REJECTED", reason, ""), row("SKIPPED", SKIPPED, "")];
    for (ordinal, first_script, query_only) in [(1, 2, false), (2, u32::MAX, false), (3, 2, true)] {
        let order = Order { first_script, query_only, ..order(ordinal, &["true", "true"]) };
        assert_eq!(rig.run(order).await, wanted);
    }
    let none = Order { first_script: 1, ..order(4, &[]) };
    assert_eq!(rig.run(none).await, [row("REJECTED", reason, "")]);
}

#[tokio::test]
async fn stop_reaches_a_script_of_an_earlier_agent() {
    let rig = rig(1);
    let (content, up, _go) = rig.waits("one");
    rig.accept(Order { first_script: 1, ..order(1, &["true", &content, "true"]) }).await;
    written(&up).await;
    let rig = rig.killed().await;
    // The script is not ended by the loss of its agent.
    assert_eq!(rig.orders.result(key(1)).await, None);
    rig.orders.stop(&key(1), 0).await;
    assert_eq!(rig.result(1).await, [carried(), row("STOPPED", WHILE, "one\n"), row("SKIPPED", SKIPPED, "")]);
}

#[tokio::test]
async fn order_with_a_stop_starts_no_script_from_the_stop_on() {
    let rig = rig(1);
    let words = |results: Vec<(String, String, String)>| -> Vec<String> {
        results.into_iter().map(|(outcome, _, _)| outcome).collect()
    };
    let stopped = Order { stop_script: Some(1), ..order(1, &["echo 1", "echo 2", "echo 3"]) };
    assert_eq!(words(rig.run(stopped).await), ["SUCCESS", "STOPPED", "SKIPPED"]);
    // The same for a query-only order.
    let asked = Order { stop_script: Some(0), query_only: true, ..order(2, &["echo 1", "echo 2"]) };
    assert_eq!(words(rig.run(asked).await), ["STOPPED", "SKIPPED"]);
}
