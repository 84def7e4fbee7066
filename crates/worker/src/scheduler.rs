//! The way to the schedulers: one client over all of them, with keepalive and a deadline on every call.

use std::time::Duration;

use domain::limits;
use proto::scheduler::scheduler_service_client::SchedulerServiceClient;
use tonic::transport::{Channel, Endpoint};

/// A client over all schedulers; calls go to any of them.
pub(crate) type Client = SchedulerServiceClient<Channel>;

/// Deadline of every call but a pull. With the longest pause before the next try it is shorter than a silent worker is
/// waited for: one call that hangs makes nobody think that this worker is gone.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) fn connect(urls: &[String]) -> Result<Client, tonic::transport::Error> {
    let endpoints = urls
        .iter()
        .map(|url| {
            Ok(Endpoint::from_shared(url.clone())?
                .connect_timeout(Duration::from_secs(5))
                .http2_keep_alive_interval(Duration::from_secs(10))
                .keep_alive_timeout(Duration::from_secs(5))
                .keep_alive_while_idle(true)
                .tcp_nodelay(true))
        })
        .collect::<Result<Vec<_>, tonic::transport::Error>>()?;
    let channel = match endpoints.as_slice() {
        [only] => only.connect_lazy(),
        _ => Channel::balance_list(endpoints.into_iter()),
    };
    Ok(SchedulerServiceClient::new(channel)
        .max_decoding_message_size(limits::MAX_MESSAGE_BYTES)
        .max_encoding_message_size(limits::MAX_MESSAGE_BYTES))
}

/// A call's request with its deadline, which the server is told too.
pub(crate) fn with_deadline<T>(message: T, timeout: Duration) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(timeout);
    request
}
