//! Reboots by orders: with a program that replaces those of the system.

use std::os::unix::fs::PermissionsExt as _;

use proto::order::RebootTerms;
use tokio::io::AsyncReadExt as _;

use super::*;
use crate::Power;

/// The desktop of a test: its boot, its users, and how it was asked to go down.
struct Machine {
    dir: TempDir,
    /// Receives a line for each command to go down.
    done: pipe::Receiver,
    /// Receives each message to the users.
    asked: pipe::Receiver,
}

/// Creates a pipe with a name, which a program can write to at any time.
fn named_pipe(path: &Path) -> pipe::Receiver {
    assert!(process::Command::new("mkfifo").arg(path).status().unwrap().success());
    pipe::OpenOptions::new().read_write(true).open_receiver(path).unwrap()
}

async fn line(receiver: &mut pipe::Receiver) -> String {
    let mut line = String::new();
    let read = async {
        while !line.ends_with('\n') {
            line.push(char::from(receiver.read_u8().await.unwrap()));
        }
    };
    timeout(SOON, read).await.unwrap();
    line
}

fn is_silent(receiver: &pipe::Receiver) -> bool {
    receiver.try_read(&mut [0]).is_err()
}

impl Machine {
    /// A machine in its first boot without users.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let done = named_pipe(&dir.path().join("done"));
        let asked = named_pipe(&dir.path().join("asked"));
        let machine = Self { dir, done, asked };
        machine.set("boot-id", "boot-1");
        machine.set("users", "");
        let at = machine.dir.path().display();
        let program = format!(
            "#!/bin/sh\ncase $1 in\nboot-id|users) cat '{at}'/$1;;\nask) echo \"$2\" >> '{at}'/asked;;\n\
             *) echo $1 >> '{at}'/done;;\nesac\n"
        );
        fs::write(machine.program(), program).unwrap();
        fs::set_permissions(machine.program(), fs::Permissions::from_mode(0o755)).unwrap();
        machine
    }

    fn program(&self) -> PathBuf {
        self.dir.path().join("power")
    }

    fn set(&self, name: &str, content: &str) {
        fs::write(self.dir.path().join(name), content).unwrap();
    }

    /// Starts the agent on a data directory, in the present boot.
    fn rig(&self, data: TempDir) -> Rig {
        let boot_id = fs::read_to_string(self.dir.path().join("boot-id")).unwrap();
        rig_with(data, 4, |config, _| {
            config.power = Power::Program(self.program());
            config.desktop.boot_id = boot_id;
        })
    }

    /// Waits until the desktop was asked to go down.
    async fn goes_down(&mut self) -> String {
        line(&mut self.done).await
    }

    fn stays_up(&self) -> bool {
        is_silent(&self.done)
    }

    /// The next agent, after a reboot of the desktop.
    async fn rebooted(&self, rig: Rig) -> Rig {
        self.set("boot-id", "boot-2");
        let data = rig.stopped().await;
        self.rig(data)
    }
}

impl Rig {
    async fn stopped(self) -> TempDir {
        self.stop.cancel();
        timeout(SOON, self.dispatcher).await.unwrap().unwrap();
        drop((self.orders, self.journal));
        self.dir
    }

    async fn boot_of_result(&self, ordinal: u32) -> Option<String> {
        self.orders.result(key(ordinal)).await.and_then(|result| result.reboots_from)
    }
}

fn reboots(order: Order, post_finish: &str, exit_codes: &[i32]) -> Order {
    let terms = RebootTerms {
        exit_codes: exit_codes.to_vec(),
        post_finish: post_finish.to_owned(),
        if_user_active: "wait".to_owned(),
        timeout_ms: 600_000,
    };
    Order { success_exit_codes: exit_codes.to_vec(), reboot: Some(terms), ..order }
}

fn outcomes(result: &[(String, String, String)]) -> Vec<&str> {
    result.iter().map(|(outcome, _, _)| outcome.as_str()).collect()
}

#[tokio::test]
async fn desktop_goes_down_after_the_acknowledgement() {
    let mut machine = Machine::new();
    let rig = machine.rig(tempfile::tempdir().unwrap());
    let result = rig.run(reboots(order(1, &["exit 0"]), "reboot", &[])).await;
    assert_eq!(outcomes(&result), ["SUCCESS"]);
    assert_eq!(rig.boot_of_result(1).await.as_deref(), Some("boot-1"));
    assert!(machine.stays_up(), "the result is not stored yet");
    rig.orders.acked(key(1), 1).await;
    assert_eq!(machine.goes_down().await, "reboot\n");
    // In the next boot nothing is left to do.
    let rig = machine.rebooted(rig).await;
    rig.run(order(2, &["exit 0"])).await;
    assert!(machine.stays_up());
    assert_eq!(rig.boot_of_result(1).await.as_deref(), Some("boot-1"), "a repeated result is the same");
}

