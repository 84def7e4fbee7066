//! Scripts of a confined agent, which see the whole machine.

use std::{
    fs,
    os::{fd::OwnedFd, unix::net::UnixStream},
    process::{Command, Stdio},
};

use runner::{Files, MOUNT_NAMESPACE};

use super::{Execution, Running, SOON, eventually, execution};

/// Starts the runner in a mount namespace of its own. Scripts run in `namespace`.
fn start(execution: &Execution, namespace: &str) -> Running {
    execution.run_dir.write_spec(&execution.spec).unwrap();
    let (control, passed) = UnixStream::pair().unwrap();
    let child = Command::new("unshare")
        .args(["--mount", "--propagation", "private", env!("CARGO_BIN_EXE_graywave-runner")])
        .arg(execution.run_dir.path())
        .env(MOUNT_NAMESPACE, namespace)
        .stdin(OwnedFd::from(passed))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    control.set_read_timeout(Some(SOON)).unwrap();
    Running { child, control }
}

/// Whether this user may make mount namespaces.
fn is_permitted() -> bool {
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "true"]).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

#[test]
fn script_leaves_the_mount_namespace_of_its_agent() {
    if !is_permitted() {
        return;
    }
    let execution = execution("mounts", "readlink /proc/self/ns/mnt; pwd");
    let mut running = start(&execution, &format!("/proc/{}/ns/mnt", std::process::id()));
    running.wait_for_end();
    let own = fs::read_link("/proc/self/ns/mnt").unwrap();
    let output = execution.ended().output;
    assert!(output.starts_with(&format!("{}\n/", own.display())), "{output}");
}

#[test]
fn script_does_not_run_without_its_mount_namespace() {
    if !is_permitted() {
        return;
    }
    let execution = execution("no-mounts", "true");
    let _running = start(&execution, "/proc/self/ns/missing");
    let error = execution.run_dir.file(Files::ERROR);
    eventually("the error", || {
        fs::read_to_string(&error).is_ok_and(|text| text.contains("ns/missing failed"))
    });
    assert!(execution.run_dir.result().is_none(), "the script must not have run");
}
