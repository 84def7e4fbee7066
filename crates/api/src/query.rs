//! Query parameters: repeated where a list is meant, as the official clients send them.

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use chrono::DateTime;
use domain::{
    Error, Timestamp,
    page::{Page, PageRule},
};

use crate::error::ApiError;

/// All parameters of a request. An empty value counts as none; unknown names are ignored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(pairs) = Query::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|_| Error::invalid("the query string is not valid"))?;
        if let Some((name, _)) = pairs.iter().find(|(_, value)| value.contains('\0')) {
            return Err(Error::invalid(format!("{name} holds a NUL character")).into());
        }
        Ok(Self(pairs.into_iter().filter(|(_, value)| !value.is_empty()).collect()))
    }
}

impl Parameters {
    /// The value of a parameter that is given once.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// All values of a parameter that may be repeated.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(given, _)| given == name).map(|(_, value)| value.clone()).collect()
    }

    /// An id; one that cannot be ours gives an empty list, so that it matches nothing.
    pub(crate) fn id<T: std::str::FromStr>(&self, name: &str) -> Option<Vec<T>> {
        let values = self.all(name);
        (!values.is_empty()).then(|| values.iter().filter_map(|value| value.parse().ok()).collect())
    }

    /// A truth value.
    pub(crate) fn boolean(&self, name: &str) -> Result<Option<bool>, Error> {
        match self.one(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(Error::invalid(format!("{name} must be true or false"))),
        }
    }

    /// A moment.
    pub(crate) fn time(&self, name: &str) -> Result<Option<Timestamp>, Error> {
        self.one(name)
            .map(|text| {
                DateTime::parse_from_rfc3339(text).map(|moment| moment.to_utc()).map_err(|_| {
                    Error::invalid(format!("{name} must be a time in UTC like 2021-10-01T12:00:00Z"))
                })
            })
            .transpose()
    }

    fn integer(&self, name: &str) -> Result<Option<i64>, Error> {
        self.one(name)
            .map(|text| text.parse().map_err(|_| Error::invalid(format!("{name} must be an integer"))))
            .transpose()
    }

    /// offset and limit.
    pub(crate) fn page(&self, rule: PageRule) -> Result<Page, Error> {
        Page::new(rule, self.integer("offset")?, self.integer("limit")?)
    }

    /// Whether only commands, or only scripts, are meant.
    pub(crate) fn runs_command(&self) -> Result<Option<bool>, Error> {
        match self.one("task_type") {
            None => Ok(None),
            Some("COMMAND") => Ok(Some(true)),
            Some("SCRIPT") => Ok(Some(false)),
            Some(_) => Err(Error::invalid("task_type must be SCRIPT or COMMAND")),
        }
    }
}
