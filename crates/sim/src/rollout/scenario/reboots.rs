//! Adds planned reboots to scenarios.

use chrono::TimeDelta;
use domain::return_policy::{PostFinish, ReturnPolicy};

use super::Scenario;
use crate::rollout::rng::Rng;

/// The stream that reboots are drawn from. Everything else does not depend on them.
const STREAM: u64 = 10;
/// Exit code that asks for a reboot.
const REBOOT: i32 = 3_010;

impl Scenario {
    /// Lets the tasks of some scenarios reboot their desktops: after the last script, or by an exit
    /// code. Some desktops come back late, and some never.
    pub(super) fn with_reboots(mut self) -> Self {
        let mut rng = Rng::new(self.seed, STREAM);
        if !rng.percent(15) {
            return self;
        }
        let timeout_s = rng.number(60, 600);
        self.fleet.lost_by_reboot = if rng.percent(50) { rng.number(1, 30) } else { 0 };
        let longest = if rng.percent(70) { timeout_s / 2 } else { timeout_s * 3 / 2 };
        self.fleet.reboots_within = TimeDelta::seconds(longest.into());
        let by_code = rng.percent(60);
        if by_code {
            self.fleet.failing = self.fleet.failing.max(30);
            self.fleet.exit_codes.extend([REBOOT; 6]);
        }
        for task in self.projects.iter_mut().flat_map(|project| &mut project.tasks) {
            let post_finish = (!by_code || rng.percent(30)).then_some(PostFinish::Reboot);
            task.policy.returns = ReturnPolicy {
                post_finish,
                reboot_exit_codes: if by_code { vec![REBOOT] } else { Vec::new() },
                timeout_seconds: Some(timeout_s),
                ..ReturnPolicy::default()
            };
            if by_code {
                task.policy.success_exit_codes.retain(|code| *code != REBOOT);
                task.scripts = rng.number(1, 3).try_into().unwrap_or(1);
            }
        }
        self
    }
}
