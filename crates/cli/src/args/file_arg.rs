//! Files that a command line names, or standard input in their place.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use crate::Error;

/// Argument that stands for standard input.
const STDIN: &str = "-";

/// Reports whether the path stands for standard input.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == STDIN
}

/// Reads a file or standard input as UTF-8 text, without a byte order mark. `what` names the
/// content, like "script". Fails above `most_bytes`.
pub(crate) fn read(path: &Path, what: &str, most_bytes: usize) -> Result<String, Error> {
    let named = if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() };
    let cannot = |error: &dyn std::fmt::Display| Error::misused(format!("cannot read {named}: {error}"));
    let input: Box<dyn Read> = match is_stdin(path) {
        true => Box::new(io::stdin().lock()),
        false => Box::new(File::open(path).map_err(|error| cannot(&error))?),
    };
    let mut bytes = Vec::new();
    let most = u64::try_from(most_bytes).unwrap_or(u64::MAX);
    input.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| cannot(&error))?;
    if bytes.len() > most_bytes {
        return Err(cannot(&format!("larger than {most_bytes} bytes, the limit of a {what}")));
    }
    let text = String::from_utf8(bytes).map_err(|_| cannot(&"not valid UTF-8"))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn read_back(bytes: &[u8]) -> Result<String, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        read(file.path(), "script", 10).map_err(|failure| failure.to_string())
    }

    #[test]
    fn a_text_is_read_without_its_mark_and_up_to_a_limit() {
        assert_eq!(read_back(b"\xef\xbb\xbfecho").as_deref(), Ok("echo"));
        assert_eq!(read_back(b"0123456789").as_deref(), Ok("0123456789"));
        assert!(read_back(b"0123456789x").unwrap_err().contains("larger than 10 bytes"));
        assert!(read_back(b"\xff").unwrap_err().ends_with("not valid UTF-8"));
        let directory = tempfile::tempdir().unwrap();
        assert!(read(directory.path(), "script", 10).is_err());
    }
}
