//! What tests share: a database for each test, and short ways to say common things.

mod build;
mod database;

pub use build::{Submit, desktop, desktop_id, project, submit};
pub use database::{TestDatabase, database, empty_database};
