//! Client for the schedulers: one client over all of them, with keepalive and a deadline on every
//! call.

mod channels;
mod choice;

#[cfg(test)]
mod tests;

use std::{net::IpAddr, time::Duration};

use domain::limits;
use mtls::{Role, Tls};
use proto::scheduler::scheduler_service_client::SchedulerServiceClient;
use tonic::transport::{Channel, Endpoint};

use channels::Channels;

/// Client over all schedulers. A call goes to one of them; after a failure, the next call goes to
/// another.
pub(crate) type Client = SchedulerServiceClient<Channels>;

/// Deadline of a call that stores something, which may take long under load. A connection to a hung
/// scheduler breaks earlier, after [`SILENCE_BEFORE_PING`] and [`PING_TIMEOUT`].
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const SILENCE_BEFORE_PING: Duration = Duration::from_secs(2);
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// Number of channels for a DNS name, which may cover several schedulers. Each connection dials
/// another address of the name, so the second channel is an alternative to the first.
const CHANNELS_PER_NAME: usize = 2;

/// Creates a client that dials on its first call. Fails if one of the URLs is invalid.
pub(crate) fn connect(urls: &[String], tls: Option<&Tls>) -> Result<Client, tonic::transport::Error> {
    let mut channels = Vec::new();
    for url in urls {
        let endpoint = Endpoint::from_shared(url.clone())?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(SILENCE_BEFORE_PING)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        channels.extend(dial(&endpoint, tls));
    }
    Ok(SchedulerServiceClient::new(Channels::new(channels))
        .max_decoding_message_size(limits::MAX_MESSAGE_BYTES)
        .max_encoding_message_size(limits::MAX_MESSAGE_BYTES))
}

fn dial(endpoint: &Endpoint, tls: Option<&Tls>) -> Vec<Channel> {
    // Without TLS only loopback addresses are dialled.
    let Some(tls) = tls else { return vec![endpoint.connect_lazy()] };
    let host = endpoint.uri().host().unwrap_or_default().trim_matches(['[', ']']);
    let count = if host.parse::<IpAddr>().is_ok() { 1 } else { CHANNELS_PER_NAME };
    // The clones share their rotation over the addresses of the name.
    let connector = mtls::connector(tls.clone(), Role::Scheduler);
    (0..count).map(|_| endpoint.connect_with_connector_lazy(connector.clone())).collect()
}

/// Time until the answer begins; [`Channels`] reads it from the request.
#[derive(Debug, Clone, Copy)]
struct AnswerWithin(Duration);

/// Gives a call a deadline, which is also sent to the server.
pub(crate) fn with_deadline<T>(message: T, timeout: Duration) -> tonic::Request<T> {
    let mut request = answer_begins_within(message, timeout);
    request.set_timeout(timeout);
    request
}

/// Gives a call a deadline for the start of its answer, which may then stream forever.
pub(crate) fn answer_begins_within<T>(message: T, timeout: Duration) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.extensions_mut().insert(AnswerWithin(timeout));
    request
}
