//! What every call passes before and after its handler.

mod gate;

pub(crate) use gate::{Gate, check};
