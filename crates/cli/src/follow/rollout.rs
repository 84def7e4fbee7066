//! State of a watched rollout.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use proto::admin::{Outcomes, TaskEvent, TaskStatus, Wave, WaveStatus};

use super::{Update, rate::Rate};
use crate::actions;

/// Minimum rate that is shown, in targets per second.
const SLOWEST: f64 = 0.05;

/// Maximum number of kept events: more than any screen has lines.
const MAX_EVENTS: usize = 1_000;

/// State of a rollout, built from its updates.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rollout {
    pub(crate) status: TaskStatus,
    pub(crate) waiting_for: String,
    pub(crate) waves: Vec<WaveNow>,
    /// Latest events, oldest first; at most [`MAX_EVENTS`].
    pub(crate) events: VecDeque<TaskEvent>,
    /// Cause of the lost connection; `None` while connected.
    pub(crate) lost: Option<String>,
    /// Set after the last update of the task.
    pub(crate) over: bool,
}

/// State of a wave, and the rate of its targets.
#[derive(Debug, Clone, Default)]
pub(crate) struct WaveNow {
    pub(crate) wave: Wave,
    rate: Rate,
}

impl Rollout {
    /// Returns the next wave if it needs an approval and has none.
    pub(crate) fn next_held(&self) -> Option<&Wave> {
        actions::next_held(self.waves.iter().map(|wave| &wave.wave))
    }

    /// Applies an update. `now` is the local time of its arrival.
    pub(crate) fn apply(&mut self, update: &Update, now: Instant) {
        match update {
            Update::Event(event) => {
                self.events.push_back(event.clone());
                if self.events.len() > MAX_EVENTS {
                    self.events.pop_front();
                }
            }
            Update::Progress(progress) => {
                self.status = progress.status();
                self.waiting_for.clone_from(&progress.waiting_for);
                self.waves.resize_with(progress.waves.len(), WaveNow::default);
                for (known, wave) in self.waves.iter_mut().zip(&progress.waves) {
                    known.wave = wave.clone();
                    if wave.status() == WaveStatus::Open {
                        known.rate.look(known.finished(), now);
                    }
                }
            }
            Update::Lost(why) => self.lost = Some(why.clone()),
            Update::Back => self.lost = None,
            Update::End => self.over = true,
        }
    }

    /// Returns the number of targets in all waves, and how many of them have finished.
    pub(crate) fn totals(&self) -> (u32, u32) {
        self.waves
            .iter()
            .fold((0, 0), |(size, finished), wave| (size + wave.wave.size, finished + wave.finished()))
    }
}

impl WaveNow {
    pub(crate) fn outcomes(&self) -> Outcomes {
        self.wave.targets.unwrap_or_default()
    }

    /// Returns the number of targets that succeeded.
    pub(crate) fn succeeded(&self) -> u32 {
        self.outcomes().success
    }

    /// Counts the finished targets, including those that a stop ended. Skipped targets never
    /// finish.
    pub(crate) fn finished(&self) -> u32 {
        let it = self.outcomes();
        let failed = it.failed + it.timeout + it.undelivered + it.rejected + it.unknown + it.not_returned;
        it.success + failed + it.stopped
    }

    /// Counts the finished targets that did not succeed, even if their outcome has no weight.
    pub(crate) fn not_succeeded(&self) -> u32 {
        self.finished() - self.succeeded()
    }

    /// Returns the targets finished per second; `None` if the wave is not open or the rate is too
    /// low.
    pub(crate) fn rate(&self, now: Instant) -> Option<f64> {
        self.is_open().then(|| self.rate.per_second(now)).flatten().filter(|rate| *rate >= SLOWEST)
    }

    /// Estimates the time to the end of the wave. Returns `None` if the wave is not open, or all
    /// missing targets are offline.
    pub(crate) fn left(&self, now: Instant) -> Option<Duration> {
        let more = self.wave.size.saturating_sub(self.finished());
        if !self.is_open() || more <= self.wave.waiting {
            return None;
        }
        self.rate.left(more, now)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.wave.status() == WaveStatus::Open
    }
}

#[cfg(test)]
mod tests {
    use proto::admin::TaskProgress;

    use super::*;

    fn progress(success: u32, failed: u32, status: WaveStatus) -> Update {
        let wave = Wave {
            wave: 1,
            size: 10,
            status: status.into(),
            targets: Some(Outcomes { success, failed, ..Outcomes::default() }),
            ..Wave::default()
        };
        Update::Progress(TaskProgress {
            status: TaskStatus::Running.into(),
            waves: vec![wave],
            ..TaskProgress::default()
        })
    }

    #[test]
    fn a_wave_has_a_rate_while_it_is_open() {
        let begin = Instant::now();
        let mut rollout = Rollout::default();
        rollout.apply(&progress(0, 0, WaveStatus::Open), begin);
        let now = begin + Duration::from_secs(2);
        rollout.apply(&progress(3, 1, WaveStatus::Open), now);
        let wave = &rollout.waves[0];
        assert_eq!((wave.finished(), wave.not_succeeded(), wave.rate(now)), (4, 1, Some(2.0)));
        assert_eq!(wave.left(now), Some(Duration::from_secs(3)));
        assert_eq!(rollout.totals(), (10, 4));
        rollout.apply(&progress(9, 1, WaveStatus::Closed), now);
        assert_eq!((rollout.waves[0].rate(now), rollout.waves[0].left(now)), (None, None));
    }

    #[test]
    fn the_last_events_are_kept_and_no_more() {
        let mut rollout = Rollout::default();
        for event_id in 0..2_000 {
            rollout.apply(&Update::Event(TaskEvent { event_id, ..TaskEvent::default() }), Instant::now());
        }
        assert_eq!((rollout.events.len(), rollout.events.back().unwrap().event_id), (MAX_EVENTS, 1_999));
    }

    #[test]
    fn a_connection_is_lost_until_it_is_back() {
        let mut rollout = Rollout::default();
        rollout.apply(&Update::Lost("connection refused".into()), Instant::now());
        assert_eq!(rollout.lost.as_deref(), Some("connection refused"));
        rollout.apply(&Update::Back, Instant::now());
        assert_eq!((rollout.lost.as_deref(), rollout.over), (None, false));
        rollout.apply(&Update::End, Instant::now());
        assert!(rollout.over);
    }
}
