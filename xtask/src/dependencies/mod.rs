//! The dependencies of the programs: rules for them, and a bill of materials.

mod deny;
mod graph;
mod sbom;

pub(crate) use deny::run as deny;
pub(crate) use sbom::{run as sbom, write as write_sbom};
