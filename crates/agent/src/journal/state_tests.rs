use proto::ScriptOutcome;

use super::*;

fn key(task: &str) -> Key {
    Key { task: task.into(), ordinal: 0, attempt: 1 }
}

fn started(task: &str, script: u32, script_count: u32) -> Event {
    Event::Started { key: key(task), script, script_count, first_script: 0, at: 5 }
}

fn record(script: u32, outcome: ScriptOutcome) -> Record {
    Record { output: "out".into(), ..Record::bare(script, outcome, "", 6) }
}

fn succeeded(task: &str, script: u32) -> Event {
    Event::ScriptFinished { key: key(task), result: record(script, ScriptOutcome::Success) }
}

fn finished(task: &str) -> Event {
    Event::Finished { key: key(task), results: vec![record(0, ScriptOutcome::Success)], action: None }
}

fn acked(task: &str) -> Event {
    Event::Acked { key: key(task) }
}

fn book_of(events: impl IntoIterator<Item = Event>) -> JournalState {
    let mut book = JournalState::default();
    events.into_iter().for_each(|event| book.apply(event));
    book
}

fn unacked(book: &JournalState) -> Vec<String> {
    book.unacked_after(0).into_iter().map(|(_, key)| key.task).collect()
}

#[test]
fn unacknowledged_results_keep_the_order_of_their_finish() {
    let mut book =
        book_of([started("a", 0, 1), started("b", 0, 1), finished("b"), finished("a"), finished("c")]);
    assert_eq!(unacked(&book), ["b", "a", "c"]);
    let (first, _) = book.unacked_after(0)[0];
    assert_eq!(book.unacked_after(first).len(), 2);
    book.apply(acked("a"));
    assert_eq!(unacked(&book), ["b", "c"]);
}

#[test]
fn what_waits_is_counted_until_it_is_acknowledged() {
    let mut book = book_of([finished("a"), finished("b")]);
    let two = book.unacked_bytes();
    assert!(two > 2 * "out".len());
    book.apply(acked("a"));
    assert_eq!(book.unacked_bytes(), two / 2);
    // The rewritten journal has the same size.
    assert_eq!(book_of(book.events()).unacked_bytes(), two / 2);
    book.apply(acked("b"));
    assert_eq!(book.unacked_bytes(), 0);
}

#[test]
fn acknowledged_result_keeps_its_outcome_without_output() {
    let mut book = book_of([finished("a")]);
    assert_eq!(book.result(&key("a")).unwrap().scripts[0].output, "out");
    book.apply(acked("a"));
    let result = book.result(&key("a")).unwrap();
    assert_eq!((result.scripts[0].outcome.as_str(), result.scripts[0].output.as_str()), ("SUCCESS", ""));
}

#[test]
fn what_says_nothing_new_changes_nothing() {
    let mut book = book_of([acked("a"), finished("a")]);
    assert_eq!(unacked(&book), ["a"], "an acknowledgement of an unknown order changes nothing");
    let other =
        Event::Finished { key: key("a"), results: vec![record(0, ScriptOutcome::Failed)], action: None };
    [other, started("a", 0, 1), succeeded("a", 0)].into_iter().for_each(|event| book.apply(event));
    assert_eq!(book.result(&key("a")).unwrap().scripts[0].outcome, "SUCCESS");
    assert_eq!(unacked(&book), ["a"]);
    [acked("a"), acked("a"), finished("a")].into_iter().for_each(|event| book.apply(event));
    assert!(unacked(&book).is_empty());
    assert_eq!(book.acked.len(), 1);
}

#[test]
fn another_attempt_is_another_order() {
    let book = book_of([finished("a")]);
    assert!(book.is_finished(&key("a")));
    assert!(!book.is_finished(&Key { attempt: 2, ..key("a") }));
    assert!(!book.is_finished(&Key { ordinal: 1, ..key("a") }));
}

/// Finished scripts and the current one of the only running order.
fn running(events: Vec<Event>) -> (Vec<u32>, Option<(u32, i64)>) {
    let mut running = book_of(events).running();
    let RunningOrder { finished, current, .. } = running.pop().unwrap();
    assert!(running.is_empty());
    (finished.iter().map(|result| result.script).collect(), current)
}

#[test]
fn last_started_script_without_an_end_is_running() {
    assert_eq!(running(vec![started("a", 0, 3)]), (vec![], Some((0, 5))));
    assert_eq!(running(vec![started("a", 0, 3), succeeded("a", 0)]), (vec![0], None));
    let second = vec![started("a", 0, 3), succeeded("a", 0), started("a", 1, 3)];
    assert_eq!(running(second), (vec![0], Some((1, 5))));
    assert!(book_of([started("a", 0, 1), finished("a")]).running().is_empty());
}

#[test]
fn scripts_of_an_earlier_task_survive_compaction() {
    let from_1 = |script| Event::Started { key: key("a"), script, script_count: 4, first_script: 1, at: 5 };
    let book = book_of(book_of([from_1(1), succeeded("a", 1), from_1(2)]).events());
    let running = book.running_order(&key("a")).unwrap();
    assert_eq!((running.span, running.current), (Span { first: 1, count: 4 }, Some((2, 5))));
}

#[test]
fn order_is_open_until_its_result_is_acknowledged() {
    let mut book = book_of([started("a", 0, 2)]);
    assert!(book.is_open(&key("a")) && !book.is_open(&key("b")));
    assert_eq!(book.open_orders(), [(key("a"), 2)]);
    book.apply(finished("a"));
    assert!(book.is_open(&key("a")));
    assert_eq!(book.script_count(&key("a")), 1);
    book.apply(acked("a"));
    assert!(!book.is_open(&key("a")) && book.open_orders().is_empty());
}

