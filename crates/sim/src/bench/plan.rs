//! POST of a large task by ids, against a COPY of its targets.

use std::time::Instant;

use anyhow::Context as _;
use procfs::process::Process;
use serde::Serialize;
use serde_json::json;
use sim::fleet::desktop_id;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::{
    cpu::Role,
    raw,
    system::{PROJECT, Platform},
};

/// A task over offline desktops: its POST plans it and stores its targets.
#[derive(Debug, Serialize)]
pub(crate) struct Plan {
    pub(crate) desktops: u32,
    pub(crate) body_bytes: usize,
    pub(crate) post_seconds: f64,
    /// A COPY of the same targets into a table with the same indexes.
    pub(crate) copy_seconds: f64,
    pub(crate) ratio_to_copy: f64,
    /// Largest resident memory of the API process.
    pub(crate) api_peak_bytes: u64,
}

pub(crate) async fn measure(desktops: u32) -> anyhow::Result<Plan> {
    let platform = Platform::start(&[], "").await?;
    let mut connection = PgConnection::connect(&platform.database_url()).await?;
    raw::prepare(&mut connection).await?;
    raw::insert_desktops(&mut connection, PROJECT, desktops).await?;
    let ids: Vec<String> = (0..desktops).map(desktop_id).collect();
    let body = json!({"resource_ids": ids, "command": "true", "command_type": "SHELL"});
    let body_bytes = serde_json::to_vec(&body)?.len();
    let begun = Instant::now();
    raw::copy_targets(&mut connection, Uuid::now_v7(), desktops).await?;
    let copy_seconds = begun.elapsed().as_secs_f64();
    let client = platform.client(PROJECT);
    let begun = Instant::now();
    tokio::task::block_in_place(|| client.post("/script-executions", &body))?;
    let post_seconds = begun.elapsed().as_secs_f64();
    let api = platform.process_id(Role::Api).context("no API")?;
    let status = Process::new(i32::try_from(api)?)?.status()?;
    Ok(Plan {
        desktops,
        body_bytes,
        post_seconds,
        copy_seconds,
        ratio_to_copy: post_seconds / copy_seconds,
        api_peak_bytes: status.vmhwm.context("no peak")? * 1_024,
    })
}
