//! Pages of the newest record of each script on each desktop, by the bits of the projection.
//!
//! The numbers of the parts give the total, and the parts of a page. Only the bits of these parts
//! and the records of the page are read.

use domain::{ids::ProjectId, newest::TARGETS_PER_PART, page::Page, period::Period};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::{Listed, RecordFilter, RecordRow, of_task::GRAY_SIZE, push_of_task, push_scripts, push_shown};
use crate::{Connection, Error};

/// Returns whether bits and tasks alone decide which records a filter selects.
pub(super) fn is_known(filter: &RecordFilter) -> bool {
    filter.latest_only
        && filter.task_id.is_none()
        && filter.desktop_ids.is_empty()
        && filter.status.is_none()
        && filter.period == Period::default()
        && filter.wave.is_none()
        && filter.after.is_none()
}

/// A part that overlaps the page, with the number of records before it.
#[derive(sqlx::FromRow)]
struct Part {
    task_id: Uuid,
    part: i32,
    before: i64,
    /// Number of records in all parts.
    total: i64,
}

/// Lists one page of the newest records, with the total number.
pub(super) async fn list(
    connection: &mut Connection,
    project_id: &ProjectId,
    filter: &RecordFilter,
    page: Page,
) -> Result<(i64, Vec<RecordRow>), Error> {
    let mut finding = shown(project_id, filter);
    finding.push(
        " SELECT task_id, part, until - records AS before, total
          FROM (SELECT *, (sum(records) OVER (ORDER BY task_id DESC, part))::int8 AS until,
                       (sum(records) OVER ())::int8 AS total FROM shown) AS places
          WHERE until > ",
    );
    finding.push_bind(page.offset).push(" AND until - records < ").push_bind(page.offset + page.limit);
    finding.push(" ORDER BY before");
    let parts: Vec<Part> = finding.build_query_as().fetch_all(&mut *connection).await?;
    let Some(first) = parts.first() else {
        // No row carries the number: the page begins after the last record.
        let mut counting = shown(project_id, filter);
        counting.push(" SELECT coalesce(sum(records), 0)::int8 FROM shown");
        return Ok((counting.build_query_scalar().fetch_one(connection).await?, Vec::new()));
    };
    let total = first.total;
    let skip = page.offset - first.before;

    let mut query = QueryBuilder::<Postgres>::new(
        "WITH page AS MATERIALIZED (
             SELECT k.task_id, place.ordinal, place.script
             FROM unnest(",
    );
    query.push_bind(parts.iter().map(|part| part.task_id).collect::<Vec<_>>()).push(", ");
    query.push_bind(parts.iter().map(|part| part.part).collect::<Vec<_>>());
    query.push(format!(
        ") AS p (task_id, part)
             JOIN task k ON k.task_id = p.task_id
             JOIN newest_record r ON r.project_id = k.project_id AND r.task_id = p.task_id AND r.part = p.part
             CROSS JOIN LATERAL (
                 SELECT r.part * {TARGETS_PER_PART} + bit / k.script_count AS ordinal, bit % k.script_count AS script
                 FROM generate_series(0, length(r.newest) - 1) AS bit WHERE get_bit(r.newest, bit) = 1) AS place
             JOIN task_script ts ON ts.task_id = p.task_id AND ts.script = place.script
             WHERE true"
    ));
    push_scripts(&mut query, filter);
    if let Some(is_first_order) = filter.is_first_order {
        query.push(format!(" AND (place.ordinal < {GRAY_SIZE}) = ")).push_bind(is_first_order);
    }
    query.push(" ORDER BY k.task_id DESC, place.ordinal, place.script OFFSET ").push_bind(skip);
    query.push(" LIMIT ").push_bind(page.limit).push(") ");
    push_shown(&mut query, "");
    let rows: Vec<Listed> = query.build_query_as().fetch_all(connection).await?;
    Ok((total, rows.into_iter().map(RecordRow::try_from).collect::<Result<_, _>>()?))
}

/// Starts a query with all parts and the number of their records that match, named `shown`.
fn shown(project_id: &ProjectId, filter: &RecordFilter) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new("WITH ");
    let of_scripts = filter.script_ids.is_some() || !filter.script_names.is_empty();
    let is_plain = !of_scripts
        && filter.is_first_order.is_none()
        && filter.pool_ids.is_empty()
        && filter.runs_command.is_none();
    if is_plain {
        query.push("shown AS (SELECT task_id, part, records FROM newest_record WHERE project_id = ");
        query.push_bind(project_id.as_str().to_owned()).push(")");
        return query;
    }
    // One bit for each script of a task: whether the filter selects it.
    let gray_size = if filter.is_first_order.is_some() { GRAY_SIZE } else { "0" };
    query.push(format!(
        "chosen AS MATERIALIZED (
             SELECT k.task_id, k.script_count, {gray_size} AS gray_size, string_agg(CASE WHEN true"
    ));
    push_scripts(&mut query, filter);
    query.push(
        " THEN '1' ELSE '0' END, '' ORDER BY ts.script) AS scripts
             FROM task k JOIN task_script ts ON ts.task_id = k.task_id WHERE k.project_id = ",
    );
    query.push_bind(project_id.as_str().to_owned());
    push_of_task(&mut query, filter);
    query.push(" GROUP BY k.task_id HAVING bool_or(true");
    push_scripts(&mut query, filter);
    let selected = if of_scripts {
        "r.newest & repeat(c.scripts, length(r.newest) / c.script_count)::varbit"
    } else {
        "r.newest"
    };
    // Bits of the gray wave in this part.
    let gray = format!(
        "greatest(least((c.gray_size - r.part * {TARGETS_PER_PART}) * c.script_count, length(r.newest)), 0)"
    );
    let bits = match filter.is_first_order {
        None => selected.to_owned(),
        Some(true) => format!("substring({selected} FROM 1 FOR {gray})"),
        Some(false) => format!("substring({selected} FROM 1 + {gray})"),
    };
    query.push(format!(
        ")),
         numbers AS (
             SELECT r.task_id, r.part, bit_count({bits}) AS records
             FROM newest_record r JOIN chosen c ON c.task_id = r.task_id WHERE r.project_id = "
    ));
    query.push_bind(project_id.as_str().to_owned());
    query.push("), shown AS (SELECT * FROM numbers WHERE records > 0)");
    query
}
