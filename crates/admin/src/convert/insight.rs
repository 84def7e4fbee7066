//! Conversions of the insight service between proto and domain.

use control::{AttentionList, FailureGroup as FailedAlike, Failures};
use domain::what_if::ReplayedWave;
use proto::{
    Word as _,
    admin::{
        AttentionCounts, AttentionItem, AttentionKind, FailureGroup, GetAttentionResponse, Outcome,
        WaveShare, WhatIfWave,
    },
    time,
};

use super::task::task;

pub(crate) fn group(found: &Failures, group: &FailedAlike, desktop_ids: &[String]) -> FailureGroup {
    let share = |&(wave, records): &(u16, u32)| WaveShare { wave: wave.into(), records };
    FailureGroup {
        fingerprint_id: group.fingerprint_id.to_string(),
        outcome: Outcome::number(group.outcome.as_str()),
        exit_code: group.exit_code,
        fingerprint: group.fingerprint.clone(),
        records: group.records,
        share_percent: found.share_percent(group),
        waves: group.waves.iter().map(share).collect(),
        sample_record_id: found.sample_record_id(group).to_string(),
        sample: group.sample.clone(),
        desktop_ids: desktop_ids.to_vec(),
    }
}

pub(crate) fn wave(wave: ReplayedWave) -> WhatIfWave {
    WhatIfWave {
        wave: wave.wave.into(),
        size: wave.size,
        finished: wave.finished,
        failed: wave.failed,
        verdict: wave.verdict,
    }
}

pub(crate) fn attention(list: AttentionList) -> GetAttentionResponse {
    let counts = list.counts;
    let item = |item: control::AttentionItem| AttentionItem {
        kind: AttentionKind::number(item.attention.kind.as_str()),
        since_time: time(item.attention.since),
        until_time: time(item.attention.until),
        wave: item.attention.wave.map_or(0, u32::from),
        targets: item.attention.targets,
        sentence: item.attention.sentence,
        task: Some(task(item.task)),
    };
    GetAttentionResponse {
        time: time(Some(list.at)),
        counts: Some(AttentionCounts {
            approval: counts.approval,
            holding: counts.holding,
            halted: counts.halted,
            frozen: counts.frozen,
            paused: counts.paused,
            stragglers: counts.stragglers,
            running: counts.running,
        }),
        items: list.items.into_iter().map(item).collect(),
        running: list.running.into_iter().map(task).collect(),
        truncated: list.is_truncated,
    }
}
