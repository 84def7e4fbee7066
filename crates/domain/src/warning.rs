//! Warnings: facts about a valid request that its author probably did not mean.

use crate::{
    ids::DesktopId,
    limits::CONFIRM_ABOVE,
    policy::RolloutPolicy,
    script::{ScriptType, has_mixed_line_ends},
    string_enum::string_enum,
    threshold::Threshold,
};

/// Identifier of a kind of warning, on which programs branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WarningCode {
    /// Some lines of a SHELL script end with CRLF, and others with LF.
    MixedLineEnds,
    /// The rollout weighs an exit code that none of its scripts can have.
    ImpossibleExitCode,
    /// A wave has no failure threshold, and the task has none.
    WaveWithoutThreshold,
    /// Many desktops start in one wave, without a gray wave before them.
    NoCanary,
    /// The threshold of a wave or of the task is a count that its targets cannot reach.
    ThresholdUnreachable,
    /// An approval is asked for before a wave that the plan does not have.
    ApprovalWithoutWave,
    /// Canaries are offline.
    CanaryOffline,
    /// A retry runs a script that was deleted since.
    ScriptDeleted,
}

impl WarningCode {
    /// Every code.
    pub const ALL: [Self; 8] = [
        Self::MixedLineEnds,
        Self::ImpossibleExitCode,
        Self::WaveWithoutThreshold,
        Self::NoCanary,
        Self::ThresholdUnreachable,
        Self::ApprovalWithoutWave,
        Self::CanaryOffline,
        Self::ScriptDeleted,
    ];

    /// Returns the word in proto and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MixedLineEnds => "MIXED_LINE_ENDS",
            Self::ImpossibleExitCode => "IMPOSSIBLE_EXIT_CODE",
            Self::WaveWithoutThreshold => "WAVE_WITHOUT_THRESHOLD",
            Self::NoCanary => "NO_CANARY",
            Self::ThresholdUnreachable => "THRESHOLD_UNREACHABLE",
            Self::ApprovalWithoutWave => "APPROVAL_WITHOUT_WAVE",
            Self::CanaryOffline => "CANARY_OFFLINE",
            Self::ScriptDeleted => "SCRIPT_DELETED",
        }
    }
}

string_enum!(WarningCode, "code");

/// One warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Kind of the warning.
    pub code: WarningCode,
    /// Fact and fix, for people.
    pub message: String,
    /// Wave that the warning is about; `None` for the whole task.
    pub wave: Option<u16>,
}

/// Returns the warnings about the scripts of a task, in order. Each script has its type, its name
/// and its content; the name of a command is empty.
pub fn of_scripts<'a>(scripts: impl IntoIterator<Item = (ScriptType, &'a str, &'a str)>) -> Vec<Warning> {
    let mixed =
        scripts.into_iter().filter(|(script_type, _, content)| has_mixed_line_ends(*script_type, content));
    mixed
        .map(|(_, name, _)| {
            let script = if name.is_empty() { "the command".to_owned() } else { format!("script {name:?}") };
            let message = format!(
                "{script} has lines that end with CRLF and others with LF. A shell reads the carriage \
                 return as text: use one kind of line end"
            );
            Warning { code: WarningCode::MixedLineEnds, message, wave: None }
        })
        .collect()
}

/// Returns the warnings about deleted scripts that a retry runs again, in order. `deleted` are
/// their names.
pub fn of_deleted<'a>(deleted: impl IntoIterator<Item = &'a str>) -> Vec<Warning> {
    let warn = |name: &str| Warning {
        code: WarningCode::ScriptDeleted,
        message: format!(
            "script {name:?} is deleted, and the retry runs the revision of the first attempt. Stop the task \
             if the script must not run any more"
        ),
        wave: None,
    };
    deleted.into_iter().map(warn).collect()
}

/// Returns the warning about exit codes that no script of a task can have. SHELL scripts run where
/// exit codes have 8 bits; POWERSHELL and BAT scripts may have all 32 bits of Windows.
pub fn of_exit_codes(
    script_types: impl IntoIterator<Item = ScriptType>,
    policy: &RolloutPolicy,
) -> Option<Warning> {
    let mut script_types = script_types.into_iter().peekable();
    if script_types.peek().is_none() || script_types.any(|script_type| script_type != ScriptType::Shell) {
        return None;
    }
    let codes = policy.exit_codes.keys().chain(&policy.success_exit_codes);
    let codes = codes.chain(&policy.returns.reboot_exit_codes);
    let impossible: Vec<String> =
        codes.filter(|code| u8::try_from(**code).is_err()).map(ToString::to_string).collect();
    (!impossible.is_empty()).then(|| {
        let codes = impossible.join(", ");
        let message = format!("no SHELL script can exit with {codes}: its exit codes are 0 to 255");
        Warning { code: WarningCode::ImpossibleExitCode, message, wave: None }
    })
}

