//! Windows: the daily hours in which targets may start, in each desktop's time zone or in one zone
//! for all.

use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::{Error, Timestamp, error::shorten};

/// The time zone of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowZone {
    /// The time zone that each desktop's agent reports, or UTC without one.
    Desktop,
    /// One zone for all desktops.
    Fixed(Tz),
}

/// The daily hours in which targets may start. A window with `from` later than `to` spans midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    from: NaiveTime,
    to: NaiveTime,
    zone: WindowZone,
}

/// State of a window at a given time, in one time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowState {
    /// Open until this time.
    OpenUntil(Timestamp),
    /// Closed until this time.
    ClosedUntil(Timestamp),
}

impl Window {
    /// Parses a client's fields: `HH:MM` twice, and `desktop` or a time zone name like
    /// Europe/Berlin. Error fields are relative to the window.
    pub fn new(from: &str, to: &str, time_zone: &str) -> Result<Self, Error> {
        let time = |field: &'static str, text: &str| {
            let parsed = NaiveTime::parse_from_str(text, "%H:%M").ok().filter(|_| text.len() == 5);
            parsed
                .ok_or_else(|| Error::invalid(field, format!("{:?} is not a time like 22:00", shorten(text))))
        };
        let (from, to) = (time("from", from)?, time("to", to)?);
        if from == to {
            return Err(Error::unreadable("the window begins and ends at the same time: leave it out"));
        }
        let zone = match time_zone {
            "desktop" => WindowZone::Desktop,
            name => WindowZone::Fixed(name.parse().map_err(|_| {
                let message = format!("{:?} is neither desktop nor a name like Europe/Berlin", shorten(name));
                Error::invalid("time_zone", message)
            })?),
        };
        Ok(Self { from, to, zone })
    }

    /// Returns the state of the window at a given time, for a desktop in the given time zone.
    pub fn at(&self, now: Timestamp, desktop_zone: &str) -> WindowState {
        let zone = match self.zone {
            WindowZone::Fixed(zone) => zone,
            WindowZone::Desktop => desktop_zone.parse().unwrap_or(Tz::UTC),
        };
        let local = now.with_timezone(&zone).naive_local();
        // An open window opened today, or yesterday and spans midnight. A closed one opens later
        // today or tomorrow.
        for days_ago in [0, 1] {
            let Some(day) = local.date().checked_sub_days(Days::new(days_ago)) else { continue };
            let (opens, closes) = self.on(day, zone);
            if (opens..closes).contains(&now) {
                return WindowState::OpenUntil(closes);
            }
        }
        let next = [0, 1].into_iter().filter_map(|days| local.date().checked_add_days(Days::new(days)));
        let opens = next.map(|day| self.on(day, zone).0).find(|opens| *opens > now);
        WindowState::ClosedUntil(opens.unwrap_or(now + TimeDelta::days(1)))
    }

    /// Returns the start and end of the window that opens on this day.
    fn on(&self, day: NaiveDate, zone: Tz) -> (Timestamp, Timestamp) {
        let last = if self.from < self.to { day } else { day.succ_opt().unwrap_or(day) };
        (moment(zone, day.and_time(self.from)), moment(zone, last.and_time(self.to)))
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let zone = match self.zone {
            WindowZone::Desktop => "the desktop's time",
            WindowZone::Fixed(zone) => zone.name(),
        };
        write!(f, "{} to {}, {zone}", self.from.format("%H:%M"), self.to.format("%H:%M"))
    }
}

/// Converts a local time to UTC. A time that occurs twice when clocks go back maps to the first
/// occurrence. A time that clocks skip maps to the time without the skip.
fn moment(zone: Tz, local: NaiveDateTime) -> Timestamp {
    let found = zone.from_local_datetime(&local).earliest();
    let found = found.or_else(|| zone.from_local_datetime(&(local + TimeDelta::hours(1))).earliest());
    found.map_or_else(|| Utc.from_utc_datetime(&local), |moment| moment.with_timezone(&Utc))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn closed(text: &str) -> WindowState {
        WindowState::ClosedUntil(at(text))
    }

    fn open(text: &str) -> WindowState {
        WindowState::OpenUntil(at(text))
    }

    #[test]
    fn a_window_over_midnight_is_open_on_both_of_its_days() {
        let night = Window::new("22:00", "05:00", "UTC").unwrap();
        for (now, state) in [
            ("2026-11-24T21:59:59Z", closed("2026-11-24T22:00:00Z")),
            ("2026-11-24T22:00:00Z", open("2026-11-25T05:00:00Z")),
            ("2026-11-25T04:59:59Z", open("2026-11-25T05:00:00Z")),
            ("2026-11-25T05:00:00Z", closed("2026-11-25T22:00:00Z")),
        ] {
            assert_eq!(night.at(at(now), "Asia/Tokyo"), state, "{now}");
        }
        let day = Window::new("09:00", "17:30", "UTC").unwrap();
        assert_eq!(day.at(at("2026-11-24T08:00:00Z"), ""), closed("2026-11-24T09:00:00Z"));
        assert_eq!(day.at(at("2026-11-24T12:00:00Z"), ""), open("2026-11-24T17:30:00Z"));
        assert_eq!(day.at(at("2026-11-24T18:00:00Z"), ""), closed("2026-11-25T09:00:00Z"));
    }

    #[test]
    fn each_desktop_has_its_own_night() {
        let night = Window::new("22:00", "05:00", "desktop").unwrap();
        let now = at("2026-07-01T21:00:00Z");
        assert_eq!(night.at(now, "Europe/Berlin"), open("2026-07-02T03:00:00Z"));
        assert_eq!(night.at(now, "America/New_York"), closed("2026-07-02T02:00:00Z"));
        for unknown in ["", "Middle/Earth"] {
            assert_eq!(
                night.at(now, unknown),
                closed("2026-07-01T22:00:00Z"),
                "{unknown:?} falls back to UTC"
            );
        }
    }

    #[test]
    fn clocks_that_change_neither_skip_nor_double_a_window() {
        // On 2026-03-29 Berlin has no 02:30; on 2026-10-25 it has two.
        let window = Window::new("02:30", "04:00", "Europe/Berlin").unwrap();
        assert_eq!(window.at(at("2026-03-29T00:00:00Z"), ""), closed("2026-03-29T01:30:00Z"));
        assert_eq!(window.at(at("2026-03-29T01:30:00Z"), ""), open("2026-03-29T02:00:00Z"));
        assert_eq!(window.at(at("2026-10-25T00:30:00Z"), ""), open("2026-10-25T03:00:00Z"));
        assert_eq!(window.at(at("2026-10-25T01:30:00Z"), ""), open("2026-10-25T03:00:00Z"));
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (from, to, zone, word) in [
            ("25:00", "05:00", "UTC", "from"),
            ("22:00", "x", "UTC", "to"),
            ("9:00", "17:00", "UTC", "from"),
            ("22:00", "22:00", "UTC", "the same"),
            ("22:00", "05:00", "Mars", "Europe/Berlin"),
        ] {
            let error = Window::new(from, to, zone).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let window = Window::new("22:00", "05:00", "Europe/Berlin").unwrap();
        assert_eq!(window.to_string(), "22:00 to 05:00, Europe/Berlin");
        let text = serde_json::to_string(&window).unwrap();
        assert_eq!(serde_json::from_str::<Window>(&text).unwrap(), window, "{text}");
    }
}
