use std::process::{Command, Stdio};

use super::*;

/// Starts a shell with the mark of an execution.
fn marked(id: &str, script: &str) -> std::process::Child {
    Command::new("sh").args(["-c", script]).env(MARK, id).stdin(Stdio::null()).spawn().unwrap()
}

fn id(name: &str) -> String {
    format!("{name}-{}", std::process::id())
}

fn carriers(id: &str) -> usize {
    let wanted = format!("{MARK}={id}").into_bytes();
    processes::list().unwrap().into_iter().filter(|pid| Environ::of(*pid).has(&wanted)).count()
}

#[test]
fn marked_processes_are_killed_wherever_they_are() {
    let id = id("marked");
    let mut shell = marked(&id, "setsid sleep 300 & (sleep 300 &) ; sleep 300");
    let mut other = marked("another-execution", "sleep 300");
    while carriers(&id) < 4 {
        thread::yield_now();
    }
    assert_eq!(kill(Search::Marked, &id, None), []);
    assert_eq!(carriers(&id), 0);
    shell.wait().unwrap();
    assert_eq!(other.try_wait().unwrap(), None);
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn process_that_forks_all_the_time_is_killed() {
    let id = id("forks");
    let mut shell = marked(&id, "while :; do (sleep 0.01 &) ; done");
    while carriers(&id) < 3 {
        thread::yield_now();
    }
    assert_eq!(kill(Search::Marked, &id, None), []);
    assert_eq!(carriers(&id), 0);
    shell.wait().unwrap();
}
