//! Monthly partitions of target and record. A task id is a UUIDv7, so a month is a range of ids.

use chrono::{Datelike as _, Months, NaiveDate};
use domain::Timestamp;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::{Connection, Error};

/// Months that are made ahead of their time.
const MONTHS_AHEAD: u32 = 3;
const TABLES: [&str; 2] = ["target", "record"];

/// Makes the partitions of this month and the next ones, where they are missing. May run in several processes.
pub async fn ensure(connection: &mut Connection, now: Timestamp) -> Result<(), Error> {
    for ahead in 0..=MONTHS_AHEAD {
        for table in TABLES {
            let Some(statement) = create_statement(table, now.date_naive(), ahead) else { continue };
            // The names and bounds come from the calendar alone.
            sqlx::query(AssertSqlSafe(statement)).execute(&mut *connection).await?;
        }
    }
    Ok(())
}

fn create_statement(table: &str, today: NaiveDate, ahead: u32) -> Option<String> {
    let first = today.with_day(1)?.checked_add_months(Months::new(ahead))?;
    let next = first.checked_add_months(Months::new(1))?;
    Some(format!(
        "CREATE TABLE IF NOT EXISTS {table}_{} PARTITION OF {table} FOR VALUES FROM ('{}') TO ('{}')",
        first.format("%Y_%m"),
        lowest_id(first)?,
        lowest_id(next)?
    ))
}

/// The smallest UUIDv7 of a day: 48 bits of Unix milliseconds, then zeros.
fn lowest_id(day: NaiveDate) -> Option<Uuid> {
    let ms = u64::try_from(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis()).ok()?;
    Some(Uuid::from_u128(u128::from(ms) << 80))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_a_range_of_ids_and_december_is_followed_by_january() {
        let day = NaiveDate::from_ymd_opt(2026, 11, 24).unwrap();
        let statement = create_statement("target", day, 1).unwrap();
        assert_eq!(
            statement,
            "CREATE TABLE IF NOT EXISTS target_2026_12 PARTITION OF target FOR VALUES FROM \
             ('01a22ee6-b000-0000-0000-000000000000') TO ('01a2ce8b-d400-0000-0000-000000000000')"
        );
        assert!(create_statement("target", day, 2).unwrap().contains("target_2027_01"));
    }
}
