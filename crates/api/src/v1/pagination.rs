//! Which page of a list.

use std::str::FromStr;

use domain::Error;
pub(crate) use domain::cursor::{Largest, Name, Place, next, size, token};
use serde::Deserialize;
use utoipa::IntoParams;

/// Which page of a list that has no filters.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// Entries at most; 100 when it is left out.
    #[param(minimum = 1, maximum = 1000)]
    page_size: Option<i64>,
    /// `next_page_token` of the page before.
    page_token: Option<String>,
}

impl PageQuery {
    /// Entries at most, and the last entry of the page before.
    pub(crate) fn read<T: FromStr>(&self) -> Result<(i64, Option<T>), Error> {
        Ok((size(self.page_size)?, token(self.page_token.as_deref())?))
    }
}
