//! Connection to a worker: dialling, serving and reconnecting.

use std::{
    collections::VecDeque,
    convert::Infallible,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use mtls::{DialledPeer, Identity, ProxySettings, Role, TUNNEL_WITHIN, Tls};
use proto::{
    agent::{
        AttachRequest, AttachResponse, Hello, Order, TimeRequest, agent_service_client::AgentServiceClient,
        attach_request, attach_response,
    },
    limits::{MAX_MESSAGE_BYTES, MAX_ORDERS_PER_AGENT},
    order::SignedDenyList,
    types::{Desktop, Time},
};
use rand::seq::SliceRandom as _;
use time_sync::{Backoff, Clock, SampleStart, TimeSample};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, Streaming, transport::Endpoint};

use super::{
    attaches::Attaches, live_output::LiveOutputs, order_verifier::OrderVerifier, shown_status::ShownStatus,
    started::StartedScripts, status_file::Attached,
};
use crate::{
    Config, Error,
    blocking::blocking,
    error::whole_chain,
    facts,
    identity::Renewal,
    journal,
    orders::{Answer, Orders},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Number of requests buffered for the connection; further results wait in the journal.
const OUTBOX: usize = 4;
/// Duration after which a connection counts as successful and resets the backoff. A connection that
/// ends at once, for example to a crashing worker, does not.
const GOOD_AFTER: Duration = Duration::from_secs(5);
/// Pauses after a refused claim of the desktop. The first is short: an agent that restarts after a
/// power loss waits for the end of its own former connection.
const CLAIM_FIRST: Duration = Duration::from_secs(1);
const CLAIM_MOST: Duration = Duration::from_secs(300);
/// Maximum duration of a connection. Afterwards the agent dials the next worker, so that a stolen
/// worker cannot withhold the deny-list from it for longer, if it has other workers.
const MAX_AGE: Duration = Duration::from_secs(24 * 3_600);
/// Interval of time requests. In that time a poor oscillator drifts by 0.3 s.
const ASK_TIME_EVERY: Duration = Duration::from_secs(600);
/// Interval at which the facts of this machine are read again.
const FACTS_INTERVAL: Duration = Duration::from_secs(60);
/// Interval of time requests after an answer with a large error.
const ASK_TIME_SOON: Duration = Duration::from_secs(2);

/// Parsed worker URLs with their connection settings.
pub(crate) fn endpoints(config: &Config) -> Result<Vec<Endpoint>, Error> {
    let endpoint = |url: &String| -> Result<Endpoint, Error> {
        let endpoint = Endpoint::from_shared(url.clone())
            .map_err(|error| Error::Config(format!("worker URL {url:?}: {error}")))?;
        if endpoint.uri().scheme().is_none() || endpoint.uri().host().is_none() {
            return Err(Error::Config(format!(
                "worker URL {url:?} has no scheme or host; expected http://host:port"
            )));
        }
        mtls::check_url(url, config.has_certificate())
            .map_err(|reason| Error::Config(format!("worker URL {reason}")))?;
        let mut connect_timeout = CONNECT_TIMEOUT;
        if let Some(proxy) = config.proxies.of(endpoint.uri()).map_err(Error::Config)? {
            tracing::info!(worker = %endpoint.uri(), %proxy, "connecting through a proxy");
            connect_timeout += TUNNEL_WITHIN;
        }
        Ok(endpoint
            .connect_timeout(connect_timeout)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true))
    };
    config.worker_urls.iter().map(endpoint).collect()
}

/// Connection to a worker.
#[derive(Debug)]
pub(crate) struct Link {
    endpoints: Vec<Endpoint>,
    data_dir: PathBuf,
    tls: Option<Tls>,
    proxies: ProxySettings,
    /// Verifier of signed orders; `None` without certificates.
    guard: Option<OrderVerifier>,
    /// Signs attaches and authenticates results; `None` without certificates.
    attaches: Option<Attaches>,
    /// Renewal of the agent's certificate; `None` if it was not enrolled.
    renewal: Option<Arc<Renewal>>,
    desktop: Desktop,
    orders: Orders,
    clock: Clock,
    backoff: Backoff,
    /// Pauses while another process is connected as the desktop, which a person must resolve.
    claim_backoff: Backoff,
    /// Whether a service manager shows the state of the connection.
    is_supervised: bool,
}

