//! Faults: processes die and return, connections break, desktops restart, clocks differ, and the
//! database is unavailable.

mod clocks;
mod outage;

use super::{
    coverage::Feature,
    event::{Desktop, Event},
    scenario::Kinds,
    world::World,
};

/// The effect of one kind of fault.
type Injection = fn(&mut World);

impl World {
    /// Schedules the outages, the first fault, and the end of all faults.
    pub(super) fn plan_faults(&mut self) {
        self.plan_outages();
        let faults = &self.scenario.faults;
        if faults.is_calm() {
            return;
        }
        self.are_faults_on = true;
        let until = faults.until.num_milliseconds();
        self.clock.after(until, Event::FaultsCease);
        self.next_fault();
    }

    fn next_fault(&mut self) {
        let every = self.scenario.faults.every_ms;
        if every > 0 && self.are_faults_on {
            let wait = self.rng.between(1, every * 2);
            self.clock.after(wait, Event::Fault);
        }
    }

    /// Injects a fault of a random kind.
    pub(super) fn fault(&mut self) {
        if !self.are_faults_on {
            return;
        }
        let Kinds { schedulers, workers, drains, flaps, reboots } = self.scenario.faults.kinds;
        let sum = schedulers + workers + drains + flaps + reboots;
        if sum > 0 {
            let mut roll = self.rng.number(0, sum - 1);
            let kinds: [(u32, Injection); 5] = [
                (schedulers, Self::scheduler_fails),
                (workers, Self::worker_fails),
                (drains, Self::worker_is_replaced),
                (flaps, Self::desktop_flaps),
                (reboots, Self::desktop_restarts),
            ];
            for (often, happens) in kinds {
                if roll < often {
                    happens(self);
                    break;
                }
                roll -= often;
            }
        }
        self.next_fault();
    }

    fn scheduler_fails(&mut self) {
        let scheduler = self.rng.number(0, 99) as usize % self.schedulers.len();
        self.clock.after(0, Event::SchedulerDies { scheduler });
        let wait = self.rng.between(1_000, 120_000);
        self.clock.after(wait, Event::SchedulerReturns { scheduler });
    }

    /// Kills a scheduler with the transactions that it had decided on.
    pub(super) fn kill_scheduler(&mut self, scheduler: usize) {
        let row = &mut self.schedulers[scheduler];
        row.alive = false;
        row.life += 1;
        self.waits_out_of_service.clear();
        if !self.schedulers.iter().any(|scheduler| scheduler.alive) {
            self.coverage.add(Feature::NoScheduler);
            self.fault_everywhere();
        }
    }

    fn living_workers(&self) -> Vec<usize> {
        (0..self.workers.len()).filter(|&worker| self.workers[worker].alive).collect()
    }

    fn worker_fails(&mut self) {
        let living = self.living_workers();
        if let Some(worker) = self.rng.pick(&living) {
            self.coverage.add(Feature::WorkerDied);
            self.clock.after(0, Event::WorkerDies { worker });
        }
    }

    fn worker_is_replaced(&mut self) {
        let living = self.living_workers();
        if let Some(worker) = self.rng.pick(&living) {
            self.coverage.add(Feature::WorkerDrained);
            self.clock.after(0, Event::WorkerDrains { worker });
        }
    }

    fn connected_desktop(&mut self) -> Option<Desktop> {
        let connected = self.agents.iter().enumerate().filter(|(_, agent)| agent.session.is_some());
        let desktops: Vec<Desktop> = connected.map(|(desktop, _)| desktop).collect();
        self.rng.pick(&desktops)
    }

    fn desktop_flaps(&mut self) {
        let most = if self.rng.percent(70) { 20_000 } else { 900_000 };
        let away_ms = self.rng.between(100, most);
        if let Some(desktop) = self.connected_desktop() {
            self.coverage.add(Feature::Flap);
            self.clock.after(0, Event::AgentLeaves { desktop, away_ms });
        }
    }

    fn desktop_restarts(&mut self) {
        let away_ms = self.rng.between(1_000, 240_000);
        if let Some(desktop) = self.connected_desktop() {
            self.coverage.add(Feature::Reboot);
            self.clock.after(0, Event::AgentReboots { desktop, away_ms });
        }
    }
}
