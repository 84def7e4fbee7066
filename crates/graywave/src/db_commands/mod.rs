//! `graywave admin projects|principals|policies|keys|tokens|enrolment-tokens|console`: access and
//! enrolment, managed directly in the database; and `graywave audit verify`. Access to the database
//! is the only credential.

mod audit;
mod command;
mod console;
mod credentials;
mod enrolment_tokens;
mod policies;
mod principals;
mod project;
mod projects;

pub(crate) use audit::verify_audit;
pub(crate) use command::{DatabaseCommand, run};
