//! The table of docs/scripts.md, checked row by row on a real agent.

use super::agent_process::AgentHome;
use crate::{fake_worker::FakeWorker, order};

const PAGE: &str = include_str!("../../../../../docs/scripts.md");

/// Rows with a check: subject, script, and output with its lines joined by spaces.
fn rows() -> Vec<(&'static str, String, &'static str)> {
    let code = |cell: &'static str| cell.trim().strip_prefix('`')?.strip_suffix('`');
    PAGE.lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
            let [subject, _promise, check, prints] = cells.as_slice() else { return None };
            Some((*subject, code(check)?.to_owned(), code(prints)?))
        })
        .collect()
}

#[tokio::test]
async fn each_documented_check_prints_what_the_page_says() {
    let rows = rows();
    assert!(rows.len() > 10, "the table is not found: {}", rows.len());
    let (place, mut worker) = (AgentHome::new(), FakeWorker::start().await);
    let agent = place.start_with(&worker, "", |command| {
        command.env("SECRET_OF_TEST", "x").env("DATABASE_URL", "x").env("NOTIFY_SOCKET", "x");
    });
    let mut session = worker.session().await;
    for (number, (subject, script, prints)) in rows.into_iter().enumerate() {
        session.order(order(&format!("documented-{number}"), &[&script])).await;
        let result = session.result().await.scripts.into_iter().next().unwrap();
        let output = result.output.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!((result.outcome.as_str(), output.as_str()), ("SUCCESS", prints), "{subject}: {script}");
        session.ack(crate::key(&format!("documented-{number}"))).await;
    }
    agent.unwrap().stop();
}
