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
        let bytes =
            Bytes::from_request(request, state).await.map_err(|_| unreadable("cannot read the body"))?;
        parse(&bytes).map(Self)
    }
}

/// An optional JSON body.
#[derive(Debug)]
pub(crate) struct OptionalBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes =
            Bytes::from_request(request, state).await.map_err(|_| unreadable("cannot read the body"))?;
        if bytes.is_empty() { Ok(Self(T::default())) } else { parse(&bytes).map(Self) }
    }
}

/// A JSON body as text, for documents that crate `domain` parses.
#[derive(Debug)]
pub(crate) struct JsonText(pub(crate) String);

impl<S: Send + Sync> FromRequest<S> for JsonText {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes =
            Bytes::from_request(request, state).await.map_err(|_| unreadable("cannot read the body"))?;
        check_object(&bytes)?;
        let text = String::from_utf8(bytes.into());
        Ok(Self(text.map_err(|_| unreadable("the body is not valid UTF-8"))?))
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
