//! Sign-in with an identity provider.

use axum::{
    Json,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use control::{RequestOrigin, SignedInPerson};
use domain::{Error, Reason};
use oidc::Returned;
use serde::Serialize;

use super::{
    Console, IdentityProvider, Shared, cookie,
    origin::{asked_host, host_of},
    page::leads_to,
    pending::{Pending, return_view},
    request_origin, session_secret,
};
use crate::error::ApiError;

/// Path from the pages of a sign-in to the console.
const CONSOLE: &str = "../";
/// Maximum length of a query of a sign-in.
const MAX_QUERY_CHARS: usize = 8_192;

/// Ways to sign in beside a token and a one-time code, which always exist.
#[derive(Debug, Serialize)]
pub(super) struct Providers {
    providers: Vec<ShownProvider>,
    version: &'static str,
}

/// An identity provider.
#[derive(Debug, Serialize)]
struct ShownProvider {
    name: String,
    title: String,
    /// Relative to the console's address.
    login_url: String,
}

/// Lists the identity providers.
pub(super) async fn providers(State(console): State<Shared>) -> Json<Providers> {
    let shown = |provider: &IdentityProvider| ShownProvider {
        name: provider.name.clone(),
        title: provider.title.clone(),
        login_url: format!("login/{}", provider.name),
    };
    let providers = console.options.providers.iter().map(shown).collect();
    Json(Providers { providers, version: env!("CARGO_PKG_VERSION") })
}

/// Cause of a failed sign-in, which the console explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failure {
    Denied,
    Expired,
    State,
    Unavailable,
    NotAllowed,
    GroupsOverage,
    EmailUnverified,
    Clock,
    Failed,
}

impl Failure {
    const fn code(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::State => "state",
            Self::Unavailable => "unavailable",
            Self::NotAllowed => "not_allowed",
            Self::GroupsOverage => "groups_overage",
            Self::EmailUnverified => "email_unverified",
            Self::Clock => "clock",
            Self::Failed => "failed",
        }
    }

    const fn of(error: &oidc::Error) -> Self {
        match error {
            oidc::Error::Unavailable(_) => Self::Unavailable,
            oidc::Error::CodeRefused(_) => Self::Expired,
            oidc::Error::Clock(_) => Self::Clock,
            oidc::Error::GroupsOverage => Self::GroupsOverage,
            oidc::Error::EmailUnverified => Self::EmailUnverified,
            oidc::Error::TokenInvalid(_) | oidc::Error::ClaimMissing(_) | oidc::Error::NotUsable(_) => {
                Self::Failed
            }
        }
    }

    /// Leads back to the view of the sign-in.
    fn page(self) -> Response {
        leads_to(&format!("{CONSOLE}#/sign-in?error={}", self.code()))
    }
}

