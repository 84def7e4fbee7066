//! Reboots that an order permits: the pure part.

use proto::{ScriptOutcome, agent::Order, order::RebootTerms};

use crate::{
    journal::{GoDown, IfUserActive, Record, Span},
    way_down::Way,
};

/// What an order permits, in a boot that the agent knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Permission {
    exit_codes: Vec<i32>,
    post_finish: Option<Way>,
    if_user_active: IfUserActive,
    timeout_ms: i64,
    boot_id: String,
}

impl Permission {
    /// Reads the permission of an order; `None` if the desktop stays up. The error is the reason
    /// for which the order must not start: its end could not be done or proved.
    pub(super) fn of(order: &Order, boot_id: Option<&str>) -> Result<Option<Self>, String> {
        let Some(terms) = &order.reboot else { return Ok(None) };
        let RebootTerms { exit_codes, post_finish, if_user_active, timeout_ms } = terms;
        let post_finish = match post_finish.as_str() {
            "" => None,
            "reboot" => Some(Way::Reboot),
            "stop" => Some(Way::PowerOff),
            other => return Err(format!("the order is malformed: post_finish {other:?} is unknown")),
        };
        let if_user_active = match if_user_active.as_str() {
            "wait" => IfUserActive::Wait,
            "ask" => IfUserActive::Ask,
            "force" => IfUserActive::Force,
            other => return Err(format!("the order is malformed: if_user_active {other:?} is unknown")),
        };
        let Some(boot_id) = boot_id else {
            return Err(
                "this desktop cannot reboot by an order: its agent knows no boot id, or may not let it go \
                        down; see --power-program"
                    .to_owned(),
            );
        };
        let (exit_codes, boot_id) = (exit_codes.clone(), boot_id.to_owned());
        Ok(Some(Self { exit_codes, post_finish, if_user_active, timeout_ms: *timeout_ms, boot_id }))
    }

    fn go_down(&self, way: Way, now: i64) -> GoDown {
        GoDown {
            way,
            boot_id: self.boot_id.clone(),
            until: now.saturating_add(self.timeout_ms),
            if_user_active: self.if_user_active,
        }
    }

    /// Action that the result of a script asks for by its exit code.
    pub(super) fn after_script(&self, result: &Record, now: i64) -> Option<GoDown> {
        let asks = result.succeeded() && result.exit_code.is_some_and(|code| self.exit_codes.contains(&code));
        asks.then(|| self.go_down(Way::Reboot, now))
    }

    /// Action after the last script of an order. An order that a person or a halt stopped, and one
    /// that ran nothing, leaves the desktop as it is.
    pub(super) fn after_order(&self, span: Span, results: &[Record], now: i64) -> Option<GoDown> {
        let ran = results.iter().filter(|result| result.script >= span.first && result.started_at > 0);
        if ran.clone().next().is_none() || results.iter().any(|it| it.outcome == ScriptOutcome::Stopped) {
            return None;
        }
        let asked = results.last().and_then(|last| self.after_script(last, now));
        asked.or_else(|| self.post_finish.map(|way| self.go_down(way, now)))
    }
}

/// The next step of a desktop with due actions.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing is due.
    Rest,
    /// The desktop goes down, once nothing of ours runs and its users allow it.
    GoDown(GoDown),
}

