//! Processes that a script leaves behind, or that survive its kill.

use std::{fs, process::Command};

use runner::{Containment, End};

use super::{eventually, execution, succeeds};

/// Command that no other process of this machine has.
fn unique_sleep(number: u32) -> String {
    format!("sleep {number}.{}", std::process::id())
}

/// Number of processes with this command line.
fn running(command: &str) -> usize {
    let output = Command::new("pgrep").args(["-xf", command]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().count()
}

#[test]
fn background_process_lives_on_and_is_named() {
    let execution = execution(
        "daemon",
        "(for i in 1 2 3 4 5 6 7 8; do echo tick; echo $i >> lines; sleep 0.3; done) & exit 0",
    );
    let mut runner = execution.start();
    runner.wait_for_end();
    let ended = execution.ended();
    assert_eq!(ended.end, End::Exited { code: 0 });
    assert!(ended.left_processes_count >= 1 && !ended.left_processes[0].survived_kill, "{ended:?}");
    // The output is drained: a closed pipe would end the process.
    let lines = || fs::read_to_string(execution.work("lines")).unwrap().lines().count();
    assert!(lines() < 8);
    eventually("all lines", || lines() == 8);
    assert!(runner.child.wait().unwrap().success());
}

#[test]
fn process_without_output_ends_the_runner_and_lives_on() {
    let command = &unique_sleep(311);
    let execution = execution("quiet", &format!("setsid {command} >/dev/null 2>&1 & exit 0"));
    let mut runner = execution.start();
    runner.wait_for_end();
    let ended = execution.ended();
    assert_eq!(ended.left_processes.len(), 1, "{ended:?}");
    assert_eq!(&ended.left_processes[0].command, command);
    assert!(runner.child.wait().unwrap().success());
    assert_eq!(running(command), 1);
    assert!(succeeds("pkill", &["-xf", command]).unwrap());
}

#[test]
fn cleanup_kills_what_the_script_leaves() {
    let command = &unique_sleep(312);
    let mut execution = execution("cleanup", &format!("setsid {command} >/dev/null 2>&1 & exit 0"));
    execution.spec.kill_left_processes = true;
    let ended = execution.run();
    assert_eq!((ended.end, ended.left_processes_count), (End::Exited { code: 0 }, 0));
    assert_eq!(running(command), 0);
}

#[test]
fn process_without_the_mark_is_killed_at_the_timeout() {
    let command = &unique_sleep(313);
    let mut execution = execution("unmarked", &format!("env -i setsid -f {command}; sleep 300"));
    execution.spec.timeout_ms = 300;
    let ended = execution.run();
    assert_eq!((ended.end, ended.left_processes_count), (End::TimedOut, 0));
    assert_eq!(running(command), 0);
}

#[test]
fn containment_is_the_one_that_the_machine_has() {
    let ended = execution("contained", "cat /proc/self/cgroup").run();
    assert_eq!(ended.containment, runner::contain_processes());
    let in_cgroup = ended.output.contains("/graywave-contained-");
    assert_eq!(ended.containment == Containment::Cgroup, in_cgroup, "{}", ended.output);
}
