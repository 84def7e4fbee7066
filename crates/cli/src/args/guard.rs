//! Thresholds that the command line adds to waves without one.

use clap::Args;
use domain::{guard, threshold::Threshold};
use proto::admin::{Canary, FailThreshold, PreviewTaskResponse, Rollout, TaskSpec, WaveSpec};

use super::{
    gate_flags::{FIRST_FAILURE, WAVES, rest},
    parse,
};
use crate::{Error, format::many};

/// Flag of the thresholds that the command line adds.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct GuardFlags {
    /// Leave waves without a threshold as they are [default: they halt at the canary's failure
    /// rate, at most 5%, from 20 results on]
    #[arg(long, help_heading = WAVES)]
    pub(crate) no_guard: bool,
}

/// Reports whether a task may have waves to guard, as far as the flags tell.
pub(crate) fn may_guard(task: &TaskSpec) -> bool {
    let has_total = task.rollout.as_ref().is_some_and(|rollout| rollout.fail_threshold.is_some());
    !has_total && (!is_one_wave(task) || may_exceed(task, guard::MIN_RESULTS))
}

/// Reports whether the flags ask for a single wave.
fn is_one_wave(task: &TaskSpec) -> bool {
    let has_waves = task.rollout.as_ref().is_some_and(|rollout| rollout.waves.len() > 1);
    !has_waves && task.gray_count.is_none_or(|count| count == 0) && task.gray_desktop_ids.is_empty()
}

/// Reports whether a task may have more than `most` desktops. The control plane knows the members
/// of pools and tags.
pub(crate) fn may_exceed(task: &TaskSpec, most: u32) -> bool {
    let is_listed = task.desktop_pool_id.is_empty() && task.desktop_tag.is_empty();
    !is_listed || u32::try_from(task.desktop_ids.len()).map_or(true, |desktops| desktops > most)
}

/// Sets a threshold for each planned wave without one, and describes each as a line. Gray fields
/// become explicit waves, which have the same plan.
pub(crate) fn guard(task: &mut TaskSpec, plan: &PreviewTaskResponse) -> Result<Vec<String>, Error> {
    let planned = plan.waves.iter().map(|wave| Ok((wave.size, threshold(&wave.fail_threshold)?)));
    let planned: Vec<_> = planned.collect::<Result<_, Error>>()?;
    let of_task = task.rollout.as_ref().and_then(|rollout| rollout.fail_threshold.as_ref());
    if of_task.is_some() {
        return Ok(Vec::new());
    }
    let guarded = guard::thresholds(&planned, None);
    if guarded.is_empty() {
        return Ok(Vec::new());
    }
    let has_waves = task.rollout.as_ref().is_some_and(|rollout| !rollout.waves.is_empty());
    if !has_waves {
        explicit_waves(task, plan);
    }
    let waves = &mut task.rollout.get_or_insert_default().waves;
    let mut lines = Vec::new();
    for (number, threshold) in guarded {
        // Waves that the fleet does not fill are last, so a planned wave has its place in the list.
        let place = usize::from(number) - 1;
        let (Some(wave), Some((size, _))) = (waves.get_mut(place), planned.get(place)) else { continue };
        wave.fail_threshold = Some(of_rules(threshold));
        lines.push(line(number, *size, threshold));
    }
    Ok(lines)
}

/// Replaces the gray fields of a task by explicit waves: the gray wave and the rest, or one wave.
fn explicit_waves(task: &mut TaskSpec, plan: &PreviewTaskResponse) {
    let rollout: &mut Rollout = task.rollout.get_or_insert_default();
    if !plan.gray {
        rollout.waves = vec![rest()];
        return;
    }
    let count = plan.waves.first().map(|wave| i64::from(wave.size));
    let fail_threshold = match task.gray_fail_threshold.take() {
        Some(count) => FailThreshold { count: Some(count), ..FailThreshold::default() },
        None => FIRST_FAILURE,
    };
    let gray = WaveSpec { count, fail_threshold: Some(fail_threshold), ..WaveSpec::default() };
    rollout.waves = vec![gray, rest()];
    let named = std::mem::take(&mut task.gray_desktop_ids);
    task.gray_count = None;
    if !named.is_empty() {
        let canary: &mut Canary = rollout.canary.get_or_insert_default();
        // A count below the number of named desktops keeps the first ones.
        let most = count.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
        canary.desktop_ids = named.into_iter().take(most).collect();
    }
}

/// Formats a guarded wave: `wave 2: halts at 1000 failures of 19995 (5%, from 20 results on)`.
fn line(wave: u16, size: u32, threshold: Threshold) -> String {
    let failures = many(threshold.failures_of(size), "failure");
    let (share, min_results) = match threshold {
        Threshold::Percent { share, min_results } => (share.to_string(), min_results),
        Threshold::Count(count) => (count.to_string(), 0),
    };
    let from =
        if min_results == size { "at its end".to_owned() } else { format!("from {min_results} results on") };
    format!("wave {wave}: halts at {failures} of {size} ({share}%, {from})")
}

