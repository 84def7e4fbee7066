//! The gRPC admin adapter: calls in, use cases, answers out. It decides nothing.

mod service;
mod status;

pub use proto::admin::admin_service_server::AdminServiceServer;
pub use service::service;
