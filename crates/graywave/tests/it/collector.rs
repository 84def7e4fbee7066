//! A collector in the test's process: takes spans over OTLP/gRPC and keeps them.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

/// A span and the resource that reported it.
#[derive(Debug, Clone)]
pub(crate) struct ExportedSpan {
    pub(crate) service: String,
    pub(crate) span: Span,
}

type Kept = Arc<Mutex<Vec<ExportedSpan>>>;

/// Collects spans until dropped.
pub(crate) struct Collector {
    pub(crate) url: String,
    kept: Kept,
    _runtime: tokio::runtime::Runtime,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let kept = Kept::default();
        let service = TraceServiceServer::new(Service(Arc::clone(&kept)));
        runtime.spawn(
            Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)),
        );
        Self { url, kept, _runtime: runtime }
    }

    /// Returns all spans so far.
    pub(crate) fn spans(&self) -> Vec<ExportedSpan> {
        self.kept.lock().unwrap().clone()
    }
}

struct Service(Kept);

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut kept = self.0.lock().unwrap();
        for resource in request.into_inner().resource_spans {
            let about = resource.resource.unwrap_or_default();
            let service = text(&about.attributes, "service.name").unwrap_or_default();
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            kept.extend(spans.map(|span| ExportedSpan { service: service.clone(), span }));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Returns a text attribute.
pub(crate) fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => Some(format!("{other:?}")),
    }
}
