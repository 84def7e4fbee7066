//! Files for installations: SHA256SUMS of a directory, and the files that it lists.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::body::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::{
    fs::File,
    io::AsyncReadExt as _,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, timeout_at},
};

use super::settings::is_sha256;

/// Name of the list of all files with their hashes.
pub(super) const SUMS: &str = "SHA256SUMS";
/// Maximum size of the list, and of a file of certificates, in bytes.
pub(super) const MAX_TEXT_BYTES: u64 = 64 << 10;
/// Maximum size of a file, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 30;
/// Maximum number of files that are sent at the same time.
const MAX_DOWNLOADS: usize = 64;
/// Time after which a download ends, whether its reader is slow or has stopped to read.
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(900);
/// Bytes that are read at once, and the number of such pieces that wait for the reader.
const PIECE_BYTES: usize = 64 << 10;
const PIECES: usize = 2;

/// Directory of artefacts.
#[derive(Debug)]
pub(super) struct Artefacts {
    directory: PathBuf,
    downloads: Arc<Semaphore>,
}

/// A file to send.
#[derive(Debug)]
pub(super) struct Download {
    pub(super) size_bytes: u64,
    /// SHA-256 from the list, in lower-case hex.
    pub(super) sha256: String,
    pub(super) pieces: mpsc::Receiver<io::Result<Bytes>>,
}

/// Why a file is not sent.
#[derive(Debug)]
pub(super) enum NotSent {
    /// The list does not have the name, or the listed file is missing.
    Unknown,
    /// Too many downloads are in progress.
    Busy,
    /// The directory is not usable.
    Broken(String),
}

impl Artefacts {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory, downloads: Arc::new(Semaphore::new(MAX_DOWNLOADS)) }
    }

    /// Reads the list.
    pub(super) async fn sums(&self) -> Result<Vec<u8>, String> {
        read_text(&self.directory.join(SUMS)).await
    }

    /// Returns the SHA-256 of the list, in lower-case hex.
    pub(super) async fn sums_sha256(&self) -> Result<String, String> {
        Ok(hex::encode(Sha256::digest(self.sums().await?)))
    }

    /// Opens a listed file.
    pub(super) async fn open(&self, name: &str) -> Result<Download, NotSent> {
        let sums = self.sums().await.map_err(NotSent::Broken)?;
        let sha256 = listed(&sums, name).ok_or(NotSent::Unknown)?;
        let permit = Arc::clone(&self.downloads).try_acquire_owned().map_err(|_| NotSent::Busy)?;
        let file = File::open(self.directory.join(name)).await.map_err(|_| NotSent::Unknown)?;
        let facts = file.metadata().await.map_err(|error| NotSent::Broken(error.to_string()))?;
        let size_bytes = facts.len();
        if !facts.is_file() || size_bytes > MAX_FILE_BYTES {
            return Err(NotSent::Broken(format!(
                "{name} is no file of at most {MAX_FILE_BYTES} bytes: it has {size_bytes}"
            )));
        }
        let (sender, pieces) = mpsc::channel(PIECES);
        tokio::spawn(send(file, size_bytes, sender, permit));
        Ok(Download { size_bytes, sha256, pieces })
    }
}

/// Sends a file in pieces until its end, the deadline, or the reader's end.
async fn send(
    file: File,
    size_bytes: u64,
    sender: mpsc::Sender<io::Result<Bytes>>,
    _permit: OwnedSemaphorePermit,
) {
    let deadline = Instant::now() + DOWNLOAD_TIMEOUT;
    // A file that grows meanwhile is sent with its first length.
    let mut file = file.take(size_bytes);
    loop {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        let piece = match file.read_buf(&mut piece).await {
            Ok(0) => return,
            Ok(_) => Ok(Bytes::from(piece)),
            Err(error) => Err(error),
        };
        let is_last = piece.is_err();
        if !matches!(timeout_at(deadline, sender.send(piece)).await, Ok(Ok(()))) || is_last {
            return;
        }
    }
}

/// Reads a small file whole.
pub(super) async fn read_text(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("reading {} failed: {error}", path.display());
    let mut bytes = Vec::new();
    let file = File::open(path).await.map_err(failed)?;
    file.take(MAX_TEXT_BYTES + 1).read_to_end(&mut bytes).await.map_err(failed)?;
    if bytes.len() as u64 > MAX_TEXT_BYTES {
        return Err(format!("{} has more than {MAX_TEXT_BYTES} bytes", path.display()));
    }
    Ok(bytes)
}

/// Returns the hash of a listed name. Names with a path are never listed.
fn listed(sums: &[u8], name: &str) -> Option<String> {
    let is_plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'+' | b'~' | b'-');
    let is_name = !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_plain);
    let lines = std::str::from_utf8(sums).ok()?.lines();
    let mut entries = lines.filter_map(|line| {
        let (hash, entry) = line.split_once(' ')?;
        let entry = entry.strip_prefix(' ').or_else(|| entry.strip_prefix('*'))?;
        is_sha256(hash).then_some((hash, entry))
    });
    entries.find(|(_, entry)| is_name && *entry == name).map(|(hash, _)| hash.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn only_plain_listed_names_are_files() {
        let sums =
            format!("{HASH}  a_1.0~rc1+x-1.deb\n{HASH} *b.msi\n{HASH}  ../c\n{HASH}  .d\nnot-a-hash  e\n");
        for name in ["a_1.0~rc1+x-1.deb", "b.msi"] {
            assert_eq!(listed(sums.as_bytes(), name).as_deref(), Some(HASH), "{name}");
        }
        for name in ["", "c", "../c", ".d", "e", "a", "a_1.0~rc1+x-1.deb/"] {
            assert_eq!(listed(sums.as_bytes(), name), None, "{name}");
        }
    }

    #[tokio::test]
    async fn download_has_the_listed_file_and_its_hash() {
        let directory = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let hash = hex::encode(Sha256::digest(&content));
        std::fs::write(directory.path().join("a.deb"), &content).unwrap();
        std::fs::write(directory.path().join("secret"), "unlisted").unwrap();
        std::fs::write(directory.path().join(SUMS), format!("{hash}  a.deb\n{HASH}  gone\n")).unwrap();
        let artefacts = Artefacts::new(directory.path().into());
        let mut download = artefacts.open("a.deb").await.unwrap();
        assert_eq!((download.size_bytes, &download.sha256), (800_000, &hash));
        let mut received = Vec::new();
        while let Some(piece) = download.pieces.recv().await {
            received.extend_from_slice(&piece.unwrap());
        }
        assert!(received == content);
        for name in ["secret", "gone", SUMS] {
            assert!(matches!(artefacts.open(name).await, Err(NotSent::Unknown)), "{name}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn reader_that_stops_ends_its_download_in_time() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a"), vec![0; 4 << 20]).unwrap();
        std::fs::write(directory.path().join(SUMS), format!("{HASH}  a\n")).unwrap();
        let artefacts = Artefacts::new(directory.path().into());
        let mut downloads = Vec::new();
        for _ in 0..MAX_DOWNLOADS {
            downloads.push(artefacts.open("a").await.unwrap());
        }
        assert!(matches!(artefacts.open("a").await, Err(NotSent::Busy)));
        tokio::time::sleep(DOWNLOAD_TIMEOUT + Duration::from_secs(1)).await;
        let permits = Arc::clone(&artefacts.downloads).acquire_many_owned(MAX_DOWNLOADS as u32).await;
        assert!(permits.is_ok() && downloads.len() == MAX_DOWNLOADS);
    }
}
