//! Progress bars on a terminal: events scroll above a bar for each wave.

use std::{io::IsTerminal as _, time::Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use proto::{
    admin::{TaskStatus, WaveStatus},
    word,
};

use super::{BAR_SIGNS, BAR_TONES, Rollout, Update, View, WaveNow, bar_of, event_line, left, lost};
use crate::{
    output::{Palette, Tone, is_dumb, tone},
    sanitize::sanitize_line,
};

/// Maximum number of bars. Of more waves, those around the first unfinished wave are shown.
const MAX_BARS: usize = 12;
/// Minimum and maximum width of a bar, in characters.
const BAR: (usize, usize) = (8, 60);
/// Width of the text before a bar: `wave 1  OPEN    `.
const HEAD: usize = 16;
/// Width of a terminal that does not report its size, in columns.
const WIDTH: u16 = 80;

/// Reports whether standard error is a terminal that can show bars.
pub(super) fn fits() -> bool {
    std::io::stderr().is_terminal() && !is_dumb()
}

/// View with a bar for each wave, and a line for the whole rollout below them.
pub(super) struct Bars {
    palette: Palette,
    width: fn() -> u16,
    all: MultiProgress,
    lines: Vec<ProgressBar>,
    begun: Instant,
}

impl Bars {
    /// Makes a view that draws on standard error.
    pub(super) fn new(palette: Palette) -> Self {
        let width = || crossterm::terminal::size().map_or(WIDTH, |(columns, _)| columns);
        Self::on(ProgressDrawTarget::stderr(), palette, width)
    }

    fn on(target: ProgressDrawTarget, palette: Palette, width: fn() -> u16) -> Self {
        let all = MultiProgress::with_draw_target(target);
        Self { palette, width, all, lines: Vec::new(), begun: Instant::now() }
    }

    /// Prints a permanent line above the bars.
    fn above(&self, text: &str) {
        // Ignore a closed terminal here; the end of the view detects it.
        drop(self.all.println(text));
    }

    fn draw(&mut self, rollout: &Rollout, now: Instant) {
        // Leave room for the ^C that a terminal echoes, because a longer line would wrap.
        let width = usize::from((self.width)()).saturating_sub(3);
        let waves = around(rollout);
        let mut lines = wave_lines(waves, width, self.palette, now);
        lines.push(self.whole(rollout, waves.len(), width, now));
        while self.lines.len() < lines.len() {
            let bar = self.all.add(ProgressBar::no_length());
            // The line is already formatted, so the counters of indicatif are not used.
            if let Ok(style) = ProgressStyle::with_template("{msg}") {
                bar.set_style(style);
            }
            self.lines.push(bar);
        }
        for (bar, line) in self.lines.iter().zip(lines) {
            // A new message redraws all bars.
            if bar.message() != line {
                bar.set_message(line);
            }
        }
    }

    /// Formats the whole rollout as one line. Only the wait reason is cut to fit the width.
    fn whole(&self, rollout: &Rollout, shown: usize, width: usize, now: Instant) -> String {
        let (size, finished) = rollout.totals();
        let hidden = rollout.waves.len() - shown;
        let more = if hidden > 0 { format!("  {hidden} more waves") } else { String::new() };
        let since = left(now.duration_since(self.begun));
        let status = word::<TaskStatus>(rollout.status.into());
        let how = format!("  {finished} of {size} desktops, {since}{more}");
        let leave = "  (Ctrl-C detaches)";
        let mut waits = String::new();
        if !rollout.waiting_for.is_empty() {
            let room = width.saturating_sub(status.len() + how.len() + leave.len());
            waits = cut(&format!("  waits for {}", sanitize_line(&rollout.waiting_for)), room);
        }
        format!("{}{how}{waits}{leave}", self.palette.word(status))
    }
}

impl View for Bars {
    fn apply(&mut self, rollout: &Rollout, update: &Update, now: Instant) {
        match update {
            Update::Event(event) => {
                let (tone, line) = event_line(event);
                self.above(&self.palette.paint(tone, &line));
            }
            Update::Lost(why) => self.above(&self.palette.paint(Tone::Warn, &lost(why))),
            Update::Back => self.above("reconnected to the control plane"),
            Update::Progress(_) | Update::End => {}
        }
        if !rollout.waves.is_empty() {
            self.draw(rollout, now);
        }
    }

    fn say(&mut self, line: &str) {
        self.above(line);
    }

    fn tick(&mut self, rollout: &Rollout, now: Instant) {
        if !rollout.waves.is_empty() {
            self.draw(rollout, now);
        }
    }

    /// Keeps the last bars on the screen, and removes the line with the detach hint.
    fn end(&mut self) {
        if let Some(whole) = self.lines.pop() {
            whole.finish_and_clear();
        }
        for bar in &self.lines {
            bar.abandon();
        }
    }
}

/// Selects the waves that get a bar.
fn around(rollout: &Rollout) -> &[WaveNow] {
    let waves = &rollout.waves;
    let first = waves.iter().position(|wave| wave.wave.status() != WaveStatus::Closed).unwrap_or(waves.len());
    let from = first.saturating_sub(2).min(waves.len().saturating_sub(MAX_BARS));
    waves.get(from..waves.len().min(from + MAX_BARS)).unwrap_or_default()
}

/// Formats one line per wave. All bars have the same width, and take the space that the numbers
/// leave.
fn wave_lines(waves: &[WaveNow], width: usize, palette: Palette, now: Instant) -> Vec<String> {
    let tails = [long, short].map(|words| waves.iter().map(|wave| words(wave, now)).collect::<Vec<String>>());
    let room = |tails: &[String]| {
        width.saturating_sub(HEAD + 2 + tails.iter().map(String::len).max().unwrap_or_default())
    };
    let [long, short] = &tails;
    let tails = if room(long) >= 2 * BAR.0 { long } else { short };
    let room = room(tails).clamp(BAR.0, BAR.1);
    let lines = waves.iter().zip(tails).map(|(wave, tail)| {
        let status = word::<WaveStatus>(wave.wave.status);
        let status = palette.paint(tone(status), &format!("{status:<8}"));
        format!("wave {:<3}{status}{}  {tail}", wave.wave.wave, bar(wave, room, palette))
    });
    lines.collect()
}

/// Cuts a text to `room` characters, with dots at the end.
fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    text.chars().take(room.saturating_sub(3)).chain("...".chars()).take(room).collect()
}