/// Chooses among due actions of this boot. A reboot goes before a power-off, which would keep the
/// desktop from its return; it is done with it. Among equal ones the least patient counts, and the
/// last deadline.
pub(super) fn next_step<'a>(due: impl IntoIterator<Item = &'a GoDown>, boot_id: &str, now: i64) -> Step {
    let is_due = |action: &&GoDown| action.boot_id == boot_id && now < action.until;
    let due: Vec<&GoDown> = due.into_iter().filter(is_due).collect();
    let Some(way) = due.iter().map(|action| action.way).min_by_key(|way| *way != Way::Reboot) else {
        return Step::Rest;
    };
    let same = || due.iter().filter(|action| action.way == way);
    let patience = |action: &IfUserActive| match action {
        IfUserActive::Force => 0,
        IfUserActive::Ask => 1,
        IfUserActive::Wait => 2,
    };
    let if_user_active = same().map(|action| action.if_user_active).min_by_key(patience);
    Step::GoDown(GoDown {
        way,
        boot_id: boot_id.to_owned(),
        until: same().map(|action| action.until).max().unwrap_or(now),
        if_user_active: if_user_active.unwrap_or(IfUserActive::Wait),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(post_finish: &str, exit_codes: &[i32]) -> Order {
        let (post_finish, if_user_active) = (post_finish.to_owned(), "wait".to_owned());
        let exit_codes = exit_codes.to_vec();
        let reboot = RebootTerms { exit_codes, post_finish, if_user_active, timeout_ms: 900 };
        Order { reboot: Some(reboot), ..Order::default() }
    }

    fn permission(post_finish: &str, exit_codes: &[i32]) -> Permission {
        Permission::of(&order(post_finish, exit_codes), Some("b1")).unwrap().unwrap()
    }

    fn record(script: u32, outcome: ScriptOutcome, exit_code: Option<i32>) -> Record {
        Record { exit_code, started_at: 5, ..Record::bare(script, outcome, "", 6) }
    }

    fn span(count: u32) -> Span {
        Span { first: 0, count }
    }

    fn action(way: Way, if_user_active: IfUserActive, until: i64) -> GoDown {
        GoDown { way, boot_id: "b1".into(), until, if_user_active }
    }

    #[test]
    fn order_without_permission_never_lets_the_desktop_go_down() {
        assert_eq!(Permission::of(&Order::default(), Some("b1")), Ok(None));
        assert_eq!(Permission::of(&Order::default(), None), Ok(None));
    }

    #[test]
    fn order_whose_end_cannot_be_done_is_rejected() {
        assert!(Permission::of(&order("reboot", &[]), None).unwrap_err().contains("boot id"));
        assert!(Permission::of(&order("hibernate", &[]), Some("b1")).unwrap_err().contains("hibernate"));
        let mut strange = order("", &[3010]);
        strange.reboot.as_mut().unwrap().if_user_active = "hurry".into();
        assert!(Permission::of(&strange, Some("b1")).unwrap_err().contains("hurry"));
    }

    #[test]
    fn only_a_permitted_exit_code_of_a_success_asks_for_a_reboot() {
        let permission = permission("", &[3010]);
        let asks = |outcome, code| permission.after_script(&record(0, outcome, code), 100).is_some();
        assert!(asks(ScriptOutcome::Success, Some(3010)));
        assert!(!asks(ScriptOutcome::Success, Some(0)));
        assert!(!asks(ScriptOutcome::Failed, Some(3010)), "a failure by the agent's own rules");
        assert!(!asks(ScriptOutcome::Success, None));
        let expected = action(Way::Reboot, IfUserActive::Wait, 1_000);
        let reboot = permission.after_script(&record(0, ScriptOutcome::Success, Some(3010)), 100);
        assert_eq!(reboot, Some(expected));
    }

    #[test]
    fn action_follows_the_last_script_that_ran() {
        let success = record(0, ScriptOutcome::Success, Some(0));
        let failed = record(0, ScriptOutcome::Failed, Some(1));
        let skipped = Record::skipped(1, 6);
        let way = |permission: &Permission, results: &[Record]| {
            permission.after_order(span(2), results, 100).map(|action| action.way)
        };
        let reboots = permission("reboot", &[]);
        assert_eq!(way(&reboots, &[success.clone(), success.clone()]), Some(Way::Reboot));
        assert_eq!(way(&reboots, &[failed, skipped.clone()]), Some(Way::Reboot));
        assert_eq!(way(&permission("stop", &[]), std::slice::from_ref(&success)), Some(Way::PowerOff));
        assert_eq!(way(&permission("", &[3010]), std::slice::from_ref(&success)), None);
        let code = record(1, ScriptOutcome::Success, Some(3010));
        assert_eq!(way(&permission("stop", &[3010]), &[success.clone(), code]), Some(Way::Reboot));
        // Stopped by a person, or never started.
        let stopped = Record::bare(1, ScriptOutcome::Stopped, "", 6);
        assert_eq!(way(&reboots, &[success, stopped]), None);
        assert_eq!(way(&reboots, &[Record::bare(0, ScriptOutcome::Rejected, "", 6), skipped]), None);
        assert_eq!(way(&reboots, &[]), None);
    }

    #[test]
    fn action_of_another_boot_or_past_its_time_is_not_done() {
        let due = action(Way::Reboot, IfUserActive::Wait, 1_000);
        assert_eq!(next_step([&due], "b1", 999), Step::GoDown(due.clone()));
        assert_eq!(next_step([&due], "b1", 1_000), Step::Rest);
        assert_eq!(next_step([&due], "b2", 0), Step::Rest);
        assert_eq!(next_step([], "b1", 0), Step::Rest);
    }

    #[test]
    fn reboot_goes_before_a_power_off_and_force_before_a_wait() {
        let stop = action(Way::PowerOff, IfUserActive::Force, 5_000);
        let waits = action(Way::Reboot, IfUserActive::Wait, 2_000);
        let asks = action(Way::Reboot, IfUserActive::Ask, 1_000);
        let both = action(Way::Reboot, IfUserActive::Ask, 2_000);
        assert_eq!(next_step([&stop, &waits, &asks], "b1", 0), Step::GoDown(both));
        assert_eq!(next_step([&stop], "b1", 0), Step::GoDown(stop));
    }
}
