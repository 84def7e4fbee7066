//! Stream of stops for the targets that a worker holds, and of the scripts whose output is watched.

use std::pin::Pin;

use domain::ids::WorkerId;
use futures::{Stream, stream};
use proto::scheduler::{OutputWatch, TargetStop, WatchStopsRequest, WatchStopsResponse};
use store::{live_output::Watched, target_stop::Stop};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use super::{
    context::{POLL_INTERVAL, Service, desktop_key},
    error::failed,
    peer::called,
};
use crate::Scheduler;

/// Stream of the stops for one worker.
pub(super) type StopsStream = Pin<Box<dyn Stream<Item = Result<WatchStopsResponse, Status>> + Send>>;

/// Opens a stream of stops.
pub(super) fn handle(
    service: &Service,
    request: Request<WatchStopsRequest>,
) -> Result<Response<StopsStream>, Status> {
    let (caller, message) = called(request);
    let worker_id = caller.is(&message.worker_id)?;
    let watch = Watch {
        scheduler: service.scheduler.clone(),
        worker_id,
        bell: service.wakes.stop.subscribe(),
        stop: service.stop.clone(),
    };
    Ok(Response::new(Box::pin(stream::unfold(Some(watch), next_stops))))
}

/// State of one worker's stream of stops.
struct Watch {
    scheduler: Scheduler,
    worker_id: WorkerId,
    bell: watch::Receiver<()>,
    stop: CancellationToken,
}

/// Waits for the next message of a stream: all pending stops, and all watched scripts. They are
/// sent again every second, so that a lost message does no harm. Empty messages are not sent.
async fn next_stops(watch: Option<Watch>) -> Option<(Result<WatchStopsResponse, Status>, Option<Watch>)> {
    let mut watch = watch?;
    loop {
        // Reads the stops after a wake-up, and at least once per interval.
        tokio::select! {
            _ = tokio::time::timeout(POLL_INTERVAL, watch.bell.changed()) => {}
            () = watch.stop.cancelled() => return None,
        }
        let both = async {
            let stops = watch.scheduler.stops(&watch.worker_id).await?;
            let watched = watch.scheduler.watched_outputs(&watch.worker_id, watch.scheduler.now()).await?;
            Ok((stops, watched))
        };
        match watch.scheduler.store().unless_silent(both).await {
            Ok((stops, watched)) if stops.is_empty() && watched.is_empty() => {}
            Ok((stops, watched)) => {
                let stops = stops.iter().map(target_stop).collect();
                let output_watches = watched.iter().map(output_watch).collect();
                return Some((Ok(WatchStopsResponse { stops, output_watches }), Some(watch)));
            }
            // The stream ends; the worker reopens it, possibly at another scheduler.
            Err(error) => return Some((Err(failed(error)), None)),
        }
    }
}

fn target_stop(stop: &Stop) -> TargetStop {
    TargetStop {
        task_id: stop.task_id.to_string(),
        ordinal: stop.ordinal,
        attempt: u32::from(stop.attempt),
        script: u32::from(stop.script),
    }
}

fn output_watch(watched: &Watched) -> OutputWatch {
    OutputWatch {
        task_id: watched.record_id.task_id.to_string(),
        ordinal: watched.record_id.ordinal,
        attempt: u32::from(watched.record_id.attempt),
        script: u32::from(watched.record_id.script),
        from_offset: watched.received_until,
        desktop: Some(desktop_key(&watched.project_id, &watched.desktop_id)),
    }
}
