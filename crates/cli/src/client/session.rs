//! Sessions: calls with a credential over one connection.

use std::time::Duration;

use domain::limits::MAX_MESSAGE_BYTES;
use mtls::{FilesGiven, Role, Tls};
use proto::admin::{
    access_service_client::AccessServiceClient, audit_service_client::AuditServiceClient,
    certificate_service_client::CertificateServiceClient, desktop_service_client::DesktopServiceClient,
    enrolment_service_client::EnrolmentServiceClient, insight_service_client::InsightServiceClient,
    project_service_client::ProjectServiceClient, record_service_client::RecordServiceClient,
    script_service_client::ScriptServiceClient, task_service_client::TaskServiceClient,
    worker_service_client::WorkerServiceClient,
};
use tonic::{
    Request, Status,
    metadata::AsciiMetadataValue,
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Channel, Endpoint, Uri},
};

use super::ConnectOptions;
use crate::{
    Error,
    error::{deepest, helps_later},
};

/// Timeout of the connection attempt, and of each call.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Silence after which HTTP/2 sends a keep-alive ping, and the timeout of its answer.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));
/// Number of attempts of an idempotent call, and the pause between two attempts.
const CALLS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// Default port of the admin gRPC service on schedulers.
const DEFAULT_PORT: u16 = 9090;

/// Channel that adds the bearer token to each call.
type Service = InterceptedService<Channel, Bearer>;

/// Interceptor that sends the token with each call; `None` sends no token.
#[derive(Clone)]
pub(crate) struct Bearer(Option<AsciiMetadataValue>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(bearer) = &self.0 {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        Ok(request)
    }
}

/// A connection to a control plane.
#[derive(Clone)]
pub(crate) struct Session {
    channel: Channel,
    service: Service,
    /// Whether a client certificate identifies the caller too.
    has_certificate: bool,
}

macro_rules! clients {
    ($($name:ident $client:ident,)*) => {
        $(pub(crate) fn $name(&self) -> $client<Service> {
            $client::new(self.service.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES)
        })*
    };
}

impl Session {
    clients! {
        access AccessServiceClient,
        audit AuditServiceClient,
        desktops DesktopServiceClient,
        enrolment EnrolmentServiceClient,
        insight InsightServiceClient,
        projects ProjectServiceClient,
        records RecordServiceClient,
        scripts ScriptServiceClient,
        tasks TaskServiceClient,
        workers WorkerServiceClient,
        certificates CertificateServiceClient,
    }

    pub(crate) async fn open(way: ConnectOptions) -> Result<Self, Error> {
        let tls = tls(&way.files)?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = if way.grpc.contains("://") {
            way.grpc.clone()
        } else {
            format!("{scheme}://{}", with_port(&way.grpc))
        };
        let not_there = |error: &dyn std::fmt::Display| {
            Error::misused(format!("invalid address {:?}: {error}", way.grpc)).try_next("--grpc HOST:PORT")
        };
        let endpoint = Endpoint::from_shared(url.clone()).map_err(|error| not_there(&error))?;
        check_port(endpoint.uri()).map_err(|error| not_there(&error))?;
        // Without TLS, an eavesdropper on the network could read the token.
        mtls::check_url(&url, tls.is_some()).map_err(|error| match &tls {
            Some(_) => not_there(&error),
            None => Error::misused(format!(
                "cannot connect to {} without TLS: only this machine is allowed",
                way.grpc
            ))
            .try_next("--ca-file FILE --cert-file FILE --key-file FILE: `graywave ca issue` makes them"),
        })?;
        let endpoint = endpoint
            .connect_timeout(TIMEOUT)
            .timeout(TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE.0)
            .keep_alive_timeout(KEEP_ALIVE.1)
            .keep_alive_while_idle(true);
        let has_certificate = tls.is_some();
        let channel = match tls {
            Some(tls) => endpoint.connect_with_connector(mtls::connector(tls, Role::Scheduler)).await,
            None => endpoint.connect().await,
        };
        let channel = channel.map_err(|error| unreachable(&way, &error))?;
        let bearer = way.token.as_deref().map(bearer).transpose()?;
        let service = InterceptedService::new(channel.clone(), Bearer(bearer));
        Ok(Self { channel, service, has_certificate })
    }

