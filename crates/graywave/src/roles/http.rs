//! HTTP server. Slow headers and a stop end a connection.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    response::Response,
};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use mtls::WebTls;
use server::{Accepted, Listener};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Maximum time for responses in progress after a stop.
pub(crate) const LAST_ANSWERS: Duration = Duration::from_secs(5);

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
    let server = server(HEADERS_WITHIN);
    let graceful = GracefulShutdown::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let (server, router, watcher) = (server.clone(), router.clone(), graceful.watcher());
        let Accepted { stream, peer, place } = accepted;
        let client = Client { server, router, watcher, peer };
        let tls = tls.clone();
        tokio::spawn(async move {
            match tls {
                None => client.plain(stream).await,
                Some(tls) => client.encrypted(stream, &tls).await,
            }
            drop(place);
        });
    }
    // Refuses new connections immediately during the shutdown.
    drop(listener);
    if timeout(LAST_ANSWERS, graceful.shutdown()).await.is_err() {
        tracing::debug!("closing connections that did not end within 5s");
    }
}

/// A client's connection before its protocol is known.
struct Client {
    server: auto::Builder<TokioExecutor>,
    router: Router,
    watcher: Watcher,
    peer: SocketAddr,
}

impl Client {
    async fn plain(self, stream: TcpStream) {
        let Ok(Some(is_http2)) = timeout(HEADERS_WITHIN, speaks_http2(&stream)).await else { return };
        self.answer_requests(stream, is_http2).await;
    }

    async fn encrypted(self, mut stream: TcpStream, tls: &WebTls) {
        let mut first = [0];
        match timeout(HEADERS_WITHIN, stream.peek(&mut first)).await {
            Ok(Ok(1)) => {}
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

    async fn answer_requests(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        is_http2: bool,
    ) {
        let Self { server, router, watcher, peer } = self;
        let server = if is_http2 { server.http2_only() } else { server.http1_only() };
        let service = service_fn(|request| answer(router.clone(), peer, request));
        let connection = server.serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
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

async fn answer(
    router: Router,
    peer: SocketAddr,
    mut request: hyper::Request<Incoming>,
) -> Result<Response, Infallible> {
    request.extensions_mut().insert(ConnectInfo(peer));
    let request: Request = request.map(Body::new);
    router.oneshot(request).await
}

#[cfg(test)]
mod tests {
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
        let service = service_fn(|request| answer(Router::new(), ([127, 0, 0, 1], 1).into(), request));
        let server = server(Duration::from_millis(50)).http1_only();
        drop(server.serve_connection(TokioIo::new(stream), service).await);
        let mut rest = Vec::new();
        drop(peer.read_to_end(&mut rest).await);
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{rest:?}");
    }
}
