//! An agent that is killed between the journal's start of a script and the runner's claim.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

const TAKEN_BACK: &str = "the agent stopped before the script started";

/// Data directory of an agent whose runner waits before it does anything, with the order that the
/// agent was killed in.
struct Boundary {
    rig: Rig,
    order: Order,
}

impl Rig {
    /// Run directory of a script of order 1.
    fn run_dir(&self, script: u32) -> PathBuf {
        self.dir.path().join(format!("runs/{}-1-{script}-1", key(1).task))
    }

    fn starts(&self) -> String {
        fs::read_to_string(self.dir.path().join("starts")).unwrap_or_default()
    }

    /// Order 1, whose scripts each write a line when they start.
    fn counted(&self, scripts: &[&str]) -> Order {
        let starts = self.dir.path().join("starts");
        let contents: Vec<_> =
            scripts.iter().map(|name| format!("echo {name} >> {}", starts.display())).collect();
        order(1, &contents.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// Runner that starts late: it waits for the file `go` beside it. The shell line comes first.
fn late_runner(dir: &Path, waits: &str) -> RunnerProgram {
    let RunnerProgram { program, arguments, .. } = RunnerProgram::of_tests();
    let late = dir.join("late-runner");
    let go = dir.join("go");
    let spawned = dir.join("spawned");
    let script = format!(
        "#!/bin/sh\n{waits}\n: > {}\nwhile [ ! -e {} ]; do [ -d {} ] || exit; sleep 0.01; done\nexec {} {} \"$1\"\n",
        spawned.display(),
        go.display(),
        // A test may end before its late runner goes on.
        dir.display(),
        program.display(),
        arguments[0].display(),
    );
    fs::write(&late, script).unwrap();
    fs::set_permissions(&late, fs::Permissions::from_mode(0o700)).unwrap();
    RunnerProgram { program: late, arguments: Vec::new(), mount_namespace: None }
}

/// Kills an agent when the runner of this script of order 1 exists and has not claimed its run.
/// Then `damage` happens, and the next agent starts.
async fn killed_before_claim(scripts: &[&str], script: u32, damage: impl FnOnce(&Rig)) -> Boundary {
    killed_before(Step::Claim, scripts, script, damage).await
}

/// Step of a start that the agent is killed before.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    /// The runner is started.
    Spawn,
    /// The runner claims its run.
    Claim,
}

async fn killed_before(step: Step, scripts: &[&str], script: u32, damage: impl FnOnce(&Rig)) -> Boundary {
    let dir = tempfile::tempdir().unwrap();
    // Earlier scripts run at once.
    let is_earlier = (0..script).map(|number| format!("*-1-{number}-1")).collect::<Vec<_>>().join("|");
    let RunnerProgram { program, arguments, .. } = RunnerProgram::of_tests();
    let waits = match is_earlier.as_str() {
        "" => String::new(),
        names => format!(
            "case \"$1\" in {names}) exec {} {} \"$1\";; esac",
            program.display(),
            arguments[0].display()
        ),
    };
    let rig = rig_with(dir, 1, |config, dir| config.runner = late_runner(dir, &waits));
    let order = rig.counted(scripts);
    assert_eq!(rig.orders.accept(order.clone()).await, None);
    let started = async {
        while rig.journal.book(|book| book.running_script(&key(1))).is_none_or(|(now, _)| now < script) {
            tokio::task::yield_now().await;
        }
        while step == Step::Claim && !rig.dir.path().join("spawned").exists() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, started).await.unwrap();
    assert!(!rig.run_dir(script).join("claimed").exists());
    let rig = rig.killed_with(damage).await;
    Boundary { rig, order }
}

impl Boundary {
    /// Waits until the order is given back.
    async fn given_back(&self) {
        let given_back = async {
            loop {
                let returns = self.rig.orders.take_returns();
                if !returns.is_empty() {
                    return returns;
                }
                self.rig.orders.finished().await;
            }
        };
        let returns = timeout(SOON, given_back).await.unwrap();
        assert_eq!(returns, [returned(1, TAKEN_BACK, false)]);
    }

    /// Result of the order when it is delivered again.
    async fn comes_again(&self) -> Vec<(String, String, String)> {
        self.rig.run(self.order.clone()).await
    }

    /// Lets the runner of the killed agent go on, and waits for its end.
    async fn late_runner_ends(&self) {
        fs::write(self.rig.dir.path().join("go"), "").unwrap();
        for script in 0..self.order.scripts.len() {
            gone(&format!("{}-1-{script}-1", key(1).task)).await;
        }
    }
}

#[tokio::test]
async fn never_claimed_start_is_given_back_and_starts_once() {
    for step in [Step::Spawn, Step::Claim] {
        let boundary = killed_before(step, &["one"], 0, |_| {}).await;
        boundary.given_back().await;
        assert_eq!(boundary.rig.starts(), "", "only the control plane starts it again");
        assert_eq!(boundary.rig.orders.unacked_after(0).await, []);
        assert_eq!(boundary.comes_again().await, [row("SUCCESS", "", "")], "{step:?}");
        boundary.late_runner_ends().await;
        assert_eq!(boundary.rig.starts(), "one\n", "{step:?}");
    }
}

#[tokio::test]
async fn late_runner_of_a_void_run_starts_nothing() {
    let boundary = killed_before_claim(&["one"], 0, |_| {}).await;
    boundary.given_back().await;
    boundary.late_runner_ends().await;
    assert_eq!(boundary.rig.starts(), "");
    assert_eq!(boundary.comes_again().await, [row("SUCCESS", "", "")]);
    assert_eq!(boundary.rig.starts(), "one\n");
}

#[tokio::test]
async fn runner_that_claims_after_the_kill_keeps_its_run() {
    let boundary = killed_before_claim(&["one"], 0, |rig| {
        fs::write(rig.dir.path().join("go"), "").unwrap();
        let started = std::time::Instant::now();
        while !rig.run_dir(0).join("claimed").exists() {
            assert!(started.elapsed() < SOON);
            thread::yield_now();
        }
    })
    .await;
    assert_eq!(boundary.rig.result(1).await, [row("SUCCESS", "", "")]);
    assert_eq!(boundary.rig.starts(), "one\n");
}

#[tokio::test]
async fn kill_within_the_take_back_starts_the_script_once() {
    type Damage = fn(&Rig);
    let kills: [(&str, Damage); 4] = [
        ("the run is void", |rig| fs::remove_file(rig.run_dir(0).join("spec.json")).unwrap()),
        ("the journal has it", |rig| {
            fs::remove_file(rig.run_dir(0).join("spec.json")).unwrap();
            rig.journal.record(Event::NotStarted { key: key(1), script: 0 });
        }),
        ("the run directory is renamed", |rig| {
            fs::remove_file(rig.run_dir(0).join("spec.json")).unwrap();
            rig.journal.record(Event::NotStarted { key: key(1), script: 0 });
            fs::rename(rig.run_dir(0), rig.run_dir(0).with_extension("void-1")).unwrap();
        }),
        ("the order was damaged", |rig| fs::write(rig.run_dir(0).join("order"), "x").unwrap()),
    ];
    for (kill, damage) in kills {
        let boundary = killed_before_claim(&["one"], 0, damage).await;
        if boundary.rig.journal.book(|book| book.running_order(&key(1))).is_some() {
            boundary.given_back().await;
        }
        assert_eq!(boundary.comes_again().await, [row("SUCCESS", "", "")], "{kill}");
        boundary.late_runner_ends().await;
        assert_eq!(boundary.rig.starts(), "one\n", "{kill}");
    }
}

#[tokio::test]
async fn never_claimed_later_script_goes_on_by_itself() {
    let boundary = killed_before_claim(&["one", "two", "three"], 1, |_| {}).await;
    let success = || row("SUCCESS", "", "");
    assert_eq!(boundary.rig.result(1).await, [success(), success(), success()]);
    boundary.late_runner_ends().await;
    assert_eq!(boundary.rig.starts(), "one\ntwo\nthree\n");
}

#[tokio::test]
async fn kill_within_the_take_back_of_a_later_script_runs_it() {
    let boundary = killed_before_claim(&["one", "two"], 1, |rig| {
        fs::remove_file(rig.run_dir(1).join("spec.json")).unwrap();
        rig.journal.record(Event::NotStarted { key: key(1), script: 1 });
    })
    .await;
    assert_eq!(boundary.rig.result(1).await, [row("SUCCESS", "", ""), row("SUCCESS", "", "")]);
    boundary.late_runner_ends().await;
    assert_eq!(boundary.rig.starts(), "one\ntwo\n");
}

#[tokio::test]
async fn given_back_order_obeys_a_stop_a_halt_and_its_deadline() {
    type Change = fn(&mut Order, i64);
    let changes: [(Change, &str); 3] = [
        (|order, _| order.stop_script = Some(0), "STOPPED"),
        (|order, _| order.query_only = true, "SKIPPED"),
        (|order, now| order.deliver_by_unix_ms = now - 1, "REJECTED"),
    ];
    for (change, outcome) in changes {
        let boundary = killed_before_claim(&["one"], 0, |_| {}).await;
        boundary.given_back().await;
        let Boundary { rig, mut order } = boundary;
        change(&mut order, rig.clock.now().timestamp_millis());
        assert_eq!(rig.run(order).await[0].0, outcome);
        assert_eq!(rig.starts(), "");
    }
}
