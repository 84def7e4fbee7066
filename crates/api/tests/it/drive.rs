//! Drives tasks as a scheduler and a worker would, without their processes.

use domain::outcome::Outcome;
use scheduler::{Leased, ScriptResult};
use serde_json::Value;
use testkit::script_report;

use crate::harness::{Harness, TOKEN};

impl Harness {
    /// Connects desktops with a pool and the tag `group=test`.
    pub(crate) async fn online_in_pool(&self, number: u32, pool_id: &str) {
        let desktops = (0..number).map(|number| {
            let mut facts = testkit::desktop(number);
            facts.pool_id = pool_id.to_owned();
            facts.tags.insert("group".into(), "test".into());
            facts
        });
        self.connect(desktops).await.unwrap();
    }

    /// Admits all admissible targets and leases those of a task, which must fit into one batch.
    pub(crate) async fn lease(&self, task_id: &str) -> Leased {
        (**self).lease(task_id).await.unwrap()
    }

    /// Reports the targets of a batch in plan order, each with the outcomes of its scripts.
    pub(crate) async fn report(&self, leased: &Leased, outcomes: &[&[Outcome]]) {
        let script = |&outcome: &Outcome| script_report(outcome, None, "");
        let scripts = outcomes.iter().map(|scripts| scripts.iter().map(script).collect());
        self.report_scripts(leased, scripts.collect()).await;
    }

    /// Reports the targets of a batch with one script, each with an exit code and its output.
    pub(crate) async fn report_printed(&self, leased: &Leased, ends: &[(i32, String)]) {
        let scripts = ends.iter().map(|(exit_code, output)| {
            let outcome = if *exit_code == 0 { Outcome::Success } else { Outcome::Failed };
            vec![script_report(outcome, Some(*exit_code), output)]
        });
        self.report_scripts(leased, scripts.collect()).await;
    }

    async fn report_scripts(&self, leased: &Leased, targets: Vec<Vec<ScriptResult>>) {
        (**self).report(leased, targets).await.unwrap();
    }

    /// Disconnects desktops.
    pub(crate) async fn offline(&self, numbers: &[u32]) {
        self.disconnect(numbers.iter().copied().map(testkit::desktop_id)).await.unwrap();
    }

    /// Runs the open wave of a task with several scripts, from admission to results.
    pub(crate) async fn run_scripts(&self, task_id: &str, outcomes: &[&[Outcome]]) {
        let leased = self.lease(task_id).await;
        self.report(&leased, outcomes).await;
    }

    /// Runs the open wave of a task with one script, from admission to results.
    pub(crate) async fn run(&self, task_id: &str, outcomes: &[Outcome]) {
        let outcomes: Vec<&[Outcome]> = outcomes.iter().map(std::slice::from_ref).collect();
        self.run_scripts(task_id, &outcomes).await;
    }

    /// Runs a whole task with one script and the same outcome on every target. Fails if other tasks
    /// have work.
    pub(crate) async fn run_some(&self, task_id: &str, outcome: Outcome) {
        let leased = self.engine.lease(&Self::worker(), 1_000, Self::now()).await.unwrap().leased;
        for leased in leased.iter().filter(|leased| leased.batch.terms.task_id.to_string() == task_id) {
            let outcomes: Vec<&[Outcome]> =
                leased.batch.members.iter().map(|_| std::slice::from_ref(&outcome)).collect();
            self.report(leased, &outcomes).await;
        }
    }

    /// Returns the response of the native family.
    pub(crate) async fn native(&self, path: &str) -> Value {
        let path = format!("/v1/projects/project-1{path}");
        let answer = self.call_as(TOKEN, axum::http::Method::GET, &path, None).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }
}
