//! Pages of one task's records at any offset, without a visit to the records before them.

use domain::{
    ids::{ProjectId, TaskId},
    page::Page,
    period::Period,
    record_range::{RecordRange, selected_ordinals},
};
use sqlx::{Postgres, QueryBuilder};

use super::{Listed, RecordFilter, RecordRow, push_of_task, push_scripts, push_shown};
use crate::{
    Connection, Error,
    codec::{count, int2, int4},
};

/// Returns whether a filter selects whole waves and scripts of one task, so that the place of every
/// record is known.
pub(super) fn is_known(filter: &RecordFilter) -> bool {
    filter.task_id.is_some()
        && !filter.latest_only
        && filter.desktop_ids.is_empty()
        && filter.status.is_none()
        && filter.period == Period::default()
        && filter.after.is_none()
}

#[derive(sqlx::FromRow)]
struct Extent {
    target_count: i32,
    gray_size: i32,
    scripts: Vec<i16>,
    first_ordinal: Option<i32>,
    size: Option<i32>,
}

/// Lists one page of records of a task, with the total number.
pub(super) async fn list(
    connection: &mut Connection,
    project_id: &ProjectId,
    task_id: TaskId,
    filter: &RecordFilter,
    page: Page,
) -> Result<(i64, Vec<RecordRow>), Error> {
    let Some(extent) = extent(connection, project_id, task_id, filter).await? else {
        return Ok((0, Vec::new()));
    };
    let wave = match (filter.wave, extent.first_ordinal.zip(extent.size)) {
        (None, _) => None,
        (Some(_), Some((first, size))) => Some(count("wave", first)?..count("wave", first + size)?),
        (Some(_), None) => Some(0..0),
    };
    let (targets, gray) = (count("task", extent.target_count)?, count("wave", extent.gray_size)?);
    let range = RecordRange {
        ordinals: selected_ordinals(targets, wave, gray, filter.is_first_order),
        scripts: count("task_script", i64::try_from(extent.scripts.len()).unwrap_or(i64::MAX))?,
    };
    let Some(found) = range.page(page.offset, page.limit) else {
        return Ok((range.records(), Vec::new()));
    };
    // The keys come first: the planner misjudges the number of targets between two ordinals.
    let mut query = QueryBuilder::<Postgres>::new(
        "WITH page AS MATERIALIZED (
             SELECT t.task_id, t.ordinal, ts.script FROM target t JOIN task_script ts ON ts.task_id = t.task_id
             WHERE t.task_id = ",
    );
    query.push_bind(task_id.0);
    query.push(" AND t.ordinal >= ").push_bind(int4(found.ordinals.start));
    query.push(" AND t.ordinal < ").push_bind(int4(found.ordinals.end));
    query.push(" AND ts.script = ANY(").push_bind(extent.scripts).push(")");
    query.push(" ORDER BY t.ordinal, ts.script OFFSET ").push_bind(found.skip);
    query.push(" LIMIT ").push_bind(page.limit).push(") ");
    push_shown(&mut query, "");
    let rows: Vec<Listed> = query.build_query_as().fetch_all(connection).await?;
    Ok((range.records(), rows.into_iter().map(RecordRow::try_from).collect::<Result<_, _>>()?))
}

/// Reads the size of a task and its waves, and the scripts that a filter selects; `None` if the
/// filter does not match the task.
async fn extent(
    connection: &mut Connection,
    project_id: &ProjectId,
    task_id: TaskId,
    filter: &RecordFilter,
) -> Result<Option<Extent>, Error> {
    let mut query = QueryBuilder::<Postgres>::new(format!(
        "SELECT k.target_count, {GRAY_SIZE} AS gray_size, w.first_ordinal, w.size,
                ARRAY(SELECT ts.script FROM task_script ts WHERE ts.task_id = k.task_id"
    ));
    push_scripts(&mut query, filter);
    query.push(
        " ORDER BY ts.script) AS scripts
         FROM task k LEFT JOIN wave w ON w.task_id = k.task_id AND w.wave = ",
    );
    query.push_bind(filter.wave.map(int2)).push(" WHERE k.task_id = ").push_bind(task_id.0);
    query.push(" AND k.project_id = ").push_bind(project_id.as_str().to_owned());
    push_of_task(&mut query, filter);
    Ok(query.build_query_as().fetch_optional(connection).await?)
}

/// Number of targets in the gray wave, which come first in the plan.
pub(super) const GRAY_SIZE: &str = "CASE WHEN k.gray THEN coalesce((SELECT g.size FROM wave g WHERE g.task_id = k.task_id AND g.wave = 1), 0) ELSE 0 END";
