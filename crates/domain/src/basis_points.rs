//! Percentages as integers, so that plans and verdicts do not depend on rounding.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Error, Reason};

/// Basis points of a whole.
const WHOLE: u32 = 10_000;

/// A percentage in hundredths of a percent, from 1 (0.01 %) to 10,000 (100 %).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BasisPoints(u32);

impl BasisPoints {
    /// Creates a percentage from its basis points; `None` outside of 1 to 10,000.
    pub const fn new(basis_points: u32) -> Option<Self> {
        if 0 < basis_points && basis_points <= WHOLE { Some(Self(basis_points)) } else { None }
    }

    /// Reads a percentage from a request.
    ///
    /// # Errors
    ///
    /// The percentage must be greater than 0 and at most 100, with at most two decimals. The error
    /// names no field: the caller adds it.
    pub fn from_percent(percent: f64) -> Result<Self, Error> {
        let invalid = || {
            let message =
                format!("{percent} is out of range: more than 0, at most 100, with at most two decimals");
            Error::new(Reason::FieldOutOfRange, message)
        };
        let basis_points = percent * 100.0;
        if !(basis_points > 0.0 && basis_points <= f64::from(WHOLE))
            || (basis_points - basis_points.round()).abs() > 1e-6
        {
            return Err(invalid());
        }
        let basis_points = format!("{:.0}", basis_points.round()).parse().map_err(|_| invalid())?;
        Self::new(basis_points).ok_or_else(invalid)
    }

    /// Returns the number of basis points, 1 to 10,000.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Returns the percentage, 0.01 to 100.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// Returns this share of a total, rounded up.
    pub fn share_of(self, total: u32) -> u32 {
        let share = (u64::from(total) * u64::from(self.0)).div_ceil(u64::from(WHOLE));
        u32::try_from(share).unwrap_or(total)
    }

    /// Whether `part` is at least this share of `total`.
    pub const fn is_reached(self, part: u32, total: u32) -> bool {
        part as u64 * WHOLE as u64 >= self.0 as u64 * total as u64
    }
}

impl fmt::Display for BasisPoints {
    /// Writes the percentage without a sign and without trailing zeros, for example `2.5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0 / 100)?;
        match self.0 % 100 {
            0 => Ok(()),
            tenths if tenths % 10 == 0 => write!(f, ".{}", tenths / 10),
            hundredths => write!(f, ".{hundredths:02}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_with_two_decimals_is_read_and_printed() {
        for (percent, basis_points, text) in
            [(0.01, 1, "0.01"), (2.5, 250, "2.5"), (33.33, 3_333, "33.33"), (100.0, 10_000, "100")]
        {
            let share = BasisPoints::from_percent(percent).unwrap();
            assert_eq!((share.get(), share.to_string().as_str()), (basis_points, text));
            assert!((share.percent() - percent).abs() < 1e-9);
        }
    }

    #[test]
    fn percent_out_of_range_is_refused() {
        for percent in [0.0, -1.0, 100.01, 1.001, f64::NAN, f64::INFINITY] {
            assert!(BasisPoints::from_percent(percent).is_err(), "{percent}");
        }
    }

    #[test]
    fn share_is_rounded_up_and_reached_at_its_value() {
        let third = BasisPoints::new(3_333).unwrap();
        assert_eq!((third.share_of(3), third.share_of(0)), (1, 0));
        assert!(third.is_reached(1, 3) && !third.is_reached(1, 4));
        assert_eq!(BasisPoints::new(10_000).unwrap().share_of(u32::MAX), u32::MAX);
    }
}
