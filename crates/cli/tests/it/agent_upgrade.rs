//! The upgrade script for Linux.

use std::{
    io::{BufRead as _, BufReader},
    process::Child,
};

use crate::machine::{Ended, Machine, Manager};

const SCRIPT: &str = include_str!("../../scripts/agent-upgrade.sh");

fn upgrade(machine: &Machine, version: &str) -> Ended {
    machine.run(SCRIPT, &[("version", version)])
}

fn downgrade(machine: &Machine, version: &str) -> Ended {
    machine.run(SCRIPT, &[("version", version), ("allow_downgrade", "true")])
}

#[test]
fn newest_revision_of_the_version_is_installed() {
    for manager in [Manager::Apt, Manager::Dnf, Manager::Zypper] {
        let machine = Machine::new(manager);
        let ended = upgrade(&machine, "0.2.0");
        assert_eq!(ended.code, 0, "{manager:?}: {}", ended.output);
        assert_eq!(machine.fact("package").unwrap(), "installed 0.2.0-2", "{manager:?}");
        assert!(machine.was_called("systemctl restart graywave-agent.service"), "{manager:?}");
        assert_eq!(machine.fact("old"), None, "{manager:?}: the service runs the new program");
    }
}

#[test]
fn pre_release_is_found_after_a_tilde() {
    for manager in [Manager::Apt, Manager::Dnf] {
        let machine = Machine::new(manager);
        assert_eq!(upgrade(&machine, "0.2.0-rc.1").code, 0);
        assert_eq!(machine.fact("package").unwrap(), "installed 0.2.0~rc.1-1");
        assert_eq!(upgrade(&machine, "0.2.0").code, 0, "the release is newer");
        assert_eq!(upgrade(&machine, "0.2.0-rc.1").code, 65, "and the pre-release older");
    }
}

#[test]
fn epoch_of_a_package_is_no_part_of_the_version() {
    let machine = Machine::new(Manager::Apt);
    machine.set("available", "1:0.2.0-1");
    assert_eq!(upgrade(&machine, "0.2.0").code, 0);
    assert!(machine.was_called("graywave-agent=1:0.2.0-1"));
}

#[test]
fn second_run_changes_nothing() {
    let machine = Machine::new(Manager::Apt);
    assert_eq!(upgrade(&machine, "0.2.0").code, 0);
    machine.set("calls", "");
    let again = upgrade(&machine, "0.2.0");
    assert_eq!((again.code, again.output.contains("is installed already")), (0, true), "{}", again.output);
    assert!(!machine.was_called("apt-get"));
}

#[test]
fn service_on_the_former_program_is_restarted() {
    let machine = Machine::new(Manager::Apt);
    machine.set("package", "installed 0.2.0-2");
    machine.set("old", "");
    assert_eq!(upgrade(&machine, "0.2.0").code, 0);
    assert!(machine.was_called("systemctl restart"), "the package did not restart a busy agent");
}

#[test]
fn stopped_service_is_started() {
    let machine = Machine::new(Manager::Dnf);
    machine.unset("pid");
    assert_eq!(upgrade(&machine, "0.2.0").code, 0);
    assert!(machine.fact("pid").is_some());
}

#[test]
fn downgrade_needs_its_flag() {
    for manager in [Manager::Apt, Manager::Dnf, Manager::Zypper] {
        let machine = Machine::new(manager);
        let refused = upgrade(&machine, "0.0.9");
        assert_eq!(refused.code, 65, "{}", refused.output);
        assert!(refused.output.contains("0.1.0-1 is newer than 0.0.9: pass --allow-downgrade"));
        assert_eq!(machine.fact("package").unwrap(), "installed 0.1.0-1");
        let ended = downgrade(&machine, "0.0.9");
        assert_eq!(ended.code, 0, "{manager:?}: {}", ended.output);
        assert_eq!(machine.fact("package").unwrap(), "installed 0.0.9-1", "{manager:?}");
    }
}

#[test]
fn lock_of_unattended_upgrades_is_waited_for() {
    for manager in [Manager::Apt, Manager::Zypper] {
        let machine = Machine::new(manager);
        machine.set("locks", "1");
        let ended = upgrade(&machine, "0.2.0");
        assert_eq!(ended.code, 0, "{}", ended.output);
        assert!(ended.output.contains("another package manager has the lock"), "{}", ended.output);
        let machine = Machine::new(manager);
        machine.set("locks", "9");
        let refused = machine.run(SCRIPT, &[("version", "0.2.0"), ("lock_seconds", "0")]);
        assert_eq!(refused.code, 75, "{}", refused.output);
        assert_eq!(machine.fact("package").unwrap(), "installed 0.1.0-1");
    }
}

#[test]
fn held_package_stays_unless_overridden() {
    let machine = Machine::new(Manager::Apt);
    machine.set("held", "");
    let refused = upgrade(&machine, "0.2.0");
    assert_eq!((refused.code, refused.output.contains("apt-mark unhold")), (67, true), "{}", refused.output);
    let ended = machine.run(SCRIPT, &[("version", "0.2.0"), ("override_hold", "true")]);
    assert_eq!(ended.code, 0, "{}", ended.output);
    assert!(machine.was_called("--allow-change-held-packages"));
}

