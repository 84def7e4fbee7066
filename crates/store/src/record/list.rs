//! Lists of records over many tasks, by number of the page and with the total number.
//!
//! The place of every record is known within a task, and among the newest records: see `of_task`
//! and `newest`. Filters by desktop, status or time need a pass over the records.
//!
//! That pass finds the keys of all matching records, which gives the total number, and the keys of
//! the page. Only the records of the page are then read with everything that they show.

use domain::{ids::ProjectId, page::Page, period::Period};
use sqlx::{Postgres, QueryBuilder};

use super::{
    Listed, RecordFilter, RecordRow, STORED, UNENDED, newest, of_task, push_desktops, push_filter,
    push_scripts, push_shown,
};
use crate::{Connection, Error, newest_record};

/// Prepares a list of the newest records, so that it shows small new tasks. Writes, and so precedes
/// the snapshot of the list.
pub async fn catch_up(
    connection: &mut Connection,
    project_id: &ProjectId,
    filter: &RecordFilter,
) -> Result<(), Error> {
    if newest::is_known(filter) { newest_record::catch_up(connection, project_id).await } else { Ok(()) }
}

/// Lists one page of records with the total number: newest task first, then in the order of the
/// plan. Both are of the same moment in a [`snapshot`](crate::snapshot). Call [`catch_up`] before.
pub async fn list(
    connection: &mut Connection,
    project_id: &ProjectId,
    filter: &RecordFilter,
    page: Page,
) -> Result<(i64, Vec<RecordRow>), Error> {
    if let Some(task_id) = filter.task_id.filter(|_| of_task::is_known(filter)) {
        return of_task::list(connection, project_id, task_id, filter, page).await;
    }
    if newest::is_known(filter) {
        return newest::list(connection, project_id, filter, page).await;
    }
    let mut query = matching(project_id, filter);
    query.push(
        ", page AS MATERIALIZED (SELECT * FROM matching ORDER BY task_id DESC, ordinal, script OFFSET ",
    );
    query.push_bind(page.offset).push(" LIMIT ").push_bind(page.limit).push(") ");
    push_shown(&mut query, ", (SELECT count(*) FROM matching) AS matching_count");
    let rows: Vec<ListedOfMany> = query.build_query_as().fetch_all(&mut *connection).await?;
    let count = match rows.first() {
        Some(row) => row.matching_count,
        // No row carries the number: the page begins after the last record.
        None if page.offset > 0 => count(connection, project_id, filter).await?,
        None => 0,
    };
    let rows = rows.into_iter().map(|row| RecordRow::try_from(row.listed));
    Ok((count, rows.collect::<Result<_, _>>()?))
}

async fn count(
    connection: &mut Connection,
    project_id: &ProjectId,
    filter: &RecordFilter,
) -> Result<i64, Error> {
    let mut query = matching(project_id, filter);
    query.push(" SELECT count(*) FROM matching");
    Ok(query.build_query_scalar().fetch_one(connection).await?)
}

#[derive(sqlx::FromRow)]
struct ListedOfMany {
    #[sqlx(flatten)]
    listed: Listed,
    matching_count: i64,
}

/// Starts a query with the keys of all records that match, named `matching`.
fn matching(project_id: &ProjectId, filter: &RecordFilter) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("WITH ");
    push_accepted(&mut query, project_id, filter);
    let by_state = filter.status.is_some() || filter.period != Period::default();
    if filter.latest_only {
        push_newest(&mut query, filter);
    }
    query.push(SELECT_MATCHING);
    match (filter.latest_only, by_state) {
        (true, false) => {
            // A target costs a lookup for each record, and most filters need only its place.
            if filter.is_first_order.is_some() || filter.wave.is_some() {
                push_latest(&mut query, filter, "l");
                query.push(" JOIN target t ON t.task_id = l.task_id AND t.ordinal = l.ordinal");
            } else {
                push_latest(&mut query, filter, "t");
            }
        }
        (is_latest, _) => {
            query.push(EVERY_TARGET);
            if is_latest {
                query.push(NEWEST_OF_EACH);
            }
        }
    }
    if by_state {
        for join in [STORED, UNENDED, EVERY_BATCH] {
            query.push(join);
        }
    }
    query.push(if filter.latest_only && by_state {
        " WHERE (n.place IS NOT NULL OR ts.script_id IS NULL)"
    } else {
        " WHERE true"
    });
    // The alias of the newest places has no desktop, and they are those of the chosen desktops.
    let has_desktop = !filter.latest_only || by_state;
    let desktop_ids = if has_desktop { filter.desktop_ids.clone() } else { Vec::new() };
    push_filter(&mut query, &RecordFilter { desktop_ids, ..filter.clone() });
    query.push(")");
    query
}