#[test]
fn its_events_lead_to_the_same_state_and_are_the_shortest() {
    let events = [
        started("a", 0, 1),
        finished("a"),
        acked("a"),
        started("b", 0, 1),
        finished("b"),
        started("c", 0, 3),
        succeeded("c", 0),
        started("c", 1, 3),
    ];
    let book = book_of(events);
    let short = book.events();
    assert_eq!(short.len(), 6);
    let again = book_of(short.clone());
    assert_eq!(again.events(), short);
    assert_eq!(unacked(&again), ["b"]);
    assert_eq!(again.running(), book.running());
    assert_eq!(again.result(&key("b")), book.result(&key("b")));
}

#[test]
fn only_the_newest_acknowledged_orders_are_remembered() {
    let mut book = book_of([finished("waits")]);
    for number in 0..=MAX_ACKED {
        book.apply(finished(&number.to_string()));
        book.apply(acked(&number.to_string()));
    }
    assert!(!book.is_finished(&key("0")));
    assert!(book.is_finished(&key("1")));
    assert_eq!((book.acked.len(), book.orders.len()), (MAX_ACKED, MAX_ACKED + 1));
    assert_eq!(unacked(&book), ["waits"]);
}

#[test]
fn start_taken_back_leaves_an_unknown_order() {
    let not_started = |script| Event::NotStarted { key: key("a"), script };
    let mut book = book_of([started("a", 0, 2), not_started(0)]);
    assert!(!book.is_open(&key("a")) && book.running().is_empty());
    // Of an order, only this start.
    book = book_of([started("a", 0, 2), succeeded("a", 0), started("a", 1, 2), not_started(1)]);
    let running = book.running_order(&key("a")).unwrap();
    assert_eq!((running.current, running.finished.len(), running.span.count), (None, 1, 2));
    assert_eq!(book_of(book.events()).running_order(&key("a")), Some(running));
    book.apply(started("a", 1, 2));
    assert_eq!(book.running_script(&key("a")), Some((1, 5)));
    // An order that has finished keeps its results.
    book = book_of([started("a", 0, 1), finished("a"), not_started(0)]);
    assert!(book.is_finished(&key("a")));
}

fn reboot(boot_id: &str) -> GoDown {
    let if_user_active = crate::journal::IfUserActive::Wait;
    GoDown { way: Way::Reboot, boot_id: boot_id.into(), until: 100, if_user_active }
}

fn paused(task: &str) -> Event {
    Event::Paused {
        key: key(task),
        script_count: 2,
        first_script: 0,
        results: vec![record(0, ScriptOutcome::Success)],
        action: reboot("b1"),
    }
}

#[test]
fn paused_order_reports_until_its_next_script_starts() {
    let mut book = book_of([started("a", 0, 2), paused("a")]);
    assert_eq!(unacked(&book), ["a"]);
    let result = book.result(&key("a")).unwrap();
    assert_eq!((result.scripts.len(), result.reboots_from.as_deref()), (1, Some("b1")));
    assert!(
        book.is_paused(&key("a")) && book.due_actions().is_empty() && book.acked_pause(&key("a")).is_none()
    );
    book.apply(acked("a"));
    assert_eq!((unacked(&book).len(), book.unacked_bytes()), (0, 0));
    assert_eq!(book.due_actions(), [(key("a"), reboot("b1"))]);
    assert_eq!(book.acked_pause(&key("a")), Some(&reboot("b1")));
    book.apply(started("a", 1, 2));
    assert!(!book.is_paused(&key("a")) && book.due_actions().is_empty());
    assert_eq!(book.result(&key("a")), None);
    assert_eq!(book.running_order(&key("a")).unwrap().finished.len(), 1);
}

#[test]
fn pause_and_its_action_survive_a_rewrite() {
    let dropped = || Event::ActionDropped { key: key("a") };
    for events in [
        vec![started("a", 0, 2), paused("a")],
        vec![started("a", 0, 2), paused("a"), acked("a")],
        vec![started("a", 0, 2), paused("a"), acked("a"), dropped()],
    ] {
        let book = book_of(events.clone());
        let again = book_of(book.events());
        assert_eq!(again.due_actions(), book.due_actions(), "{events:?}");
        assert_eq!(unacked(&again), unacked(&book), "{events:?}");
        assert_eq!(again.unacked_bytes(), book.unacked_bytes(), "{events:?}");
        assert_eq!(again.acked_pause(&key("a")), book.acked_pause(&key("a")), "{events:?}");
        assert_eq!(again.result(&key("a")), book.result(&key("a")), "{events:?}");
    }
}

#[test]
fn action_of_a_finished_order_is_due_after_its_acknowledgement() {
    let results = vec![record(0, ScriptOutcome::Success)];
    let finished = Event::Finished { key: key("a"), results, action: Some(reboot("b1")) };
    let mut book = book_of([started("a", 0, 1), finished]);
    assert_eq!(book.result(&key("a")).unwrap().reboots_from.as_deref(), Some("b1"));
    assert!(book.due_actions().is_empty());
    book.apply(acked("a"));
    assert_eq!(book_of(book.events()).due_actions(), [(key("a"), reboot("b1"))]);
    book.apply(Event::ActionDropped { key: key("a") });
    assert!(book.due_actions().is_empty());
}
