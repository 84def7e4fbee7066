//! The two steps of a sign-in.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use openidconnect::{
    AuthenticationFlow, AuthorizationCode, ClaimsVerificationError, Client, ClientId, ClientSecret,
    CsrfToken, DiscoveryError, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet,
    IdTokenClaims, IdTokenFields, IssuerUrl, JwsSigningAlgorithm as _, Nonce, OAuth2TokenResponse as _,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, SignatureVerificationError,
    StandardErrorResponse, StandardTokenResponse, TokenResponse as _, UserInfoClaims,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
        CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreResponseType,
        CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
    },
};
use tokio::sync::Mutex;

use crate::{
    Error, Person, ProviderConfig,
    claims::{Claims, OtherClaims},
    http::{CallError, Http},
};

/// Deadline of one step, with all its calls.
const STEP_WITHIN: Duration = Duration::from_secs(20);
/// Age at which metadata and keys are read again.
const FRESH_FOR: TimeDelta = TimeDelta::minutes(10);
/// Minimum age at which an unknown key makes them be read again: a forged token must not cause a
/// call each.
const REREAD_AFTER: TimeDelta = TimeDelta::seconds(1);
/// Time after which metadata are asked for again after a failure.
const RETRY_AFTER: TimeDelta = TimeDelta::seconds(30);
/// Maximum age of an ID token when it arrives, without the tolerance.
const TOKEN_AGE: TimeDelta = TimeDelta::minutes(10);

type Tokens = StandardTokenResponse<
    IdTokenFields<
        OtherClaims,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;
type OidcClient = Client<
    OtherClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// The begin of a sign-in. The caller binds all texts but the address to the browser.
#[derive(Debug, Clone)]
pub struct Begun {
    /// Address of the provider to which the browser goes.
    pub url: String,
    /// Value that the provider returns with the code.
    pub state: String,
    /// Value that the ID token must contain.
    pub nonce: String,
    /// Secret that the exchange of the code needs.
    pub verifier: String,
}

/// The end of a sign-in: the code, and the secrets of its begin.
#[derive(Debug, Clone, Copy)]
pub struct Returned<'a> {
    /// Code that the browser brought back.
    pub code: &'a str,
    /// Nonce of [`Begun`].
    pub nonce: &'a str,
    /// Verifier of [`Begun`].
    pub verifier: &'a str,
}

/// Metadata with the keys of the provider.
#[derive(Debug, Clone)]
struct Known {
    metadata: CoreProviderMetadata,
    read_at: DateTime<Utc>,
}

/// One identity provider.
#[derive(Debug)]
pub struct Provider {
    config: ProviderConfig,
    redirect_url: RedirectUrl,
    issuer: IssuerUrl,
    http: Http,
    known: Mutex<Option<Known>>,
}

impl Provider {
    /// Creates a client of a provider. Calls nothing: a provider that is down at the start keeps
    /// nobody from signing in with a token.
    pub fn new(config: ProviderConfig, redirect_url: String) -> Result<Self, Error> {
        let not_usable = |what: &str, error: &dyn std::fmt::Display| {
            Error::NotUsable(format!("{what} is not a URL: {error}"))
        };
        let issuer = IssuerUrl::new(config.issuer.clone()).map_err(|error| not_usable("issuer", &error))?;
        let redirect_url =
            RedirectUrl::new(redirect_url).map_err(|error| not_usable("the redirect address", &error))?;
        let http = Http::new(config.ca_file.as_deref())?;
        Ok(Self { config, redirect_url, issuer, http, known: Mutex::default() })
    }

    /// Begins a sign-in.
    pub async fn begin(&self, now: DateTime<Utc>) -> Result<Begun, Error> {
        within(async {
            let client = self.client(self.known(now, FRESH_FOR).await?);
            let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
            let flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
            let mut request = client.authorize_url(flow, CsrfToken::new_random, Nonce::new_random);
            for scope in &self.config.scopes {
                request = request.add_scope(Scope::new(scope.clone()));
            }
            let (url, state, nonce) = request.set_pkce_challenge(challenge).url();
            Ok(Begun {
                url: url.into(),
                state: state.into_secret(),
                nonce: nonce.secret().clone(),
                verifier: verifier.into_secret(),
            })
        })
        .await
    }

