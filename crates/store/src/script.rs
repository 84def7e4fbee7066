//! Scripts and their revisions.

use domain::{
    Timestamp,
    ids::{IdPrefix, ProjectId, ScriptId, TaskId},
    page::Page,
    script::{ScriptBody, ScriptType, parameter::Parameter},
};
use sqlx::types::Json;

use crate::{Connection, Error, codec::word};

/// A script with its current revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptRow {
    /// Id of the script.
    pub script_id: ScriptId,
    /// Interpreter type; never changes.
    pub script_type: ScriptType,
    /// Revision number, from 1; each save increments it.
    pub revision: i32,
    /// SHA-256 over type and content.
    pub sha256: Vec<u8>,
    /// Fields of the revision; the content is empty in lists.
    pub body: ScriptBody,
    /// Principal of the first save.
    pub created_by: String,
    /// Time of the first save.
    pub create_time: Timestamp,
    /// Time of the last save.
    pub update_time: Timestamp,
}

struct Raw {
    script_id: uuid::Uuid,
    script_type: String,
    revision: i32,
    sha256: Vec<u8>,
    name: String,
    description: String,
    version: String,
    content: String,
    created_by: String,
    parameters: Json<Vec<Parameter>>,
    create_time: Timestamp,
    update_time: Timestamp,
}

impl TryFrom<Raw> for ScriptRow {
    type Error = Error;

    fn try_from(raw: Raw) -> Result<Self, Error> {
        Ok(Self {
            script_id: ScriptId(raw.script_id),
            script_type: word("script", &raw.script_type)?,
            revision: raw.revision,
            sha256: raw.sha256,
            body: ScriptBody {
                name: raw.name,
                content: raw.content,
                description: raw.description,
                version: raw.version,
                parameters: Some(raw.parameters.0),
            },
            created_by: raw.created_by,
            create_time: raw.create_time,
            update_time: raw.update_time,
        })
    }
}

/// Filters of the list. All of them match exactly.
#[derive(Debug, Clone, Default)]
pub struct ScriptFilter {
    /// Only this script.
    pub script_id: Option<ScriptId>,
    /// Only scripts whose id starts with these digits.
    pub id_prefix: Option<IdPrefix>,
    /// Only scripts with this name.
    pub name: Option<String>,
    /// Only scripts of this type.
    pub script_type: Option<ScriptType>,
    /// Only scripts that this principal saved first.
    pub created_by: Option<String>,
}

/// Selects a revision of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevisionSelector {
    /// The newest revision.
    Current,
    /// The revision that a task pinned, even of a script that was deleted later.
    PinnedBy(TaskId),
    /// The revision with this number.
    Revision(i32),
}

/// A revision in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionRow {
    /// Revision number, from 1; each save increments it.
    pub revision: i32,
    /// SHA-256 over type and content.
    pub sha256: Vec<u8>,
    /// Time of the save.
    pub create_time: Timestamp,
}

/// Returns the SHA-256 of pinned revisions, in the same order; `None` for an unknown one.
pub async fn revision_hashes(
    connection: &mut Connection,
    project_id: &ProjectId,
    pinned: &[(ScriptId, i32)],
) -> Result<Vec<Option<Vec<u8>>>, Error> {
    let (ids, revisions): (Vec<uuid::Uuid>, Vec<i32>) =
        pinned.iter().map(|(script_id, revision)| (script_id.0, *revision)).unzip();
    Ok(sqlx::query_scalar!(
        r#"SELECT r.sha256 AS "sha256?"
           FROM unnest($2::uuid[], $3::int4[]) WITH ORDINALITY AS n (script_id, revision, place)
           LEFT JOIN script_revision r
               ON r.project_id = $1 AND r.script_id = n.script_id AND r.revision = n.revision
           ORDER BY n.place"#,
        project_id.as_str(),
        &ids,
        &revisions,
    )
    .fetch_all(connection)
    .await?)
}

/// Stores a new script with its first revision.
pub async fn insert(
    connection: &mut Connection,
    project_id: &ProjectId,
    script_id: ScriptId,
    script_type: ScriptType,
    body: &ScriptBody,
    created_by: &str,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO script (project_id, script_id, script_type, revision, created_by, create_time, update_time)
         VALUES ($1, $2, $3, 1, $4, $5, $5)",
        project_id.as_str(),
        script_id.0,
        script_type.as_str(),
        created_by,
        now,
    )
    .execute(&mut *connection)
    .await?;
    insert_revision(connection, project_id, script_id, 1, script_type, body, now).await
}

