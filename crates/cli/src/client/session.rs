//! Sessions: calls with a credential over one connection.

use std::time::Duration;

use domain::limits::MAX_MESSAGE_BYTES;
use mtls::{FilesGiven, ProxySettings};
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
    transport::Endpoint,
};

use super::{
    ConnectOptions,
    address::{Address, Transport},
    certificates,
    connect_failure::failure,
    recognition::Recognition,
    target::Target,
};
use crate::{Error, error::helps_later};

/// Timeout of the connection attempt, and of each call.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Silence after which HTTP/2 sends a keep-alive ping, and the timeout of its answer.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(5));
/// Number of attempts of an idempotent call, and the pause between two attempts.
const CALLS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// Channel that adds the bearer token to each call.
type Service = InterceptedService<Recognition, Bearer>;

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
    recognition: Recognition,
    service: Service,
    confirm_above: u32,
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

    /// Opens a connection. A failure names the wrong server or the fault of its certificate.
    pub(crate) async fn open(way: ConnectOptions) -> Result<Self, Error> {
        let address = Address::parse(&way.grpc)?;
        let transport = address.transport(way.files != FilesGiven::default());
        let proxies = ProxySettings::from_env();
        let client = match transport {
            Transport::Tls => Some(certificates::load(&way.files, proxies.clone())?),
            Transport::Plain => {
                check_plain(&way, &address)?;
                None
            }
        };
        let url = address.url(transport);
        let invalid = |error| Error::misused(format!("invalid address {:?}: {error}", way.grpc));
        let endpoint = Endpoint::from_shared(url).map_err(invalid)?;
        let endpoint = endpoint
            .connect_timeout(TIMEOUT)
            .timeout(TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE.0)
            .keep_alive_timeout(KEEP_ALIVE.1)
            .keep_alive_while_idle(true);
        let has_certificate = client.as_ref().is_some_and(|client| client.identity().is_some());
        let channel = match client {
            Some(client) => endpoint.connect_with_connector(mtls::operator_connector(client)).await,
            None => endpoint.connect().await,
        };
        let target = Target { address, transport, has_certificate, proxies };
        let channel = match channel {
            Ok(channel) => channel,
            Err(error) => return Err(failure(&way, &target, &error).await),
        };
        let bearer = way.token.as_deref().map(bearer).transpose()?;
        let service = Recognition::new(channel, target);
        let intercepted = InterceptedService::new(service.clone(), Bearer(bearer));
        Ok(Self {
            recognition: service,
            service: intercepted,
            has_certificate,
            confirm_above: way.confirm_above,
        })
    }

    /// Returns the number of desktops in one wave above which `graywave run` asks first.
    pub(crate) const fn confirm_above(&self) -> u32 {
        self.confirm_above
    }

    /// Returns the session for calls that belong to no project: a client certificate identifies
    /// the caller without the token. Without a certificate, the session stays as it is.
    #[must_use]
    pub(crate) fn of_certificate(self) -> Self {
        if !self.has_certificate {
            return self;
        }
        Self { service: InterceptedService::new(self.recognition.clone(), Bearer(None)), ..self }
    }
}

/// Refuses plain text to other machines, which would show the token to the network, and plain text
/// with certificates.
fn check_plain(way: &ConnectOptions, address: &Address) -> Result<(), Error> {
    let with_tls = address.with_scheme(Transport::Tls);
    let refused = if way.files != FilesGiven::default() {
        format!("http:// uses no certificates, and {} is called with some", way.grpc)
    } else if !address.is_local() {
        format!("cannot connect to {} without TLS: only this machine is allowed", way.grpc)
    } else {
        return Ok(());
    };
    Err(Error::misused(refused).try_next(with_tls.to_string()))
}

fn bearer(token: &str) -> Result<AsciiMetadataValue, Error> {
    let mut bearer: AsciiMetadataValue = format!("Bearer {token}").parse().map_err(|_| {
        Error::misused("invalid token: only visible ASCII characters are allowed").try_next("graywave login")
    })?;
    bearer.set_sensitive(true);
    Ok(bearer)
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
