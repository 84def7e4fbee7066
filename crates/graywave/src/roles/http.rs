//! HTTP server. Slow headers and a stop end a connection.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    response::Response,
};
use hyper::{
    Version,
    body::Incoming,
    header::{CONNECTION, HeaderValue},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use mtls::WebTls;
use server::{Accepted, Listener};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt as _;

/// Maximum time for responses in progress after a stop.
pub(crate) const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Time from a stop on in which idle connections of HTTP/1.1 stay open, and new ones are accepted.
///
/// A client may send a request at the moment in which the server closes an idle connection, and
/// gets a reset. Until this time has passed, each response therefore asks its client to close the
/// connection, and afterwards the server closes the connections that were idle meanwhile. HTTP/2
/// needs none of this: its GOAWAY names the last request that is answered.
const IDLE_CLOSE_AFTER: Duration = Duration::from_secs(1);
/// Time from a stop on in which connections are accepted in any case: those that the kernel
/// completed before would be reset.
const ACCEPT_AFTER_STOP: Duration = Duration::from_millis(50);

/// Maximum time for the headers of a request, from the connection or from the previous response.
const HEADERS_WITHIN: Duration = Duration::from_secs(30);
const HEADERS_MAX_BYTES: u32 = 64 << 10;
/// Start of every HTTP/2 connection.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Poll interval while the start of a connection is incomplete.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Response to plain HTTP where HTTPS is spoken, in the form of the API's errors.
const HTTPS_EXPECTED: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n\
    {\"error_code\":\"HTTPS_REQUIRED\",\"error_msg\":\"this port speaks HTTPS: use https:// in the URL\"}\n";

/// Serves the routes until `stop`, then completes the requests in progress. Speaks HTTPS with a
/// certificate.
pub(crate) async fn serve(listener: Listener, router: Router, tls: Option<WebTls>, stop: CancellationToken) {
    let (server, connections) = (server(HEADERS_WITHIN), TaskTracker::new());
    let shutdown = Shutdown { stop, close_idle: CancellationToken::new() };
    let begin = |Accepted { stream, peer, place }: Accepted| {
        let (server, router, shutdown) = (server.clone(), router.clone(), shutdown.clone());
        let client = Client { server, router, shutdown, peer };
        let tls = tls.clone();
        connections.spawn(async move {
            match tls {
                None => client.plain(stream).await,
                Some(tls) => client.encrypted(stream, &tls).await,
            }
            drop(place);
        });
    };
    while let Some(accepted) = shutdown.stop.run_until_cancelled(listener.accept()).await {
        begin(accepted);
    }
    connections.close();
    let finish = async {
        let mut idle = std::pin::pin!(async {
            tokio::time::sleep(ACCEPT_AFTER_STOP).await;
            drop(timeout(IDLE_CLOSE_AFTER - ACCEPT_AFTER_STOP, connections.wait()).await);
        });
        loop {
            tokio::select! {
                biased;
                accepted = listener.accept() => begin(accepted),
                () = &mut idle => break,
            }
        }
        // Refuses new connections from now on.
        drop(listener);
        shutdown.close_idle.cancel();
        connections.wait().await;
    };
    if timeout(LAST_ANSWERS, finish).await.is_err() {
        tracing::debug!("closing connections that did not end within 5s");
    }
}

/// Steps of a shutdown.
#[derive(Clone)]
struct Shutdown {
    /// Begins it.
    stop: CancellationToken,
    /// Closes idle connections of HTTP/1.1.
    close_idle: CancellationToken,
}

/// A client's connection before its protocol is known.
struct Client {
    server: auto::Builder<TokioExecutor>,
    router: Router,
    shutdown: Shutdown,
    peer: SocketAddr,
}

impl Client {
    async fn plain(self, stream: TcpStream) {
        let Some(Ok(Some(is_http2))) = self.begins(speaks_http2(&stream)).await else { return };
        self.answer_requests(stream, is_http2).await;
    }

    async fn encrypted(self, mut stream: TcpStream, tls: &WebTls) {
        let mut first = [0];
        match self.begins(stream.peek(&mut first)).await {
            Some(Ok(Ok(1))) => {}
            _ => return,
        }
        if first[0].is_ascii_alphabetic() {
            // The connection ends with the response, whether it arrives or not.
            drop(stream.write_all(HTTPS_EXPECTED.as_bytes()).await);
            drop(stream.shutdown().await);
            return;
        }
        match tls.accept(stream).await {
            Ok(stream) => {
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                self.answer_requests(stream, is_http2).await;
            }
            Err(error) => tracing::debug!(%error, peer = %self.peer, "TLS handshake failed"),
        }
    }

    /// Waits for the first bytes of the client, within a time limit; `None` if idle connections
    /// are closed first.
    async fn begins<T>(
        &self,
        first: impl Future<Output = T>,
    ) -> Option<Result<T, tokio::time::error::Elapsed>> {
        tokio::select! {
            biased;
            first = timeout(HEADERS_WITHIN, first) => Some(first),
            () = self.shutdown.close_idle.cancelled() => None,
        }
    }

    async fn answer_requests(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        is_http2: bool,
    ) {
        let Self { server, router, shutdown, peer } = self;
        let server = if is_http2 { server.http2_only() } else { server.http1_only() };
        let stop = shutdown.stop.clone();
        let service = service_fn(|request| answer(router.clone(), peer, stop.clone(), request));
        let mut connection = std::pin::pin!(server.serve_connection(TokioIo::new(stream), service));
        let last_request = if is_http2 { &shutdown.stop } else { &shutdown.close_idle };
        let ended = tokio::select! {
            // Reads a request that has arrived before the connection is closed as idle.
            biased;
            ended = connection.as_mut() => ended,
            () = last_request.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(error = %error, %peer, "connection failed");
        }
    }
}

fn server(headers_within: Duration) -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(headers_within)
        .max_buf_size(HEADERS_MAX_BYTES as usize);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADERS_MAX_BYTES)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(10));
    server
}

