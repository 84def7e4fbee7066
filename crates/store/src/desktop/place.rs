//! Places in the list of a project's desktops in service: the total number, and the start of a page
//! at any offset.
//!
//! About every 1,000th desktop of an order has a mark (`desktop_mark`) with the number of desktops
//! up to the next mark. Triggers log each desktop that enters or leaves an order, in its own
//! transaction and without a lock. A fold counts the marks again that the log touches. A reader
//! adds marks and log, so that its answer is exact at any time.

use domain::{Timestamp, ids::ProjectId};
use sqlx::{AssertSqlSafe, Postgres, QueryBuilder};

use super::DesktopOrder;
use crate::{Connection, Error};

/// Number of desktops per mark. A mark with twice as many is split.
pub(super) const DESKTOPS_PER_MARK: i64 = 1_000;

/// One direction-free order of the list: the columns of its sort key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Id,
    Name,
    Created,
}

impl Sort {
    const ALL: [Self; 3] = [Self::Id, Self::Name, Self::Created];

    const fn of(order: DesktopOrder) -> Self {
        match order {
            DesktopOrder::Id => Self::Id,
            DesktopOrder::Name | DesktopOrder::NameDescending => Self::Name,
            DesktopOrder::Created | DesktopOrder::CreatedDescending => Self::Created,
        }
    }

    /// Word of the column `sort`.
    const fn word(self) -> &'static str {
        match self {
            Self::Id => "ID",
            Self::Name => "NAME",
            Self::Created => "CREATED",
        }
    }

    /// The keys of a mark as expressions: time and name. A key that the order has not is constant.
    const fn keys(self) -> [&'static str; 2] {
        match self {
            Self::Id => ["'-infinity'::timestamptz", "''"],
            Self::Name => ["'-infinity'::timestamptz", "computer_name"],
            Self::Created => ["created_at", "''"],
        }
    }

    /// The columns of the order, before the id.
    const fn column(self) -> Option<&'static str> {
        match self {
            Self::Id => None,
            Self::Name => Some("computer_name"),
            Self::Created => Some("created_at"),
        }
    }
}

/// Start of a page in ascending order: the first desktop of a mark, and the number of desktops to
/// skip from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Start {
    created_at: Option<Timestamp>,
    computer_name: String,
    desktop_id: String,
    /// Number of desktops between the mark and the page.
    pub(super) skip: i64,
}

/// Counts the desktops in service.
pub(super) async fn total(connection: &mut Connection, project_id: &ProjectId) -> Result<i64, Error> {
    Ok(sqlx::query_scalar!(
        r#"SELECT coalesce(sum(desktops), 0)::int8 AS "total!" FROM (
               SELECT desktops FROM desktop_mark WHERE project_id = $1 AND sort = 'ID'
               UNION ALL
               SELECT desktops FROM desktop_change WHERE project_id = $1) AS parts"#,
        project_id.as_str()
    )
    .fetch_one(connection)
    .await?)
}

/// Finds the start of the page at an ascending offset; `None` without a mark.
pub(super) async fn start(
    connection: &mut Connection,
    project_id: &ProjectId,
    order: DesktopOrder,
    offset: i64,
) -> Result<Option<Start>, Error> {
    let sort = Sort::of(order);
    let row = sqlx::query!(
        r#"SELECT nullif(created_at, '-infinity') AS since, computer_name AS "computer_name!",
                  desktop_id AS "desktop_id!", before AS "before!"
           FROM (
               SELECT *, coalesce(sum(desktops) OVER (ORDER BY created_at, computer_name, desktop_id, is_mark DESC
                                                      ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)::int8 AS before
               FROM (
                   SELECT created_at, computer_name, desktop_id, desktops, true AS is_mark
                   FROM desktop_mark WHERE project_id = $1 AND sort = $2
                   UNION ALL
                   SELECT CASE $2 WHEN 'CREATED' THEN created_at ELSE '-infinity' END,
                          CASE $2 WHEN 'NAME' THEN computer_name ELSE '' END, desktop_id, desktops, false
                   FROM desktop_change WHERE project_id = $1) AS steps) AS places
           WHERE is_mark AND before <= $3
           ORDER BY created_at DESC, computer_name DESC, desktop_id DESC LIMIT 1"#,
        project_id.as_str(),
        sort.word(),
        offset,
    )
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Start {
        created_at: row.since,
        computer_name: row.computer_name,
        desktop_id: row.desktop_id,
        skip: offset - row.before,
    }))
}

