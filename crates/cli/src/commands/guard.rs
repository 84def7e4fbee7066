//! Guards of a run before its submission: thresholds for waves without one, and the question before
//! many desktops start in one wave.

use domain::guard::first_wave_without_canary;
use proto::admin::{PreviewTaskResponse, TaskSpec};

use super::plan::{self, Asked};
use crate::{
    Error,
    args::{GuardFlags, Payload, guard, may_exceed, may_guard},
    client::Session,
    output::Console,
};

/// Adds a threshold to each wave without one, unless `--no-guard` is given, and prints them.
///
/// Returns the plan of the task before that; `None` if it was not needed. `confirm_above` is the
/// number of desktops in one wave from which on the command asks; `None` if it never asks.
pub(super) async fn guarded(
    session: &Session,
    console: &Console,
    task: &mut TaskSpec,
    payload: &Payload,
    asked: Asked,
    (guards, confirm_above): (GuardFlags, Option<u32>),
) -> Result<Option<PreviewTaskResponse>, Error> {
    let may_guard = !guards.no_guard && may_guard(task);
    let may_ask = confirm_above.is_some_and(|most| may_exceed(task, most));
    if !may_guard && !may_ask {
        return Ok(None);
    }
    let mut looked = task.clone();
    payload.look(&mut looked);
    let plan = plan::draft(session, &looked, asked).await?;
    if may_guard {
        guard(task, &plan)?.iter().for_each(|line| console.say(line));
    }
    Ok(Some(plan))
}

/// Returns the number of desktops that start at first without a canary, if it is above
/// `confirm_above`.
pub(super) fn many_at_once(plan: Option<&PreviewTaskResponse>, confirm_above: Option<u32>) -> Option<u32> {
    let sizes: Vec<u32> = plan?.waves.iter().map(|wave| wave.size).collect();
    first_wave_without_canary(&sizes, confirm_above?)
}

#[cfg(test)]
mod tests {
    use proto::admin::PreviewWave;

    use super::*;

    #[test]
    fn question_is_about_a_large_first_wave() {
        let plan = |sizes: &[u32]| PreviewTaskResponse {
            waves: sizes.iter().map(|&size| PreviewWave { size, ..PreviewWave::default() }).collect(),
            ..PreviewTaskResponse::default()
        };
        assert_eq!(many_at_once(Some(&plan(&[21])), Some(20)), Some(21));
        assert_eq!(many_at_once(Some(&plan(&[21])), Some(21)), None);
        assert_eq!(many_at_once(Some(&plan(&[5, 16])), Some(20)), None);
        assert_eq!(many_at_once(Some(&plan(&[21])), None), None);
        assert_eq!(many_at_once(None, Some(20)), None);
    }
}