/// Value of a parameter of a query.
fn parameter(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn bounded(query: Option<String>) -> String {
    query.filter(|query| query.len() <= MAX_QUERY_CHARS).unwrap_or_default()
}

impl Console {
    fn provider(&self, name: &str) -> Result<&IdentityProvider, ApiError> {
        let found = self.options.providers.iter().find(|provider| provider.name == name);
        found.ok_or_else(|| Error::new(Reason::PathNotFound, "no identity provider has this name").into())
    }

    /// Address of the sign-in at the public host, if the browser asks another host: the provider
    /// returns to the public one, and a cookie of another host would be missing there. `canonical`
    /// marks the second request, because a proxy may change the host of every request.
    fn canonical(&self, provider: &str, query: &str, parts: &Parts) -> Option<String> {
        let public_url = self.public_url()?;
        let asked = asked_host(parts)?;
        let is_public = host_of(public_url).is_some_and(|host| host == asked);
        if is_public || parameter(query, "canonical").is_some() {
            return None;
        }
        let mut pairs = form_urlencoded::Serializer::new(String::new());
        pairs.append_pair("return_to", &return_view(parameter(query, "return_to").as_deref()));
        pairs.append_pair("canonical", "1");
        let base = public_url.trim_end_matches('/');
        Some(format!("{base}/console/login/{provider}?{}", pairs.finish()))
    }
}

fn redirect(target: &str) -> Response {
    match HeaderValue::from_str(target) {
        Ok(target) => (StatusCode::SEE_OTHER, [(header::LOCATION, target)]).into_response(),
        Err(_) => Failure::Failed.page(),
    }
}

/// Begins a sign-in: sends the browser to the provider.
pub(super) async fn begin(
    State(console): State<Shared>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    parts: Parts,
) -> Result<Response, ApiError> {
    let (provider, query) = (console.provider(&name)?, bounded(query));
    console.take_sign_in(&request_origin(&parts))?;
    if let Some(canonical) = console.canonical(&name, &query, &parts) {
        return Ok(redirect(&canonical));
    }
    let now = console.control.now();
    let begun = match provider.client.begin(now).await {
        Ok(begun) => begun,
        Err(error) => {
            let cause = &error as &dyn std::error::Error;
            tracing::warn!(provider = name, error = cause, "sign-in not begun");
            return Ok(Failure::of(&error).page());
        }
    };
    let mut response = redirect(&begun.url);
    let return_to = return_view(parameter(&query, "return_to").as_deref());
    for cookie in Pending::new(&name, begun, return_to, now).store(&parts.headers) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Ends a sign-in: the browser returns from the provider.
pub(super) async fn callback(
    State(console): State<Shared>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    parts: Parts,
) -> Result<Response, ApiError> {
    let (provider, query) = (console.provider(&name)?, bounded(query));
    let from = request_origin(&parts);
    console.take_sign_in(&from)?;
    let state = parameter(&query, "state").unwrap_or_default();
    let Some(pending) = Pending::find(&parts.headers, &state).filter(|pending| pending.provider == name)
    else {
        // Some browsers send no cookie with a navigation that several sites redirected: ask again
        // from a page of this site.
        let is_first = !state.is_empty() && parameter(&query, "again").is_none();
        return Ok(if is_first { leads_to(&format!("?{query}&again=1")) } else { Failure::State.page() });
    };
    let outcome = console.finish(provider, &pending, &query, &parts.headers, &from).await;
    let mut response = match outcome {
        Ok(session) => {
            let mut response = leads_to(&format!("{CONSOLE}{}", pending.return_to));
            response.headers_mut().append(header::SET_COOKIE, session);
            response
        }
        Err(failure) => failure.page(),
    };
    response.headers_mut().append(header::SET_COOKIE, pending.delete());
    Ok(response)
}

impl Console {
    /// Finishes a sign-in. Returns the cookie of the session.
    async fn finish(
        &self,
        provider: &IdentityProvider,
        pending: &Pending,
        query: &str,
        headers: &HeaderMap,
        from: &RequestOrigin,
    ) -> Result<HeaderValue, Failure> {
        let now = self.control.now();
        if pending.is_expired(now) {
            return Err(Failure::Expired);
        }
        let name = provider.name.as_str();
        let Some(code) = parameter(query, "code") else {
            let error = parameter(query, "error").unwrap_or_default();
            tracing::info!(provider = name, error = ?control::kept(&error), "the identity provider refused");
            return Err(Failure::Denied);
        };
        let failed = |error: &Error| {
            tracing::warn!(provider = name, error = error as &dyn std::error::Error, "sign-in failed");
            if error.kind().is_temporary() { Failure::Unavailable } else { Failure::Failed }
        };
        let is_first =
            self.control.use_sign_in_state(&pending.state).await.map_err(|error| failed(&error))?;
        if !is_first {
            return Err(Failure::Expired);
        }
        let returned = Returned { code: &code, nonce: &pending.nonce, verifier: &pending.verifier };
        let found = provider.client.finish(returned, now).await.map_err(|error| {
            tracing::warn!(provider = name, error = &error as &dyn std::error::Error, "sign-in failed");
            Failure::of(&error)
        })?;
        let mapped = provider.map(&found).map_err(|error| failed(&error))?;
        let person = SignedInPerson {
            provider: name.to_owned(),
            project_id: provider.project_id.clone(),
            principal: mapped.principal,
            name: found.name,
            policies: mapped.policies,
        };
        let old = session_secret(headers);
        let old = old.as_deref().map(str::as_bytes);
        match self.control.sign_in_person(&person, old, from).await {
            Ok(new) => Ok(cookie::set_session(&new.secret)),
            Err(error) if error.reason == Reason::NoPolicyAllows => Err(Failure::NotAllowed),
            Err(error) => Err(failed(&error)),
        }
    }
}
