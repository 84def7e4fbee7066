//! Guards of a run before its submission: thresholds for waves without one, and the question before
//! many desktops start in one wave.

use proto::admin::{PreviewTaskResponse, TaskSpec};

use super::plan::{self, Asked};
use crate::{
    Error,
    args::{GuardFlags, Payload, guard, is_one_wave, may_exceed, may_guard},
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
    let may_ask = is_one_wave(task) && confirm_above.is_some_and(|most| may_exceed(task, most));
    if !may_guard && !may_ask {
        return Ok(None);
    }
    let mut looked = task.clone();
    payload.look(&mut looked);
    let plan = plan::ask(session, &looked, false, asked).await?;
    if may_guard {
        guard(task, &plan)?.iter().for_each(|line| console.say(line));
    }
    Ok(Some(plan))
}

/// Returns the number of desktops that start in one wave, if it is above `confirm_above`.
pub(super) fn many_at_once(plan: Option<&PreviewTaskResponse>, confirm_above: Option<u32>) -> Option<u32> {
    let plan = plan.filter(|plan| plan.waves.len() == 1)?;
    Some(plan.target_count).filter(|desktops| confirm_above.is_some_and(|most| *desktops > most))
}

#[cfg(test)]
mod tests {
    use proto::admin::PreviewWave;

    use super::*;

    #[test]
    fn question_is_about_one_wave_above_the_number() {
        let plan = |waves: usize| PreviewTaskResponse {
            target_count: 21,
            waves: vec![PreviewWave::default(); waves],
            ..PreviewTaskResponse::default()
        };
        assert_eq!(many_at_once(Some(&plan(1)), Some(20)), Some(21));
        assert_eq!(many_at_once(Some(&plan(1)), Some(21)), None);
        assert_eq!(many_at_once(Some(&plan(2)), Some(20)), None);
        assert_eq!(many_at_once(Some(&plan(1)), None), None);
        assert_eq!(many_at_once(None, Some(20)), None);
    }
}
