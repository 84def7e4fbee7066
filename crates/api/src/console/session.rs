//! `GET`, `POST` and `DELETE /console/session`.

use axum::{
    Json,
    body::Bytes,
    extract::{RawQuery, State},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use chrono::SecondsFormat;
use control::Session;
use domain::{Error, Reason, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Shared, authenticate, check_same_origin, cookie, request_origin, session_secret};
use crate::error::ApiError;

/// A session as the console sees it.
#[derive(Debug, Serialize)]
struct Shown {
    csrf_token: String,
    session_id: String,
    principal: String,
    name: String,
    project_id: String,
    provider: Option<String>,
    created_at: String,
    expires_at: String,
    idle_expires_at: String,
    /// Time of the server, with which a browser corrects its own clock.
    now: String,
}

fn time(at: Timestamp) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn shown(session: Session, now: Timestamp) -> Json<Shown> {
    Json(Shown {
        csrf_token: session.csrf_token,
        session_id: session.session_id.simple().to_string(),
        principal: session.identity.principal.clone(),
        name: session.name,
        project_id: session.identity.project_id.to_string(),
        provider: session.provider,
        created_at: time(session.created_at),
        expires_at: time(session.expires_at),
        idle_expires_at: time(session.idle_expires_at),
        now: time(now),
    })
}

/// Body of a sign-in: a token or a one-time code.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum SignIn {
    Token(String),
    OneTimeCode(String),
}

/// Signs in, and replaces the session that the browser had.
pub(super) async fn create(
    State(console): State<Shared>,
    parts: Parts,
    body: Bytes,
) -> Result<Response, ApiError> {
    check_same_origin(&parts, console.public_url())?;
    // Another content type could come from a form of another site.
    let is_json =
        parts.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
            value.split(';').next().is_some_and(|kind| kind.trim() == "application/json")
        });
    let sign_in: Result<SignIn, _> = serde_json::from_slice(&body);
    let Some(sign_in) = sign_in.ok().filter(|_| is_json) else {
        let message = "the body is not JSON of the form {\"token\": TEXT} or {\"one_time_code\": TEXT}, with the \
                       content type application/json";
        return Err(Error::new(Reason::RequestUnreadable, message).into());
    };
    let from = request_origin(&parts);
    console.take_sign_in(&from)?;
    let old = session_secret(&parts.headers);
    let old = old.as_deref().map(str::as_bytes);
    let new = match &sign_in {
        SignIn::Token(token) => console.control.sign_in_with_token(token.as_bytes(), old, &from).await?,
        SignIn::OneTimeCode(code) => console.control.sign_in_with_code(code.as_bytes(), old, &from).await?,
    };
    let cookie = cookie::set_session(&new.secret);
    Ok(([(header::SET_COOKIE, cookie)], shown(new.session, console.control.now())).into_response())
}

/// Describes the session of the cookie.
pub(super) async fn show(State(console): State<Shared>, parts: Parts) -> Result<Response, ApiError> {
    match authenticate(&console.control, &parts, console.public_url()).await? {
        Some(session) => Ok(shown(session, console.control.now()).into_response()),
        None => Err(Error::new(Reason::CredentialRequired, "no session; sign in").into()),
    }
}

/// Signs out: this browser, or every session of the principal with `everywhere=true`. Repeating it
/// changes nothing.
pub(super) async fn delete(
    State(console): State<Shared>,
    RawQuery(query): RawQuery,
    parts: Parts,
) -> Result<Response, ApiError> {
    let is_everywhere = match query.as_deref() {
        None | Some("" | "everywhere=false") => false,
        Some("everywhere=true") => true,
        Some(_) => {
            let message = "must be true or false, and the only parameter";
            return Err(Error::invalid("everywhere", message).into());
        }
    };
    let ended = match authenticate(&console.control, &parts, console.public_url()).await {
        Ok(session) => session,
        Err(error) if error.reason == Reason::SessionExpired => None,
        Err(error) => return Err(error.into()),
    };
    if let (Some(session), Some(secret)) = (ended, session_secret(&parts.headers)) {
        let from = request_origin(&parts);
        console.control.sign_out(&session, secret.as_bytes(), is_everywhere, &from).await?;
    }
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie::delete_session())]).into_response())
}
