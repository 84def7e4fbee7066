//! The gRPC types and services of Graywave, generated from `proto/`, and their conversions to domain values.

mod convert;

pub use convert::{BadMessage, ScriptOutcome, unix_ms, unix_ms_opt};

/// What more than one service speaks of.
pub mod types {
    #![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
    tonic::include_proto!("graywave.types.v1");
}

/// What workers ask of schedulers.
pub mod scheduler {
    #![allow(missing_docs, unreachable_pub, missing_debug_implementations, clippy::all, reason = "generated code")]
    tonic::include_proto!("graywave.scheduler.v1");
}

/// What an agent and its worker say to each other.
pub mod agent {
    #![allow(missing_docs, unreachable_pub, missing_debug_implementations, clippy::all, reason = "generated code")]
    tonic::include_proto!("graywave.agent.v1");
}

/// What operators ask of the control plane.
pub mod admin {
    #![allow(missing_docs, unreachable_pub, missing_debug_implementations, clippy::all, reason = "generated code")]
    tonic::include_proto!("graywave.admin.v1");
}

/// The descriptors of all services, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
