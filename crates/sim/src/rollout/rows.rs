//! The rows with which projects and tasks begin.

use domain::{
    Timestamp,
    desktop::Stratum,
    ids::{DesktopId, ProjectId},
    plan::{self, Canaries, Candidate, Gray, Plan, PlannedWave},
    stratum::StratumKey,
    tally::Tally,
    task::TaskStatus,
    wave::{OtherWaves, WaveState, WaveStatus, WaveTerms},
};
use engine::row::{Presence, TaskFacts, WaveRow};

use super::{
    event::Desktop,
    scenario::{TaskSpec, Waves},
    state::ProjectState,
    zone::zone,
};
use crate::memory::{MemoryStore, TaskTable};

/// Stores a project with its desktops, which are offline. `place` is the place of the project.
pub(super) fn insert_project(
    store: &mut MemoryStore,
    place: usize,
    first_desktop: Desktop,
    desktops: u32,
    now: Timestamp,
) -> Result<ProjectState, domain::Error> {
    let project_id: ProjectId = format!("project-{place}").parse()?;
    let ids = (0..desktops).map(|number| format!("sim-{place}-{number:05}").parse());
    let desktop_ids = ids.collect::<Result<Vec<DesktopId>, domain::Error>>()?;
    let presence = |desktop| Presence {
        worker_id: None,
        is_draining: true,
        time_zone: zone(desktop).to_owned(),
        agent_id: "0".to_owned(),
        boot_id: String::new(),
        agent_version: String::new(),
        changed_at: now,
        full_until: None,
        out_of_service: None,
        has_backlog: false,
    };
    let rows = desktop_ids.iter().zip(first_desktop..);
    let rows = rows.map(|(desktop_id, desktop)| (desktop_id.clone(), presence(desktop)));
    store.desktops.insert(project_id.clone(), rows.collect());
    Ok(ProjectState { project_id, first_desktop, desktop_ids })
}

/// The rows of a task that is accepted at `now`. Each target has the first script that is to run.
pub(super) fn task_table(
    project_id: &ProjectId,
    spec: &TaskSpec,
    plan: &Plan,
    first_scripts: &[u16],
    attempt: u16,
    now: Timestamp,
) -> TaskTable {
    let facts = TaskFacts {
        project_id: project_id.clone(),
        status: TaskStatus::Waiting,
        killing: false,
        script_count: spec.scripts,
        resumes: first_scripts.iter().any(|&first| first > 0),
        attempt,
        timeouts: spec.timeouts,
        policy: spec.policy.clone(),
        expires_at: spec.expires_after.map(|after| now + after),
        is_paused: false,
        is_frozen: false,
        max_concurrency: spec.max_concurrency,
        has_project_limit: false,
        trace_context: None,
    };
    let targets = plan.order.iter().cloned().zip(first_scripts.iter().copied()).collect();
    TaskTable::new(facts, waves(spec, plan), targets)
}

fn waves(spec: &TaskSpec, plan: &Plan) -> Vec<WaveRow> {
    let terms = WaveTerms::new(&spec.policy, spec.max_concurrency);
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
        opening: spec.policy.opening_of(wave.wave),
        approved: None,
        opened_at: None,
        closed_at: None,
    };
    plan.waves.iter().map(wave).collect()
}

/// The plan of a task over a project's desktops.
pub(super) fn plan_task(project: &ProjectState, spec: &TaskSpec, seed: u64) -> Result<Plan, domain::Error> {
    let traits = |number: usize| Stratum {
        os_type: ["Linux", "Windows"][number % 2].to_owned(),
        pool_id: format!("pool-{}", number % 3),
        availability_zone: String::new(),
    };
    let all = project.desktop_ids.iter().enumerate().cycle();
    let chosen = all.skip(spec.first_desktop as usize).take(spec.desktops as usize);
    let candidates = chosen.map(|(number, desktop_id)| Candidate {
        desktop_id: desktop_id.clone(),
        stratum: traits(number),
        is_connected: true,
    });
    let candidates: Vec<_> = candidates.collect();
    let canaries = Canaries { by: vec![StratumKey::Os, StratumKey::Pool], ..Canaries::default() };
    match &spec.waves {
        Waves::One => plan::plan(&candidates, None, &canaries, seed),
        Waves::Gray { count, fail_threshold } => {
            let gray = Gray { count: *count, ids: Vec::new(), fail_threshold: *fail_threshold };
            plan::plan(&candidates, Some(&gray), &canaries, seed)
        }
        Waves::Asked(specs) => plan::plan_waves(&candidates, specs, &canaries, seed),
    }
}
