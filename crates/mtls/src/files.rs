//! The files that certificates are in.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// No such file is larger; reading stops there.
const MAX_BYTES: u64 = 1 << 20;

/// `[tls]` of the configuration: all three files, or none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FilesGiven {
    /// The certificates of the CAs whose certificates are accepted.
    pub ca_file: Option<PathBuf>,
    /// The own certificate, and what lies between it and the CA.
    pub cert_file: Option<PathBuf>,
    /// The own certificate's key.
    pub key_file: Option<PathBuf>,
}

impl FilesGiven {
    /// All files, or `None` when none is named.
    ///
    /// # Errors
    ///
    /// Some files without the others, in words.
    pub fn all_or_none(&self) -> Result<Option<Files>, String> {
        match (&self.ca_file, &self.cert_file, &self.key_file) {
            (None, None, None) => Ok(None),
            (Some(ca), Some(cert), Some(key)) => {
                Ok(Some(Files { ca: ca.clone(), cert: cert.clone(), key: key.clone() }))
            }
            _ => Err("ca_file, cert_file and key_file go together: name all three, or none".into()),
        }
    }
}

/// The files that certificates are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The certificates of the CAs whose certificates are accepted.
    pub ca: PathBuf,
    /// The own certificate, and what lies between it and the CA.
    pub cert: PathBuf,
    /// The own certificate's key.
    pub key: PathBuf,
}

/// What was in the files at one moment.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) ca: Vec<u8>,
    pub(crate) cert: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

impl Files {
    /// Reads all of them. It blocks.
    pub(crate) fn read(&self) -> Result<Contents, (PathBuf, io::Error)> {
        let read = |path: &Path| read(path).map_err(|error| (path.to_owned(), error));
        Ok(Contents { ca: read(&self.ca)?, cert: read(&self.cert)?, key: read(&self.key)? })
    }
}

/// Reads a file that is small. It blocks.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_files_go_together() {
        let none = FilesGiven::default();
        assert_eq!(none.all_or_none(), Ok(None));
        let some = FilesGiven { ca_file: Some("ca".into()), ..none };
        assert!(some.all_or_none().unwrap_err().contains("all three"));
        let all = FilesGiven { cert_file: Some("cert".into()), key_file: Some("key".into()), ..some };
        assert_eq!(all.all_or_none().unwrap().unwrap().key, Path::new("key"));
    }
}