/// Stores a new revision and returns its number; `None` if the script does not exist.
pub async fn update(
    connection: &mut Connection,
    project_id: &ProjectId,
    script_id: ScriptId,
    body: &ScriptBody,
    now: Timestamp,
) -> Result<Option<i32>, Error> {
    let updated = sqlx::query!(
        "UPDATE script SET revision = revision + 1, update_time = $3
         WHERE project_id = $1 AND script_id = $2 AND delete_time IS NULL
         RETURNING revision, script_type",
        project_id.as_str(),
        script_id.0,
        now,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = updated else { return Ok(None) };
    let script_type = word("script", &row.script_type)?;
    insert_revision(connection, project_id, script_id, row.revision, script_type, body, now).await?;
    Ok(Some(row.revision))
}

async fn insert_revision(
    connection: &mut Connection,
    project_id: &ProjectId,
    script_id: ScriptId,
    revision: i32,
    script_type: ScriptType,
    body: &ScriptBody,
    now: Timestamp,
) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO script_revision
             (project_id, script_id, revision, sha256, name, description, version, content, create_time, parameters)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, coalesce($10, (
             SELECT parameters FROM script_revision WHERE project_id = $1 AND script_id = $2 AND revision = $3 - 1
         ), '[]'))",
        project_id.as_str(),
        script_id.0,
        revision,
        &body.sha256(script_type)[..],
        body.name,
        body.description,
        body.version,
        body.content,
        now,
        body.parameters.as_ref().map(Json) as Option<Json<&Vec<Parameter>>>,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Marks a script as deleted. Returns false if it does not exist. Tasks that pinned its revisions
/// keep them.
pub async fn delete(
    connection: &mut Connection,
    project_id: &ProjectId,
    script_id: ScriptId,
    now: Timestamp,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "UPDATE script SET delete_time = $3 WHERE project_id = $1 AND script_id = $2 AND delete_time IS NULL",
        project_id.as_str(),
        script_id.0,
        now,
    )
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Reads one script with its content at a revision.
pub async fn fetch(
    connection: &mut Connection,
    project_id: &ProjectId,
    script_id: ScriptId,
    at: RevisionSelector,
) -> Result<Option<ScriptRow>, Error> {
    let (task_id, revision) = match at {
        RevisionSelector::Current => (None, None),
        RevisionSelector::PinnedBy(task_id) => (Some(task_id.0), None),
        RevisionSelector::Revision(revision) => (None, Some(revision)),
    };
    let row = sqlx::query_as!(
        Raw,
        r#"SELECT s.script_id, s.script_type, r.revision, r.sha256, r.name, r.description, r.version, r.content,
                r.parameters AS "parameters: Json<Vec<Parameter>>", s.created_by, s.create_time, r.create_time AS update_time
         FROM script s
         LEFT JOIN task_script ts ON ts.task_id = $3 AND ts.script_id = s.script_id
         JOIN script_revision r ON r.project_id = s.project_id AND r.script_id = s.script_id
              AND r.revision = CASE WHEN $3::uuid IS NULL THEN coalesce($4, s.revision) ELSE ts.revision END
         WHERE s.project_id = $1 AND s.script_id = $2 AND (s.delete_time IS NULL OR $3::uuid IS NOT NULL)"#,
        project_id.as_str(),
        script_id.0,
        task_id,
        revision,
    )
    .fetch_optional(connection)
    .await?;
    row.map(ScriptRow::try_from).transpose()
}

/// Reads the current revisions of several scripts in no particular order. Omits missing scripts.
pub async fn current(
    connection: &mut Connection,
    project_id: &ProjectId,
    script_ids: &[ScriptId],
) -> Result<Vec<ScriptRow>, Error> {
    let ids: Vec<uuid::Uuid> = script_ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query_as!(
        Raw,
        r#"SELECT s.script_id, s.script_type, s.revision, r.sha256, r.name, r.description, r.version,
                '' AS "content!", r.parameters AS "parameters: Json<Vec<Parameter>>", s.created_by, s.create_time, s.update_time
         FROM script s JOIN script_revision r USING (project_id, script_id, revision)
         WHERE s.project_id = $1 AND s.script_id = ANY($2) AND s.delete_time IS NULL"#,
        project_id.as_str(),
        &ids,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter().map(ScriptRow::try_from).collect()
}

/// Content of a script at one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionContent {
    /// Interpreter type.
    pub script_type: ScriptType,
    /// Name at the revision.
    pub name: String,
    /// Content as its author sent it.
    pub content: String,
    /// Whether the script is deleted.
    pub is_deleted: bool,
}

/// Reads the content of revisions, in the order of the arguments. Omits missing ones.
pub async fn contents(
    connection: &mut Connection,
    project_id: &ProjectId,
    revisions: impl IntoIterator<Item = (ScriptId, i32)>,
) -> Result<Vec<RevisionContent>, Error> {
    let (ids, numbers): (Vec<uuid::Uuid>, Vec<i32>) =
        revisions.into_iter().map(|(script_id, revision)| (script_id.0, revision)).unzip();
    let rows = sqlx::query!(
        r#"SELECT s.script_type, r.name, r.content, s.delete_time IS NOT NULL AS "is_deleted!"
         FROM unnest($2::uuid[], $3::int4[]) WITH ORDINALITY AS n (script_id, revision, place)
         JOIN script s ON s.project_id = $1 AND s.script_id = n.script_id
         JOIN script_revision r ON r.project_id = $1 AND r.script_id = n.script_id AND r.revision = n.revision
         ORDER BY n.place"#,
        project_id.as_str(),
        &ids,
        &numbers,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let script_type = word("script", &row.script_type)?;
            Ok(RevisionContent {
                script_type,
                name: row.name,
                content: row.content,
                is_deleted: row.is_deleted,
            })
        })
        .collect()
}

