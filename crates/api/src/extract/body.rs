//! JSON bodies, with errors that name the field.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
};
use domain::{
    Error, FieldPath, Reason,
    error::{Segment, cut},
};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::{error::ApiError, names::Names};

/// A JSON body. The header Content-Type is ignored, because every client of the API sends JSON. The
/// gate has already checked the size.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        parse(&read(request, state).await?).map(Self)
    }
}

/// An optional JSON body.
#[derive(Debug)]
pub(crate) struct OptionalBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = read(request, state).await?;
        if bytes.is_empty() { Ok(Self(T::default())) } else { parse(&bytes).map(Self) }
    }
}

/// A JSON body as text, for documents that crate `domain` parses.
#[derive(Debug)]
pub(crate) struct JsonText(pub(crate) String);

impl<S: Send + Sync> FromRequest<S> for JsonText {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = read(request, state).await?;
        check_object(&bytes)?;
        let text = String::from_utf8(bytes.into());
        Ok(Self(text.map_err(|_| unreadable("the body is not valid UTF-8"))?))
    }
}

/// Reads a body without its byte order mark, which some editors and shells write.
async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Error> {
    let bytes = Bytes::from_request(request, state).await.map_err(|_| unreadable("cannot read the body"))?;
    unmarked(bytes)
}

/// Removes the byte order mark of UTF-8. Refuses UTF-16 and UTF-32, which no JSON parser reads.
fn unmarked(bytes: Bytes) -> Result<Bytes, Error> {
    match bytes.as_ref() {
        [0xef, 0xbb, 0xbf, ..] => Ok(bytes.slice(3..)),
        // JSON begins with two ASCII characters, so a zero byte among them is half of a wide one.
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] => {
            Err(unreadable("the body is UTF-16 or UTF-32; send it as UTF-8"))
        }
        _ => Ok(bytes),
    }
}

fn unreadable(message: impl Into<String>) -> Error {
    Error::new(Reason::RequestUnreadable, message)
}

/// Path of the field at which parsing stopped; `None` for the whole body.
pub(crate) fn field(path: &serde_path_to_error::Path) -> Option<FieldPath> {
    let segments = path.iter().filter_map(|segment| match segment {
        serde_path_to_error::Segment::Seq { index } => Some(Segment::Index(*index)),
        serde_path_to_error::Segment::Map { key: name }
        | serde_path_to_error::Segment::Enum { variant: name } => {
            Some(Segment::Key(cut(name, 64).to_owned()))
        }
        serde_path_to_error::Segment::Unknown => None,
    });
    let segments: Vec<_> = segments.collect();
    (!segments.is_empty()).then(|| FieldPath::from(segments))
}

fn check_object(bytes: &[u8]) -> Result<(), Error> {
    if bytes.is_empty() {
        return Err(unreadable("the body is empty; send a JSON object"));
    }
    // Serde would read a list as the fields in declaration order.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(unreadable("the body is a list; send a JSON object"));
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    check_object(bytes)?;
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let field = field(error.path());
        let cause = error.into_inner();
        match (cause.classify(), field) {
            (Category::Data, Some(field)) => {
                ApiError::with_names(Error::invalid(field, cause.to_string()), Names::Verbatim)
            }
            (Category::Data, None) => Error::unreadable(format!("the body is not valid: {cause}")).into(),
            _ => ApiError::from(unreadable(format!("the body is not valid: {cause}"))),
        }
    })?;
    deserializer.end().map_err(|error| unreadable(format!("the body is not valid: {error}")))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_mark_is_removed_once_and_wide_text_is_named() {
        for (body, expected) in [
            ("\u{feff}{}".as_bytes(), "{}".as_bytes()),
            ("\u{feff}".as_bytes(), b""),
            (b"{}", b"{}"),
            (b"", b""),
            ("\u{feff}\u{feff}{}".as_bytes(), "\u{feff}{}".as_bytes()),
        ] {
            assert_eq!(unmarked(Bytes::from_static(body)).unwrap(), expected, "{body:?}");
        }
        for wide in [
            b"\xff\xfe{\0}\0".as_slice(),
            b"\xfe\xff\0{\0}",
            b"{\0}\0",
            b"\0{\0}",
            b"\0\0\xfe\xff\0\0\0{",
            b"\xff\xfe\0\0{\0\0\0",
        ] {
            let error = unmarked(Bytes::from_static(wide)).unwrap_err();
            assert_eq!(error.reason, Reason::RequestUnreadable, "{wide:?}");
            assert!(error.message.contains("UTF-16"), "{error}");
        }
    }
}
