//! The policy of reboots, and of the return of desktops: the condition under which a target ends
//! after its scripts.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::{
    limits::DEFAULT_RETURN_TIMEOUT_SECONDS, return_condition::ReturnCondition, string_enum::string_enum,
};

/// Action on each desktop after its last script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PostFinish {
    /// The desktop is powered off.
    Stop,
    /// The desktop reboots.
    Reboot,
}

impl PostFinish {
    /// Every value.
    pub const ALL: [Self; 2] = [Self::Stop, Self::Reboot];

    /// Returns the word in JSON and proto.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Reboot => "reboot",
        }
    }
}

string_enum!(PostFinish, "post_finish");

/// Treatment of a person who uses the desktop when it is to reboot or to be powered off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfUserActive {
    /// The desktop waits until no user is active.
    #[default]
    Wait,
    /// The desktop shows a message and waits until no user is active.
    Ask,
    /// The desktop goes down at once.
    Force,
}

impl IfUserActive {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::Wait, Self::Ask, Self::Force];

    /// Returns the word in JSON and proto.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Ask => "ask",
            Self::Force => "force",
        }
    }
}

string_enum!(IfUserActive, "if_user_active");

/// Reboots of a task, and the condition of its targets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReturnPolicy {
    /// Action on each desktop after its last script; `None` without one.
    pub post_finish: Option<PostFinish>,
    /// Exit codes that are a success and ask for a reboot.
    pub reboot_exit_codes: Vec<i32>,
    /// Treatment of a person who uses the desktop.
    pub if_user_active: IfUserActive,
    /// Version with which the agent must be attached after the scripts; `None` for any.
    pub agent_version: Option<String>,
    /// Maximum time in seconds from the result to the return; `None` for the default.
    pub timeout_seconds: Option<u32>,
}

/// What an agent reports about the end of an order, beside the results of the scripts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReportedEnd<'a> {
    /// Whether every reported script succeeded.
    pub all_succeeded: bool,
    /// Whether scripts remain, which run after the reboot.
    pub scripts_remain: bool,
    /// Boot that ends with a reboot of the desktop; `None` if the agent announces no reboot. Empty
    /// if the agent does not know its boot.
    pub reboots_from: Option<&'a str>,
}

impl ReturnPolicy {
    /// Returns whether an agent may reboot or power off its desktop for the task.
    pub fn acts(&self) -> bool {
        self.post_finish.is_some() || !self.reboot_exit_codes.is_empty()
    }

    /// Returns whether a target may pause before its last script.
    pub fn may_pause(&self) -> bool {
        !self.reboot_exit_codes.is_empty()
    }

    /// Returns the maximum time from the result to the return.
    pub fn timeout(&self) -> TimeDelta {
        TimeDelta::seconds(self.timeout_seconds.unwrap_or(DEFAULT_RETURN_TIMEOUT_SECONDS).into())
    }

    /// Returns the condition that a target must meet before it ends; `None` if it ends with its
    /// result. A target that failed ends at once: its failure counts without a wait.
    ///
    /// A task that reboots its desktops needs another boot from each of them. An agent that
    /// announces no reboot never meets that condition.
    pub fn condition(&self, end: ReportedEnd<'_>) -> Option<ReturnCondition> {
        if !end.all_succeeded {
            return None;
        }
        let must_reboot = self.post_finish == Some(PostFinish::Reboot) && !end.scripts_remain;
        let before = end.reboots_from.filter(|_| self.acts());
        let another_boot_than = before.or_else(|| must_reboot.then_some("")).map(str::to_owned);
        let agent_version = self.agent_version.clone().filter(|_| !end.scripts_remain);
        let condition = ReturnCondition { another_boot_than, agent_version };
        (!condition.is_empty()).then_some(condition)
    }
}

#[cfg(test)]
#[path = "return_policy_tests.rs"]
mod tests;
