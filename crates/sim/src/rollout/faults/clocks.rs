//! Clock skew: clocks of schedulers, use cases and agents differ from the true time, and are set
//! now and then.

use chrono::TimeDelta;

use crate::rollout::{clock::beginning, coverage::Feature, event::Event, world::World};

/// Time after which clocks keep their offsets.
const CHANGES_FOR: TimeDelta = TimeDelta::hours(1);

impl World {
    /// Sets all clocks for the first time.
    pub(in crate::rollout) fn plan_clocks(&mut self) {
        if self.scenario.cluster.skew_ms > 0 {
            self.coverage.add(Feature::ClockSkew);
            self.change_clocks();
        }
    }

    /// Sets all clocks to other offsets.
    pub(in crate::rollout) fn change_clocks(&mut self) {
        let most = self.scenario.cluster.skew_ms;
        self.control_offset_ms = self.rng.between(-most, most);
        for scheduler in &mut self.schedulers {
            scheduler.offset_ms = self.rng.between(-most, most);
        }
        for agent in &mut self.agents {
            agent.offset_ms = self.rng.between(-most, most);
        }
        if self.clock.now < beginning() + CHANGES_FOR {
            let wait = self.rng.between(5_000, 120_000);
            self.clock.after(wait, Event::ClocksChange);
        }
    }
}
