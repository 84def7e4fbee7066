//! Adds tasks, projects, retries, clock skew, outages, poisoned results and retirements to
//! scenarios of one task.

use chrono::TimeDelta;

use super::{
    Departure, Outage, ProjectSpec, Retries, Scenario, TaskSpec,
    draw::{few, seconds},
};
use crate::{memory::ProjectLimits, rollout::rng::Rng};

/// The stream that additions are drawn from. What the first task is does not depend on them.
const STREAM: u64 = 3;
/// Maximum number of desktops of a project with several tasks.
const MAX_SHARED: u32 = 60;

impl Scenario {
    /// Adds to some scenarios what goes beyond one task on a cluster with exact clocks, a
    /// database that is always up, and honest agents.
    pub(super) fn with_more_tasks(mut self) -> Self {
        let mut rng = Rng::new(self.seed, STREAM);
        if rng.percent(30) && self.projects[0].desktops <= MAX_SHARED {
            self.add_tasks(&mut rng);
        }
        if rng.percent(12) && self.projects[0].desktops <= 400 {
            self.add_retries(&mut rng);
        }
        if rng.percent(20) {
            self.skew_clocks(&mut rng);
        }
        if rng.percent(18) {
            self.add_outages(&mut rng);
        }
        if rng.percent(20) {
            self.require_successes(&mut rng);
        }
        if rng.percent(15) {
            self.fleet.poisoned = rng.number(5, 150);
        }
        if rng.percent(15) {
            self.retire_desktops(&mut rng);
        }
        self
    }

    /// Retires or revokes up to a quarter of the desktops.
    fn retire_desktops(&mut self, rng: &mut Rng) {
        for project in &mut self.projects {
            let number = rng.number(1, project.desktops / 4 + 1);
            let departure = |_| Departure {
                after: seconds(rng, 1, 600),
                desktop: rng.number(0, project.desktops - 1),
                returns_after: rng.percent(40).then(|| seconds(rng, 30, 900)),
            };
            project.out_of_service = (0..number).map(departure).collect();
        }
    }

    /// Requires a share of successes before a next wave opens.
    fn require_successes(&mut self, rng: &mut Rng) {
        for task in self.projects.iter_mut().flat_map(|project| &mut project.tasks) {
            task.policy.min_success = Some(rng.basis_points(500, 9_500));
        }
    }

    /// One to three more tasks, some of them of a second project.
    fn add_tasks(&mut self, rng: &mut Rng) {
        let has_window = self.cluster.period_ms >= 8_000;
        for _ in 0..rng.number(1, 3) {
            let is_second = rng.percent(35);
            if is_second && self.projects.len() == 1 {
                let task = drawn_task(rng, None, has_window);
                let mut project = ProjectSpec::of(task);
                project.limits.max_in_flight = rng.percent(30).then(|| few(rng, project.desktops));
                project.freeze = rng.percent(15).then(|| {
                    let from = seconds(rng, 1, 600);
                    (from, from + seconds(rng, 1, 900))
                });
                self.projects.push(project);
            } else {
                let place = usize::from(is_second && self.projects.len() > 1);
                let project = &mut self.projects[place];
                project.tasks.push(drawn_task(rng, Some(project.desktops), has_window));
            }
        }
        for project in &mut self.projects {
            let ProjectLimits { max_in_flight, max_running_per_desktop } = &mut project.limits;
            if rng.percent(35) {
                max_in_flight.get_or_insert_with(|| few(rng, project.desktops));
            }
            if rng.percent(40) {
                *max_running_per_desktop = Some(u16::try_from(rng.number(1, 2)).unwrap_or(1));
            }
            if rng.percent(15) {
                let changes = rng.number(1, 2);
                project.limit_changes =
                    (0..changes).map(|_| (seconds(rng, 1, 900), few(rng, project.desktops))).collect();
            }
        }
    }

    fn add_retries(&mut self, rng: &mut Rng) {
        for task in self.projects.iter_mut().flat_map(|project| &mut project.tasks) {
            task.operators.retries = Retries {
                records: if rng.percent(40) { rng.number(1, 3) } else { 0 },
                tasks: rng.number(1, 2),
                wait: seconds(rng, 1, 120),
            };
        }
        // Scripts that fail now and then, so that there is something to retry.
        if self.fleet.failing == 0 {
            self.fleet.failing = rng.number(1, 20);
        }
    }

    fn skew_clocks(&mut self, rng: &mut Rng) {
        self.cluster.skew_ms = rng.between(10, 3_000);
        self.cluster.reported_skew_ms = if rng.percent(50) { 0 } else { rng.between(1, 7_200_000) };
    }

    fn add_outages(&mut self, rng: &mut Rng) {
        let pace = self.cluster.period_ms / 1_000;
        for _ in 0..rng.number(1, 3) {
            let outage = Outage {
                unknown: TimeDelta::milliseconds(if rng.percent(70) { rng.between(1, 2_000) } else { 0 }),
                down: TimeDelta::seconds(rng.between(1, 60) * pace),
            };
            self.faults.outages.push((seconds(rng, 1, 600), outage));
        }
    }
}

/// A task over some of a project's desktops; `None` for a new project.
fn drawn_task(rng: &mut Rng, shared: Option<u32>, may_have_window: bool) -> TaskSpec {
    let most = shared.unwrap_or(MAX_SHARED);
    let desktops = rng.number(most / 3 + 1, most);
    let mut task = TaskSpec::drawn(rng, desktops);
    task.submitted_after = if rng.percent(40) { TimeDelta::zero() } else { seconds(rng, 1, 600) };
    task.first_desktop = shared.map_or(0, |shared| rng.number(0, shared - 1));
    if !may_have_window {
        task.policy.window = None;
    }
    task
}
