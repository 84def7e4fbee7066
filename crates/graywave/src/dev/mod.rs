//! `graywave dev`: all roles in one process, on a private Postgres, with local desktops.

mod credentials;
mod ready;
mod run;

pub(crate) use run::{DevArgs, run};