/// Pushes the condition that a desktop is not before the start.
pub(super) fn push_start(query: &mut QueryBuilder<Postgres>, order: DesktopOrder, start: &Start) {
    match (Sort::of(order), start.created_at) {
        (Sort::Id, _) => {
            query.push(" AND desktop_id >= ").push_bind(start.desktop_id.clone());
        }
        (Sort::Name, _) => {
            query.push(" AND (computer_name, desktop_id) >= (").push_bind(start.computer_name.clone());
            query.push(", ").push_bind(start.desktop_id.clone()).push(")");
        }
        (Sort::Created, Some(created_at)) => {
            query.push(" AND (created_at, desktop_id) >= (").push_bind(created_at);
            query.push(", ").push_bind(start.desktop_id.clone()).push(")");
        }
        // The first mark has no keys.
        (Sort::Created, None) => {}
    }
}

/// Lists projects whose changes wait for a fold.
pub(crate) async fn changed_projects(connection: &mut Connection, limit: i64) -> Result<Vec<String>, Error> {
    Ok(sqlx::query_scalar!("SELECT DISTINCT project_id FROM desktop_change LIMIT $1", limit)
        .fetch_all(connection)
        .await?)
}

/// Folds all logged changes of a project into its marks. Needs the lock of folds.
///
/// One statement sees one moment: it deletes the log of exactly the rows that it counts.
pub(crate) async fn fold(connection: &mut Connection, project_id: &str) -> Result<(), Error> {
    let mut statement = "WITH folded AS (DELETE FROM desktop_change WHERE project_id = $1
        RETURNING created_at, computer_name, desktop_id)"
        .to_owned();
    for sort in Sort::ALL {
        statement.push_str(&fold_of(sort));
    }
    statement.push_str(" SELECT count(*) FROM folded");
    sqlx::query(AssertSqlSafe(statement)).bind(project_id).execute(connection).await?;
    Ok(())
}

/// Counts the marks of a project again if one of them differs from its desktops. Returns whether
/// one did. Needs the lock of folds.
pub(crate) async fn repair(connection: &mut Connection, project_id: &str) -> Result<bool, Error> {
    let mut is_right = true;
    for sort in Sort::ALL {
        let right = sqlx::query_scalar::<Postgres, bool>(AssertSqlSafe(check_of(sort))).bind(project_id);
        is_right = is_right && right.fetch_one(&mut *connection).await?;
    }
    if is_right {
        return Ok(false);
    }
    sqlx::query!("DELETE FROM desktop_mark WHERE project_id = $1", project_id)
        .execute(&mut *connection)
        .await?;
    // The fold counts a mark only if a change touches it. Without marks, all desktops are of one.
    sqlx::query!(
        "INSERT INTO desktop_change (project_id, created_at, computer_name, desktop_id, desktops)
         VALUES ($1, '-infinity', '', '', 1)",
        project_id
    )
    .execute(&mut *connection)
    .await?;
    fold(connection, project_id).await?;
    Ok(true)
}

/// Returns the query of the desktops of a mark `m` in one order, by the key of the next mark.
fn desktops_of(sort: Sort) -> String {
    let (key, mark_key, next_key) = match sort.column() {
        Some(column) => (
            format!("{column}, desktop_id"),
            format!("m.{column}, m.desktop_id"),
            format!("m.next_{column}, m.next_desktop_id"),
        ),
        None => ("desktop_id".to_owned(), "m.desktop_id".to_owned(), "m.next_desktop_id".to_owned()),
    };
    let desktops = format!(
        "SELECT created_at, computer_name, desktop_id FROM desktop
         WHERE project_id = $1 AND retired_at IS NULL AND ({key}) >= ({mark_key})"
    );
    // An upper bound that may be missing would not use the index.
    format!(
        "{desktops} AND m.next_desktop_id IS NOT NULL AND ({key}) < ({next_key})
         UNION ALL {desktops} AND m.next_desktop_id IS NULL"
    )
}

