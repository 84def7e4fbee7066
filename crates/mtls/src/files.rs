//! Certificate files.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use serde::Deserialize;

/// Maximum size of a certificate file.
const MAX_BYTES: u64 = 1 << 20;

/// `[tls]` of the configuration: all three files, or none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FilesGiven {
    /// Certificates of the trusted CAs.
    pub ca_file: Option<PathBuf>,
    /// Own certificate with its intermediates.
    pub cert_file: Option<PathBuf>,
    /// Private key of the own certificate.
    pub key_file: Option<PathBuf>,
}

impl FilesGiven {
    /// All three files; `None` if none is named.
    ///
    /// # Errors
    ///
    /// When only some files are named.
    pub fn all_or_none(&self) -> Result<Option<Files>, String> {
        match (&self.ca_file, &self.cert_file, &self.key_file) {
            (None, None, None) => Ok(None),
            (Some(ca), Some(cert), Some(key)) => {
                Ok(Some(Files { ca: ca.clone(), cert: cert.clone(), key: key.clone() }))
            }
            _ => Err("ca_file, cert_file and key_file belong together: name all three, or none".into()),
        }
    }
}

/// Certificate files of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Certificates of the trusted CAs.
    pub ca: PathBuf,
    /// Own certificate with its intermediates.
    pub cert: PathBuf,
    /// Private key of the own certificate.
    pub key: PathBuf,
}

/// Contents of the files at one moment.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) ca: Vec<u8>,
    pub(crate) cert: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

impl Files {
    /// Reads all three files. Blocks.
    pub(crate) fn read(&self) -> Result<Contents, (PathBuf, io::Error)> {
        let read = |path: &Path| read(path).map_err(|error| (path.to_owned(), error));
        Ok(Contents { ca: read(&self.ca)?, cert: read(&self.cert)?, key: read(&self.key)? })
    }
}

/// Reads a file of at most 1 MiB. Blocks.
///
/// # Errors
///
/// The file cannot be read, or is larger.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "file is larger than 1 MiB"));
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
