//! Waves for tests.

use proto::admin::{Outcomes, Wave, WaveStatus};

/// Makes a wave. The counts are targets that succeeded, failed, are in flight, and wait for their
/// desktops.
pub(crate) fn wave(
    wave: u32,
    size: u32,
    status: WaveStatus,
    [success, failed, in_flight, waiting]: [u32; 4],
) -> Wave {
    let targets = Some(Outcomes { success, failed, ..Outcomes::default() });
    Wave { wave, size, status: status.into(), failed, in_flight, waiting, targets, ..Wave::default() }
}
