//! Pagination of lists.

pub mod cursor;
pub mod newest;
pub mod page;
pub mod record_range;
pub mod stream_position;
