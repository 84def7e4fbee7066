//! Themes: combinations that chance alone draws too rarely.

use chrono::TimeDelta;
use domain::{
    rollout::{WaveSize, WaveSpec},
    threshold::Threshold,
    window::Window,
};

use super::{Kinds, Scenario, TaskSpec, Waves};
use crate::rollout::rng::Rng;

impl Scenario {
    /// The only task of the first project, before others are added.
    fn task(&mut self) -> &mut TaskSpec {
        &mut self.projects[0].tasks[0]
    }

    /// Sets the number of desktops of the task and its project.
    fn set_desktops(&mut self, desktops: u32) {
        self.projects[0].desktops = desktops;
        self.task().desktops = desktops;
    }

    /// Gives some scenarios a theme.
    pub(super) fn themed(mut self, rng: &mut Rng) -> Self {
        match rng.number(0, 99) {
            0..12 => self.many_are_away(rng),
            12..20 => self.a_window_closes(rng),
            20..26 => self.little_is_pulled(rng),
            26..32 => self.reports_pile_up(rng),
            32..36 => self.workers_die(rng),
            _ => {}
        }
        self
    }

    /// Waves close on a quorum, and offline desktops come back, some of them with failures.
    fn many_are_away(&mut self, rng: &mut Rng) {
        let desktops = self.task().desktops.max(12);
        self.set_desktops(desktops);
        let sizes = [desktops / 3, desktops / 3];
        let waves = sizes.map(|size| WaveSpec {
            size: WaveSize::Count(size),
            fail_threshold: Some(Threshold::Count(rng.number(1, size / 3 + 1))),
        });
        let rest = WaveSpec { size: WaveSize::Rest, fail_threshold: None };
        self.task().waves = Waves::Asked(waves.into_iter().chain([rest]).collect());
        self.task().policy.strict = false;
        self.task().policy.window = None;
        self.task().policy.quorum = Some(rng.basis_points(2_000, 7_000));
        self.task().policy.soak_seconds = if rng.percent(50) { 0 } else { rng.number(1, 120) };
        self.fleet.away = rng.number(15, 60);
        self.fleet.never = rng.number(0, 60);
        self.fleet.back_within = self.task().timeouts.delivery;
        self.fleet.failing = rng.number(0, 12);
        self.task().operators.stop = None;
    }

    /// A window closes during a pause: nothing may start after the pause.
    fn a_window_closes(&mut self, rng: &mut Rng) {
        let to = rng.number(2, 25);
        self.task().policy.window = Window::new("09:00", &format!("10:{to:02}"), "UTC").ok();
        let closes = TimeDelta::minutes(i64::from(to));
        let from = closes - TimeDelta::seconds(rng.between(0, 100));
        self.task().operators.pauses = vec![(from, from + TimeDelta::seconds(rng.between(1, 500)))];
        self.cluster.capacity = rng.number(2, 12);
        self.cluster.workers = self.cluster.workers.min(2);
        self.task().policy.approval.before_waves.clear();
    }

    /// Reports take long, so that the next one holds many results, and targets whose desktops were
    /// offline when their batch was pulled.
    fn reports_pile_up(&mut self, rng: &mut Rng) {
        let desktops = self.task().desktops.clamp(60, 120);
        self.set_desktops(desktops);
        self.task().waves = Waves::One;
        self.cluster.workers = 1;
        self.cluster.capacity = rng.number(4, 12);
        self.cluster.delay_ms = rng.between(2_000, 3_000);
        self.task().policy.strict = false;
        self.task().policy.window = None;
        self.task().policy.fail_threshold = Some(Threshold::Count(rng.number(4, 12)));
        self.task().max_concurrency = None;
        self.fleet.failing = 25;
        self.fleet.away = 0;
        self.faults.until = TimeDelta::hours(1);
        self.faults.every_ms = rng.between(80, 250);
        self.faults.kinds = Kinds { flaps: 1, ..Kinds::default() };
    }

    /// Worker after worker dies during long scripts, until targets are quarantined.
    fn workers_die(&mut self, rng: &mut Rng) {
        let desktops = self.task().desktops.clamp(4, 60);
        self.set_desktops(desktops);
        self.task().waves = Waves::One;
        self.cluster.workers = rng.number(1, 3) as usize;
        self.task().policy.strict = false;
        self.task().policy.window = None;
        self.task().policy.approval.before_waves.clear();
        self.task().timeouts.delivery = TimeDelta::minutes(15);
        self.task().timeouts.execution = TimeDelta::minutes(15);
        self.fleet.runs = TimeDelta::minutes(14);
        self.task().operators.stop = None;
        self.task().expires_after = None;
        self.faults.until = TimeDelta::hours(1);
        self.faults.every_ms = rng.between(10_000, 30_000) * i64::from(rng.number(1, 4));
        self.faults.kinds = Kinds { workers: 4, flaps: 1, ..Kinds::default() };
    }

    /// Batches wait for workers without room, so that commands of operators find some of them
    /// ready.
    fn little_is_pulled(&mut self, rng: &mut Rng) {
        self.cluster.capacity = rng.number(1, 6);
        self.cluster.workers = 1;
        let desktops = self.task().desktops.clamp(4, 80);
        self.set_desktops(desktops);
        let at = TimeDelta::seconds(rng.between(2, 400));
        self.task().operators.pauses = vec![(at, at + TimeDelta::seconds(rng.between(1, 900)))];
    }
}