/// Queries the scripts of a project that match a filter, without content. `$rest` continues the
/// statement, with parameters from `$8` on.
macro_rules! filtered_scripts {
    ($project_id:expr, $filter:expr, $rest:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            Raw,
            r#"SELECT s.script_id, s.script_type, s.revision, r.sha256, r.name, r.description, r.version,
                '' AS "content!", r.parameters AS "parameters: Json<Vec<Parameter>>", s.created_by, s.create_time, s.update_time
         FROM script s JOIN script_revision r USING (project_id, script_id, revision)
         WHERE s.project_id = $1 AND s.delete_time IS NULL AND ($2::uuid IS NULL OR s.script_id = $2)
           AND ($3::text IS NULL OR r.name = $3) AND ($4::text IS NULL OR s.script_type = $4)
           AND ($5::text IS NULL OR s.created_by = $5)
           AND ($6::uuid IS NULL OR s.script_id BETWEEN $6 AND $7)
"# + $rest,
            $project_id.as_str(),
            $filter.script_id.map(|id| id.0),
            $filter.name.as_deref(),
            $filter.script_type.map(ScriptType::as_str),
            $filter.created_by.as_deref(),
            $filter.id_prefix.map(|prefix| prefix.first()),
            $filter.id_prefix.map(|prefix| prefix.last()),
            $($argument),+
        )
    };
}

/// Lists one page of scripts, newest first, without content, with the total number.
pub async fn list(
    connection: &mut Connection,
    project_id: &ProjectId,
    filter: &ScriptFilter,
    page: Page,
) -> Result<(i64, Vec<ScriptRow>), Error> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!"
         FROM script s JOIN script_revision r USING (project_id, script_id, revision)
         WHERE s.project_id = $1 AND s.delete_time IS NULL AND ($2::uuid IS NULL OR s.script_id = $2)
           AND ($3::text IS NULL OR r.name = $3) AND ($4::text IS NULL OR s.script_type = $4)
           AND ($5::text IS NULL OR s.created_by = $5)
           AND ($6::uuid IS NULL OR s.script_id BETWEEN $6 AND $7)"#,
        project_id.as_str(),
        filter.script_id.map(|id| id.0),
        filter.name.as_deref(),
        filter.script_type.map(ScriptType::as_str),
        filter.created_by.as_deref(),
        filter.id_prefix.map(|prefix| prefix.first()),
        filter.id_prefix.map(|prefix| prefix.last()),
    )
    .fetch_one(&mut *connection)
    .await?;
    let query = filtered_scripts!(
        project_id,
        filter,
        "         ORDER BY s.script_id DESC OFFSET $8 LIMIT $9",
        page.offset,
        page.limit,
    );
    let rows = query.fetch_all(connection).await?;
    let scripts = rows.into_iter().map(ScriptRow::try_from).collect::<Result<_, Error>>()?;
    Ok((count, scripts))
}

/// Lists scripts without their content, newest first, starting after `before`.
pub async fn page(
    connection: &mut Connection,
    project_id: &ProjectId,
    filter: &ScriptFilter,
    before: Option<ScriptId>,
    limit: i64,
) -> Result<Vec<ScriptRow>, Error> {
    let query = filtered_scripts!(
        project_id,
        filter,
        "           AND ($8::uuid IS NULL OR s.script_id < $8)
         ORDER BY s.script_id DESC LIMIT $9",
        before.map(|id| id.0),
        limit,
    );
    let rows = query.fetch_all(connection).await?;
    rows.into_iter().map(ScriptRow::try_from).collect()
}

/// Lists revisions of an existing script, newest first, starting after `before`.
pub async fn revisions(
    connection: &mut Connection,
    project_id: &ProjectId,
    script_id: ScriptId,
    before: Option<i32>,
    limit: i64,
) -> Result<Vec<RevisionRow>, Error> {
    Ok(sqlx::query_as!(
        RevisionRow,
        "SELECT r.revision, r.sha256, r.create_time
         FROM script_revision r JOIN script s USING (project_id, script_id)
         WHERE r.project_id = $1 AND r.script_id = $2 AND s.delete_time IS NULL
           AND ($3::int4 IS NULL OR r.revision < $3)
         ORDER BY r.revision DESC LIMIT $4",
        project_id.as_str(),
        script_id.0,
        before,
        limit,
    )
    .fetch_all(connection)
    .await?)
}
