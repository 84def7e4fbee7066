//! Stored identity of the agent: one file with key and certificate, so that both change together,
//! and a pending key, so that a lost response can be requested again.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use mtls::{CertificateDer, Files, NewKey, Tls};

use crate::{
    Error,
    data_dir::{replace, restore_file, restore_private_dir},
};

/// Identity directory within the agent's data directory.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    dir: PathBuf,
    ca_file: PathBuf,
}

impl Kept {
    pub(crate) fn open(data_dir: &Path, ca_file: &Path) -> Result<Self, Error> {
        let dir = data_dir.join("identity");
        restore_private_dir(&dir).map_err(|source| Error::DataDir { path: dir.clone(), source })?;
        Ok(Self { dir, ca_file: ca_file.to_owned() })
    }

    fn certificate(&self) -> PathBuf {
        self.dir.join("certificate.pem")
    }

    fn pending_key(&self) -> PathBuf {
        self.dir.join("pending-key.pem")
    }

    /// Loads the stored certificate; `None` if the file does not exist.
    pub(crate) fn load(&self) -> Result<Option<Tls>, Error> {
        let file = self.certificate();
        restore_file(&file).map_err(|source| Error::DataDir { path: file.clone(), source })?;
        if !file.exists() {
            return Ok(None);
        }
        Ok(Some(Tls::load(Files { ca: self.ca_file.clone(), cert: file.clone(), key: file })?))
    }

    /// Returns the pending key, or generates one.
    pub(crate) fn pending(&self) -> Result<NewKey, String> {
        let path = self.pending_key();
        match restore_file(&path).and_then(|()| fs::read(&path)) {
            // A truncated key was never used.
            Ok(pem) => {
                if let Ok(key) = NewKey::from_pem(&String::from_utf8_lossy(&pem)) {
                    return Ok(key);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(format!("reading {} failed: {error}", path.display())),
        }
        let key = NewKey::generate()?;
        put(&path, &key.pem())?;
        Ok(key)
    }

    /// Stores a certificate of the pending key, and removes the pending key.
    pub(crate) fn put(&self, key: &NewKey, chain: &[Vec<u8>]) -> Result<(), String> {
        let first = chain.first().ok_or("the response contains no certificate")?;
        if !key.is_of(&CertificateDer::from(first.as_slice())) {
            return Err("the response contains a certificate for another key".into());
        }
        let certificates = chain.iter().map(|der| pem::encode(&pem::Pem::new("CERTIFICATE", der.as_slice())));
        let text = std::iter::once(key.pem()).chain(certificates).collect::<String>();
        put(&self.certificate(), &text)?;
        match fs::remove_file(self.pending_key()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.to_string()),
            _ => Ok(()),
        }
    }
}

fn put(path: &Path, text: &str) -> Result<(), String> {
    replace(path, text.as_bytes())
        .map(drop)
        .map_err(|error| format!("writing {} failed: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pending_key_is_kept_until_its_certificate() {
        let place = tempfile::tempdir().unwrap();
        let kept = Kept::open(place.path(), Path::new("ca.crt")).unwrap();
        let key = kept.pending().unwrap();
        assert_eq!(kept.pending().unwrap().pem(), key.pem(), "the same after a restart");
        assert!(kept.put(&key, &[]).unwrap_err().contains("no certificate"));
        assert!(kept.put(&key, &[b"x".to_vec()]).unwrap_err().contains("another key"));
        assert!(kept.load().unwrap().is_none());
        fs::write(kept.pending_key(), "torn").unwrap();
        assert_ne!(kept.pending().unwrap().pem(), key.pem());
    }

    #[test]
    fn entries_of_another_kind_are_set_aside() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("identity"), "").unwrap();
        let kept = Kept::open(place.path(), Path::new("ca.crt")).unwrap();
        for path in [kept.certificate(), kept.pending_key(), kept.pending_key().with_extension("new")] {
            fs::create_dir_all(path.join("of a script")).unwrap();
        }
        assert!(kept.load().unwrap().is_none());
        let key = kept.pending().unwrap();
        assert_eq!(kept.pending().unwrap().pem(), key.pem());
    }
}