/// Marks the end of a connection because of a new certificate.
struct Renewed;

/// Connection that a worker has welcomed.
struct Session {
    outbox: mpsc::Sender<AttachRequest>,
    inbox: Streaming<AttachResponse>,
    /// Description that the worker has.
    described: Desktop,
    /// Identity of the worker; `None` without certificates.
    worker: Option<Identity>,
}

impl Link {
    /// Shuffles the endpoints, so that agents with the same list spread over the workers.
    pub(crate) fn new(
        config: &Config,
        mut endpoints: Vec<Endpoint>,
        tls: Option<Tls>,
        renewal: Option<Arc<Renewal>>,
        orders: Orders,
        clock: Clock,
    ) -> Self {
        endpoints.shuffle(&mut rand::rng());
        let backoff = Backoff::spread(config.reconnect_min, config.reconnect_max);
        let desktop = config.desktop.clone();
        let guard = tls.clone().map(|tls| OrderVerifier::new(tls, &desktop, &config.data_dir));
        let attaches = tls.clone().map(Attaches::new);
        let (data_dir, proxies) = (config.data_dir.clone(), config.proxies.clone());
        let claim_backoff = Backoff::doubling(CLAIM_FIRST, CLAIM_MOST);
        Self {
            endpoints,
            data_dir,
            tls,
            proxies,
            guard,
            attaches,
            renewal,
            desktop,
            orders,
            clock,
            backoff,
            claim_backoff,
            is_supervised: config.is_supervised,
        }
    }

