//! Rendering of events and waves, shared by all views.

use std::time::Duration;

use proto::{
    admin::{EventKind, TaskEvent},
    word,
};

use super::WaveNow;
use crate::{output::Tone, sanitize::sanitize_line};

/// Formats the time of day in UTC; dashes without a time.
pub(crate) fn clock(time: Option<&prost_types::Timestamp>) -> String {
    time.and_then(proto::time_opt)
        .map_or_else(|| "--:--:--".to_owned(), |time| time.format("%H:%M:%S").to_string())
}

/// Formats an event as a line, with its tone. The wave comes first, so that the line is easy to
/// search for.
pub(crate) fn event_line(event: &TaskEvent) -> (Tone, String) {
    let about = if event.wave > 0 { format!("wave {}: ", event.wave) } else { String::new() };
    let by =
        if event.actor.is_empty() { String::new() } else { format!(" ({})", sanitize_line(&event.actor)) };
    let word = word::<EventKind>(event.kind);
    let what = word.strip_prefix("WAVE_").unwrap_or(word).to_lowercase().replace('_', " ");
    let detail =
        if event.detail.is_empty() { String::new() } else { format!(": {}", sanitize_line(&event.detail)) };
    (tone(event.kind()), format!("{}  {about}{what}{detail}{by}", clock(event.time.as_ref())))
}

const fn tone(kind: EventKind) -> Tone {
    match kind {
        EventKind::Halted | EventKind::Quarantined => Tone::Bad,
        EventKind::WaveClosed | EventKind::WaveApproved => Tone::Good,
        EventKind::Stopped
        | EventKind::Expired
        | EventKind::WaveWaiting
        | EventKind::Paused
        | EventKind::Frozen => Tone::Warn,
        EventKind::WaveOpened | EventKind::Resumed | EventKind::Unfrozen => Tone::Busy,
        EventKind::Unspecified
        | EventKind::Accepted
        | EventKind::ConcurrencyChanged
        | EventKind::Retried
        | EventKind::Ended => Tone::Plain,
    }
}

/// Formats a duration in at most two units: `2m 5s`.
pub(crate) fn left(time: Duration) -> String {
    let whole = Duration::from_secs(time.as_secs());
    let text = humantime::format_duration(whole).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

/// Characters of a bar's parts, without colours and with colours.
pub(crate) const BAR_SIGNS: [[&str; 4]; 2] = [["#", "x", ">", "."], ["█", "█", "▓", "░"]];
/// Tones of a bar's parts: succeeded, not succeeded, in flight, pending.
pub(crate) const BAR_TONES: [Tone; 4] = [Tone::Good, Tone::Bad, Tone::Busy, Tone::Dim];

/// Divides a bar of `width` characters by share: succeeded, not succeeded, in flight, pending. A
/// non-empty part gets at least one character while there is room, so that one failure among
/// 100,000 is visible.
pub(crate) fn bar_of(wave: &WaveNow, width: u32) -> [u32; 4] {
    let parts = [wave.succeeded(), wave.not_succeeded(), wave.wave.in_flight];
    let size = wave.wave.size.max(1);
    let share = |part: u32| {
        let exact = u64::from(part) * u64::from(width) / u64::from(size);
        u32::try_from(exact).unwrap_or(width).max(u32::from(part > 0))
    };
    let mut bar = parts.map(share);
    // Take the excess from the largest part, so that the small parts stay visible.
    while bar.iter().sum::<u32>() > width {
        match bar.iter_mut().max() {
            Some(largest) if *largest > 0 => *largest -= 1,
            _ => break,
        }
    }
    let parts_width = bar.iter().sum::<u32>();
    // Without pending targets, the largest part gets the remaining characters.
    let is_all = parts.iter().sum::<u32>() >= wave.wave.size;
    if let Some(largest) = bar.iter_mut().max_by_key(|part| **part).filter(|_| is_all && wave.wave.size > 0) {
        *largest += width.saturating_sub(parts_width);
    }
    let rest = width - bar.iter().sum::<u32>();
    [bar[0], bar[1], bar[2], rest]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::admin::{Outcomes, TaskProgress, Wave};

    use super::*;
    use crate::follow::{Rollout, Update};

    fn wave(size: u32, success: u32, failed: u32, in_flight: u32) -> WaveNow {
        let targets = Some(Outcomes { success, failed, ..Outcomes::default() });
        let wave = Wave { size, in_flight, targets, ..Wave::default() };
        let mut rollout = Rollout::default();
        let progress = TaskProgress { waves: vec![wave], ..TaskProgress::default() };
        rollout.apply(&Update::Progress(progress), std::time::Instant::now());
        rollout.waves.remove(0)
    }

    #[test]
    fn an_event_is_a_line_that_says_about_what_and_by_whom() {
        let event = TaskEvent {
            kind: EventKind::WaveApproved.into(),
            wave: 2,
            actor: "ann".into(),
            detail: "looks\u{1b}[31m good".into(),
            time: Some(prost_types::Timestamp { seconds: 3_661, nanos: 0 }),
            ..TaskEvent::default()
        };
        let (tone, line) = event_line(&event);
        assert_eq!((tone, line.as_str()), (Tone::Good, "01:01:01  wave 2: approved: looks [31m good (ann)"));
    }

    #[test]
    fn time_has_two_units() {
        let of = |seconds| left(Duration::from_millis(seconds));
        assert_eq!((of(3_725_900).as_str(), of(59_000).as_str(), of(400).as_str()), ("1h 2m", "59s", "0s"));
    }

    #[test]
    fn one_failure_among_many_is_seen() {
        assert_eq!(bar_of(&wave(100_000, 50_000, 1, 500), 40), [20, 1, 1, 18]);
        assert_eq!(bar_of(&wave(10, 10, 0, 0), 10), [10, 0, 0, 0]);
        assert_eq!(bar_of(&wave(100, 99, 1, 0), 10), [9, 1, 0, 0]);
        assert_eq!(bar_of(&wave(10, 8, 2, 0), 9), [8, 1, 0, 0], "a finished wave fills its bar");
        assert_eq!(bar_of(&wave(0, 0, 0, 0), 10), [0, 0, 0, 10]);
    }

    proptest! {
        #[test]
        fn a_bar_is_as_wide_as_it_should_be(success in 0..1000_u32, failed in 0..1000_u32, flight in 0..1000_u32, more in 0..1000_u32, width in 0..300_u32) {
            let wave = wave(success + failed + flight + more, success, failed, flight);
            prop_assert_eq!(bar_of(&wave, width).iter().sum::<u32>(), width);
        }
    }
}
