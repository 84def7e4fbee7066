//! Server side of the admin listener: a server certificate of its own, and optional certificates of
//! clients.

use std::{io, sync::Arc};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{
    anonymous::AnonymousPeers,
    denied::DenyList,
    server::{Accepted, accepted, shake_hands},
    tls::Tls,
    web::WebTls,
};

/// Server certificate of the admin listener, and the CAs of its clients' certificates.
#[derive(Debug, Clone)]
pub struct OperatorTls {
    web: WebTls,
    /// Trusted CAs and deny-list; `None` if no client certificates are accepted.
    clients: Option<Tls>,
}

impl OperatorTls {
    /// Accepts clients without a certificate, and with one of the CAs of `clients`. Both
    /// certificates are those of the time of a handshake.
    pub fn new(web: WebTls, clients: Option<Tls>) -> Self {
        Self { web, clients }
    }

    /// Performs the handshake. A certificate that a client sends must be valid and contain an
    /// identity; the caller decides what that identity may do.
    ///
    /// # Errors
    ///
    /// When the handshake fails or takes too long; [`crate::why`] gives the reason.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<Accepted<S>> {
        let stream = shake_hands(self.config(), stream).await?;
        let strangers = AnonymousPeers::LetIn;
        match &self.clients {
            Some(tls) => accepted(stream, strangers, tls.deny_list()),
            None => accepted(stream, strangers, &DenyList::default()),
        }
    }

    fn config(&self) -> Arc<ServerConfig> {
        let web = self.web.current();
        let Some(tls) = &self.clients else { return Arc::clone(&web.grpc) };
        let mut config = ServerConfig::clone(&tls.server(AnonymousPeers::LetIn));
        config.cert_resolver = Arc::clone(&web.certificate);
        Arc::new(config)
    }
}
