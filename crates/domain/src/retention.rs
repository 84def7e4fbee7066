//! Retention rules. Expired data is deleted in whole months: generated ids are UUIDv7, so a month
//! is a range of ids, and one partition of each table.

use std::{fmt, ops::Range, str::FromStr};

use chrono::{Datelike as _, Months, NaiveDate, NaiveTime, TimeDelta};
use uuid::Uuid;

use crate::{Error, Timestamp, limits};

/// Number of months for which partitions are created in advance.
const MONTHS_AHEAD: usize = 3;
/// Maximum delay of a slow clock, or of an id in transit, for which the month's partition still
/// exists.
const SLOWEST_CLOCK: TimeDelta = TimeDelta::days(1);

/// A calendar month in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(NaiveDate);

impl Month {
    /// Returns the month of a time.
    pub fn of(at: Timestamp) -> Self {
        let day = at.date_naive();
        Self(day.with_day(1).unwrap_or(day))
    }

    /// Returns the following month.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add_months(Months::new(1)).unwrap_or(NaiveDate::MAX))
    }

    /// Returns the start of the month.
    pub fn starts_at(self) -> Timestamp {
        self.0.and_time(NaiveTime::MIN).and_utc()
    }

    /// Returns the smallest id that can be generated in the month: 48 bits of Unix milliseconds,
    /// then zeros.
    pub fn first_id(self) -> Uuid {
        let ms = u64::try_from(self.starts_at().timestamp_millis()).unwrap_or(0);
        Uuid::from_u128(u128::from(ms.min((1 << 48) - 1)) << 80)
    }

    /// Returns the range of ids that can be generated in the month.
    pub fn ids(self) -> Range<Uuid> {
        self.first_id()..self.next().first_id()
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.format("%Y_%m").fmt(f)
    }
}

impl FromStr for Month {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let day = NaiveDate::parse_from_str(&format!("{text}_01"), "%Y_%m_%d").map(Self).ok();
        // Accepts only the canonical form.
        day.filter(|month| month.to_string() == text)
            .ok_or_else(|| Error::unreadable(format!("{text:?} is not a month like 2026_07")))
    }
}

/// Returns the months that may receive rows: the current one, the months ahead, and the previous
/// one while a slow clock may still use it. None of these months is ever deleted.
pub fn months_in_use(now: Timestamp) -> impl Iterator<Item = Month> {
    let last = std::iter::successors(Some(Month::of(now)), |month| Some(month.next())).nth(MONTHS_AHEAD);
    std::iter::successors(Some(Month::of(now - SLOWEST_CLOCK)), |month| Some(month.next()))
        .take_while(move |month| Some(*month) <= last)
}

/// The retention cutoff: data from before this time may be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cutoff(Timestamp);

impl Cutoff {
    /// Creates the cutoff `keep_days` before now; `None` if data is kept forever (0 days).
    pub fn new(keep_days: u32, now: Timestamp) -> Option<Self> {
        let keep = TimeDelta::days(i64::from(keep_days.min(limits::MAX_KEEP_DAYS)));
        (keep_days > 0).then(|| Self(now - keep))
    }

    /// Returns the time of the cutoff.
    pub const fn moment(self) -> Timestamp {
        self.0
    }

    /// Returns whether a month may be deleted: it ends at or before the cutoff.
    pub fn may_go(self, month: Month) -> bool {
        month.next().starts_at() <= self.0
    }

    /// Returns the smallest id that must be kept. Smaller ids belong to months that may be deleted.
    pub fn first_kept_id(self) -> Uuid {
        Month::of(self.0).first_id()
    }
}

/// State of a month's partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionState {
    /// Attached to its table.
    Attached,
    /// An interrupted detach. Queries of the table no longer read it.
    Detaching,
    /// A separate table.
    Detached,
}

/// The next step for a month's partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// No change.
    Keep,
    /// Detach it from its table.
    Detach,
    /// Complete an interrupted detach.
    FinishDetaching,
    /// Attach it again.
    Attach,
    /// Drop it. A detached partition cannot become needed again by new rows.
    Drop,
}