/// Returns the query whether each mark of one order, with the log, has the number of its desktops.
///
/// One statement sees one moment: desktops, marks and log. The first mark may not exist yet.
fn check_of(sort: Sort) -> String {
    let (word, [time, name], desktops) = (sort.word(), sort.keys(), desktops_of(sort));
    format!(
        "WITH own AS (
             SELECT created_at, computer_name, desktop_id, desktops FROM desktop_mark
             WHERE project_id = $1 AND sort = '{word}'),
         steps AS (
             SELECT *, true AS is_mark FROM own
             UNION ALL SELECT '-infinity', '', '', 0, true WHERE NOT EXISTS (
                 SELECT FROM own WHERE created_at = '-infinity' AND computer_name = '' AND desktop_id = '')
             UNION ALL SELECT {time}, {name}, desktop_id, desktops, false FROM desktop_change WHERE project_id = $1),
         ranked AS (
             SELECT *, count(*) FILTER (WHERE is_mark) OVER (
                 ORDER BY created_at, computer_name, desktop_id, is_mark DESC ROWS UNBOUNDED PRECEDING) AS number
             FROM steps),
         summed AS (
             SELECT number, sum(desktops) AS desktops, min(created_at) FILTER (WHERE is_mark) AS created_at,
                    min(computer_name) FILTER (WHERE is_mark) AS computer_name,
                    min(desktop_id) FILTER (WHERE is_mark) AS desktop_id
             FROM ranked GROUP BY number),
         marks AS MATERIALIZED (
             SELECT *, lead(created_at) OVER (ORDER BY number) AS next_created_at,
                    lead(computer_name) OVER (ORDER BY number) AS next_computer_name,
                    lead(desktop_id) OVER (ORDER BY number) AS next_desktop_id
             FROM summed)
         SELECT NOT EXISTS (
             SELECT FROM marks m WHERE m.desktops <> (SELECT count(*) FROM ({desktops}) AS desktops))"
    )
}

/// Returns the part of the fold for one order: `steps` are marks and changes, `touched` the marks
/// whose desktops changed, each with the key of the next mark.
fn fold_of(sort: Sort) -> String {
    let (word, [time, name], desktops) = (sort.word(), sort.keys(), desktops_of(sort));
    let key = sort.column().map_or_else(|| "desktop_id".to_owned(), |column| format!("{column}, desktop_id"));
    format!(
        ", steps_{word} AS (
            SELECT created_at, computer_name, desktop_id, true AS is_mark
            FROM desktop_mark WHERE project_id = $1 AND sort = '{word}'
            UNION SELECT '-infinity', '', '', true
            UNION ALL SELECT {time}, {name}, desktop_id, false FROM folded),
        ranked_{word} AS (
            SELECT *, count(*) FILTER (WHERE is_mark) OVER (
                ORDER BY created_at, computer_name, desktop_id, is_mark DESC ROWS UNBOUNDED PRECEDING) AS number
            FROM steps_{word}),
        touched_{word} AS MATERIALIZED (
            SELECT * FROM (
                SELECT *, lead(created_at) OVER (ORDER BY number) AS next_created_at,
                       lead(computer_name) OVER (ORDER BY number) AS next_computer_name,
                       lead(desktop_id) OVER (ORDER BY number) AS next_desktop_id
                FROM ranked_{word} WHERE is_mark) AS marks
            WHERE number IN (SELECT number FROM ranked_{word} WHERE NOT is_mark)),
        fold_{word} AS (
            INSERT INTO desktop_mark (project_id, sort, created_at, computer_name, desktop_id, desktops)
            SELECT $1, '{word}', CASE WHEN own.n > 0 THEN own.created_at ELSE m.created_at END,
                   CASE WHEN own.n > 0 THEN own.computer_name ELSE m.computer_name END,
                   CASE WHEN own.n > 0 THEN own.desktop_id ELSE m.desktop_id END,
                   -- A mark may have no desktop left.
                   coalesce(least(own.step, own.total - own.n), 0)
            FROM touched_{word} m LEFT JOIN LATERAL (
                SELECT *, CASE WHEN total > 2 * {DESKTOPS_PER_MARK} THEN {DESKTOPS_PER_MARK} ELSE total END AS step
                FROM (
                    SELECT {time} AS created_at, {name} AS computer_name, desktop_id,
                           row_number() OVER (ORDER BY {key}) - 1 AS n, count(*) OVER () AS total
                    FROM ({desktops}) AS desktops) AS numbered) AS own
                ON own.n % own.step = 0
            ON CONFLICT (project_id, sort, created_at, computer_name, desktop_id)
                DO UPDATE SET desktops = excluded.desktops)"
    )
}