/// Returns the warnings about a plan, in order. `waves` are the sizes and thresholds of the planned
/// waves.
pub fn of_plan(
    policy: &RolloutPolicy,
    waves: &[(u32, Option<Threshold>)],
    canaries: &Canaries,
) -> Vec<Warning> {
    let total = waves.iter().map(|(size, _)| size).sum();
    let mut found: Vec<Warning> = no_canary(waves).into_iter().collect();
    if policy.fail_threshold.is_none() && total > 1 {
        found.extend((1..).zip(waves).filter(|(_, wave)| wave.1.is_none()).map(without_threshold));
    }
    found.extend(
        (1..).zip(waves).filter_map(|(wave, &(size, threshold))| unreachable(threshold, size, Some(wave))),
    );
    found.extend(unreachable(policy.fail_threshold, total, None));
    found.extend(approvals_without_wave(policy, waves.len()));
    found.extend(canaries_offline(canaries));
    found
}

fn no_canary(waves: &[(u32, Option<Threshold>)]) -> Option<Warning> {
    let [(size, _)] = waves else { return None };
    let message = format!(
        "all {size} desktops start in one wave: begin with a gray wave, such as one of {GRAY_EXAMPLE} desktops"
    );
    (*size > CONFIRM_ABOVE).then_some(Warning { code: WarningCode::NoCanary, message, wave: None })
}

fn without_threshold((wave, (size, _)): (u16, &(u32, Option<Threshold>))) -> Warning {
    let message = match size {
        1 => "no failure threshold: a failure of its desktop halts nothing. Set one, such as 1".to_owned(),
        size => format!(
            "no failure threshold: failures on all its {size} desktops halt nothing. Set one for the wave or \
             the task"
        ),
    };
    Warning { code: WarningCode::WaveWithoutThreshold, message, wave: Some(wave) }
}

/// A count that is larger than its wave is valid, because templates are used for fleets of any
/// size.
fn unreachable(threshold: Option<Threshold>, size: u32, wave: Option<u16>) -> Option<Warning> {
    let count = threshold.filter(|it| !it.is_reachable_in(size)).and_then(Threshold::count)?;
    let (what, targets) = (
        wave.map_or_else(|| "the task".to_owned(), |wave| format!("wave {wave}")),
        if size == 1 { "1 target".to_owned() } else { format!("{size} targets") },
    );
    let message = format!(
        "the fail threshold {count} never halts the rollout: {what} has {targets}. Use at most {size}"
    );
    Some(Warning { code: WarningCode::ThresholdUnreachable, message, wave })
}

fn approvals_without_wave(policy: &RolloutPolicy, waves: usize) -> Option<Warning> {
    let before = policy.approval.before_waves.iter();
    let missing: Vec<String> =
        before.filter(|&&wave| usize::from(wave) > waves).map(ToString::to_string).collect();
    let plan = if waves == 1 { "1 wave".to_owned() } else { format!("{waves} waves") };
    let message =
        format!("no approval is asked for before wave {}: the desktops fill {plan}", missing.join(", "));
    (!missing.is_empty()).then_some(Warning { code: WarningCode::ApprovalWithoutWave, message, wave: None })
}

fn canaries_offline(canaries: &Canaries) -> Option<Warning> {
    let Canaries { total, offline, named } = canaries;
    if *offline == 0 {
        return None;
    }
    let more = match *offline as usize - named.len().min(*offline as usize) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!(
        "{offline} of {total} canaries are offline: {}{more}. The first wave waits for them until their \
         delivery deadline",
        named.join(", ")
    );
    Some(Warning { code: WarningCode::CanaryOffline, message, wave: Some(1) })
}

/// The desktops of the gray wave, by presence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Canaries {
    /// Number of canaries; 0 without a gray wave.
    pub total: u32,
    /// Number of those that are offline now.
    pub offline: u32,
    /// Ids of the first [`MAX_NAMED`] offline canaries, in the order of the plan.
    pub named: Vec<String>,
}

impl Canaries {
    /// Counts canaries. Each has its id and whether it is offline.
    pub fn count<'a>(canaries: impl IntoIterator<Item = (&'a DesktopId, bool)>) -> Self {
        let mut counted = Self::default();
        for (desktop_id, is_offline) in canaries {
            counted.total += 1;
            counted.offline += u32::from(is_offline);
            if is_offline && counted.named.len() < MAX_NAMED {
                counted.named.push(desktop_id.to_string());
            }
        }
        counted
    }
}

/// Number of desktops of the gray wave that a warning suggests.
const GRAY_EXAMPLE: u32 = 5;

