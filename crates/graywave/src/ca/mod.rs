//! `graywave ca`: a certificate authority in a directory, for the certificates of roles, principals
//! and desktops.

mod authority;
mod commands;
mod directory;
mod issue;

pub(crate) use commands::{Ca, run};
