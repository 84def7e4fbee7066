//! Page tokens of the native family.

use std::str::FromStr;

use domain::Error;
pub(crate) use domain::cursor::{Largest, Name, RecordCursor, next, size, token};
use serde::Deserialize;
use utoipa::IntoParams;

/// Pagination of a list without filters.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// Maximum number of entries; default 100.
    #[param(minimum = 1, maximum = 1000)]
    page_size: Option<i64>,
    /// `next_page_token` of the previous page; omit it for the first page.
    page_token: Option<String>,
}

impl PageQuery {
    /// Returns the page size and the last entry of the previous page.
    pub(crate) fn read<T: FromStr>(&self) -> Result<(i64, Option<T>), Error> {
        Ok((size(self.page_size)?, token(self.page_token.as_deref())?))
    }
}
