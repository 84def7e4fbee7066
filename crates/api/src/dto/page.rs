//! Offset pagination of the compatible family.

use domain::{
    Error,
    page::{Page, PageRule},
};
use serde::Deserialize;
use utoipa::IntoParams;

/// Offset of a page. Each operation adds its own limit parameter.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct OffsetQuery {
    /// Number of entries to skip; default 0.
    #[param(minimum = 0, maximum = 2147483646)]
    pub(crate) offset: Option<i64>,
}

/// Page size of lists of scripts, tasks and records.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct LimitQuery {
    /// Maximum number of entries; default 10.
    #[param(minimum = 1, maximum = 100)]
    pub(crate) limit: Option<i64>,
}

impl OffsetQuery {
    /// Checks offset and limit against the rule of the list.
    pub(crate) fn page(&self, rule: PageRule, limit: Option<i64>) -> Result<Page, Error> {
        Page::new(rule, self.offset, limit)
    }
}