const SELECT_MATCHING: &str = ", matching AS MATERIALIZED (SELECT k.task_id, t.ordinal, ts.script FROM ";

/// The tasks that may count, each with its age rank among them: a greater one is newer.
fn push_accepted(query: &mut QueryBuilder<Postgres>, project_id: &ProjectId, filter: &RecordFilter) {
    query.push(
        "accepted AS MATERIALIZED (
             SELECT task_id, project_id, status, attempt, created_at, ended_at, command, resource_group_id, gray,
                 row_number() OVER (ORDER BY task_id) AS rank
             FROM task WHERE project_id = ",
    );
    query.push_bind(project_id.as_str().to_owned());
    // A newer task counts even if its own records are not shown.
    if let Some(task_id) = filter.task_id.filter(|_| !filter.latest_only) {
        query.push(" AND task_id = ").push_bind(task_id.0);
    }
    if let Some(until) = filter.period.until.filter(|_| filter.latest_only) {
        query.push(" AND created_at <= ").push_bind(until);
    }
    query.push(")");
}

/// The newest place of each script on each desktop, as one number of rank and ordinal. Commands
/// have no successor, so they are not among them.
///
/// Only filters that a script or desktop has in all tasks apply here. All others apply to the
/// newest record alone.
fn push_newest(query: &mut QueryBuilder<Postgres>, filter: &RecordFilter) {
    query.push(
        ", newest AS MATERIALIZED (
             SELECT ts.script_id, max(k.rank << 32 | t.ordinal) AS place
             FROM accepted k JOIN target t ON t.task_id = k.task_id JOIN task_script ts ON ts.task_id = k.task_id
             WHERE ts.script_id IS NOT NULL",
    );
    push_desktops(query, filter);
    push_scripts(query, &RecordFilter { script_names: Vec::new(), ..filter.clone() });
    query.push(" GROUP BY t.desktop_id, ts.script_id)");
}

/// The newest places and all places of commands, as rows of `alias`.
fn push_latest(query: &mut QueryBuilder<Postgres>, filter: &RecordFilter, alias: &str) {
    query.push(
        "(SELECT k.task_id, (n.place & 4294967295)::int4 AS ordinal, n.script_id
          FROM newest n JOIN accepted k ON k.rank = n.place >> 32",
    );
    if filter.script_ids.is_none() {
        query.push(
            " UNION ALL SELECT t.task_id, t.ordinal, NULL
              FROM accepted k JOIN target t ON t.task_id = k.task_id WHERE k.command IS NOT NULL",
        );
        push_desktops(query, filter);
    }
    query.push(format!(
        ") {alias} JOIN accepted k ON k.task_id = {alias}.task_id
           JOIN task_script ts ON ts.task_id = {alias}.task_id AND ts.script_id IS NOT DISTINCT FROM {alias}.script_id"
    ));
}

const EVERY_TARGET: &str =
    "accepted k JOIN target t ON t.task_id = k.task_id JOIN task_script ts ON ts.task_id = k.task_id";

/// Joins the newest places to all places. A filter by state joins all records first: Postgres
/// misjudges the number of newest places, and would look up the record of each.
const NEWEST_OF_EACH: &str =
    " LEFT JOIN newest n ON n.place = (k.rank << 32 | t.ordinal) AND n.script_id = ts.script_id";

/// Joins all batches once, because a filter visits every record.
const EVERY_BATCH: &str = " LEFT JOIN (
    SELECT b.task_id, m.ordinal, b.status, b.started->(m.ordinal::text) AS started
    FROM batch b, unnest(b.ordinals) AS m (ordinal)
    WHERE b.task_id IN (SELECT task_id FROM accepted WHERE ended_at IS NULL)) AS b
    ON b.task_id = k.task_id AND b.ordinal = t.ordinal AND r.outcome IS NULL AND k.ended_at IS NULL";
