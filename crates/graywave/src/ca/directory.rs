//! The directory of a CA and of the certificates that it issues. Files are replaced atomically:
//! each is written beside its final path and then renamed.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use mtls::read_certificates;

use super::{authority::Authority, issue::Pair};

const PUBLIC: u32 = 0o644;
const SECRET: u32 = 0o600;

/// Directory of a CA: `ca.crt` with the newest CA first, and `ca.key` of the newest CA.
#[derive(Debug)]
pub(super) struct Directory {
    dir: PathBuf,
}

impl Directory {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    fn crt(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// Returns the path of the key.
    pub(super) fn key(&self) -> PathBuf {
        self.dir.join("ca.key")
    }

    /// Writes the first CA. Fails if the directory already has one.
    pub(super) fn init(&self, authority: &Authority) -> anyhow::Result<()> {
        for path in [self.crt(), self.key()] {
            if path.exists() {
                bail!("{} already exists: `graywave ca rotate` adds a new CA", path.display());
            }
        }
        make(&self.dir)?;
        put(&self.key(), &authority.key_pem(), SECRET)?;
        put(&self.crt(), &pem(authority.certificate()), PUBLIC)
    }

    /// Reads the issuing CA and the text of `ca.crt`.
    pub(super) fn load(&self) -> anyhow::Result<(Authority, String)> {
        let read = |path: PathBuf| {
            fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}: run `graywave ca init` first", path.display()))
        };
        let (trusted, key) = (read(self.crt())?, read(self.key())?);
        let authority =
            Authority::read(&trusted, &key).with_context(|| format!("in {}", self.dir.display()))?;
        Ok((authority, trusted))
    }

    /// Adds a CA before the existing ones. A crash in between leaves an additional trusted
    /// certificate, and the old key continues to issue.
    pub(super) fn rotate(&self, next: &Authority) -> anyhow::Result<()> {
        let (_, trusted) = self.load()?;
        put(&self.crt(), &(pem(next.certificate()) + &trusted), PUBLIC)?;
        put(&self.key(), &next.key_pem(), SECRET)
    }

    /// Removes all CAs except the issuing one. Returns the number of removed CAs.
    pub(super) fn drop_old(&self) -> anyhow::Result<usize> {
        let (authority, trusted) = self.load()?;
        let found = read_certificates(trusted.as_bytes()).map_err(anyhow::Error::msg)?;
        put(&self.crt(), &pem(authority.certificate()), PUBLIC)?;
        Ok(found.len() - 1)
    }
}

/// Writes a certificate, its key and the trusted CAs under the file names of a role.
pub(super) fn put_pair(out: &Path, pair: &Pair, trusted: &str) -> anyhow::Result<()> {
    make(out)?;
    put(&out.join("tls.key"), &pair.key_pem, SECRET)?;
    put(&out.join("tls.crt"), &pair.certificate_pem, PUBLIC)?;
    put(&out.join("ca.crt"), trusted, PUBLIC)
}

/// Writes an issuer under the file names that schedulers read.
pub(super) fn put_issuer(out: &Path, certificate: &str, key: &str) -> anyhow::Result<()> {
    make(out)?;
    put(&out.join("issuer.key"), key, SECRET)?;
    put(&out.join("issuer.crt"), certificate, PUBLIC)
}

fn make(dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))
}

fn put(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let beside = path.with_extension("new");
    let written = || {
        // A leftover of an interrupted attempt may have another mode.
        drop(fs::remove_file(&beside));
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}

fn pem(certificate: &[u8]) -> String {
    pem::encode_config(
        &pem::Pem::new("CERTIFICATE", certificate),
        pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use chrono::Utc;

    use super::*;

    fn made(dir: &Path) -> (Directory, Authority) {
        let (directory, authority) = (Directory::new(dir), Authority::make(10, Utc::now()).unwrap());
        directory.init(&authority).unwrap();
        (directory, authority)
    }

    fn trusted(directory: &Directory) -> usize {
        read_certificates(&fs::read(directory.crt()).unwrap()).unwrap().len()
    }

    #[test]
    fn a_ca_is_made_once_and_its_key_is_secret() {
        let place = tempfile::tempdir().unwrap();
        let (directory, authority) = made(&place.path().join("ca"));
        let mode = fs::metadata(directory.key()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(directory.load().unwrap().0.certificate(), authority.certificate());
        assert!(directory.init(&authority).unwrap_err().to_string().contains("already exists"));
        let nowhere = Directory::new(&place.path().join("nowhere"));
        assert!(nowhere.load().unwrap_err().to_string().contains("graywave ca init"));
    }

    #[test]
    fn rotation_accepts_both_cas_until_the_old_one_is_dropped() {
        let place = tempfile::tempdir().unwrap();
        let (directory, old) = made(place.path());
        let next = Authority::make(10, Utc::now()).unwrap();
        directory.rotate(&next).unwrap();
        assert_eq!(trusted(&directory), 2);
        assert_eq!(directory.load().unwrap().0.certificate(), next.certificate());
        assert_eq!(directory.drop_old().unwrap(), 1);
        assert_eq!(trusted(&directory), 1);
        assert_eq!(directory.load().unwrap().0.certificate(), next.certificate());
        assert_eq!(directory.drop_old().unwrap(), 0);
        assert_ne!(old.certificate(), next.certificate());
    }

    #[test]
    fn interrupted_rotation_leaves_the_old_ca_usable() {
        let place = tempfile::tempdir().unwrap();
        let (directory, old) = made(place.path());
        let key = fs::read_to_string(directory.key()).unwrap();
        directory.rotate(&Authority::make(10, Utc::now()).unwrap()).unwrap();
        put(&directory.key(), &key, SECRET).unwrap();
        assert_eq!(directory.load().unwrap().0.certificate(), old.certificate());
        directory.drop_old().unwrap();
        assert_eq!(trusted(&directory), 1);
    }
}
