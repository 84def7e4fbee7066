//! Invariants over several tasks: shared limits, shared desktops, retries.

use std::collections::BTreeMap;

use domain::outcome::Outcome;

use crate::rollout::{
    coverage::Feature,
    event::{Desktop, Target, Task},
    world::World,
};

impl World {
    /// No target comes in flight beyond the limit of its project, over all tasks.
    pub(in crate::rollout) fn check_projects(&mut self) {
        let placed = self.tasks.iter().filter(|state| state.invariants.placed);
        let placed: Vec<usize> = placed.map(|state| state.project).collect();
        for project in placed {
            let limits = self.store.limits.get(&self.projects[project].project_id);
            let Some(most) = limits.and_then(|limits| limits.max_in_flight) else { continue };
            let mut by_task = BTreeMap::new();
            for (task, state) in self.tasks.iter().enumerate().filter(|(_, it)| it.project == project) {
                let table = &self.store.tasks[&state.task_id];
                let in_flight = state.invariants.in_flight(table);
                if in_flight > 0 {
                    by_task.insert(task, in_flight);
                }
            }
            let in_flight: usize = by_task.values().sum();
            if in_flight == most as usize {
                self.coverage.add(Feature::PlacesFull);
                if by_task.len() > 1 {
                    self.coverage.add(Feature::PlacesShared);
                }
            }
            self.must(
                in_flight <= most as usize,
                "no more than the project's max_in_flight are admitted",
                || format!("{by_task:?} are in flight in project {project}, and {most} may be"),
            );
        }
    }

    /// A desktop runs no more scripts at the same time than its project allows.
    pub(in crate::rollout) fn check_running(&mut self, target: Target, desktop: Desktop) {
        let project = &self.projects[self.tasks[target.task].project];
        let running = self.agents[desktop].running();
        if running > 1 {
            self.coverage.add(Feature::DesktopShared);
        }
        let limits = self.store.limits.get(&project.project_id);
        let most = limits.and_then(|limits| limits.max_running_per_desktop).map_or(usize::MAX, usize::from);
        self.must(running <= most, "a desktop runs no more than max_running_per_desktop", || {
            format!("desktop {desktop} runs {running}, and may run {most}")
        });
    }

    /// A retry runs nothing that succeeded in an earlier attempt.
    pub(in crate::rollout) fn check_not_repeated(&mut self, target: Target, script: usize) {
        let desktop = self.desktop_of(target);
        let (mut task, mut script) = (target.task, script);
        while let Some((old, first)) = self.tasks[task].retry_of {
            script += usize::from(first);
            task = old;
            let state = &self.tasks[old];
            let ordinal = state.desktops.iter().position(|it| *it == desktop).unwrap_or_default();
            let records = &self.store.tasks[&state.task_id].records[ordinal];
            let has_succeeded = records
                .iter()
                .any(|record| usize::from(record.script) == script && record.outcome == Outcome::Success);
            self.must(!has_succeeded, "a retry runs nothing that succeeded", || {
                format!("script {script} of desktop {desktop} succeeded in task {old}")
            });
        }
    }

    /// A retry is the next attempt of an ended task, and takes nothing that was retried before.
    pub(in crate::rollout) fn check_retry(&mut self, old: Task, record: Option<(u32, u16)>, new: Task) {
        let (attempt, before) = (self.tasks[new].attempt, self.tasks[old].attempt);
        self.must(attempt == before + 1, "a retry is the next attempt", || {
            format!("task {new} is attempt {attempt} of task {old}, which is attempt {before}")
        });
        let has_ended = self.tasks[old].invariants.has_ended();
        self.must(has_ended, "only a task that has ended is retried", || format!("task {old} was retried"));
        let old_id = self.tasks[old].task_id;
        let others = self.tasks[..new].iter().filter_map(|state| {
            let (retried, of) = self.store.tasks[&state.task_id].retry_of?;
            (retried == old_id).then_some((state, of))
        });
        let again = others.clone().find_map(|(state, of)| match (of, record) {
            // A retried record keeps its target out of a retry of the whole task.
            (Some((ordinal, _)), None) => {
                let desktop = self.tasks[old].desktops[ordinal as usize];
                self.tasks[new].desktops.contains(&desktop).then_some(desktop)
            }
            (Some(one), Some(other)) => (one == other).then_some(state.desktops[0]),
            (None, _) => Some(self.tasks[new].desktops[0]),
        });
        self.must(again.is_none(), "nothing is retried twice", || {
            format!("desktop {} of task {old} was retried again by task {new}", again.unwrap_or_default())
        });
    }
}