    /// Exchanges the code of a sign-in, verifies the ID token and returns the person.
    pub async fn finish(&self, returned: Returned<'_>, now: DateTime<Utc>) -> Result<Person, Error> {
        within(self.exchange(returned, now)).await
    }

    async fn exchange(&self, returned: Returned<'_>, now: DateTime<Utc>) -> Result<Person, Error> {
        let client = self.client(self.known(now, TimeDelta::MAX).await?);
        let tokens = client
            .exchange_code(AuthorizationCode::new(returned.code.to_owned()))
            .map_err(|error| Error::NotUsable(error.to_string()))?
            .set_pkce_verifier(PkceCodeVerifier::new(returned.verifier.to_owned()))
            .request_async(&self.http)
            .await
            .map_err(exchange_error)?;
        let claims = match self.verify(&client, &tokens, returned.nonce, now) {
            // The provider may have changed its keys.
            Err(Error::TokenInvalid(_)) => {
                let client = self.client(self.known(now, REREAD_AFTER).await?);
                self.verify(&client, &tokens, returned.nonce, now)?
            }
            verified => verified?,
        };
        let groups = match claims.groups(&self.config) {
            Some(groups) => groups,
            None if claims.has_overage(&self.config) => return Err(Error::GroupsOverage),
            None => self.groups_of_userinfo(&client, &tokens, &claims.sub).await?,
        };
        claims.person(&self.config, groups)
    }

    /// Verifies signature, issuer, audience, times and nonce of the ID token.
    fn verify(
        &self,
        client: &OidcClient,
        tokens: &Tokens,
        nonce: &str,
        now: DateTime<Utc>,
    ) -> Result<Claims, Error> {
        let id_token =
            tokens.id_token().ok_or_else(|| Error::TokenInvalid("the answer has no ID token".into()))?;
        let tolerance = self.config.clock_tolerance;
        let verifier = client
            .id_token_verifier()
            .set_time_fn(move || now - tolerance)
            .set_issue_time_verifier_fn(move |issued| issued_in_time(issued, now, tolerance));
        let nonce = Nonce::new(nonce.to_owned());
        let claims = id_token.claims(&verifier, &nonce).map_err(|error| verification_error(&error))?;
        Ok(of_id_token(claims))
    }

    /// Asks the userinfo endpoint for groups that the ID token does not have. Empty if there is no
    /// endpoint, or if it names none.
    async fn groups_of_userinfo(
        &self,
        client: &OidcClient,
        tokens: &Tokens,
        sub: &str,
    ) -> Result<Vec<String>, Error> {
        let subject = openidconnect::SubjectIdentifier::new(sub.to_owned());
        let Ok(request) = client.user_info(tokens.access_token().clone(), Some(subject)) else {
            return Ok(Vec::new());
        };
        let claims: UserInfoClaims<OtherClaims, CoreGenderClaim> =
            request.request_async(&self.http).await.map_err(|error| Error::unavailable(error.to_string()))?;
        let claims = Claims { other: claims.additional_claims().0.clone(), ..Claims::default() };
        if claims.has_overage(&self.config) {
            return Err(Error::GroupsOverage);
        }
        Ok(claims.groups(&self.config).unwrap_or_default())
    }

    fn client(&self, metadata: CoreProviderMetadata) -> OidcClient {
        let secret = self.config.client_secret.as_ref();
        let secret = secret.map(|secret| ClientSecret::new(secret.expose().to_owned()));
        // With the client's secret as the key, each of its readers could sign an ID token.
        let algorithms = metadata.id_token_signing_alg_values_supported().iter();
        let asymmetric = algorithms.filter(|algorithm| !algorithm.uses_shared_secret()).cloned().collect();
        let metadata = metadata.set_id_token_signing_alg_values_supported(asymmetric);
        let client =
            Client::from_provider_metadata(metadata, ClientId::new(self.config.client_id.clone()), secret);
        client.set_redirect_uri(self.redirect_url.clone())
    }

