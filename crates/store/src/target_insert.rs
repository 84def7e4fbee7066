//! Writes the targets of a plan, in the order of the primary key.

use domain::{
    ids::TaskId,
    plan::{Plan, PlannedWave},
};

use crate::{
    Connection, Error,
    codec::{int2, int4},
};

/// Plans of at least this size are copied. A COPY takes half the time for each target. It ends with
/// a small message, which waits up to 40 ms for the server to acknowledge the data, because the
/// driver does not disable Nagle's algorithm.
const COPY_FROM: usize = 50_000;
/// Number of targets per INSERT: large enough to amortise it, small enough to bound its memory.
const CHUNK: usize = 10_000;
const COPY: &str =
    "COPY target (task_id, ordinal, desktop_id, wave, first_script) FROM STDIN (FORMAT binary)";
/// Signature, flags and length of the extension: the header of the format.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
const COLUMNS: i16 = 5;
/// Ends the stream, in the place of a row's number of columns.
const END: i16 = -1;
/// Bytes of one message: a plan of any size needs no more memory.
const MESSAGE_BYTES: usize = 256 << 10;

/// Stores the targets of all waves. `first_scripts`, if the task has them, are by ordinal.
///
/// # Errors
///
/// The parts of the plan do not match, or the database failed.
pub(crate) async fn insert(
    connection: &mut Connection,
    task_id: TaskId,
    plan: &Plan,
    first_scripts: Option<&[u16]>,
) -> Result<(), Error> {
    check(plan, first_scripts)?;
    let first_script =
        |ordinal: u32| first_scripts.and_then(|all| all.get(ordinal as usize)).copied().unwrap_or_default();
    let targets = plan.waves.iter().flat_map(ordinals).filter_map(|(wave, ordinal)| {
        let desktop_id = plan.order.get(ordinal as usize)?.as_str();
        Some(NewTarget {
            ordinal: int4(ordinal),
            desktop_id,
            wave: int2(wave),
            first_script: int2(first_script(ordinal)),
        })
    });
    if plan.order.len() >= COPY_FROM {
        copy(connection, task_id, targets).await
    } else {
        insert_chunks(connection, task_id, &targets.collect::<Vec<_>>()).await
    }
}

/// Checks that every target has one wave and one first script: no target is left out silently.
fn check(plan: &Plan, first_scripts: Option<&[u16]>) -> Result<(), Error> {
    let targets = plan.order.len();
    let consecutive = |next: u32, wave: &PlannedWave| {
        if wave.first_ordinal == next { next.checked_add(wave.size) } else { None }
    };
    let covered = plan.waves.iter().try_fold(0, consecutive);
    if covered.is_none_or(|covered| covered as usize != targets) {
        return Err(Error::corrupt("target", format!("the waves do not cover the {targets} targets")));
    }
    match first_scripts {
        Some(all) if all.len() != targets => {
            Err(Error::corrupt("target", format!("{} first scripts for {targets} targets", all.len())))
        }
        _ => Ok(()),
    }
}

struct NewTarget<'a> {
    ordinal: i32,
    desktop_id: &'a str,
    wave: i16,
    first_script: i16,
}

async fn insert_chunks(
    connection: &mut Connection,
    task_id: TaskId,
    targets: &[NewTarget<'_>],
) -> Result<(), Error> {
    for chunk in targets.chunks(CHUNK) {
        sqlx::query!(
            "INSERT INTO target (task_id, ordinal, desktop_id, wave, first_script)
             SELECT $1, ordinal, desktop_id, wave, first_script
             FROM unnest($2::int4[], $3::text[], $4::int2[], $5::int2[]) AS n (ordinal, desktop_id, wave, first_script)",
            task_id.0,
            &chunk.iter().map(|target| target.ordinal).collect::<Vec<_>>(),
            &chunk.iter().map(|target| target.desktop_id.to_owned()).collect::<Vec<_>>(),
            &chunk.iter().map(|target| target.wave).collect::<Vec<_>>(),
            &chunk.iter().map(|target| target.first_script).collect::<Vec<_>>(),
        )
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Stores targets with one COPY in the binary format.
async fn copy(
    connection: &mut Connection,
    task_id: TaskId,
    targets: impl Iterator<Item = NewTarget<'_>>,
) -> Result<(), Error> {
    let mut copy = connection.copy_in_raw(COPY).await?;
    let mut message = HEADER.to_vec();
    for target in targets {
        message.extend_from_slice(&COLUMNS.to_be_bytes());
        push(&mut message, task_id.0.as_bytes());
        push(&mut message, &target.ordinal.to_be_bytes());
        push(&mut message, target.desktop_id.as_bytes());
        push(&mut message, &target.wave.to_be_bytes());
        push(&mut message, &target.first_script.to_be_bytes());
        if message.len() >= MESSAGE_BYTES {
            copy.send(message.as_slice()).await?;
            message.clear();
        }
    }
    message.extend_from_slice(&END.to_be_bytes());
    copy.send(message.as_slice()).await?;
    copy.finish().await?;
    Ok(())
}

/// Returns the ordinals of a wave, each with the number of the wave.
fn ordinals(wave: &PlannedWave) -> impl Iterator<Item = (u16, u32)> {
    (wave.first_ordinal..wave.first_ordinal + wave.size).map(|ordinal| (wave.wave, ordinal))
}

/// Adds a value: its length, then its bytes.
fn push(message: &mut Vec<u8>, value: &[u8]) {
    message.extend_from_slice(&int4(value.len()).to_be_bytes());
    message.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use domain::{ids::DesktopId, plan::plan_again};

    use super::*;

    #[test]
    fn plan_with_parts_that_do_not_match_is_corrupt() {
        let order = ["a", "b", "c"].map(|id| id.parse::<DesktopId>().unwrap());
        let plan = plan_again(order.to_vec(), vec![(1, None), (2, None)], true);
        assert!(check(&plan, None).is_ok() && check(&plan, Some(&[0, 1, 2])).is_ok());
        for first_scripts in [&[][..], &[0, 1], &[0, 1, 2, 3]] {
            let error = check(&plan, Some(first_scripts)).unwrap_err().to_string();
            assert!(error.contains("first scripts for 3 targets"), "{error}");
        }
        let changes: [fn(&mut Plan); 4] = [
            |plan| plan.order.truncate(2),
            |plan| plan.waves.truncate(1),
            |plan| plan.waves[1].first_ordinal = 0,
            |plan| plan.waves[1].size = u32::MAX,
        ];
        for change in changes {
            let mut other = plan.clone();
            change(&mut other);
            let error = check(&other, None).unwrap_err().to_string();
            assert!(error.contains("the waves do not cover"), "{error}");
        }
    }
}