#[test]
fn interrupted_installation_is_completed_first() {
    let machine = Machine::new(Manager::Apt);
    machine.set("package", "half-configured 0.2.0-2");
    let ended = upgrade(&machine, "0.2.0");
    assert_eq!(ended.code, 0, "{}", ended.output);
    assert!(machine.was_called("dpkg --configure -a"));
    assert_eq!(machine.fact("package").unwrap(), "installed 0.2.0-2");
}

#[test]
fn broken_repository_of_others_does_not_matter() {
    let machine = Machine::new(Manager::Apt);
    machine.set("update", "100");
    let ended = upgrade(&machine, "0.2.0");
    assert_eq!(ended.code, 0, "{}", ended.output);
    assert!(ended.output.contains("some repositories cannot be read"), "{}", ended.output);
}

#[test]
fn apt_asks_no_question() {
    let machine = Machine::new(Manager::Apt);
    assert_eq!(upgrade(&machine, "0.2.0").code, 0);
    for words in ["--force-confold", "--force-confdef", "DPkg::Lock::Timeout=900", "-y"] {
        assert!(machine.was_called(words), "{words}");
    }
}

#[test]
fn version_without_a_package_changes_nothing() {
    for manager in [Manager::Apt, Manager::Dnf, Manager::Zypper] {
        let machine = Machine::new(manager);
        let refused = upgrade(&machine, "9.9.9");
        assert_eq!(refused.code, 66, "{manager:?}: {}", refused.output);
        assert!(refused.output.contains("no repository of this machine has graywave-agent 9.9.9"));
        assert!(!machine.was_called("restart"));
    }
}

#[test]
fn broken_version_returns_to_the_former_one() {
    for manager in [Manager::Apt, Manager::Dnf] {
        let machine = Machine::new(manager);
        machine.set("broken", "0.3.0-1");
        let ended = upgrade(&machine, "0.3.0");
        assert_eq!(ended.code, 71, "{}", ended.output);
        assert_eq!(machine.fact("package").unwrap(), "installed 0.1.0-1", "{}", ended.output);
        assert!(machine.fact("pid").is_some(), "the former version runs: {}", ended.output);
        machine.set("calls", "");
        let stays = machine.run(SCRIPT, &[("version", "0.3.0"), ("rollback", "false")]);
        assert_eq!(stays.code, 71);
        assert_eq!(machine.fact("package").unwrap(), "installed 0.3.0-1");
    }
}

#[test]
fn parameters_are_checked_before_any_change() {
    let machine = Machine::new(Manager::Apt);
    for parameters in [
        [("version", "0.2.0; reboot"), ("package", "graywave-agent")],
        [("version", "latest"), ("package", "graywave-agent")],
        [("version", "0.2.0"), ("package", "-oDir::Etc=/tmp")],
        [("version", "0.2.0"), ("lock_seconds", "-1")],
    ] {
        assert_eq!(machine.run(SCRIPT, &parameters).code, 64, "{parameters:?}");
    }
    machine.set("uid", "1000");
    assert_eq!(upgrade(&machine, "0.2.0").code, 77);
    assert!(!machine.was_called("apt-get"));
}

/// Starts an upgrade whose installer waits for a lock, and returns when the installer works.
fn waiting_upgrade(machine: &Machine, version: &str) -> Child {
    machine.set("locks", "1000000");
    let script = machine.start(SCRIPT, &[("version", version)]);
    while !machine.was_called("apt-get -q") {
        std::thread::yield_now();
    }
    script
}

#[test]
fn installer_outlives_the_script_that_started_it() {
    for has_systemd in [true, false] {
        let machine = Machine::new(Manager::Apt);
        if !has_systemd {
            machine.without_systemd();
        }
        let mut script = waiting_upgrade(&machine, "0.2.0");
        script.kill().unwrap();
        script.wait().unwrap();
        let mut again = machine.start(SCRIPT, &[("version", "0.2.0")]);
        let mut output = BufReader::new(again.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "an upgrade to 0.2.0 is running; waiting for it\n");
        machine.set("unlocked", "");
        assert_eq!(again.wait().unwrap().code(), Some(0));
        assert_eq!(machine.fact("package").unwrap(), "installed 0.2.0-2");
    }
}

#[test]
fn upgrade_to_another_version_waits_its_turn() {
    let machine = Machine::new(Manager::Apt);
    let first = waiting_upgrade(&machine, "0.2.0");
    let second = upgrade(&machine, "0.3.0");
    assert_eq!(second.code, 75, "{}", second.output);
    assert!(second.output.contains("an upgrade to 0.2.0 is running"), "{}", second.output);
    machine.set("unlocked", "");
    assert_eq!(first.wait_with_output().unwrap().status.code(), Some(0));
}
