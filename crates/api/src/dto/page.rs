//! Pages of the compatible family.

use domain::{
    Error,
    page::{Page, PageRule},
};
use serde::Deserialize;
use utoipa::IntoParams;

/// Where a page begins. How many entries it may have differs from call to call.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct OffsetQuery {
    /// Entries left out at the start.
    #[param(minimum = 0, maximum = 2147483646)]
    pub(crate) offset: Option<i64>,
}

/// Which page of a list of scripts, tasks or records.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct LimitQuery {
    /// Entries at most; 10 when it is left out.
    #[param(minimum = 1, maximum = 100)]
    pub(crate) limit: Option<i64>,
}

impl OffsetQuery {
    /// The page, within the range of its list.
    pub(crate) fn page(&self, rule: PageRule, limit: Option<i64>) -> Result<Page, Error> {
        Page::new(rule, self.offset, limit)
    }
}
