//! `graywave ca`: a certificate authority in a directory, for the certificates that the parts know
//! each other by.

mod authority;
mod commands;
mod directory;
mod issue;

pub(crate) use commands::{Ca, run};
