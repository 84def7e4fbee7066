//! Compiles `proto/` in pure Rust, so that no protoc is needed on the machine.

use std::{env, fs, path::PathBuf};

use prost::Message as _;

const FILES: [&str; 5] = [
    "graywave/types/v1/types.proto",
    "graywave/order/v1/order.proto",
    "graywave/scheduler/v1/scheduler.proto",
    "graywave/agent/v1/agent.proto",
    "graywave/admin/v1/admin.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let descriptors = protox::compile(FILES.map(|file| root.join(file)), [&root])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