/// Returns the next step for a partition. It is needed while its month is within the retention age,
/// or while a task of its month exists.
pub const fn next_step(standing: PartitionState, is_needed: bool) -> Step {
    match (standing, is_needed) {
        (PartitionState::Attached, true) => Step::Keep,
        (PartitionState::Attached, false) => Step::Detach,
        (PartitionState::Detaching, _) => Step::FinishDetaching,
        (PartitionState::Detached, true) => Step::Attach,
        (PartitionState::Detached, false) => Step::Drop,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn month(text: &str) -> Month {
        text.parse().unwrap()
    }

    fn id_of(at: Timestamp) -> Uuid {
        Uuid::from_u128(u128::from(at.timestamp_millis().cast_unsigned()) << 80 | 0x7fff_8fff_ffff_ffff_ffff)
    }

    #[test]
    fn month_has_one_spelling_and_january_follows_december() {
        assert_eq!(month("2026_12").next(), month("2027_01"));
        assert_eq!(Month::of(at("2024-02-29T23:59:59Z")).to_string(), "2024_02");
        assert_eq!(month("2026_12").first_id().to_string(), "01a22ee6-b000-0000-0000-000000000000");
        for wrong in ["stop", "2026_7", "2026_13", "2026", "2026_07_01", ""] {
            assert!(wrong.parse::<Month>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn month_is_dropped_once_its_last_moment_is_old_enough() {
        let january = month("2026_01");
        let may_go = |now: &str| Cutoff::new(90, at(now)).unwrap().may_go(january);
        assert!(!may_go("2026-01-15T00:00:00Z"));
        // The month starts before the cutoff and ends after it.
        assert!(!may_go("2026-04-15T00:00:00Z"));
        assert!(!may_go("2026-05-01T23:59:59.999Z"));
        assert!(may_go("2026-05-02T00:00:00Z"));
        assert_eq!(Cutoff::new(0, at("2126-01-01T00:00:00Z")), None, "0 days keep data forever");
        assert!(!Cutoff::new(u32::MAX, at("2026-01-01T00:00:00Z")).unwrap().may_go(month("1970_01")));
    }

    #[test]
    fn months_are_there_ahead_and_the_last_one_a_day_longer() {
        let months = |now: &str| months_in_use(at(now)).map(|month| month.to_string()).collect::<Vec<_>>();
        assert_eq!(months("2026-10-24T12:00:00Z"), ["2026_10", "2026_11", "2026_12", "2027_01"]);
        assert_eq!(months("2026-11-01T23:59:59Z"), ["2026_10", "2026_11", "2026_12", "2027_01", "2027_02"]);
        assert_eq!(months("2026-11-02T00:00:00Z"), ["2026_11", "2026_12", "2027_01", "2027_02"]);
    }

    #[test]
    fn only_detached_unneeded_partition_is_dropped() {
        for (standing, is_needed, expected) in [
            (PartitionState::Attached, true, Step::Keep),
            (PartitionState::Attached, false, Step::Detach),
            (PartitionState::Detaching, true, Step::FinishDetaching),
            (PartitionState::Detaching, false, Step::FinishDetaching),
            (PartitionState::Detached, true, Step::Attach),
            (PartitionState::Detached, false, Step::Drop),
        ] {
            assert_eq!(next_step(standing, is_needed), expected, "{standing:?} {is_needed}");
        }
    }

    prop_compose! {
        /// Generates times from 1970 to 2200.
        fn any_moment()(ms in 0_i64..7_258_118_400_000) -> Timestamp {
            Timestamp::from_timestamp_millis(ms).unwrap()
        }
    }

    proptest! {
        #[test]
        fn what_is_younger_than_it_may_go_is_in_no_month_that_goes(
            now in any_moment(), age_ms in 0_i64..400 * 86_400_000, keep_days in 1_u32..400,
        ) {
            let made = now - TimeDelta::milliseconds(age_ms);
            let cutoff = Cutoff::new(keep_days, now).unwrap();
            if made.timestamp_millis() >= 0 && cutoff.may_go(Month::of(made)) {
                prop_assert!(made < now - TimeDelta::days(i64::from(keep_days)));
            }
        }

        #[test]
        fn month_is_dropped_if_its_ids_precede_the_first_kept_id(
            now in any_moment(), made in any_moment(), keep_days in 1_u32..4_000,
        ) {
            let cutoff = Cutoff::new(keep_days, now).unwrap();
            let month = Month::of(made);
            prop_assert!(month.ids().contains(&id_of(made)));
            prop_assert_eq!(cutoff.may_go(month), id_of(made) < cutoff.first_kept_id());
            prop_assert_eq!(month.to_string().parse::<Month>().unwrap(), month);
        }

        #[test]
        fn no_month_in_use_may_go_however_short_things_are_kept(now in any_moment()) {
            let cutoff = Cutoff::new(1, now).unwrap();
            let months: Vec<_> = months_in_use(now).collect();
            prop_assert!(months.contains(&Month::of(now)));
            prop_assert!((4..=5).contains(&months.len()));
            prop_assert!(months.iter().all(|month| !cutoff.may_go(*month)));
        }
    }
}