/// Parses the threshold of a planned wave.
fn threshold(text: &str) -> Result<Option<Threshold>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let FailThreshold { count, percent, min_results } = parse::threshold(text).map_err(Error::refused)?;
    let parsed = Threshold::new(count, percent, min_results);
    parsed.map(Some).map_err(|error| Error::refused(error.message))
}

fn of_rules(threshold: Threshold) -> FailThreshold {
    match threshold {
        Threshold::Count(count) => FailThreshold { count: Some(count.into()), ..FailThreshold::default() },
        Threshold::Percent { share, min_results } => FailThreshold {
            percent: Some(share.percent()),
            min_results: Some(min_results.into()),
            count: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use proto::admin::PreviewWave;

    use super::*;

    fn plan(gray: bool, waves: &[(u32, &str)]) -> PreviewTaskResponse {
        let wave = |(wave, &(size, threshold)): (u32, &(u32, &str))| PreviewWave {
            wave,
            size,
            fail_threshold: threshold.into(),
            ..PreviewWave::default()
        };
        let waves = (1..).zip(waves).map(wave).collect();
        PreviewTaskResponse { gray, waves, ..PreviewTaskResponse::default() }
    }

    fn percent(percent: f64, min_results: i64) -> Option<FailThreshold> {
        Some(FailThreshold { percent: Some(percent), min_results: Some(min_results), count: None })
    }

    fn count(count: i64) -> Option<FailThreshold> {
        Some(FailThreshold { count: Some(count), ..FailThreshold::default() })
    }

    #[test]
    fn gray_fields_become_waves_with_a_guarded_rest() {
        let mut task = TaskSpec {
            gray_count: Some(5),
            gray_fail_threshold: Some(2),
            gray_desktop_ids: vec!["d-1".into()],
            ..TaskSpec::default()
        };
        let lines = guard(&mut task, &plan(true, &[(5, "2"), (19_995, "")])).unwrap();
        assert_eq!(lines, ["wave 2: halts at 1000 failures of 19995 (5%, from 20 results on)"]);
        let rollout = task.rollout.clone().unwrap();
        let gray = WaveSpec { count: Some(5), fail_threshold: count(2), ..WaveSpec::default() };
        assert_eq!(rollout.waves, [gray, WaveSpec { fail_threshold: percent(5.0, 20), ..rest() }]);
        assert_eq!(rollout.canary.unwrap().desktop_ids, ["d-1"]);
        assert_eq!((task.gray_count, task.gray_fail_threshold, task.gray_desktop_ids), (None, None, vec![]));
    }

    #[test]
    fn explicit_thresholds_are_kept() {
        let waves = vec![
            WaveSpec { count: Some(100), fail_threshold: count(1), ..WaveSpec::default() },
            WaveSpec { count: Some(10), ..WaveSpec::default() },
            WaveSpec { fail_threshold: percent(9.0, 2), ..rest() },
        ];
        let mut task = TaskSpec {
            rollout: Some(Rollout { waves: waves.clone(), ..Rollout::default() }),
            ..TaskSpec::default()
        };
        let lines = guard(&mut task, &plan(true, &[(100, "1"), (10, ""), (90, "9%/2")])).unwrap();
        assert_eq!(lines, ["wave 2: halts at 1 failure of 10 (1%, at its end)"]);
        let guarded = WaveSpec { fail_threshold: percent(1.0, 10), ..waves[1] };
        assert_eq!(task.rollout.unwrap().waves, [waves[0], guarded, waves[2]]);
    }

    #[test]
    fn single_large_wave_is_guarded_and_a_total_threshold_covers_it() {
        let mut task = TaskSpec::default();
        let whole = plan(false, &[(400, "")]);
        let lines = guard(&mut task, &whole).unwrap();
        assert_eq!(lines, ["wave 1: halts at 20 failures of 400 (5%, from 20 results on)"]);
        assert_eq!(task.rollout.unwrap().waves, [WaveSpec { fail_threshold: percent(5.0, 20), ..rest() }]);
        let rollout = Rollout { fail_threshold: count(50), ..Rollout::default() };
        let mut covered = TaskSpec { rollout: Some(rollout), ..TaskSpec::default() };
        let before = covered.clone();
        assert!(guard(&mut covered, &whole).unwrap().is_empty() && covered == before);
        assert!(!may_guard(&covered));
    }

    #[test]
    fn plan_is_needed_only_where_a_wave_may_be_guarded() {
        let listed = |desktops: usize| TaskSpec {
            desktop_ids: (0..desktops).map(|number| format!("d-{number}")).collect(),
            ..TaskSpec::default()
        };
        assert!(!may_guard(&listed(20)) && may_guard(&listed(21)));
        assert!(may_guard(&TaskSpec { desktop_tag: "a=b".into(), ..TaskSpec::default() }));
        assert!(may_guard(&TaskSpec { gray_count: Some(1), ..listed(2) }));
        assert!(!may_guard(&TaskSpec { gray_count: Some(0), ..listed(2) }));
    }
}
