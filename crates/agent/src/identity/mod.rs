//! The agent's own certificate.

mod credential_file;
mod enrolment;

pub(crate) use enrolment::{Enrolled, Renewal};