fn long(wave: &WaveNow, now: Instant) -> String {
    let [finished, size, succeeded, failed, in_flight, waiting] = counts(wave);
    let of = match wave.wave.fail_threshold.as_str() {
        "" => String::new(),
        threshold => format!(" (halts at {threshold})"),
    };
    let pace = pace(wave, now, ", ", " left");
    format!(
        "{finished} of {size}: {succeeded} succeeded, {failed} failed{of}, {in_flight} in flight, {waiting} offline{pace}"
    )
}

fn short(wave: &WaveNow, now: Instant) -> String {
    let [finished, size, succeeded, failed, in_flight, waiting] = counts(wave);
    let pace = pace(wave, now, " ", "");
    format!("{finished}/{size}: {succeeded} ok {failed} bad {in_flight} run {waiting} off{pace}")
}

/// Counts the targets of a wave: finished, all, succeeded, failed, in flight, and waiting for their
/// desktops.
fn counts(wave: &WaveNow) -> [u32; 6] {
    let it = &wave.wave;
    [wave.finished(), it.size, wave.succeeded(), it.failed, it.in_flight, it.waiting]
}

/// Formats the rate and the remaining time; each is empty if it is unknown.
fn pace(wave: &WaveNow, now: Instant, between: &str, behind: &str) -> String {
    let rate = wave.rate(now).map_or_else(String::new, |rate| format!("{between}{rate:.1}/s"));
    let left = wave.left(now).map_or_else(String::new, |time| format!("{between}{}{behind}", left(time)));
    rate + &left
}

