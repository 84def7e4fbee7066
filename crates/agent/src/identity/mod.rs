//! The agent's own certificate.

mod enrolment;
mod kept;

pub(crate) use enrolment::{Enrolled, Renewal};
