//! `graywave workers`.

use clap::{Args, Subcommand};
use clap_complete::ArgValueCompleter;
use proto::admin::{DrainWorkerRequest, ListWorkersRequest, UndrainWorkerRequest, Worker};
use tonic::Status;

use super::Common;
use crate::{
    Failure, complete,
    out::{Cell, Column, List, Listed, Tone, cell},
    told::time,
};

/// What is done with workers; they are listed when nothing is said.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct WorkersArguments {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Option<WorkersCommand>,
}

/// What is done with workers.
#[derive(Debug, Clone, Subcommand)]
enum WorkersCommand {
    /// List workers
    Ls(Common),
    /// Ask a worker to take no more work and to send its desktops to others; what runs there goes on
    Drain(WorkerArguments),
    /// Let a drained worker work again
    Undrain(WorkerArguments),
}

#[derive(Debug, Clone, Args)]
struct WorkerArguments {
    /// Id of the worker
    #[arg(value_name = "WORKER", add = ArgValueCompleter::new(complete::workers))]
    worker_id: String,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn workers(arguments: WorkersArguments) -> Result<(), Failure> {
    match arguments.command.unwrap_or(WorkersCommand::Ls(arguments.common)) {
        WorkersCommand::Ls(common) => ls(common).await,
        WorkersCommand::Drain(it) => drain(it).await,
        WorkersCommand::Undrain(it) => undrain(it).await,
    }
}

async fn ls(common: Common) -> Result<(), Failure> {
    let (session, mut console) = common.open().await?;
    let workers = session.workers().list_workers(ListWorkersRequest {}).await;
    let workers = workers.map_err(|status| Failure::of("cannot list workers", &status))?.into_inner().workers;
    let mut list = List::new(&mut console);
    list.add(&workers)?;
    list.end("there are no workers: nothing can run; start one with `graywave worker`")
}

async fn drain(arguments: WorkerArguments) -> Result<(), Failure> {
    let (session, mut console) = arguments.common.open().await?;
    let worker_id = arguments.worker_id;
    let drained = session.workers().drain_worker(DrainWorkerRequest { worker_id: worker_id.clone() }).await;
    let drained = drained.map_err(|status| refused("drain", &worker_id, &status))?.into_inner();
    console.say("it hears of it with its next heartbeat; stop the process when it lists no more desktops");
    let mut list = List::new(&mut console);
    list.add(drained.worker.as_slice())?;
    list.end("")
}

async fn undrain(arguments: WorkerArguments) -> Result<(), Failure> {
    let (session, mut console) = arguments.common.open().await?;
    let worker_id = arguments.worker_id;
    let undrained =
        session.workers().undrain_worker(UndrainWorkerRequest { worker_id: worker_id.clone() }).await;
    let undrained = undrained.map_err(|status| refused("undrain", &worker_id, &status))?.into_inner();
    let mut list = List::new(&mut console);
    list.add(undrained.worker.as_slice())?;
    list.end("")
}

fn refused(what: &str, worker_id: &str, status: &Status) -> Failure {
    Failure::of(&format!("cannot {what} worker {worker_id}"), status)
}

impl Listed for Worker {
    const COLUMNS: &'static [Column] = &[
        Column::text("worker"),
        Column::text("address"),
        Column::number("desktops"),
        Column::number("capacity"),
        Column::text("state"),
        Column::text("heard of").wide(),
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