#[tokio::test]
async fn desktop_is_powered_off_without_a_return() {
    let mut machine = Machine::new();
    let rig = machine.rig(tempfile::tempdir().unwrap());
    rig.run(reboots(order(1, &["exit 1"]), "stop", &[])).await;
    assert_eq!(rig.boot_of_result(1).await, None);
    rig.orders.acked(key(1), 1).await;
    assert_eq!(machine.goes_down().await, "stop\n");
}

#[tokio::test]
async fn remaining_script_runs_once_after_the_reboot() {
    let mut machine = Machine::new();
    let rig = machine.rig(tempfile::tempdir().unwrap());
    let runs = machine.dir.path().join("runs");
    let first = format!("echo first >> {}; exit 42", runs.display());
    let second = format!("echo second >> {}", runs.display());
    let task = || reboots(order(1, &[&first, &second]), "", &[42]);
    let result = rig.run(task()).await;
    assert_eq!(outcomes(&result), ["SUCCESS"]);
    assert_eq!(rig.boot_of_result(1).await.as_deref(), Some("boot-1"));
    // Not acknowledged, or in the same boot: the order is answered from the journal.
    assert_eq!(rig.orders.accept(task()).await, Some(key(1)));
    rig.orders.acked(key(1), 1).await;
    machine.goes_down().await;
    assert_eq!(rig.orders.accept(task()).await, Some(key(1)));
    let rig = machine.rebooted(rig).await;
    assert_eq!(rig.orders.accept(task()).await, None);
    let both = async {
        while rig.orders.result(key(1)).await.is_none_or(|result| result.scripts.len() < 2) {
            rig.orders.finished().await;
        }
    };
    timeout(SOON, both).await.unwrap();
    assert_eq!(outcomes(&rig.result(1).await), ["SUCCESS", "SUCCESS"]);
    assert_eq!(rig.boot_of_result(1).await, None, "the last script asked for no reboot");
    // A late acknowledgement of the first result does not confirm the second one.
    rig.orders.acked(key(1), 1).await;
    assert_eq!(rig.orders.unacked_after(0).await.len(), 1);
    assert_eq!(rig.orders.accept(task()).await, Some(key(1)));
    assert_eq!(fs::read_to_string(runs).unwrap(), "first\nsecond\n");
}

#[tokio::test]
async fn halted_task_continues_nothing_after_the_reboot() {
    let mut machine = Machine::new();
    let rig = machine.rig(tempfile::tempdir().unwrap());
    let task = || reboots(order(1, &["exit 42", "exit 0"]), "", &[42]);
    rig.run(task()).await;
    rig.orders.acked(key(1), 1).await;
    machine.goes_down().await;
    let rig = machine.rebooted(rig).await;
    rig.orders.accept(Order { query_only: true, ..task() }).await;
    assert_eq!(outcomes(&rig.result(1).await), ["SUCCESS", "SKIPPED"]);
}

#[tokio::test]
async fn continued_order_is_never_given_back_as_late() {
    let mut machine = Machine::new();
    let rig = machine.rig(tempfile::tempdir().unwrap());
    let task = || reboots(order(1, &["exit 42", "exit 0"]), "", &[42]);
    rig.run(task()).await;
    rig.orders.acked(key(1), 1).await;
    machine.goes_down().await;
    let rig = machine.rebooted(rig).await;
    let gate = machine.dir.path().join("gate");
    let waits = format!("until [ -e {} ]; do sleep 0.05; done", gate.display());
    rig.orders.accept(order(2, &[&waits])).await;
    // It waits for the running order, until after its deadline.
    let deliver_by_unix_ms = rig.clock.now().timestamp_millis() + 1_000;
    rig.orders.accept(Order { deliver_by_unix_ms, max_running: Some(1), ..task() }).await;
    rig.orders.accept(Order { deliver_by_unix_ms, ..order(3, &["exit 0"]) }).await;
    let given_back = async {
        loop {
            let returns = rig.orders.take_returns();
            if !returns.is_empty() {
                return returns;
            }
            rig.orders.finished().await;
        }
    };
    let late = "the delivery deadline passed before it could start";
    assert_eq!(timeout(SOON, given_back).await.unwrap(), [returned(3, late, false)]);
    fs::write(gate, "").unwrap();
    let both = async {
        while rig.orders.result(key(1)).await.is_none_or(|result| result.scripts.len() < 2) {
            rig.orders.finished().await;
        }
    };
    timeout(SOON, both).await.unwrap();
    assert_eq!(outcomes(&rig.result(1).await), ["SUCCESS", "SUCCESS"]);
}

