//! Evidence: whether the results of a closed wave justify the next one. docs/gate.md has the table.

use chrono::TimeDelta;

use crate::BasisPoints;

/// Time after which a wave that waits without evidence ends its task, if the task has no
/// `expires_at`.
pub const HOLD_TIMEOUT: TimeDelta = TimeDelta::days(7);

/// Returns the reason why a wave gives no evidence that the next one may open; `None` if it does.
///
/// Only successes are evidence. A wave whose targets were never reached, were stopped or ended with
/// an ignored failure proves nothing, however few failures count. Without `min_success`, a share of
/// the wave's size, one success is enough.
pub fn missing(succeeded: u32, size: u32, min_success: Option<BasisPoints>) -> Option<String> {
    let needed = min_success.map_or(1, |share| share.share_of(size));
    (succeeded < needed)
        .then(|| format!("{succeeded} of {size} targets succeeded, and the next wave needs {needed}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The evidence table of docs/gate.md, row by row.
    #[test]
    fn the_page_says_what_the_rule_does() {
        let page = include_str!("../../../../docs/gate.md");
        let (_, rest) = page.split_once("## Evidence").unwrap();
        let section = rest.split("\n## ").next().unwrap();
        let rows: Vec<Vec<&str>> = section
            .lines()
            .filter(|line| line.starts_with("| ") && !line.contains("size"))
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
            .collect();
        for row in &rows {
            let [size, succeeded, share, next, _why] = row[..] else { panic!("{row:?}") };
            let share = share
                .strip_suffix('%')
                .map(|percent| BasisPoints::from_percent(percent.parse().unwrap()).unwrap());
            let missing = missing(succeeded.parse().unwrap(), size.parse().unwrap(), share);
            assert_eq!(if missing.is_some() { "holds" } else { "opens" }, next, "{row:?}");
        }
        assert!(rows.len() >= 6, "{rows:?}");
    }
}
