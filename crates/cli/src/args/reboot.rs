//! Flags of reboots and of the return of desktops.

use clap::{Args, ValueEnum};
use proto::admin::{IfUserActive, PostFinish, Rollout};

use super::gate_flags::ROLLOUT;
use crate::duration::seconds;

/// Flags of reboots.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RebootFlags {
    /// Action on each desktop after its last script: reboot waits until the desktop is back
    /// [default: none]
    #[arg(long, value_enum, ignore_case = true, value_name = "ACTION", help_heading = ROLLOUT,
          aliases = ["post_finish"])]
    pub(crate) post_finish: Option<Action>,
    /// Treatment of a user who is active when the desktop is to reboot or power off [default: wait]
    #[arg(long, value_enum, value_name = "MODE", help_heading = ROLLOUT, aliases = ["if_user_active"])]
    pub(crate) if_user_active: Option<Active>,
    /// Version that the agent must have after the scripts, or the desktop fails: 0.2.0 [default:
    /// any]
    #[arg(long, value_name = "VERSION", help_heading = ROLLOUT, aliases = ["agent_version"])]
    pub(crate) agent_version: Option<String>,
    /// Maximum time until a desktop is back from a reboot or an upgrade: 15m [default: 15m]
    #[arg(long, value_name = "DURATION", value_parser = seconds, help_heading = ROLLOUT,
          aliases = ["return_timeout"])]
    pub(crate) return_timeout: Option<i64>,
}

/// The action on a desktop after its last script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Action {
    /// The desktop reboots
    Reboot,
    /// The desktop is powered off
    Stop,
}

/// The treatment of an active user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Active {
    /// Wait until no user is active
    Wait,
    /// Show a message, and wait until no user is active
    Ask,
    /// Go down at once
    Force,
}

impl RebootFlags {
    /// Sets the fields of the rollout that the flags name.
    pub(crate) fn apply(&self, rollout: &mut Rollout) {
        if let Some(action) = self.post_finish {
            rollout.post_finish = match action {
                Action::Reboot => PostFinish::Reboot.into(),
                Action::Stop => PostFinish::Stop.into(),
            };
        }
        if let Some(active) = self.if_user_active {
            rollout.if_user_active = match active {
                Active::Wait => IfUserActive::Wait.into(),
                Active::Ask => IfUserActive::Ask.into(),
                Active::Force => IfUserActive::Force.into(),
            };
        }
        if let Some(version) = &self.agent_version {
            rollout.agent_version.clone_from(version);
        }
        rollout.return_timeout_seconds = self.return_timeout.or(rollout.return_timeout_seconds);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: RebootFlags,
    }

    fn rollout(line: &str, of_file: Rollout) -> Rollout {
        let words = std::iter::once("it").chain(line.split_whitespace());
        let mut rollout = of_file;
        Line::parse_from(words).flags.apply(&mut rollout);
        rollout
    }

    #[test]
    fn flags_set_their_fields() {
        let given = "--post-finish REBOOT --if-user-active ask --agent-version 1.2.0 --return-timeout 20m";
        let expected = Rollout {
            post_finish: PostFinish::Reboot.into(),
            if_user_active: IfUserActive::Ask.into(),
            agent_version: "1.2.0".into(),
            return_timeout_seconds: Some(1_200),
            ..Rollout::default()
        };
        assert_eq!(rollout(given, Rollout::default()), expected);
        assert_eq!(rollout("", expected.clone()), expected, "a file keeps its fields");
    }
}
