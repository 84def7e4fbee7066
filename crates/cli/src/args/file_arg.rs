//! Files that a command line names, or standard input in their place.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use domain::script::BYTE_ORDER_MARK;

use crate::Error;

/// Argument that stands for standard input.
const STDIN: &str = "-";

/// Reports whether the path stands for standard input.
pub(crate) fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == STDIN
}

/// Reads a file or standard input as UTF-8 text, exactly as it is. `what` names the content, like
/// "script". Fails above `most_bytes`.
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
    String::from_utf8(bytes).map_err(|error| match error.as_bytes() {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => cannot(&"the text is UTF-16: save it as UTF-8"),
        _ => cannot(&"not valid UTF-8"),
    })
}

/// Reads a list or an object like [`read`], without a byte order mark.
pub(crate) fn read_unmarked(path: &Path, what: &str, most_bytes: usize) -> Result<String, Error> {
    let text = read(path, what, most_bytes)?;
    Ok(text.strip_prefix(BYTE_ORDER_MARK).map(str::to_owned).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn file_of(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn read_back(bytes: &[u8]) -> Result<String, String> {
        read(file_of(bytes).path(), "script", 10).map_err(|failure| failure.to_string())
    }

    #[test]
    fn text_is_read_as_it_is_up_to_a_limit() {
        assert_eq!(read_back(b"\xef\xbb\xbfecho\r\n").as_deref(), Ok("\u{feff}echo\r\n"));
        let file = file_of(b"\xef\xbb\xbfecho");
        assert_eq!(read_unmarked(file.path(), "list", 10).unwrap(), "echo");
        for utf_16 in [b"\xff\xfee\0c\0", b"\xfe\xff\0e\0c"] {
            assert!(read_back(utf_16).unwrap_err().ends_with("the text is UTF-16: save it as UTF-8"));
        }
        assert_eq!(read_back(b"0123456789").as_deref(), Ok("0123456789"));
        assert!(read_back(b"0123456789x").unwrap_err().contains("larger than 10 bytes"));
        assert!(read_back(b"\xff").unwrap_err().ends_with("not valid UTF-8"));
        let directory = tempfile::tempdir().unwrap();
        assert!(read(directory.path(), "script", 10).is_err());
    }
}
