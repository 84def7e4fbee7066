//! Outages of the database: transactions commit without an answer, or fail.

use chrono::TimeDelta;

use crate::rollout::{clock::beginning, coverage::Feature, event::Event, state::RunningOutage, world::World};

impl World {
    pub(super) fn plan_outages(&mut self) {
        for (after, outage) in self.scenario.faults.outages.clone() {
            let unknown_ms = outage.unknown.num_milliseconds();
            let lasts_ms = unknown_ms + outage.down.num_milliseconds();
            self.clock.at(beginning() + after, Event::OutageBegins { unknown_ms, lasts_ms });
        }
    }

    pub(in crate::rollout) fn begin_outage(&mut self, unknown_ms: i64, lasts_ms: i64) {
        self.coverage.add(Feature::Outage);
        let now = self.clock.now;
        let ends_at = now + TimeDelta::milliseconds(lasts_ms);
        let ends_at = self.outage.map_or(ends_at, |outage| outage.ends_at.max(ends_at));
        self.outage =
            Some(RunningOutage { unknown_until: now + TimeDelta::milliseconds(unknown_ms), ends_at });
        self.clock.at(ends_at, Event::OutageEnds);
    }

    pub(in crate::rollout) fn end_outage(&mut self) {
        if self.outage.is_some_and(|outage| outage.ends_at <= self.clock.now) {
            self.outage = None;
            self.listen_again();
        }
    }
}