#[tokio::test]
async fn agent_killed_before_the_reboot_does_it_at_its_next_start() {
    let mut machine = Machine::new();
    machine.set("users", "ada\n");
    let rig = machine.rig(tempfile::tempdir().unwrap());
    rig.run(reboots(order(1, &["exit 0"]), "reboot", &[])).await;
    rig.orders.acked(key(1), 1).await;
    let data = rig.stopped().await;
    assert!(machine.stays_up(), "a user was active");
    machine.set("users", "");
    let _rig = machine.rig(data);
    assert_eq!(machine.goes_down().await, "reboot\n");
}

#[tokio::test]
async fn active_user_is_asked_and_kept() {
    let mut machine = Machine::new();
    machine.set("users", "ada\n");
    let rig = machine.rig(tempfile::tempdir().unwrap());
    let mut asks = reboots(order(1, &["exit 0"]), "reboot", &[]);
    asks.reboot.as_mut().unwrap().if_user_active = "ask".to_owned();
    rig.run(asks).await;
    rig.orders.acked(key(1), 1).await;
    assert!(line(&mut machine.asked).await.contains("restart"));
    assert!(machine.stays_up());
    // Other orders run while the desktop waits for its user.
    assert_eq!(outcomes(&rig.run(order(2, &["exit 0"])).await), ["SUCCESS"]);
    machine.set("users", "");
    assert_eq!(machine.goes_down().await, "reboot\n");
}

#[tokio::test]
async fn forced_reboot_waits_for_no_user() {
    let mut machine = Machine::new();
    machine.set("users", "ada\n");
    let rig = machine.rig(tempfile::tempdir().unwrap());
    let mut forced = reboots(order(1, &["exit 0"]), "reboot", &[]);
    forced.reboot.as_mut().unwrap().if_user_active = "force".to_owned();
    rig.run(forced).await;
    rig.orders.acked(key(1), 1).await;
    assert_eq!(machine.goes_down().await, "reboot\n");
}

#[tokio::test]
async fn running_script_of_another_task_delays_the_reboot() {
    let mut machine = Machine::new();
    let rig = machine.rig(tempfile::tempdir().unwrap());
    let gate = machine.dir.path().join("gate");
    let waits = format!("until [ -e {} ]; do sleep 0.05; done", gate.display());
    rig.orders.accept(order(2, &[&waits])).await;
    rig.run(reboots(order(1, &["exit 0"]), "reboot", &[])).await;
    rig.orders.acked(key(1), 1).await;
    // New orders go back, because the desktop is about to go down.
    timeout(SOON, rig.orders.queue.closed()).await.unwrap();
    rig.orders.accept(order(3, &["exit 0"])).await;
    let OrderReturn { reason, is_full, .. } = rig.orders.take_returns().pop().unwrap();
    assert!(reason.contains("about to go down") && is_full, "{reason}");
    assert!(machine.stays_up());
    fs::write(gate, "").unwrap();
    assert_eq!(machine.goes_down().await, "reboot\n");
}

#[tokio::test]
async fn order_that_needs_a_reboot_is_rejected_without_a_boot_id() {
    let rig = rig(1);
    let result = rig.run(reboots(order(1, &["exit 0"]), "reboot", &[])).await;
    assert_eq!(outcomes(&result), ["REJECTED"]);
    assert!(result[0].1.contains("boot id"), "{}", result[0].1);
}

#[tokio::test]
async fn stopped_order_leaves_its_desktop_up() {
    let mut machine = Machine::new();
    let rig = machine.rig(tempfile::tempdir().unwrap());
    let started = machine.dir.path().join("asked");
    let script = format!("echo started > {}; sleep 30", started.display());
    rig.orders.accept(reboots(order(1, &[&script]), "reboot", &[])).await;
    assert_eq!(line(&mut machine.asked).await, "started\n");
    rig.orders.stop(&key(1), 0).await;
    assert_eq!(outcomes(&rig.result(1).await), ["STOPPED"]);
    assert_eq!(rig.boot_of_result(1).await, None);
    rig.orders.acked(key(1), 1).await;
    assert_eq!(rig.journal.book(|book| book.due_actions().len()), 0);
}
