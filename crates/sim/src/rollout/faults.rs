//! Accidents: processes die and come back, connections break, desktops restart; until faults cease.

use super::{coverage::Feature, event::Event, scenario::Kinds, world::World};

/// What an accident does.
type Accident = fn(&mut World);

impl World {
    /// The first accident, and the end of all of them.
    pub(super) fn plan_faults(&mut self) {
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
            let wait = self.dice.between(1, every * 2);
            self.clock.after(wait, Event::Fault);
        }
    }

    /// One accident, of the kind that the dice choose.
    pub(super) fn fault(&mut self) {
        if !self.are_faults_on {
            return;
        }
        let Kinds { schedulers, workers, drains, flaps, reboots } = self.scenario.faults.kinds;
        let sum = schedulers + workers + drains + flaps + reboots;
        if sum > 0 {
            let mut roll = self.dice.number(0, sum - 1);
            let kinds: [(u32, Accident); 5] = [
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
        let scheduler = self.dice.number(0, 99) as usize % self.schedulers.len();
        self.clock.after(0, Event::SchedulerDies { scheduler });
        let wait = self.dice.between(1_000, 120_000);
        self.clock.after(wait, Event::SchedulerReturns { scheduler });
    }

    /// A scheduler's process ends; what it had decided on is not done.
    pub(super) fn kill_scheduler(&mut self, scheduler: usize) {
        let row = &mut self.schedulers[scheduler];
        row.alive = false;
        row.life += 1;
        if !self.schedulers.iter().any(|scheduler| scheduler.alive) {
            self.coverage.add(Feature::NoScheduler);
            self.promises.fault_everywhere();
        }
    }

    fn living_workers(&self) -> Vec<usize> {
        (0..self.workers.len()).filter(|&worker| self.workers[worker].alive).collect()
    }

    fn worker_fails(&mut self) {
        let living = self.living_workers();
        if let Some(worker) = self.dice.pick(&living) {
            self.coverage.add(Feature::WorkerDied);
            self.clock.after(0, Event::WorkerDies { worker });
        }
    }

    fn worker_is_replaced(&mut self) {
        let living = self.living_workers();
        if let Some(worker) = self.dice.pick(&living) {
            self.coverage.add(Feature::WorkerDrained);
            self.clock.after(0, Event::WorkerDrains { worker });
        }
    }

    fn connected_desktop(&mut self) -> Option<u32> {
        let connected = (0u32..).zip(&self.agents).filter(|(_, agent)| agent.session.is_some());
        let ordinals: Vec<u32> = connected.map(|(ordinal, _)| ordinal).collect();
        self.dice.pick(&ordinals)
    }

    fn desktop_flaps(&mut self) {
        let most = if self.dice.percent(70) { 20_000 } else { 900_000 };
        let away_ms = self.dice.between(100, most);
        if let Some(ordinal) = self.connected_desktop() {
            self.coverage.add(Feature::Flap);
            self.clock.after(0, Event::AgentLeaves { ordinal, away_ms });
        }
    }

    fn desktop_restarts(&mut self) {
        let away_ms = self.dice.between(1_000, 240_000);
        if let Some(ordinal) = self.connected_desktop() {
            self.coverage.add(Feature::Reboot);
            self.clock.after(0, Event::AgentReboots { ordinal, away_ms });
        }
    }
}