    /// Returns the session for calls that belong to no project: a client certificate identifies
    /// the caller without the token. Without a certificate, the session stays as it is.
    #[must_use]
    pub(crate) fn of_certificate(self) -> Self {
        if !self.has_certificate {
            return self;
        }
        Self { service: InterceptedService::new(self.channel.clone(), Bearer(None)), ..self }
    }
}

/// Refuses a port that no server can have, which would look like a server that is down.
fn check_port(uri: &Uri) -> Result<(), &'static str> {
    let port = uri.authority().and_then(|authority| after_host(authority.as_str()).strip_prefix(':'));
    match port.map(str::parse::<u16>) {
        None | Some(Ok(1..)) => Ok(()),
        Some(_) => Err("the port must be 1 to 65535"),
    }
}

/// The rest of an address after its host: a port with its colon, or nothing.
fn after_host(address: &str) -> &str {
    let start = address.rfind(']').map_or(0, |bracket| bracket + 1);
    let rest = address.get(start..).unwrap_or_default();
    rest.find(':').and_then(|colon| rest.get(colon..)).unwrap_or_default()
}

/// Adds the default port to an address without a port.
fn with_port(address: &str) -> String {
    if after_host(address).is_empty() { format!("{address}:{DEFAULT_PORT}") } else { address.to_owned() }
}

fn bearer(token: &str) -> Result<AsciiMetadataValue, Error> {
    let mut bearer: AsciiMetadataValue = format!("Bearer {token}").parse().map_err(|_| {
        Error::misused("invalid token: only visible ASCII characters are allowed").try_next("graywave login")
    })?;
    bearer.set_sensitive(true);
    Ok(bearer)
}

/// Loads the certificates for TLS; `None` if no files are given.
pub(crate) fn tls(files: &FilesGiven) -> Result<Option<Tls>, Error> {
    let files = files.all_or_none().map_err(|_| missing_files(files))?;
    files.map(Tls::load).transpose().map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Error::misused(format!("cannot load the certificates: {error}{cause}"))
    })
}

/// Names the flags that are missing beside the given ones.
fn missing_files(files: &FilesGiven) -> Error {
    let flags =
        [("--ca-file", &files.ca_file), ("--cert-file", &files.cert_file), ("--key-file", &files.key_file)];
    let missing: Vec<&str> =
        flags.into_iter().filter(|(_, file)| file.is_none()).map(|(flag, _)| flag).collect();
    Error::misused(format!("TLS needs three files; missing: {}", missing.join(", ")))
        .try_next("--ca-file FILE --cert-file FILE --key-file FILE")
}

fn unreachable(way: &ConnectOptions, error: &(dyn std::error::Error + 'static)) -> Error {
    let cause = deepest(error);
    let failure = Error::unreachable(format!("cannot reach the control plane at {}: {cause}", way.grpc));
    match &way.context {
        Some(context) => failure.try_next(format!(
            "graywave config show {context}: check the address, and that a scheduler runs there"
        )),
        None => failure
            .try_next("--grpc HOST:PORT: a scheduler's address; `graywave dev` starts one on this machine"),
    }
}

/// Makes an idempotent call, and retries it if the control plane does not answer.
pub(crate) async fn repeated<T>(mut call: impl AsyncFnMut() -> Result<T, Status>) -> Result<T, Status> {
    for _ in 1..CALLS {
        match call().await {
            Err(status) if helps_later(&status) => tokio::time::sleep(PAUSE).await,
            answered => return answered,
        }
    }
    call().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_port_has_the_usual_one() {
        for (given, meant) in [
            ("host", "host:9090"),
            ("host:1", "host:1"),
            ("127.0.0.1", "127.0.0.1:9090"),
            ("[::1]", "[::1]:9090"),
            ("[::1]:5", "[::1]:5"),
        ] {
            assert_eq!(with_port(given), meant);
        }
    }

    #[test]
    fn port_out_of_range_is_refused() {
        for (address, is_valid) in
            [("h:1", true), ("[::1]:65535", true), ("h:0", false), ("h:99999", false), ("h:9o90", false)]
        {
            let uri = format!("http://{address}").parse::<Uri>();
            assert_eq!(uri.is_ok_and(|uri| check_port(&uri).is_ok()), is_valid, "{address}");
        }
    }
}
