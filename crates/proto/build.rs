//! Compiles `proto/` with protox, a Rust implementation, so that the build needs no protoc.

use std::{env, fs, path::PathBuf};

use prost::Message as _;

const FILES: [&str; 18] = [
    "graywave/types/v1/types.proto",
    "graywave/order/v1/order.proto",
    "graywave/scheduler/v1/scheduler.proto",
    "graywave/agent/v1/agent.proto",
    "graywave/admin/v1/types.proto",
    "graywave/admin/v1/rollout.proto",
    "graywave/admin/v1/task.proto",
    "graywave/admin/v1/task_service.proto",
    "graywave/admin/v1/insight_service.proto",
    "graywave/admin/v1/record_service.proto",
    "graywave/admin/v1/project_service.proto",
    "graywave/admin/v1/worker_service.proto",
    "graywave/admin/v1/desktop_service.proto",
    "graywave/admin/v1/enrolment_service.proto",
    "graywave/admin/v1/script_service.proto",
    "graywave/admin/v1/access_service.proto",
    "graywave/admin/v1/audit_service.proto",
    "graywave/admin/v1/certificate_service.proto",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let descriptors = protox::compile(FILES.map(|file| root.join(file)), [&root])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    let mut config = prost_build::Config::new();
    // Type names let a client find the descriptor of a message.
    config.enable_type_names();
    tonic_prost_build::configure()
        // Ordered maps: the encoded bytes of an admin request identify a retry.
        .btree_map(".graywave.admin.v1")
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}
