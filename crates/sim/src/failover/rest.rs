//! Patroni's REST API, with every wait bounded.

use std::time::Duration;

use anyhow::bail;
use serde_json::json;

use super::address::{Address, Role};

/// A planned switchover waits for the standby to have everything.
const SWITCHOVER_TIMEOUT: Duration = Duration::from_secs(60);

/// For status requests: a member that does not answer within the timeout is offline.
fn agent() -> ureq::Agent {
    agent_with_timeout(Duration::from_secs(2))
}

fn agent_with_timeout(limit: Duration) -> ureq::Agent {
    ureq::Agent::config_builder().timeout_global(Some(limit)).http_status_as_error(false).build().new_agent()
}

/// Whether a node says that it has this role; false when it says nothing.
pub(crate) async fn has_role(node: &Address, role: Role) -> bool {
    let url = format!("http://{}/{}", node.rest, role.path());
    let asked = tokio::task::spawn_blocking(move || agent().get(url).call());
    matches!(asked.await, Ok(Ok(answer)) if answer.status() == 200)
}

/// Asks the primary to hand over to the other node, and waits until it has.
pub(crate) async fn switch_over(from: &Address, to: &Address) -> anyhow::Result<()> {
    let url = format!("http://{}/switchover", from.rest);
    let body = json!({"leader": from.name, "candidate": to.name});
    let asked = tokio::task::spawn_blocking(move || -> anyhow::Result<(u16, String)> {
        let mut answer = agent_with_timeout(SWITCHOVER_TIMEOUT).post(url).send_json(body)?;
        Ok((answer.status().as_u16(), answer.body_mut().read_to_string()?))
    });
    match asked.await?? {
        (200, _) => Ok(()),
        (status, text) => bail!("Patroni did not switch over: {status} {text}"),
    }
}