/// Checks whether the peer starts with the HTTP/2 preface; `None` if it disconnects first. The
/// server itself has no timeout for the preface.
async fn speaks_http2(stream: &TcpStream) -> Option<bool> {
    let mut seen = [0; PREFACE.len()];
    loop {
        let number = stream.peek(&mut seen).await.ok().filter(|number| *number > 0)?;
        if !PREFACE.starts_with(seen.get(..number)?) {
            return Some(false);
        }
        if number == PREFACE.len() {
            return Some(true);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Answers a request. From `stop` on, the response asks a client of HTTP/1.1 to close its
/// connection.
async fn answer(
    router: Router,
    peer: SocketAddr,
    stop: CancellationToken,
    mut request: hyper::Request<Incoming>,
) -> Result<Response, Infallible> {
    request.extensions_mut().insert(ConnectInfo(peer));
    let is_http1 = request.version() < Version::HTTP_2;
    let request: Request = request.map(Body::new);
    let mut response = router.oneshot(request).await?;
    if is_http1 && stop.is_cancelled() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (listener.accept().await.unwrap().0, peer)
    }

    #[tokio::test]
    async fn the_beginning_tells_the_protocol_however_slowly_it_comes() {
        let (stream, mut peer) = pair().await;
        peer.write_all(&PREFACE[..5]).await.unwrap();
        let rest = async { peer.write_all(&PREFACE[5..]).await.unwrap() };
        assert_eq!(tokio::join!(speaks_http2(&stream), rest).0, Some(true));
        let (stream, mut peer) = pair().await;
        peer.write_all(b"PROPFIND / HTTP/1.1").await.unwrap();
        assert_eq!(speaks_http2(&stream).await, Some(false));
        let (stream, peer) = pair().await;
        drop(peer);
        assert_eq!(speaks_http2(&stream).await, None);
    }

    #[tokio::test]
    async fn headers_that_never_end_end_the_connection() {
        let (stream, mut peer) = pair().await;
        peer.write_all(b"GET / HTTP/1.1\r\nX-Slow: ").await.unwrap();
        let (address, stop) = (([127, 0, 0, 1], 1).into(), CancellationToken::new());
        let service = service_fn(|request| answer(Router::new(), address, stop.clone(), request));
        let server = server(Duration::from_millis(50)).http1_only();
        drop(server.serve_connection(TokioIo::new(stream), service).await);
        let mut rest = Vec::new();
        drop(peer.read_to_end(&mut rest).await);
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{rest:?}");
    }

    /// A server with one route that answers with its name.
    struct NamedServer {
        address: SocketAddr,
        stop: CancellationToken,
        serving: tokio::task::JoinHandle<()>,
    }

    async fn named(name: &'static str) -> NamedServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        let router = Router::new().route("/", axum::routing::get(move || async move { name }));
        let serving = tokio::spawn(serve(Listener::new(listener, 1_000), router, None, stop.clone()));
        NamedServer { address, stop, serving }
    }

    /// Sends a request and reads its response: the name of the server, and whether it asks to close
    /// the connection.
    async fn exchange(stream: &mut TcpStream) -> std::io::Result<(u8, bool)> {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: api\r\n\r\n").await?;
        let mut bytes = Vec::new();
        loop {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
            if let Some((head, body)) = text.split_once("\r\n\r\n")
                && let Some(name) = body.bytes().next()
            {
                return Ok((name, head.contains("connection: close")));
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn restart_resets_no_request_of_keep_alive_clients() {
        const CLIENTS: usize = 64;
        const ANSWERS: usize = 200;
        let (old, new) = (named("o").await, named("n").await);
        let all_begin = Arc::new(tokio::sync::Barrier::new(CLIENTS + 1));
        let (endpoint, addresses) = tokio::sync::watch::channel(old.address);
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (addresses, all_begin) = (addresses.clone(), Arc::clone(&all_begin));
                tokio::spawn(async move {
                    let (mut by_old, mut by_new) = (0, 0);
                    while by_new < ANSWERS {
                        let address = *addresses.borrow();
                        let mut stream = TcpStream::connect(address).await.unwrap();
                        while by_new < ANSWERS {
                            let (name, closes) = exchange(&mut stream).await.unwrap();
                            *(if name == b'o' { &mut by_old } else { &mut by_new }) += 1;
                            if by_old + by_new == 1 {
                                all_begin.wait().await;
                            }
                            if closes {
                                break;
                            }
                        }
                    }
                    by_old
                })
            })
            .collect();
        all_begin.wait().await;
        // Connections without a request, as clients that connect ahead have them.
        let mut silent = TcpStream::connect(old.address).await.unwrap();
        let mut idle = TcpStream::connect(old.address).await.unwrap();
        for _ in 0..ANSWERS {
            exchange(&mut idle).await.unwrap();
        }
        // As a pod that ends: new connections go elsewhere, then comes SIGTERM.
        endpoint.send_replace(new.address);
        old.stop.cancel();
        for client in clients {
            assert!(client.await.unwrap() > 0, "a client sent nothing to the old server");
        }
        timeout(LAST_ANSWERS, old.serving).await.expect("the old server ends").unwrap();
        for stream in [&mut silent, &mut idle] {
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "an idle connection is closed, not reset");
        }
        let refused = TcpStream::connect(old.address).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        new.stop.cancel();
        timeout(LAST_ANSWERS, new.serving).await.expect("the new server ends").unwrap();
    }

    #[tokio::test]
    async fn request_that_waits_for_its_accept_is_answered_after_a_stop() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let stop = CancellationToken::new();
        stop.cancel();
        let router = Router::new().route("/", axum::routing::get(|| async { "n" }));
        let serving = serve(Listener::new(listener, 10), router, None, stop);
        let (answered, ()) = tokio::join!(exchange(&mut stream), serving);
        assert_eq!(answered.unwrap(), (b'n', true));
    }
}