fn bar(wave: &WaveNow, width: usize, palette: Palette) -> String {
    let signs = BAR_SIGNS[usize::from(palette.colored)];
    let parts = bar_of(wave, u32::try_from(width).unwrap_or(u32::MAX));
    let drawn = parts.iter().zip(signs).zip(BAR_TONES).filter(|((part, _), _)| **part > 0);
    drawn.map(|((part, sign), tone)| palette.paint(tone, &sign.repeat(*part as usize))).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use indicatif::InMemoryTerm;
    use proto::admin::{EventKind, TaskEvent, TaskProgress, Wave};

    use super::*;
    use crate::follow::fixtures;

    fn wave(wave: u32, size: u32, status: WaveStatus, counts: [u32; 4]) -> Wave {
        let fail_threshold = if wave == 1 { "2" } else { "2.5%" };
        Wave { fail_threshold: fail_threshold.to_owned(), ..fixtures::wave(wave, size, status, counts) }
    }

    /// Draws a rollout in its second wave, and returns the screen.
    fn screen(width: fn() -> u16) -> String {
        let terminal = InMemoryTerm::new(20, width());
        let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 255);
        let mut bars = Bars::on(target, Palette::default(), width);
        let mut rollout = Rollout::default();
        let begun = Instant::now();
        bars.begun = begun;
        let event = |kind: EventKind, wave, detail: &str| {
            Update::Event(TaskEvent {
                kind: kind.into(),
                wave,
                detail: detail.into(),
                ..TaskEvent::default()
            })
        };
        let progress = |second: [u32; 4]| {
            let waves = vec![
                wave(1, 5, WaveStatus::Closed, [5, 0, 0, 0]),
                wave(2, 5_000, WaveStatus::Open, second),
                wave(3, 94_995, WaveStatus::Pending, [0, 0, 0, 0]),
            ];
            Update::Progress(TaskProgress {
                status: TaskStatus::Running.into(),
                waves,
                ..TaskProgress::default()
            })
        };
        let story = [
            (0, event(EventKind::WaveOpened, 1, "5 desktops")),
            (1, event(EventKind::WaveClosed, 1, "5 of 5 targets succeeded")),
            (2, progress([0, 0, 500, 12])),
            (12, progress([1_200, 3, 500, 12])),
        ];
        for (second, update) in story {
            let now = begun + Duration::from_secs(second);
            rollout.apply(&update, now);
            bars.apply(&rollout, &update, now);
        }
        bars.draw(&rollout, begun + Duration::from_secs(12));
        terminal.contents()
    }

    #[test]
    fn a_narrow_terminal_has_short_words_and_a_wide_one_whole_ones() {
        insta::assert_snapshot!("bars_80", screen(|| 80));
        insta::assert_snapshot!("bars_200", screen(|| 200));
    }

    #[test]
    fn what_does_not_fit_is_cut() {
        assert_eq!(
            (cut("waits", 5).as_str(), cut("waits", 4).as_str(), cut("waits", 2).as_str()),
            ("waits", "w...", "..")
        );
    }

    #[test]
    fn of_many_waves_those_around_the_open_one_are_shown() {
        let waves = (1..=40)
            .map(|n| wave(n, 10, if n < 20 { WaveStatus::Closed } else { WaveStatus::Pending }, [0; 4]));
        let mut rollout = Rollout::default();
        rollout.apply(
            &Update::Progress(TaskProgress { waves: waves.collect(), ..TaskProgress::default() }),
            Instant::now(),
        );
        let shown: Vec<u32> = around(&rollout).iter().map(|wave| wave.wave.wave).collect();
        assert_eq!(shown, (18..30).collect::<Vec<_>>());
    }
}
