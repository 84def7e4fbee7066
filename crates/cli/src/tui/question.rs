//! Questions before a key changes something.

use proto::admin::WaveStatus;

use super::{
    app::{App, Over},
    command::Command,
};
use crate::format::many;

impl App {
    /// Returns the question that the screen asks, with the wave and its desktops, and the keys that
    /// answer it; `None` without a question.
    pub(super) fn question(&self) -> Option<(String, &'static str)> {
        const YES: &str = "y: yes   any other key: cancel";
        match self.over {
            Over::Nothing | Over::Help => None,
            Over::Stop => Some((
                format!("Stop the task in {}?", self.current_wave()),
                "d: drain running scripts   k: kill running scripts   any other key: cancel",
            )),
            Over::Confirm(Command::Approve(wave)) => Some((format!("Approve {}?", self.wave(wave)), YES)),
            Over::Confirm(Command::Resume) => {
                Some((format!("Resume the task in {}?", self.current_wave()), YES))
            }
            Over::Confirm(_) => Some((format!("Pause the task in {}?", self.current_wave()), YES)),
        }
    }

    /// Describes the first wave that has not closed, or the last one.
    fn current_wave(&self) -> String {
        let waves = &self.rollout.waves;
        let current = waves.iter().find(|wave| wave.wave.status() != WaveStatus::Closed);
        match current.or_else(|| waves.last()) {
            Some(wave) => self.wave(wave.wave.wave),
            None => "its first wave".to_owned(),
        }
    }

    /// Describes a wave: `wave 2 of 3: 5000 desktops, 512 in flight`.
    fn wave(&self, number: u32) -> String {
        let waves = &self.rollout.waves;
        let found = waves.iter().find(|wave| wave.wave.wave == number).map(|it| &it.wave);
        let desktops = found.map_or_else(String::new, |it| format!(": {}", many(it.size, "desktop")));
        let in_flight = found.map_or(0, |it| it.in_flight);
        let in_flight = if in_flight == 0 { String::new() } else { format!(", {in_flight} in flight") };
        format!("wave {number} of {}{desktops}{in_flight}", waves.len())
    }
}
