//! Users and power by systemd-logind, or by the older commands.

use std::{ffi::OsString, io, path::Path};

use crate::{system_command::output, way_down::Way};

/// Names of the users with an active session, from logind; `None` without logind.
pub(crate) async fn active_users() -> Option<Vec<String>> {
    let sessions = output("loginctl", &["--no-legend", "--no-pager", "list-sessions"]).await.ok()?;
    let mut users = Vec::new();
    for id in sessions.lines().filter_map(|line| line.split_whitespace().next()) {
        let properties = ["-p", "Class", "-p", "State", "-p", "Name"];
        let arguments = [&["show-session", id][..], &properties].concat();
        // The session may have ended meanwhile.
        let Ok(session) = output("loginctl", &arguments).await else { continue };
        users.extend(active_user(&session));
    }
    users.sort();
    users.dedup();
    Some(users)
}

/// Name of the user of a session in the format of `loginctl show-session`; `None` if the session is
/// no active one of a person.
fn active_user(session: &str) -> Option<String> {
    let value = |key: &str| {
        session.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default()
    };
    // A greeter and a background session belong to no person who works.
    let is_active = value("Class") == "user" && value("State") == "active";
    is_active.then(|| value("Name").to_owned())
}

/// Shows a message on the terminals of all users.
pub(crate) async fn show_message(message: &str) -> io::Result<()> {
    output("wall", &[message]).await.map(drop)
}

/// Command that lets the desktop go down.
pub(crate) fn power_command(way: Way) -> (&'static str, Vec<OsString>) {
    command_of(way, Path::new("/run/systemd/system").exists())
}

fn command_of(way: Way, has_systemd: bool) -> (&'static str, Vec<OsString>) {
    let (program, arguments): (_, &[&str]) = match (has_systemd, way) {
        (true, Way::Reboot) => ("systemctl", &["reboot"]),
        (true, Way::PowerOff) => ("systemctl", &["poweroff"]),
        (false, Way::Reboot) => ("shutdown", &["-r", "now"]),
        (false, Way::PowerOff) => ("shutdown", &["-h", "now"]),
    };
    (program, arguments.iter().map(OsString::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_active_sessions_of_people_count() {
        let session = |class, state| format!("Name=ada\nClass={class}\nState={state}\n");
        assert_eq!(active_user(&session("user", "active")).as_deref(), Some("ada"));
        for (class, state) in
            [("user", "online"), ("user", "closing"), ("greeter", "active"), ("manager", "active"), ("", "")]
        {
            assert_eq!(active_user(&session(class, state)), None, "{class} {state}");
        }
        assert_eq!(active_user(""), None);
    }

    #[test]
    fn each_way_has_its_command() {
        assert_eq!(command_of(Way::Reboot, true), ("systemctl", vec!["reboot".into()]));
        assert_eq!(command_of(Way::PowerOff, true), ("systemctl", vec!["poweroff".into()]));
        assert_eq!(command_of(Way::Reboot, false), ("shutdown", vec!["-r".into(), "now".into()]));
        assert_eq!(command_of(Way::PowerOff, false), ("shutdown", vec!["-h".into(), "now".into()]));
    }
}
