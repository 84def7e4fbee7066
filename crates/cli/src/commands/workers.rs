//! `graywave workers`.

use clap::{Args, Subcommand};
use clap_complete::ArgValueCompleter;
use proto::admin::{DrainWorkerRequest, ListWorkersRequest, UndrainWorkerRequest, Worker};
use tonic::Status;

use super::CommonArgs;
use crate::{
    Error, completion,
    format::time,
    output::{Cell, Column, List, ListItem, Tone, cell},
};

/// Arguments of `graywave workers`; without a subcommand, the workers are listed.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct WorkersArgs {
    #[command(flatten)]
    common: CommonArgs,
    #[command(subcommand)]
    command: Option<WorkersCommand>,
}

/// Subcommands of `graywave workers`.
#[derive(Debug, Clone, Subcommand)]
enum WorkersCommand {
    /// List workers
    #[command(visible_alias = "list")]
    Ls(CommonArgs),
    /// Drain a worker: it takes no more work and moves its desktops to other workers
    Drain(WorkerArgs),
    /// Undrain a worker: it takes work again
    Undrain(WorkerArgs),
}

#[derive(Debug, Clone, Args)]
struct WorkerArgs {
    /// Worker id
    #[arg(value_name = "WORKER", add = ArgValueCompleter::new(completion::workers))]
    worker_id: String,
    #[command(flatten)]
    common: CommonArgs,
}

pub(super) async fn workers(arguments: WorkersArgs) -> Result<(), Error> {
    match arguments.command.unwrap_or(WorkersCommand::Ls(arguments.common)) {
        WorkersCommand::Ls(common) => ls(common).await,
        WorkersCommand::Drain(it) => drain(it).await,
        WorkersCommand::Undrain(it) => undrain(it).await,
    }
}

async fn ls(common: CommonArgs) -> Result<(), Error> {
    let (session, mut console) = common.open().await?;
    let workers = session.workers().list_workers(ListWorkersRequest {}).await;
    let workers = workers.map_err(|status| Error::of("cannot list workers", &status))?.into_inner().workers;
    let mut list = List::new(&mut console);
    list.add(&workers)?;
    list.end("no workers are registered, so nothing can run\n  try: graywave worker")
}

async fn drain(arguments: WorkerArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    let worker_id = arguments.worker_id;
    let drained = session.workers().drain_worker(DrainWorkerRequest { worker_id: worker_id.clone() }).await;
    let drained = drained.map_err(|status| refused("drain", &worker_id, &status))?.into_inner();
    console.say("draining starts with the next heartbeat; stop the process once it has no desktops");
    let mut list = List::new(&mut console);
    list.add(drained.worker.as_slice())?;
    list.end("")
}

async fn undrain(arguments: WorkerArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    let worker_id = arguments.worker_id;
    let undrained =
        session.workers().undrain_worker(UndrainWorkerRequest { worker_id: worker_id.clone() }).await;
    let undrained = undrained.map_err(|status| refused("undrain", &worker_id, &status))?.into_inner();
    let mut list = List::new(&mut console);
    list.add(undrained.worker.as_slice())?;
    list.end("")
}

fn refused(what: &str, worker_id: &str, status: &Status) -> Error {
    Error::of(&format!("cannot {what} worker {worker_id}"), status)
}

impl ListItem for Worker {
    const COLUMNS: &'static [Column] = &[
        Column::text("worker"),
        Column::text("address"),
        Column::number("desktops"),
        Column::number("capacity"),
        Column::text("state"),
        Column::text("heartbeat").wide(),
    ];

    fn cells(&self) -> Vec<Cell> {
        let state = match (self.draining, self.drain_requested) {
            (false, false) => cell("serving").tone(Tone::Good),
            (true, false) => cell("draining").tone(Tone::Warn),
            (_, true) => cell(format!("draining (by {})", self.drain_requested_by)).tone(Tone::Warn),
        };
        vec![
            cell(&self.worker_id),
            cell(&self.address),
            cell(self.desktops),
            cell(self.capacity),
            state,
            cell(time(self.last_heartbeat_time.as_ref())),
        ]
    }

    fn id(&self) -> &str {
        &self.worker_id
    }
}
