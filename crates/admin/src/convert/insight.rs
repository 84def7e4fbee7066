//! Conversions of the insight service between proto and domain.

use control::{FailureGroup as FailedAlike, Failures};
use domain::what_if::ReplayedWave;
use proto::{
    Word as _,
    admin::{FailureGroup, Outcome, WaveShare, WhatIfWave},
};

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
