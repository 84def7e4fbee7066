//! Progress as lines of text, for output that is not a terminal: logs and CI jobs.

use std::time::{Duration, Instant};

use super::{Rollout, Update, View, event_line, left};
use crate::{
    output::{Console, Palette},
    sanitize::sanitize_line,
};

/// Minimum interval between two reports of changed counters.
const INTERVAL: Duration = Duration::from_secs(10);
/// Interval between two reports while the counters do not change.
const STILL_EVERY: Duration = Duration::from_secs(30);

/// View that prints lines to standard error.
pub(super) struct Lines<'a> {
    console: &'a Console,
    palette: Palette,
    told_at: Option<Instant>,
    has_counters: bool,
}

impl<'a> Lines<'a> {
    pub(super) const fn new(console: &'a Console) -> Self {
        Self { console, palette: console.err, told_at: None, has_counters: true }
    }

    /// Makes a view without counters.
    pub(super) const fn of_events(console: &'a Console) -> Self {
        Self { has_counters: false, ..Self::new(console) }
    }

    fn numbers(&mut self, rollout: &Rollout, every: Duration, now: Instant) {
        if !self.has_counters {
            return;
        }
        if self.told_at.is_some_and(|at| now.duration_since(at) < every) {
            return;
        }
        for line in open_waves(rollout, now) {
            self.console.say(&line);
        }
        self.told_at = Some(now);
    }
}

impl View for Lines<'_> {
    fn apply(&mut self, rollout: &Rollout, update: &Update, now: Instant) {
        match update {
            Update::Event(event) => {
                let (tone, line) = event_line(event);
                self.console.say(&self.palette.paint(tone, &line));
            }
            Update::Lost(why) => self.console.say(&lost(why)),
            Update::Back => self.console.say("reconnected to the control plane"),
            Update::Progress(_) => self.numbers(rollout, INTERVAL, now),
            Update::End => {}
        }
    }

    fn say(&mut self, line: &str) {
        self.console.say(line);
    }

    /// Repeats the counters, so that a log shows that the command still follows.
    fn tick(&mut self, rollout: &Rollout, now: Instant) {
        if self.told_at.is_some() && rollout.lost.is_none() {
            self.numbers(rollout, STILL_EVERY, now);
        }
    }
    fn end(&mut self) {}
}

/// Formats the message for a lost connection.
pub(crate) fn lost(why: &str) -> String {
    let why = sanitize_line(why);
    format!("connection lost ({why}); retrying. The task continues")
}

/// Formats one line of counters per open wave.
fn open_waves(rollout: &Rollout, now: Instant) -> Vec<String> {
    let open = rollout.waves.iter().filter(|wave| wave.is_open());
    let line = open.map(|wave| {
        let it = &wave.wave;
        let left = wave.left(now).map_or_else(String::new, |time| format!(", {} left", left(time)));
        format!(
            "wave {} of {}: {} of {} succeeded, {} failed, {} in flight, {} offline{left}",
            it.wave,
            rollout.waves.len(),
            wave.succeeded(),
            it.size,
            it.failed,
            it.in_flight,
            it.waiting
        )
    });
    line.collect()
}

#[cfg(test)]
mod tests {
    use proto::admin::{Outcomes, TaskProgress, Wave, WaveStatus};

    use super::*;

    #[test]
    fn only_waves_that_are_open_are_told() {
        let wave = |wave, status: WaveStatus| Wave {
            wave,
            size: 10,
            status: status.into(),
            in_flight: 3,
            waiting: 1,
            failed: 2,
            targets: Some(Outcomes { success: 4, failed: 2, ..Outcomes::default() }),
            ..Wave::default()
        };
        let waves =
            vec![wave(1, WaveStatus::Closed), wave(2, WaveStatus::Open), wave(3, WaveStatus::Pending)];
        let mut rollout = Rollout::default();
        let now = Instant::now();
        rollout.apply(&Update::Progress(TaskProgress { waves, ..TaskProgress::default() }), now);
        assert_eq!(
            open_waves(&rollout, now),
            ["wave 2 of 3: 4 of 10 succeeded, 2 failed, 3 in flight, 1 offline"]
        );
    }
}
