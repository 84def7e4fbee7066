//! Authentication and admission of calls.

mod credentials;
mod deadline;
mod entrance;
mod gate;
mod method_path;
mod principal;

pub(crate) use deadline::Deadline;
pub(crate) use entrance::Entrance;
pub(crate) use gate::{Gate, check};
pub(crate) use method_path::MethodPath;