    /// Keeps a connection until `stop` is cancelled.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        if stop.run_until_cancelled(Box::pin(self.keep())).await.is_none() {
            tracing::info!("stopped");
        }
    }

    async fn keep(&mut self) {
        let endpoints = self.endpoints.clone();
        // Endless, since there is at least one endpoint.
        for endpoint in endpoints.iter().cycle() {
            let status = self.until_it_fails(endpoint).await;
            if let Some(renewal) = &self.renewal {
                renewal.refused(endpoint, &status, &self.clock).await;
            }
            let pause = match status.code() {
                Code::AlreadyExists => self.claim_backoff.pause(),
                Code::Aborted => self.renew_identity().await,
                // The certificate is revoked.
                Code::PermissionDenied => {
                    self.orders.stop_all();
                    self.backoff.pause_with_jitter(&mut rand::rng())
                }
                _ => self.backoff.pause_with_jitter(&mut rand::rng()),
            };
            tracing::warn!(
                worker = %endpoint.uri(), status = ?status.code(), reason = status.message(), ?pause,
                "connection failed; retrying"
            );
            sleep(pause).await;
        }
    }

    /// Replaces an agent id that another start used after this data directory was copied. Returns
    /// the pause before the next connection.
    async fn renew_identity(&mut self) -> Duration {
        let data_dir = self.data_dir.clone();
        match blocking(move || journal::renew(&data_dir)).await {
            Ok(agent_id) => {
                tracing::warn!(agent_id, "the data directory was copied or restored; created a new agent id");
                self.desktop.agent_id = agent_id;
            }
            Err(error) => tracing::error!(%error, "creating a new agent id failed"),
        }
        self.backoff.pause_with_jitter(&mut rand::rng())
    }

    /// Connects, and reconnects after each certificate renewal; returns the cause of a failure.
    async fn until_it_fails(&mut self, endpoint: &Endpoint) -> Status {
        loop {
            match self.connect_and_serve(endpoint).await {
                Ok(Renewed) => {
                    tracing::info!(worker = %endpoint.uri(), "reconnecting with the new certificate")
                }
                Err(status) => return status,
            }
        }
    }

    async fn connect_and_serve(&mut self, endpoint: &Endpoint) -> Result<Renewed, Status> {
        let session = timeout(CONNECT_TIMEOUT + TUNNEL_WITHIN + WELCOME_TIMEOUT, self.connect(endpoint))
            .await
            .map_err(|_| Status::deadline_exceeded("connecting timed out"))??;
        let data_dir = self.data_dir.clone();
        let _attached = blocking(move || Attached::note(&data_dir)).await;
        let _shown = self.is_supervised.then(|| ShownStatus::attached(endpoint));
        let begun = Instant::now();
        let renewed = async {
            match &self.renewal {
                Some(renewal) => renewal.renewed().await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            ended = self.serve(endpoint, session) => ended.map(|never| match never {}),
            () = renewed => Ok(Renewed),
            () = sleep(MAX_AGE.mul_f64(rand::random_range(0.5..1.0))) => {
                Err(Status::unavailable("the connection was long: choosing a worker again"))
            }
        };
        if begun.elapsed() >= GOOD_AFTER {
            self.backoff.reset();
            self.claim_backoff.reset();
        }
        ended
    }

    /// Dials, sends the hello and waits for the welcome.
    async fn connect(&self, endpoint: &Endpoint) -> Result<Session, Status> {
        let peer = DialledPeer::default();
        let dialled = match &self.tls {
            Some(tls) => {
                let proxies = self.proxies.clone();
                let connector = mtls::connector_to_peer(tls.clone(), Role::Worker, proxies, peer.clone());
                endpoint.connect_with_connector(connector).await
            }
            None => endpoint.connect().await,
        };
        let channel = dialled.map_err(|error| Status::unavailable(whole_chain(&error)))?;
        let mut client = AgentServiceClient::new(channel)
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let (outbox, requests) = mpsc::channel(OUTBOX);
        // Queued before the call: the worker may answer only after it has read the hello.
        let described = self.describe(endpoint).await;
        let worker = peer.identity();
        if let Some(attaches) = &self.attaches {
            attaches.reset();
        }
        let desktop = self.signed(described.clone(), worker.as_ref())?;
        let hello = attach_request::Message::Hello(Hello { desktop: Some(desktop) });
        send(&outbox, hello).await?;
        let asked = self.clock.asks();
        let welcomed = async {
            let mut inbox = client.attach(ReceiverStream::new(requests)).await?.into_inner();
            match inbox.message().await?.and_then(|response| response.message) {
                Some(attach_response::Message::Welcome(welcome)) => {
                    self.observe_time(asked, welcome.time);
                    Ok((inbox, welcome.worker_id))
                }
                _ => Err(Status::failed_precondition("the worker's first message is not a welcome")),
            }
        };
        let (inbox, worker_id) = timeout(WELCOME_TIMEOUT, welcomed)
            .await
            .map_err(|_| Status::deadline_exceeded("waiting for the welcome timed out"))??;
        tracing::info!(target: crate::ATTACHED_LOG, worker = %endpoint.uri(), worker_id, "attached");
        Ok(Session { outbox, inbox, described, worker })
    }

    /// Adds a signed attach to a description, if the agent has a certificate.
    fn signed(&self, desktop: Desktop, worker: Option<&Identity>) -> Result<Desktop, Status> {
        let Some((attaches, worker)) = self.attaches.as_ref().zip(worker) else { return Ok(desktop) };
        let signed = attaches.sign(desktop.clone(), worker);
        let attach =
            signed.map_err(|error| Status::internal(format!("signing the attach failed: {error}")))?;
        Ok(Desktop { attach: Some(attach), ..desktop })
    }

    /// Whether results can be sent: an agent with a certificate needs a session key for them.
    fn can_report(&self) -> bool {
        self.attaches.as_ref().is_none_or(Attaches::has_session)
    }

    /// The desktop with its facts as they are now.
    async fn describe(&self, endpoint: &Endpoint) -> Desktop {
        let (desktop, data_dir, uri) = (self.desktop.clone(), self.data_dir.clone(), endpoint.uri().clone());
        let proxies = self.proxies.clone();
        // Names may be looked up, which has no time limit of its own.
        let fresh = blocking(move || {
            // Behind a proxy, this machine may know neither a name nor a route of the worker.
            let proxy = proxies.of(&uri).ok().flatten().map(|proxy| (proxy.host(), proxy.port()));
            facts::refresh(&desktop, &data_dir, proxy.or_else(|| uri.host().zip(uri.port_u16())))
        });
        timeout(CONNECT_TIMEOUT, fresh).await.unwrap_or_else(|_| self.desktop.clone())
    }

    /// The desktop as it is after the next interval.
    async fn describe_later(&self, endpoint: &Endpoint) -> Desktop {
        sleep(FACTS_INTERVAL).await;
        self.describe(endpoint).await
    }

    /// Sends unacknowledged results, then new ones as they finish; receives orders, stops and
    /// acknowledgements.
    async fn serve(&self, endpoint: &Endpoint, session: Session) -> Result<Infallible, Status> {
        let Session { outbox, mut inbox, mut described, worker } = session;
        let mut last = 0;
        let mut waiting: VecDeque<Answer> = VecDeque::new();
        // They are from an earlier connection, whose worker has returned these orders itself.
        drop(self.orders.take_returns());
        self.collect(&mut last, &mut waiting).await;
        let mut started = StartedScripts::default();
        let mut live = LiveOutputs::default();
        let mut ask_time_at = self.next_question();
        let mut asked = None;
        // Beside the messages, because it may look up a name.
        let mut next_description = Box::pin(self.describe_later(endpoint));
        loop {
            // Reading never waits for writing: a worker may read only after its own messages are
            // read.
            tokio::select! {
                permit = outbox.reserve(), if !waiting.is_empty() && self.can_report() => {
                    let permit = permit.map_err(|_| closed())?;
                    if let Some(answer) = waiting.pop_front()
                        && let Some(message) = self.orders.message_of(answer).await
                    {
                        let message = match &self.attaches {
                            Some(attaches) => attaches.authenticated(message),
                            None => message,
                        };
                        permit.send(AttachRequest { message: Some(message) });
                    }
                }
                response = inbox.message() => {
                    let response = response?.ok_or_else(closed)?;
                    if let Some(attach_response::Message::Time(time)) = response.message {
                        if let Some(asked) = asked.take() {
                            self.observe_time(asked, Some(time));
                            ask_time_at = self.next_question();
                        }
                    } else if let Some(attach_response::Message::WatchOutput(asked)) = response.message {
                        live.watch(asked, &self.orders);
                    } else if let Some(answer) = self.take(response).await {
                        push(&mut waiting, answer);
                    }
                }
                () = tokio::time::sleep_until(ask_time_at) => {
                    // With a full outbox, the answer would be too late anyway.
                    let question = attach_request::Message::TimeRequest(TimeRequest {});
                    let sent = outbox.try_send(AttachRequest { message: Some(question) });
                    asked = sent.is_ok().then(|| self.clock.asks());
                    ask_time_at = self.next_question();
                }
                () = tokio::time::sleep_until(started.next_at), if self.orders.is_active() => {
                    started.report(&self.orders, &self.clock, &outbox).await;
                }
                // Results go first.
                chunk = live.next(), if waiting.is_empty() && self.can_report() => {
                    waiting.push_back(Answer::Output(chunk));
                }
                desktop = &mut next_description => {
                    next_description.set(self.describe_later(endpoint));
                    self.send_update(&outbox, desktop, &mut described, worker.as_ref());
                }
                () = self.orders.finished() => self.collect(&mut last, &mut waiting).await,
            }
        }
    }

    async fn collect(&self, last: &mut u64, waiting: &mut VecDeque<Answer>) {
        for (number, key) in self.orders.unacked_after(*last).await {
            *last = number;
            push(waiting, Answer::FromJournal(key));
        }
        waiting.extend(self.orders.take_returns().into_iter().map(Answer::Return));
    }

    /// Time of the next time request: soon if the error is large, otherwise at a random point of
    /// the interval, so that agents do not ask at the same time.
    fn next_question(&self) -> tokio::time::Instant {
        let is_rough = self.clock.sample().is_none_or(|sample| sample.is_rough());
        let period = if is_rough { ASK_TIME_SOON } else { ASK_TIME_EVERY };
        tokio::time::Instant::now() + period.mul_f64(rand::random_range(0.5..1.0))
    }

    /// Accepts or refuses an order; returns its answer, if there is one.
    async fn order(&self, order: Order) -> Option<Answer> {
        let Some(guard) = &self.guard else {
            return self.orders.accept(order).await.map(Answer::FromJournal);
        };
        match guard.check(&order) {
            Ok(checked) => self.orders.accept(checked).await.map(Answer::FromJournal),
            Err(reason) => self.orders.refuse(order, &reason).await,
        }
    }

    /// Sends the description if facts have changed. With a full outbox, the next one is tried.
    fn send_update(
        &self,
        outbox: &mpsc::Sender<AttachRequest>,
        desktop: Desktop,
        described: &mut Desktop,
        worker: Option<&Identity>,
    ) {
        if desktop == *described {
            return;
        }
        let signed = match self.signed(desktop.clone(), worker) {
            Ok(signed) => signed,
            Err(status) => return tracing::error!(reason = status.message(), "changed facts not sent"),
        };
        let message = attach_request::Message::DesktopUpdate(signed);
        if outbox.try_send(AttachRequest { message: Some(message) }).is_ok() {
            *described = desktop;
        }
    }

    async fn take_deny_list(&self, list: SignedDenyList) {
        let Some(guard) = &self.guard else { return };
        let lists = guard.deny_lists().clone();
        if let Err(reason) = blocking(move || lists.take(&list)).await {
            tracing::error!(reason, "deny-list of the worker refused");
        }
    }

    fn observe_time(&self, asked: SampleStart, time: Option<Time>) {
        if let Some((now, error)) = time.and_then(|time| time.read()) {
            self.clock.answered(asked, TimeSample { now, error });
        }
    }

    /// Handles a message; returns the answer to send, if any.
    async fn take(&self, response: AttachResponse) -> Option<Answer> {
        match response.message {
            Some(attach_response::Message::Order(order)) => return self.order(order).await,
            Some(attach_response::Message::Signer(signer)) => {
                if let Some(guard) = &self.guard {
                    guard.shown(signer.certificate);
                }
            }
            Some(attach_response::Message::Session(session)) => {
                if let Some(attaches) = &self.attaches {
                    attaches.answered(&session);
                }
            }
            Some(attach_response::Message::DenyList(list)) => self.take_deny_list(list).await,
            Some(attach_response::Message::Ack(ack)) => match ack.key {
                Some(key) => self.orders.acked(key.into(), ack.scripts).await,
                None => tracing::error!("acknowledgement ignored: it has no key"),
            },
            Some(attach_response::Message::Stop(stop)) => match stop.key {
                Some(key) => self.orders.stop(&key.into(), stop.script).await,
                None => tracing::error!("stop ignored: it has no key"),
            },
            Some(attach_response::Message::Welcome(_)) => {
                tracing::warn!("welcome ignored: the connection already has one")
            }
            Some(attach_response::Message::Rival(rival)) => tracing::error!(
                os_host_name = rival.os_host_name,
                ip_address = rival.ip_address,
                "another machine claims this desktop and was refused: give it a desktop id and a data directory \
                 of its own"
            ),
            Some(attach_response::Message::Time(_) | attach_response::Message::WatchOutput(_)) => {}
            // Message type of a newer worker, which must cope without an answer.
            None => tracing::warn!("message ignored: unknown type"),
        }
        None
    }
}

fn push(waiting: &mut VecDeque<Answer>, answer: Answer) {
    let is_refusal = matches!(answer, Answer::Refusal(_));
    if is_refusal && waiting.len() >= MAX_ORDERS_PER_AGENT {
        tracing::error!("refusal dropped: too many answers are queued");
    } else if !waiting.contains(&answer) {
        waiting.push_back(answer);
    }
}

async fn send(outbox: &mpsc::Sender<AttachRequest>, message: attach_request::Message) -> Result<(), Status> {
    outbox.send(AttachRequest { message: Some(message) }).await.map_err(|_| closed())
}

fn closed() -> Status {
    Status::unavailable("the worker closed the connection")
}
