//! The rows with which a story begins.

use domain::{
    Timestamp,
    desktop::Stratum,
    ids::{DesktopId, ProjectId, TaskId},
    plan::{self, Candidate, Gray, Plan, PlannedWave},
    stratum::StratumKey,
    tally::Tally,
    task::TaskStatus,
    wave::{OtherWaves, WaveState, WaveStatus, WaveTerms},
};
use engine::row::{Presence, TaskFacts, WaveRow};
use uuid::Uuid;

use super::scenario::{Scenario, Waves};
use crate::memory::{MemoryStore, NewTask};

/// Time zones of the desktops, in turn. The agent of every fourth desktop reports none.
const ZONES: [&str; 4] = ["Europe/Berlin", "America/New_York", "Asia/Tokyo", ""];

/// The time zone of a target's desktop.
pub(super) const fn zone(ordinal: u32) -> &'static str {
    ZONES[ordinal as usize % ZONES.len()]
}

/// The rows of a scenario, and their keys.
pub(super) struct Rows {
    pub(super) store: MemoryStore,
    pub(super) task_id: TaskId,
    pub(super) project_id: ProjectId,
    /// By ordinal.
    pub(super) desktop_ids: Vec<DesktopId>,
}

/// The rows when the task was accepted, at `now`.
pub(super) fn of_scenario(scenario: &Scenario, now: Timestamp) -> Result<Rows, domain::Error> {
    let plan = planned(scenario)?;
    let mut store = MemoryStore::default();
    let (task_id, project_id): (TaskId, ProjectId) = (TaskId(Uuid::from_u128(1)), "sim".parse()?);
    for (desktop_id, ordinal) in plan.order.iter().zip(0..) {
        let presence = Presence {
            worker_id: None,
            is_draining: true,
            time_zone: zone(ordinal).to_owned(),
            agent_id: "0".to_owned(),
            changed_at: now,
        };
        store.put_desktop(&project_id, desktop_id, presence);
    }
    store.set_project_limit(&project_id, scenario.project_limit);
    store.insert_task(NewTask {
        task_id,
        facts: facts(scenario, project_id.clone(), now),
        waves: waves(scenario, &plan),
        targets: plan.order.iter().map(|desktop_id| (desktop_id.clone(), 0)).collect(),
    });
    Ok(Rows { store, task_id, project_id, desktop_ids: plan.order })
}

fn facts(scenario: &Scenario, project_id: ProjectId, now: Timestamp) -> TaskFacts {
    TaskFacts {
        project_id,
        status: TaskStatus::Waiting,
        killing: false,
        script_count: scenario.scripts,
        resumes: false,
        attempt: 1,
        timeouts: scenario.timeouts,
        policy: scenario.policy.clone(),
        expires_at: scenario.expires_after.map(|after| now + after),
        is_paused: false,
        is_frozen: false,
        max_concurrency: scenario.max_concurrency,
        has_project_limit: scenario.project_limit.is_some(),
        trace_context: None,
    }
}

fn waves(scenario: &Scenario, plan: &Plan) -> Vec<WaveRow> {
    let terms = WaveTerms::new(&scenario.policy, scenario.max_concurrency);
    let wave = |wave: &PlannedWave| WaveRow {
        wave: wave.wave,
        first_ordinal: wave.first_ordinal,
        cursor: 0,
        state: WaveState {
            status: WaveStatus::Pending,
            size: wave.size,
            admitted: 0,
            waiting: 0,
            tally: Tally::default(),
            failed: 0,
            halting: 0,
            fail_threshold: wave.fail_threshold,
            is_last: wave.first_ordinal as usize + wave.size as usize == plan.order.len(),
            others: OtherWaves::default(),
            terms,
        },
        is_trailing: false,
        record_tally: Tally::default(),
        verdict_reason: None,
        opening: scenario.policy.opening_of(wave.wave),
        approved: None,
        opened_at: None,
        closed_at: None,
    };
    plan.waves.iter().map(wave).collect()
}

/// The plan of the scenario's task.
fn planned(scenario: &Scenario) -> Result<Plan, domain::Error> {
    let traits = |number: u32| Stratum {
        os_type: ["Linux", "Windows"][number as usize % 2].to_owned(),
        pool_id: format!("pool-{}", number % 3),
        availability_zone: String::new(),
    };
    let candidates = (0..scenario.desktops)
        .map(|number| {
            let desktop_id: DesktopId = format!("sim-{number:05}").parse()?;
            Ok(Candidate { desktop_id, stratum: traits(number) })
        })
        .collect::<Result<Vec<_>, domain::Error>>()?;
    let by = [StratumKey::Os, StratumKey::Pool];
    match &scenario.waves {
        Waves::One => plan::plan(candidates, None, &by, scenario.seed),
        Waves::Gray { count, fail_threshold } => {
            let gray = Gray { count: *count, ids: Vec::new(), fail_threshold: *fail_threshold };
            plan::plan(candidates, Some(&gray), &by, scenario.seed)
        }
        Waves::Asked(specs) => plan::plan_waves(candidates, specs, &by, scenario.seed),
    }
}
