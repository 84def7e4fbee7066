//! Certificates that are denied although they are valid, by serial number. The set is replaced as a
//! whole, and open connections of newly denied peers end.

use std::{
    collections::HashSet,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
};

/// Maximum length of a serial number, in bytes (RFC 5280).
const MAX_SERIAL_BYTES: usize = 20;

/// Canonical form of a serial number in hex: lower case, without colons and leading zeros. `None`
/// if the text is not a serial number.
pub fn canonical_serial(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|character| *character != ':').collect();
    let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let digits = digits.trim_start_matches('0').to_ascii_lowercase();
    let fits = digits.len() <= 2 * MAX_SERIAL_BYTES;
    (is_hex && fits).then(|| if digits.is_empty() { "0".to_owned() } else { digits })
}

/// Set of denied serial numbers. Clones share the state.
#[derive(Debug, Clone, Default)]
pub struct DenyList {
    current: Arc<watch::Sender<Arc<HashSet<String>>>>,
}

impl DenyList {
    /// Replaces the set. Texts that are not serial numbers are ignored.
    pub fn replace<'a>(&self, serials: impl IntoIterator<Item = &'a str>) {
        let serials = serials.into_iter().filter_map(canonical_serial).collect();
        self.current.send_replace(Arc::new(serials));
    }

    /// Whether a certificate is denied.
    pub fn contains(&self, serial: &str) -> bool {
        let current = Arc::clone(&self.current.borrow());
        !current.is_empty() && canonical_serial(serial).is_some_and(|serial| current.contains(&serial))
    }

    /// Waits until a certificate is denied.
    pub(crate) fn until_denied(&self, serial: &str) -> impl Future<Output = ()> + Send + 'static {
        let mut changes = self.current.subscribe();
        let serial = canonical_serial(serial);
        async move {
            let Some(serial) = serial else { return std::future::pending().await };
            if changes.wait_for(|denied| denied.contains(&serial)).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Stream of a connection that ends when the peer's certificate is denied.
pub struct UntilDenied<S> {
    stream: S,
    /// `None` for a peer without a certificate.
    denied: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl<S: std::fmt::Debug> std::fmt::Debug for UntilDenied<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UntilDenied").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl<S> UntilDenied<S> {
    /// Ends `stream` at `grace` after the certificate with this serial number is denied; never
    /// without one.
    pub(crate) fn new(stream: S, deny_list: &DenyList, serial: Option<&str>, grace: Duration) -> Self {
        let denied = serial.map(|serial| -> Pin<Box<dyn Future<Output = ()> + Send>> {
            let until_denied = deny_list.until_denied(serial);
            Box::pin(async move {
                until_denied.await;
                if !grace.is_zero() {
                    tokio::time::sleep(grace).await;
                }
            })
        });
        Self { stream, denied }
    }

    /// The inner stream.
    pub const fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for UntilDenied<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(denied) = &mut self.denied
            && denied.as_mut().poll(context).is_ready()
        {
            self.denied = Some(Box::pin(std::future::ready(())));
            let reason = "the peer's certificate is denied";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::PermissionDenied, reason)));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for UntilDenied<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[test]
    fn serial_has_one_form_however_it_is_written() {
        for text in ["00:ab:0c", "AB:0C", "ab0c", "00AB0C", "ab:0c"] {
            assert_eq!(canonical_serial(text).as_deref(), Some("ab0c"), "{text}");
        }
        assert_eq!(canonical_serial("00").as_deref(), Some("0"));
        assert_eq!(canonical_serial(&"f".repeat(40)), Some("f".repeat(40)));
        for wrong in ["", ":", "xy", "0x12", "12 34", &"f".repeat(41)] {
            assert_eq!(canonical_serial(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn list_denies_what_its_last_replacement_names() {
        let list = DenyList::default();
        assert!(!list.contains("01:02"));
        list.replace(["102", "not a serial"]);
        assert!(list.contains("01:02") && !list.contains("01:03") && !list.contains("not a serial"));
        list.replace(["0103"]);
        assert!(!list.contains("01:02") && list.contains("01:03"));
    }

    #[tokio::test]
    async fn open_connection_ends_when_its_peer_is_denied() {
        let list = DenyList::default();
        let (near, mut far) = duplex(64);
        let (other, mut far_of_other) = duplex(64);
        let mut stream = UntilDenied::new(near, &list, Some("01:02"), Duration::ZERO);
        let mut anonymous = UntilDenied::new(other, &list, None, Duration::ZERO);
        far.write_all(b"x").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
        list.replace(["aa"]);
        far.write_all(b"y").await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'y');
        let reading = tokio::spawn(async move {
            let error = stream.read_u8().await.unwrap_err();
            (error.kind(), stream.read_u8().await.unwrap_err().kind())
        });
        list.replace(["102", "aa"]);
        let denied = io::ErrorKind::PermissionDenied;
        assert_eq!(reading.await.unwrap(), (denied, denied));
        far_of_other.write_all(b"z").await.unwrap();
        assert_eq!(anonymous.read_u8().await.unwrap(), b'z');
    }

    #[tokio::test(start_paused = true)]
    async fn denied_worker_has_a_grace_to_pass_the_list_on() {
        let (list, begun) = (DenyList::default(), tokio::time::Instant::now());
        let (near, _far) = duplex(64);
        let mut stream = UntilDenied::new(near, &list, Some("1"), Duration::from_secs(5));
        list.replace(["1"]);
        assert_eq!(stream.read_u8().await.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
    }
}
