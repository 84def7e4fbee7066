//! The embedded files, by path and encoding.

use std::{collections::HashMap, sync::LazyLock};

use sha2::{Digest as _, Sha256};

/// Path below `dist/` and content of each file.
type Table = &'static [(&'static str, &'static [u8])];

const TABLE: Table = include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// The files of this build.
pub(crate) static FILES: LazyLock<Files> = LazyLock::new(|| Files::new(TABLE));

/// Hexadecimal digits of a content hash in an entity tag.
const TAG_DIGITS: usize = 32;

/// An encoding of a file, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Encoding {
    Brotli,
    Gzip,
    Identity,
}

impl Encoding {
    pub(crate) const ALL: [Self; 3] = [Self::Brotli, Self::Gzip, Self::Identity];

    /// Name in `Accept-Encoding` and `Content-Encoding`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Identity => "identity",
        }
    }

    /// Splits the path of a built file into the path of its content and its encoding.
    fn of(path: &str) -> (&str, Self) {
        let encoded = [(".br", Self::Brotli), (".gz", Self::Gzip)];
        let found = encoded
            .into_iter()
            .find_map(|(suffix, encoding)| path.strip_suffix(suffix).map(|path| (path, encoding)));
        found.unwrap_or((path, Self::Identity))
    }
}

/// Content of a file in one encoding.
#[derive(Debug, Clone)]
pub(crate) struct Variant {
    pub(crate) bytes: &'static [u8],
    /// Entity tag with its quotes.
    pub(crate) tag: String,
}

/// Files by path, each in its encodings.
#[derive(Debug)]
pub(crate) struct Files(HashMap<&'static str, HashMap<Encoding, Variant>>);

impl Files {
    pub(crate) fn new(table: Table) -> Self {
        let mut files: HashMap<_, HashMap<_, _>> = HashMap::new();
        for (path, bytes) in table {
            let (path, encoding) = Encoding::of(path);
            let mut digest = hex::encode(Sha256::digest(bytes));
            digest.truncate(TAG_DIGITS);
            let variant = Variant { bytes, tag: format!("\"{digest}\"") };
            files.entry(path).or_default().insert(encoding, variant);
        }
        Self(files)
    }

    /// Finds a file in the best encoding that the client accepts. `None` if the file does not exist
    /// in its plain form.
    pub(crate) fn find(
        &self,
        path: &str,
        accepts: impl Fn(Encoding) -> bool,
    ) -> Option<(Encoding, &Variant)> {
        let variants = self.0.get(path)?;
        variants.get(&Encoding::Identity)?;
        Encoding::ALL
            .into_iter()
            .filter(|encoding| *encoding == Encoding::Identity || accepts(*encoding))
            .find_map(|encoding| Some((encoding, variants.get(&encoding)?)))
    }
}
