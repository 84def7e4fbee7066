//! Maps enums of the admin service to domain words: `TASK_STATUS_RUNNING` is RUNNING.

use crate::admin::{
    AttentionKind, AuditResult, Cleanup, Containment, EventKind, IfUserActive, MarginScope, MarginVerdict,
    OnHalt, Outcome, OutputState, ParameterType, PostFinish, Presence, RecordStatus, RetiredFilter,
    ScriptType, StopMode, TaskStatus, WaveHold, WaveStatus, WhatIfEnding,
};

/// An enum whose value names consist of a prefix and a word.
pub trait Word: Copy + Default + Into<i32> + TryFrom<i32> {
    /// Prefix that all value names share.
    const PREFIX: &'static str;

    /// Full name of the value, with the prefix.
    fn name(self) -> &'static str;

    /// Value with this full name; `None` if the name is unknown.
    fn of_name(name: &str) -> Option<Self>;

    /// Word without the prefix; empty for the unspecified value.
    fn as_word(self) -> &'static str {
        match self.name().strip_prefix(Self::PREFIX) {
            None | Some("UNSPECIFIED") => "",
            Some(word) => word,
        }
    }

    /// Value for a domain word in any letter case; `None` for an unknown word.
    fn of_word(word: &str) -> Option<Self> {
        Self::of_name(&format!("{}{}", Self::PREFIX, word.to_uppercase()))
    }

    /// Words of all specified values, in the order of their numbers.
    fn words() -> Vec<&'static str> {
        (1..).map_while(|number| Self::try_from(number).ok()).map(Self::as_word).collect()
    }

    /// Wire number of a domain word; 0 for an unknown word.
    fn number(word: &str) -> i32 {
        Self::of_word(word).unwrap_or_default().into()
    }
}

/// Word of a wire number; empty if unspecified or unknown, for example from a newer server.
pub fn word<W: Word>(number: i32) -> &'static str {
    W::try_from(number).map_or("", W::as_word)
}

macro_rules! words {
    ($($name:ident $prefix:literal,)*) => {
        $(impl Word for $name {
            const PREFIX: &'static str = $prefix;

            fn name(self) -> &'static str {
                self.as_str_name()
            }

            fn of_name(name: &str) -> Option<Self> {
                Self::from_str_name(name)
            }
        })*
    };
}

words! {
    AttentionKind "ATTENTION_KIND_",
    AuditResult "AUDIT_RESULT_",
    Cleanup "CLEANUP_",
    Containment "CONTAINMENT_",
    EventKind "EVENT_KIND_",
    IfUserActive "IF_USER_ACTIVE_",
    MarginScope "MARGIN_SCOPE_",
    MarginVerdict "MARGIN_VERDICT_",
    OnHalt "ON_HALT_",
    Outcome "OUTCOME_",
    OutputState "OUTPUT_STATE_",
    ParameterType "PARAMETER_TYPE_",
    PostFinish "POST_FINISH_",
    Presence "PRESENCE_",
    RecordStatus "RECORD_STATUS_",
    RetiredFilter "RETIRED_FILTER_",
    ScriptType "SCRIPT_TYPE_",
    StopMode "STOP_MODE_",
    TaskStatus "TASK_STATUS_",
    WaveHold "WAVE_HOLD_",
    WaveStatus "WAVE_STATUS_",
    WhatIfEnding "WHAT_IF_ENDING_",
}

#[cfg(test)]
mod tests {
    use domain::{
        containment::Containment as DomainContainment,
        event::EventKind as DomainEvent,
        outcome::Outcome as DomainOutcome,
        policy::{Cleanup as DomainCleanup, OnHalt as DomainOnHalt},
        return_policy::{IfUserActive as DomainActive, PostFinish as DomainAction},
        task::TaskStatus as DomainTask,
        wave_start::WaveHold as DomainHold,
    };

    use super::*;

    #[test]
    fn every_word_of_the_rules_has_a_number() {
        let outcomes = DomainOutcome::ALL.map(|it| Outcome::number(it.as_str()));
        let tasks = DomainTask::ALL.map(|it| TaskStatus::number(it.as_str()));
        let on_halt = DomainOnHalt::ALL.map(|it| OnHalt::number(it.as_str()));
        let containments = DomainContainment::ALL.map(|it| Containment::number(it.as_str()));
        let cleanups = DomainCleanup::ALL.map(|it| Cleanup::number(it.as_str()));
        let holds = DomainHold::ALL.map(|it| WaveHold::number(it.as_str()));
        let words = outcomes.iter().chain(&tasks).chain(&on_halt).chain(&containments).chain(&cleanups);
        let actions = DomainAction::ALL.map(|it| PostFinish::number(it.as_str()));
        let active = DomainActive::ALL.map(|it| IfUserActive::number(it.as_str()));
        let words = words.chain(&holds).chain(&actions).chain(&active);
        assert!(words.into_iter().all(|number| *number > 0));
        assert!(DomainEvent::ALL.iter().all(|it| EventKind::number(it.as_str()) > 0));
    }

    #[test]
    fn a_number_is_a_word_and_what_is_not_known_is_none() {
        assert_eq!(word::<TaskStatus>(TaskStatus::number("HALTED")), "HALTED");
        assert_eq!((word::<TaskStatus>(0), word::<TaskStatus>(99)), ("", ""));
        assert_eq!(OnHalt::of_word("kill"), Some(OnHalt::Kill));
        assert_eq!(OnHalt::of_word("nonsense"), None);
    }
}