/// Maximum number of desktops that a warning names.
pub const MAX_NAMED: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Approval, Weight};

    #[test]
    fn plans_are_warned_of_what_they_cannot_do() {
        let ids: Vec<DesktopId> = (1..=12).map(|number| format!("d{number:02}").parse().unwrap()).collect();
        let count = |count| Some(Threshold::Count(count));
        let approval = Approval { before_waves: [2, 4].into(), distinct_approver: false };
        let policy = RolloutPolicy { fail_threshold: count(9), approval, ..RolloutPolicy::default() };
        let waves = [(1, count(2)), (3, count(3)), (4, None)];
        let codes = |found: &[Warning]| -> Vec<_> { found.iter().map(|it| (it.code, it.wave)).collect() };
        let found = of_plan(&policy, &waves, &Canaries::count(ids.iter().map(|id| (id, true))));
        // The threshold of the task covers wave 3.
        let expected = [
            (WarningCode::ThresholdUnreachable, Some(1)),
            (WarningCode::ThresholdUnreachable, None),
            (WarningCode::ApprovalWithoutWave, None),
            (WarningCode::CanaryOffline, Some(1)),
        ];
        assert_eq!(codes(&found), expected);
        assert!(found[0].message.contains("wave 1 has 1 target. Use at most 1"), "{found:?}");
        assert!(found[2].message.contains("before wave 4: the desktops fill 3 waves"), "{found:?}");
        assert!(found[3].message.contains("12 of 12 canaries are offline: d01, "), "{found:?}");
        assert!(found[3].message.contains("d10 and 2 more."), "{found:?}");
        let of_two = |presence: [bool; 2]| {
            let canaries = Canaries::count(ids.iter().zip(presence));
            of_plan(&RolloutPolicy::default(), &[(2, count(2))], &canaries)
        };
        let one_of_two = of_two([false, true]);
        assert!(one_of_two[0].message.starts_with("1 of 2 canaries are offline: d02."), "{one_of_two:?}");
        assert_eq!(of_two([false, false]), []);
    }

    #[test]
    fn waves_without_a_threshold_and_a_canary_are_warned_of() {
        let codes = |policy: &RolloutPolicy, waves: &[(u32, Option<Threshold>)]| -> Vec<_> {
            let found = of_plan(policy, waves, &Canaries::default());
            found.into_iter().map(|it| (it.code, it.wave)).collect()
        };
        let (plain, one) = (RolloutPolicy::default(), Some(Threshold::Count(1)));
        let without = |wave| (WarningCode::WaveWithoutThreshold, Some(wave));
        assert_eq!(codes(&plain, &[(5, one), (19_995, None)]), [without(2)]);
        assert_eq!(codes(&plain, &[(21, None)]), [(WarningCode::NoCanary, None), without(1)]);
        assert_eq!(codes(&plain, &[(21, one)]), [(WarningCode::NoCanary, None)]);
        assert_eq!(codes(&plain, &[(20, None)]), [without(1)]);
        assert_eq!(codes(&plain, &[(1, None)]), [], "one desktop leaves nothing to halt");
        let bounded = RolloutPolicy { fail_threshold: one, ..RolloutPolicy::default() };
        assert_eq!(codes(&bounded, &[(5, None), (95, None)]), []);
    }

    #[test]
    fn exit_codes_of_windows_are_warned_of_in_shell_scripts() {
        let policy = RolloutPolicy {
            exit_codes: [(-1, Weight::Halt), (255, Weight::Ignore), (256, Weight::Halt)].into(),
            success_exit_codes: vec![3010, 7],
            ..RolloutPolicy::default()
        };
        let found = of_exit_codes([ScriptType::Shell], &policy).unwrap();
        assert_eq!(found.code, WarningCode::ImpossibleExitCode);
        assert!(found.message.contains("-1, 256, 3010:"), "{}", found.message);
        assert_eq!(of_exit_codes([ScriptType::Shell, ScriptType::Bat], &policy), None);
        assert_eq!(of_exit_codes([ScriptType::Powershell], &policy), None);
        assert_eq!(of_exit_codes([ScriptType::Shell], &RolloutPolicy::default()), None);
    }

    #[test]
    fn mixed_line_ends_are_warned_of_with_the_script() {
        let scripts = [
            (ScriptType::Shell, "good", "a\nb\n"),
            (ScriptType::Shell, "bad", "a\r\nb\n"),
            (ScriptType::Bat, "windows", "a\r\nb\n"),
            (ScriptType::Shell, "", "a\nb\r\n"),
        ];
        let found = of_scripts(scripts);
        assert!(found.iter().all(|it| it.code == WarningCode::MixedLineEnds && it.wave.is_none()));
        let starts = ["script \"bad\" has lines", "the command has lines"];
        assert_eq!(found.len(), 2);
        assert!(found.iter().zip(starts).all(|(it, start)| it.message.starts_with(start)), "{found:?}");
        assert_eq!(of_scripts([]), []);
    }

    #[test]
    fn deleted_scripts_are_named() {
        let found = of_deleted(["fix \"a\"", "b"]);
        let starts = ["script \"fix \\\"a\\\"\" is deleted", "script \"b\" is deleted"];
        assert_eq!(found.len(), 2);
        assert!(found.iter().zip(starts).all(|(it, start)| it.message.starts_with(start)), "{found:?}");
        assert!(found.iter().all(|it| it.code == WarningCode::ScriptDeleted && it.wave.is_none()));
        assert_eq!(of_deleted([]), []);
    }

    #[test]
    fn codes_are_their_words() {
        for code in WarningCode::ALL {
            assert_eq!(code.as_str().parse::<WarningCode>().unwrap(), code);
        }
    }
}
