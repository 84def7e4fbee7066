//! The way to the schedulers: one client over all of them, with keepalive and a deadline on every call.

use std::time::Duration;

use domain::limits;
use identity::{Role, Tls};
use proto::scheduler::scheduler_service_client::SchedulerServiceClient;
use tonic::{
    body::Body,
    codegen::http,
    transport::{Channel, Endpoint},
};
use tower::steer::Steer;

/// A client over all schedulers; calls go to any of them.
pub(crate) type Client = SchedulerServiceClient<Steer<Channel, Pick, Call>>;

type Call = http::Request<Body>;
type Pick = fn(&Call, &[Channel]) -> usize;

/// Deadline of every call but a pull. With the longest pause before the next try it is shorter than a silent worker is
/// waited for: one call that hangs makes nobody think that this worker is gone.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) fn connect(urls: &[String], tls: Option<&Tls>) -> Result<Client, tonic::transport::Error> {
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
    let channels = match (tls, endpoints.as_slice()) {
        // `tonic` balances only what it dials itself.
        (Some(tls), all) => {
            let dialled = |endpoint: &Endpoint| {
                endpoint.connect_with_connector_lazy(identity::connector(tls.clone(), Role::Scheduler))
            };
            all.iter().map(dialled).collect()
        }
        (None, [only]) => vec![only.connect_lazy()],
        (None, _) => vec![Channel::balance_list(endpoints.into_iter())],
    };
    Ok(SchedulerServiceClient::new(Steer::new(channels, any as Pick))
        .max_decoding_message_size(limits::MAX_MESSAGE_BYTES)
        .max_encoding_message_size(limits::MAX_MESSAGE_BYTES))
}

fn any(_: &Call, channels: &[Channel]) -> usize {
    rand::random_range(0..channels.len())
}

/// A call's request with its deadline, which the server is told too.
pub(crate) fn with_deadline<T>(message: T, timeout: Duration) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(timeout);
    request
}
