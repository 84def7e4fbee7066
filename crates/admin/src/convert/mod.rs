//! Conversions between protocol messages and domain values.

pub(crate) mod access;
pub(crate) mod audit;
pub(crate) mod certificate;
pub(crate) mod desktop;
pub(crate) mod enrolment;
pub(crate) mod insight;
pub(crate) mod preview;
pub(crate) mod project;
pub(crate) mod record;
pub(crate) mod script;
pub(crate) mod task;
pub(crate) mod task_spec;
pub(crate) mod value;
pub(crate) mod worker;