    /// Returns metadata and keys, read again if they are older than `max_age`. Those in memory
    /// serve on while the provider does not answer.
    async fn known(&self, now: DateTime<Utc>, max_age: TimeDelta) -> Result<CoreProviderMetadata, Error> {
        let mut known = self.known.lock().await;
        if let Some(known) = known.as_ref().filter(|known| now - known.read_at <= max_age) {
            return Ok(known.metadata.clone());
        }
        match CoreProviderMetadata::discover_async(self.issuer.clone(), &self.http).await {
            Ok(metadata) => Ok(known.insert(Known { metadata, read_at: now }).metadata.clone()),
            Err(error) => match known.as_mut() {
                Some(known) => {
                    // Everyone behind this lock would wait for the deadline of a call.
                    known.read_at = known.read_at.max(now - FRESH_FOR + RETRY_AFTER);
                    tracing::warn!(issuer = self.config.issuer, %error, "metadata not read again");
                    Ok(known.metadata.clone())
                }
                None => Err(discovery_error(error)),
            },
        }
    }
}

/// Bounds a step.
async fn within<T>(step: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let ended = tokio::time::timeout(STEP_WITHIN, Box::pin(step)).await;
    ended.unwrap_or_else(|elapsed| Err(Error::unavailable(elapsed)))
}

/// Checks the time at which an ID token was issued.
fn issued_in_time(issued: DateTime<Utc>, now: DateTime<Utc>, tolerance: TimeDelta) -> Result<(), String> {
    if issued > now + tolerance {
        return Err(format!("the ID token is issued at {issued}, and it is {now}"));
    }
    if issued < now - TOKEN_AGE - tolerance {
        return Err(format!("the ID token is issued at {issued}, too long before {now}"));
    }
    Ok(())
}

fn of_id_token(claims: &IdTokenClaims<OtherClaims, CoreGenderClaim>) -> Claims {
    Claims {
        sub: claims.subject().as_str().to_owned(),
        email: claims.email().map(|email| email.as_str().to_owned()),
        email_verified: claims.email_verified(),
        preferred_username: claims.preferred_username().map(|name| name.as_str().to_owned()),
        name: claims.name().and_then(|names| names.get(None)).map(|name| name.as_str().to_owned()),
        other: claims.additional_claims().0.clone(),
    }
}

fn verification_error(error: &ClaimsVerificationError) -> Error {
    match error {
        // Also an issue time that `issued_in_time` refuses.
        ClaimsVerificationError::Expired(text) => Error::Clock(text.clone()),
        ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey) => {
            Error::TokenInvalid("no key of the provider matches".into())
        }
        other => Error::TokenInvalid(other.to_string()),
    }
}

fn exchange_error(
    error: RequestTokenError<CallError, StandardErrorResponse<CoreErrorResponseType>>,
) -> Error {
    match error {
        RequestTokenError::ServerResponse(answer) => Error::CodeRefused(answer.to_string()),
        RequestTokenError::Request(error) => Error::unavailable(error),
        other => Error::unavailable(other.to_string()),
    }
}

fn discovery_error(error: DiscoveryError<CallError>) -> Error {
    match error {
        DiscoveryError::Validation(text) => {
            Error::NotUsable(format!("the metadata of the provider do not fit: {text}"))
        }
        DiscoveryError::Request(error) => Error::unavailable(error),
        other => Error::unavailable(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    #[test]
    fn token_may_differ_by_the_clock_tolerance() {
        let tolerance = TimeDelta::seconds(60);
        for (issued, is_good) in [(0, true), (60, true), (61, false), (-660, true), (-661, false)] {
            assert_eq!(issued_in_time(at(issued), at(0), tolerance).is_ok(), is_good, "{issued}");
        }
    }
}
