//! Query parameters, parsed into the type that also documents them. Lists are repeated parameters,
//! as the official clients send them.

use std::collections::HashSet;

use axum::{extract::FromRequestParts, http::request::Parts};
use chrono::DateTime;
use domain::{Error, FieldPath, Reason, Timestamp};
use serde::{Deserialize, de::DeserializeOwned};
use utoipa::{
    IntoParams, ToSchema,
    openapi::{
        RefOr,
        path::Parameter,
        schema::{Schema, SchemaType, Type},
    },
};

use super::body;
use crate::{error::ApiError, names::Names};

/// Parsed query parameters. Unknown names are ignored.
#[derive(Debug, Clone)]
pub(crate) struct Parameters<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + IntoParams> FromRequestParts<S> for Parameters<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parse(parts.uri.query().unwrap_or_default())
            .map(Self)
            .map_err(|error| ApiError::with_names(error, Names::Verbatim))
    }
}

fn parse<T: DeserializeOwned + IntoParams>(query: &str) -> Result<T, Error> {
    let parameters = T::into_params(|| None);
    let mut given = HashSet::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let known = parameters.iter().find(|known| known.name == name);
        if value.contains('\0') {
            return Err(Error::invalid(FieldPath::dynamic(&name), "must not contain a NUL character"));
        }
        if value.is_empty() && !known.is_none_or(may_be_empty) {
            return Err(Error::required(
                FieldPath::dynamic(&name),
                "must not be empty; set a value or remove the parameter",
            ));
        }
        if known.is_some_and(|known| !is_list(known)) && !given.insert(name.clone()) {
            return Err(Error::invalid(FieldPath::dynamic(&name), "must not be given more than once"));
        }
    }
    let pairs = serde_html_form::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(pairs).map_err(|error| {
        let field = body::field(error.path());
        let cause = error.into_inner();
        match field {
            Some(field) => Error::invalid(field, cause.to_string()),
            None => Error::new(Reason::RequestUnreadable, format!("the query string is not valid: {cause}")),
        }
    })
}

/// Whether a parameter may be repeated, according to its documentation.
fn is_list(parameter: &Parameter) -> bool {
    matches!(parameter.schema, Some(RefOr::T(Schema::Array(_))))
}

/// Whether a parameter is a text or a list of texts, according to its documentation.
fn may_be_empty(parameter: &Parameter) -> bool {
    match &parameter.schema {
        None | Some(RefOr::T(Schema::Array(_))) => true,
        Some(RefOr::T(Schema::Object(object))) => {
            object.format.is_none() && object.pattern.is_none() && is_text(&object.schema_type)
        }
        // Enumerations.
        Some(RefOr::T(_) | RefOr::Ref(_)) => false,
    }
}

fn is_text(schema_type: &SchemaType) -> bool {
    match schema_type {
        SchemaType::Type(one) => *one == Type::String,
        SchemaType::Array(several) => several.contains(&Type::String),
        SchemaType::AnyValue => true,
    }
}

/// Reads a text filter. An empty text means no filter.
pub(crate) fn text(value: Option<String>) -> Option<String> {
    value.filter(|text| !text.is_empty())
}

/// Reads a repeated text filter. Empty texts are ignored.
pub(crate) fn texts(values: Vec<String>) -> Vec<String> {
    values.into_iter().filter(|text| !text.is_empty()).collect()
}

/// Reads a repeated id filter. `None` means no filter. A malformed id is dropped, so it matches
/// nothing.
pub(crate) fn ids<T: std::str::FromStr>(values: Vec<String>) -> Option<Vec<T>> {
    let values = texts(values);
    (!values.is_empty()).then(|| values.iter().filter_map(|value| value.parse().ok()).collect())
}

/// Reads a time of a body in RFC 3339.
pub(crate) fn time(name: &'static str, value: Option<String>) -> Result<Option<Timestamp>, Error> {
    value
        .map(|text| {
            DateTime::parse_from_rfc3339(&text)
                .map(|moment| moment.to_utc())
                .map_err(|_| Error::invalid(name, "must be a UTC time such as 2021-10-01T12:00:00Z"))
        })
        .transpose()
}

/// Kind of work of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum TaskType {
    /// Runs stored scripts.
    Script,
    /// Runs a command line.
    Command,
}

impl TaskType {
    pub(crate) const fn runs_command(self) -> bool {
        matches!(self, Self::Command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize, IntoParams)]
    #[serde(default)]
    struct Query {
        limit: Option<i64>,
        name: Option<String>,
        #[param(format = DateTime)]
        since: Option<String>,
        is_first: Option<bool>,
        ids: Vec<String>,
        task_type: Option<TaskType>,
    }

    #[test]
    fn lists_are_repeated_and_what_is_wrong_is_named() {
        let found: Query = parse("limit=5&ids=a&ids=b%20c&other=1&task_type=COMMAND").unwrap();
        assert_eq!((found.limit, found.ids), (Some(5), vec!["a".to_owned(), "b c".to_owned()]));
        assert_eq!(found.task_type, Some(TaskType::Command));
        let empty: Query = parse("name=&ids=&other=").unwrap();
        assert!(text(empty.name).is_none() && texts(empty.ids).is_empty());
        assert!(empty.since.is_none() && empty.is_first.is_none());
        for (query, expected) in [
            ("limit=x", "limit: "),
            ("limit=1&limit=2", "limit: must not be given more than once"),
            ("task_type=ALL", "expected `SCRIPT` or `COMMAND`"),
            ("ids=%00", "ids: must not contain a NUL"),
            ("limit=", "limit: must not be empty"),
            ("is_first=", "is_first: must not be empty"),
            ("since=", "since: must not be empty"),
            ("task_type=", "task_type: must not be empty"),
        ] {
            let message = parse::<Query>(query).unwrap_err().to_string();
            assert!(message.contains(expected), "{query}: {message}");
        }
    }
}
