//! The OpenAPI document: generated from the handlers, completed here with the parts that all
//! operations share.

use axum::http::Method;
use domain::limits;
use utoipa::{
    OpenApi as _,
    openapi::{
        Header, HttpMethod, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder,
        content::ContentBuilder,
        extensions::ExtensionsBuilder,
        path::{Operation, Parameter, ParameterBuilder, ParameterIn},
        schema::{Object, ObjectBuilder, Schema, Type},
        security::{ApiKey, ApiKeyValue, SecurityRequirement, SecurityScheme},
    },
};

use crate::{
    error,
    extract::TaskType,
    names::{REASON_HEADER, TICKET_HEADER},
    operations,
    v1::desktops::{RetiredToo, TagFilter},
    v2::desktops_detail::{SortField, SortType},
};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Graywave",
        description = "Runs a script or a command on a fleet of cloud desktops in gray waves. `/v2` is compatible with \
                       the script API of Huawei Cloud Workspace; `/v1` is our own and carries what that one lacks.",
        contact(name = "Graywave")
    ),
    servers((url = "/", description = "The server that this document comes from")),
    // Schemas that only parameters refer to are not collected automatically.
    components(schemas(error::Body, TaskType, SortField, SortType, TagFilter, RetiredToo)),
    tags(
        (name = "scripts", description = "Scripts and their revisions"),
        (name = "executions", description = "Run, retry and stop"),
        (name = "tasks", description = "Tasks and records"),
        (name = "desktops", description = "Desktops"),
        (name = "native", description = "Operations beyond the compatible family"),
    )
)]
struct Base;

const TOKEN: &str = "token";
const SIGNATURE: &str = "signature";

pub(crate) fn base() -> OpenApi {
    Base::openapi()
}

/// Adds credentials, failed responses, headers and the action of each operation.
pub(crate) fn finish(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_default();
    let key = |name: &str, what: &str| {
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(name, what)))
    };
    components.add_security_scheme(TOKEN, key("X-Auth-Token", "Bearer token of a principal of the project."));
    components.add_security_scheme(
        SIGNATURE,
        key(
            "Authorization",
            "Signature SDK-HMAC-SHA256 over method, path, query, signed headers and body, as the SDKs compute it.",
        ),
    );
    for (status, description) in error::FAILURES {
        components
            .responses
            .insert(failure_name(status.as_u16()), failure(status.as_u16(), description).into());
    }
    for item in document.paths.paths.values_mut() {
        for method in METHODS {
            if let Some(operation) = operation_mut(item, &method) {
                complete(operation, method == HttpMethod::Post);
            }
        }
    }
    document
}

fn failure_name(status: u16) -> String {
    format!("Failure{status}")
}

fn failure(status: u16, description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Error"))).build();
    let mut response = ResponseBuilder::new().description(description).content("application/json", content);
    if matches!(status, 429 | 503) {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer).build();
        let mut header = Header::new(seconds);
        header.description = Some("Seconds to wait before a retry.".to_owned());
        response = response.header("Retry-After", header);
    }
    response.header("X-Request-Id", request_id()).build()
}

fn request_id() -> Header {
    let mut header = Header::new(ObjectBuilder::new().schema_type(Type::String).build());
    header.description = Some("Request id: the value that the caller sent, or a generated one.".to_owned());
    header
}

fn complete(operation: &mut Operation, is_post: bool) {
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            response.headers.insert("X-Request-Id".to_owned(), request_id().into());
        }
    }
    for (status, _) in error::FAILURES {
        let name = failure_name(status.as_u16());
        let shared = Ref::from_response_name(name);
        operation.responses.responses.insert(status.as_u16().to_string(), RefOr::Ref(shared));
    }
    operation.security = Some(vec![
        SecurityRequirement::new(TOKEN, Vec::<String>::new()),
        SecurityRequirement::new(SIGNATURE, Vec::<String>::new()),
    ]);
    let call = operation.operation_id.as_deref().and_then(operations::find);
    if let Some(call) = call.filter(|call| !call.is_open) {
        let action = call.action.as_str();
        let extension = ExtensionsBuilder::new().add("x-action", action).build();
        operation.extensions.get_or_insert_default().merge(extension);
        let own = operation.description.take().map(|text| format!("{text}\n\n")).unwrap_or_default();
        operation.description = Some(format!("{own}Requires the action `{action}`."));
    }
    let mut headers = Vec::new();
    if is_post && call.is_some_and(|call| call.changes && !call.reveals) {
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .min_length(Some(1))
            .max_length(Some(limits::MAX_IDEMPOTENCY_KEY_CHARS))
            .pattern(Some("^[!-~]+$"))
            .build();
        let description = "Deduplicates retries for 24 hours: a repeated key returns the first response.";
        headers.push(header("Idempotency-Key", description, text));
    }
    if call.is_some_and(|call| call.changes || call.is_large) {
        let text = |most| ObjectBuilder::new().schema_type(Type::String).max_length(Some(most)).build();
        let reason = text(limits::MAX_CHANGE_REASON_CHARS);
        headers.push(header(REASON_HEADER, "Reason of the call, in UTF-8 or percent-encoded.", reason));
        let ticket = text(limits::MAX_TICKET_CHARS);
        headers.push(header(TICKET_HEADER, "Id of a ticket, such as OPS-1234, without blanks.", ticket));
    }
    if !headers.is_empty() {
        operation.parameters.get_or_insert_default().extend(headers);
    }
}

/// Creates the description of an optional request header.
fn header(name: &str, description: &str, text: Object) -> RefOr<Parameter> {
    let header = ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(RefOr::T(Schema::Object(text))))
        .build();
    RefOr::T(header)
}

const METHODS: [HttpMethod; 4] = [HttpMethod::Get, HttpMethod::Post, HttpMethod::Put, HttpMethod::Delete];

fn operation_mut<'a>(
    item: &'a mut utoipa::openapi::PathItem,
    method: &HttpMethod,
) -> Option<&'a mut Operation> {
    match method {
        HttpMethod::Get => item.get.as_mut(),
        HttpMethod::Post => item.post.as_mut(),
        HttpMethod::Put => item.put.as_mut(),
        HttpMethod::Delete => item.delete.as_mut(),
        _ => None,
    }
}

/// Lists the operations of a document: method, path, operation id.
pub(crate) fn operations(document: &OpenApi) -> impl Iterator<Item = (Method, String, String)> {
    document.paths.paths.iter().flat_map(|(path, item)| {
        [
            (Method::GET, &item.get),
            (Method::POST, &item.post),
            (Method::PUT, &item.put),
            (Method::DELETE, &item.delete),
        ]
        .into_iter()
        .filter_map(move |(method, operation)| {
            Some((method, path.clone(), operation.as_ref()?.operation_id.clone()?))
        })
    })
}
