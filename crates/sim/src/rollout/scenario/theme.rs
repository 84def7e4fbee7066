//! Themes: what chance alone would bring together too rarely.

use chrono::TimeDelta;
use domain::{
    rollout::{WaveSize, WaveSpec},
    threshold::Threshold,
    window::Window,
};

use super::{Kinds, Scenario, Waves};
use crate::rollout::dice::Dice;

impl Scenario {
    /// Gives some scenarios a theme.
    pub(super) fn themed(mut self, dice: &mut Dice) -> Self {
        match dice.number(0, 99) {
            0..12 => self.many_are_away(dice),
            12..20 => self.a_window_closes(dice),
            20..26 => self.little_is_pulled(dice),
            26..32 => self.reports_pile_up(dice),
            32..36 => self.workers_die(dice),
            _ => {}
        }
        self
    }

    /// Waves close on a quorum, and those that were away come back, some of them to fail.
    fn many_are_away(&mut self, dice: &mut Dice) {
        self.desktops = self.desktops.max(12);
        let sizes = [self.desktops / 3, self.desktops / 3];
        let waves = sizes.map(|size| WaveSpec {
            size: WaveSize::Count(size),
            fail_threshold: Some(Threshold::Count(dice.number(1, size / 3 + 1))),
        });
        let rest = WaveSpec { size: WaveSize::Rest, fail_threshold: None };
        self.waves = Waves::Asked(waves.into_iter().chain([rest]).collect());
        self.policy.strict = false;
        self.policy.window = None;
        self.policy.quorum = Some(dice.number(2_000, 7_000));
        self.policy.soak_seconds = if dice.percent(50) { 0 } else { dice.number(1, 120) };
        self.fleet.away = dice.number(15, 60);
        self.fleet.never = dice.number(0, 60);
        self.fleet.back_within = self.timeouts.delivery;
        self.fleet.failing = dice.number(0, 12);
        self.people.stop = None;
    }

    /// A window closes, a pause ends, a scheduler sleeps: nothing may start afterwards.
    fn a_window_closes(&mut self, dice: &mut Dice) {
        let to = dice.number(2, 25);
        self.policy.window = Window::new("09:00", &format!("10:{to:02}"), "UTC").ok();
        let closes = TimeDelta::minutes(i64::from(to));
        let from = closes - TimeDelta::seconds(dice.between(0, 100));
        self.people.pauses = vec![(from, from + TimeDelta::seconds(dice.between(1, 500)))];
        self.plant.capacity = dice.number(2, 12);
        self.plant.workers = self.plant.workers.min(2);
        self.policy.approval.before_waves.clear();
    }

    /// Reports are long on their way, so that the next one has much to tell: results, and targets whose desktops were gone
    /// when their batch was pulled.
    fn reports_pile_up(&mut self, dice: &mut Dice) {
        self.desktops = self.desktops.clamp(60, 120);
        self.waves = Waves::One;
        self.plant.workers = 1;
        self.plant.capacity = dice.number(4, 12);
        self.plant.delay_ms = dice.between(2_000, 3_000);
        self.policy.strict = false;
        self.policy.window = None;
        self.policy.fail_threshold = Some(Threshold::Count(dice.number(4, 12)));
        self.max_concurrency = None;
        self.fleet.failing = 25;
        self.fleet.away = 0;
        self.faults.until = TimeDelta::hours(1);
        self.faults.every_ms = dice.between(80, 250);
        self.faults.kinds = Kinds { flaps: 1, ..Kinds::default() };
    }

    /// Worker after worker dies of long scripts, until targets are isolated.
    fn workers_die(&mut self, dice: &mut Dice) {
        self.desktops = self.desktops.clamp(4, 60);
        self.waves = Waves::One;
        self.plant.workers = dice.number(1, 3) as usize;
        self.policy.strict = false;
        self.policy.window = None;
        self.policy.approval.before_waves.clear();
        self.timeouts.delivery = TimeDelta::minutes(15);
        self.timeouts.execution = TimeDelta::minutes(15);
        self.fleet.runs = TimeDelta::minutes(14);
        self.people.stop = None;
        self.expires_after = None;
        self.faults.until = TimeDelta::hours(1);
        self.faults.every_ms = dice.between(10_000, 30_000) * i64::from(dice.number(1, 4));
        self.faults.kinds = Kinds { workers: 4, flaps: 1, ..Kinds::default() };
    }

    /// Batches wait for workers that have no room, so that whatever a person does finds some of them ready.
    fn little_is_pulled(&mut self, dice: &mut Dice) {
        self.plant.capacity = dice.number(1, 6);
        self.plant.workers = 1;
        self.desktops = self.desktops.clamp(4, 80);
        let at = TimeDelta::seconds(dice.between(2, 400));
        self.people.pauses = vec![(at, at + TimeDelta::seconds(dice.between(1, 900)))];
    }
}
