//! Position in the event stream of a project: everything that a moment of the database shows.
//!
//! Events of several tasks commit in another order than that of their ids. A position therefore
//! names the transactions that its moment saw, as Postgres describes them: all before `xmin`, none
//! from `xmax` on, and in between all that are not listed as running. What another moment shows
//! in addition is exactly what is new.

use std::{collections::BTreeMap, fmt, str::FromStr};

use crate::{Timestamp, ids::TaskId, limits};

/// Transactions that a moment of the database shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenTransactions {
    xmin: u64,
    xmax: u64,
    running: Vec<u64>,
}

/// Maximum number of running transactions in a position. A database has fewer connections.
const MAX_RUNNING: usize = 10_000;

impl SeenTransactions {
    /// Returns the first transaction that may be unseen.
    pub const fn xmin(&self) -> u64 {
        self.xmin
    }

    /// Returns whether this moment lies before a database that knows fewer transactions. The
    /// database was then restored from a backup or has lost its last transactions.
    pub const fn is_after(&self, other: &Self) -> bool {
        self.xmax > other.xmax
    }
}

impl fmt::Display for SeenTransactions {
    /// Writes the text form of Postgres: `xmin:xmax:running`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.xmin, self.xmax)?;
        for (place, xid) in self.running.iter().enumerate() {
            write!(f, "{}{xid}", if place == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for SeenTransactions {
    type Err = ();

    /// Accepts exactly the texts that Postgres accepts as a `pg_snapshot`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split(':');
        let (Some(xmin), Some(xmax), Some(running), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        let (xmin, xmax) = (number(xmin)?, number(xmax)?);
        let running: Vec<u64> = match running {
            "" => Vec::new(),
            list => list.split(',').map(number).collect::<Result<_, ()>>()?,
        };
        let is_ascending = running.windows(2).all(|pair| pair[0] < pair[1]);
        let is_within = running.iter().all(|xid| (xmin..xmax).contains(xid));
        if xmin == 0 || xmin > xmax || !is_ascending || !is_within || running.len() > MAX_RUNNING {
            return Err(());
        }
        Ok(Self { xmin, xmax, running })
    }
}

/// Parses a number of at most 63 bits that is written without a sign.
fn number(text: &str) -> Result<u64, ()> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = text.parse().map_err(|_| ())?;
    if is_plain && i64::try_from(number).is_ok() { Ok(number) } else { Err(()) }
}

/// Position of a client in the event stream of a project. Its text is opaque to clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamPosition {
    /// Time of the position, from the database's clock.
    pub at: Timestamp,
    /// What the client has seen.
    pub seen: SeenTransactions,
    /// Version of each map that the client follows.
    pub maps: BTreeMap<TaskId, i64>,
}

/// First part of the text, which names its form.
const FORM: &str = "1";
/// Maximum length of the text.
const MAX_BYTES: usize = 128 << 10;

impl fmt::Display for StreamPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{FORM}.{}.{}.", self.at.timestamp_millis(), self.seen)?;
        for (place, (task_id, version)) in self.maps.iter().enumerate() {
            write!(f, "{}{task_id}={version}", if place == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl FromStr for StreamPosition {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.len() > MAX_BYTES {
            return Err(());
        }
        let mut parts = text.split('.');
        let (Some(FORM), Some(at), Some(seen), Some(maps), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        let millis = i64::try_from(number(at)?).map_err(|_| ())?;
        let at = Some(millis).filter(|millis| *millis <= limits::MAX_UNIX_MS);
        let at = at.and_then(Timestamp::from_timestamp_millis).ok_or(())?;
        let map = |entry: &str| {
            let (task_id, version) = entry.split_once('=').ok_or(())?;
            let version = i64::try_from(number(version)?).map_err(|_| ())?;
            Ok((task_id.parse().map_err(|_| ())?, version))
        };
        let maps: BTreeMap<TaskId, i64> = match maps {
            "" => BTreeMap::new(),
            list => list.split(',').map(map).collect::<Result<_, ()>>()?,
        };
        if maps.len() > limits::MAX_MAPS_PER_STREAM {
            return Err(());
        }
        Ok(Self { at, seen: seen.parse()?, maps })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn position_is_read_back_from_its_text() {
        let text = "1.1700000000123.90:120:95,99.0190000000007000800000000000000a=57,\
                    0190000000007000800000000000000b=0";
        let position: StreamPosition = text.parse().unwrap();
        assert_eq!(position.to_string(), text);
        assert_eq!((position.seen.xmin(), position.maps.len()), (90, 2));
        let plain: StreamPosition = "1.0.3:3:.".parse().unwrap();
        assert_eq!(plain.to_string(), "1.0.3:3:.");
        assert!(position.seen.is_after(&plain.seen) && !plain.seen.is_after(&position.seen));
    }

    #[test]
    fn nonsense_is_no_position() {
        let long =
            format!("1.0.1:20000:{}.", (1..20_000).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
        for bad in [
            "",
            "1",
            "2.0.3:3:.",
            "1.0.3:3:",
            "1.x.3:3:.",
            "1.0.0:3:.",
            "1.0.4:3:.",
            "1.0.3:9:10.",
            "1.0.3:9:2.",
            "1.0.3:9:5,4.",
            "1.0.3:9:4,4.",
            "1.0.+3:9:.",
            "1.0.-3:9:.",
            "1.0.3:9223372036854775808:.",
            "1.999999999999999999.3:3:.",
            "1.0.3:3:.x",
            "1.0.3:3:.x=1",
            "1.0.3:3:.0190000000007000800000000000000a=-1",
            "1.0.3:3:..",
            "1.0.3:3:'); DROP TABLE task;--.",
            &long,
        ] {
            assert!(bad.parse::<StreamPosition>().is_err(), "{bad}");
        }
        let maps = (0..=limits::MAX_MAPS_PER_STREAM).map(|n| format!("{n:032x}=1")).collect::<Vec<_>>();
        assert!(format!("1.0.3:3:.{}", maps[1..].join(",")).parse::<StreamPosition>().is_ok());
        assert!(format!("1.0.3:3:.{}", maps.join(",")).parse::<StreamPosition>().is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_read_back(text in "[0-9:.,=a-f+-]{0,60}") {
            if let Ok(position) = text.parse::<StreamPosition>() {
                let again: StreamPosition = position.to_string().parse().unwrap();
                prop_assert_eq!(position, again);
            }
        }
    }
}
