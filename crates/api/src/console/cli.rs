//! Sign-in of a command line in the browser (`graywave login --browser`).

use axum::{
    Json,
    body::Bytes,
    extract::{RawQuery, State},
    http::{StatusCode, request::Parts},
    response::{IntoResponse as _, Response},
};
use chrono::SecondsFormat;
use domain::{Error, Reason};
use serde::{Deserialize, Serialize};

use super::{
    Shared, authenticate_page, check_same_origin,
    page::{escaped, leads_to, page},
    request_origin,
};
use crate::error::ApiError;

/// First digits of the challenge, which the person compares with those in the terminal.
const SHOWN_DIGITS: usize = 8;
/// Maximum length of the state of a command line.
const MAX_STATE_CHARS: usize = 64;

/// What a command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CliRequest {
    /// Port of the command line on the browser's machine.
    port: u16,
    challenge_sha256: [u8; 32],
    /// Text that the command line expects back.
    state: String,
}

impl CliRequest {
    fn parse(pairs: &[u8]) -> Result<Self, Error> {
        let value = |name: &str| {
            form_urlencoded::parse(pairs).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        let port = value("port").and_then(|port| port.parse().ok()).filter(|port| *port > 0);
        let challenge = value("challenge").and_then(|challenge| hex::decode(challenge).ok());
        let challenge_sha256 = challenge.and_then(|bytes| bytes.try_into().ok());
        let state = value("state").filter(|state| {
            (1..=MAX_STATE_CHARS).contains(&state.len())
                && state.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        match (port, challenge_sha256, state) {
            (Some(port), Some(challenge_sha256), Some(state)) => Ok(Self { port, challenge_sha256, state }),
            _ => {
                let message = "the address is incomplete: run graywave login --browser again";
                Err(Error::new(Reason::RequestUnreadable, message))
            }
        }
    }

    fn challenge(&self) -> String {
        hex::encode(self.challenge_sha256)
    }

    fn query(&self) -> String {
        format!("port={}&challenge={}&state={}", self.port, self.challenge(), self.state)
    }
}

/// Asks the person whether the command line may act as the session's principal.
pub(super) async fn ask(
    State(console): State<Shared>,
    RawQuery(query): RawQuery,
    parts: Parts,
) -> Result<Response, ApiError> {
    let asked = CliRequest::parse(query.unwrap_or_default().as_bytes())?;
    let session = match authenticate_page(&console.control, &parts, console.public_url()).await {
        Err(error) if error.reason == Reason::SessionExpired => None,
        found => found?,
    };
    let Some(session) = session else {
        let return_to: String =
            form_urlencoded::byte_serialize(format!("cli?{}", asked.query()).as_bytes()).collect();
        return Ok(leads_to(&format!("./#/sign-in?return_to={return_to}")));
    };
    let challenge = asked.challenge();
    let digits: String = challenge.chars().take(SHOWN_DIGITS).collect();
    let name = escaped(&session.name);
    let project_id = escaped(session.identity.project_id.as_str());
    let until = session.expires_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let hidden = |name: &str, value: &str| {
        format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\">\n", escaped(value))
    };
    let body = format!(
        "<h1>Sign in on the command line?</h1>\n\
         <p>The command <code>graywave</code> on this machine asks to act as <strong>{name}</strong> in project \
         <strong>{project_id}</strong> until {until}.</p>\n\
         <p>Continue only if you ran <code>graywave login --browser</code> and the terminal shows \
         <strong>{digits}</strong>.</p>\n\
         <form method=\"post\" action=\"cli\">\n{}{}{}{}\
         <button type=\"submit\">Sign in</button>\n</form>\n<p><a href=\"./\">Cancel</a></p>\n",
        hidden("csrf_token", &session.csrf_token),
        hidden("port", &asked.port.to_string()),
        hidden("challenge", &challenge),
        hidden("state", &asked.state),
    );
    Ok(page(StatusCode::OK, "", &body))
}

/// Gives the command line a code, by way of the browser.
pub(super) async fn allow(
    State(console): State<Shared>,
    parts: Parts,
    body: Bytes,
) -> Result<Response, ApiError> {
    check_same_origin(&parts, console.public_url())?;
    let asked = CliRequest::parse(&body)?;
    let session = authenticate_page(&console.control, &parts, console.public_url()).await?;
    let session = session.ok_or_else(|| Error::new(Reason::CredentialRequired, "no session; sign in"))?;
    let csrf = form_urlencoded::parse(&body).find(|(key, _)| key == "csrf_token");
    session.check_csrf(csrf.as_ref().map(|(_, value)| value.as_bytes()))?;
    let from = request_origin(&parts);
    console.take_sign_in(&from)?;
    let code = console.control.allow_cli(&session, asked.challenge_sha256, &from).await?;
    // Always the browser's own machine. The code is useless without the secret of the challenge.
    Ok(leads_to(&format!("http://127.0.0.1:{}/?code={code}&state={}", asked.port, asked.state)))
}

/// Body of the exchange.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    code: String,
    verifier: String,
}

/// Answer of the exchange.
#[derive(Debug, Serialize)]
struct Exchanged {
    token: String,
    project_id: String,
    principal: String,
    expires_at: String,
}

/// Exchanges a code for a token. The command line calls it, without a cookie.
pub(super) async fn exchange(
    State(console): State<Shared>,
    parts: Parts,
    body: Bytes,
) -> Result<Response, ApiError> {
    let from = request_origin(&parts);
    console.take_sign_in(&from)?;
    let exchange: Exchange = serde_json::from_slice(&body).map_err(|_| {
        let message = "the body is not JSON of the form {\"code\": TEXT, \"verifier\": TEXT}";
        Error::new(Reason::RequestUnreadable, message)
    })?;
    let (code, verifier) = (exchange.code.as_bytes(), exchange.verifier.as_bytes());
    let made = console.control.exchange_cli_code(code, verifier, &from).await?;
    let answer = Exchanged {
        token: made.token.token,
        project_id: made.project_id.into_string(),
        principal: made.principal,
        expires_at: made.expires_at.to_rfc3339_opts(SecondsFormat::Secs, true),
    };
    Ok(Json(answer).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_of_a_command_line_is_complete_or_refused() {
        let challenge = "ab".repeat(32);
        let good = format!("port=40000&challenge={challenge}&state=Abc1");
        assert_eq!(CliRequest::parse(good.as_bytes()).unwrap().query(), good);
        for (from, to) in [
            ("40000", "0"),
            ("40000", "70000"),
            ("40000", "80@evil.example"),
            ("abab", ""),
            ("Abc1", ""),
            ("Abc1", "a%22b"),
            ("state=Abc1", ""),
        ] {
            assert!(CliRequest::parse(good.replacen(from, to, 1).as_bytes()).is_err(), "{from} {to}");
        }
    }
}
