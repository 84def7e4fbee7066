//! The access service: principals, policies, tokens and access keys of the caller's project.

use control::{Actor, finished};
use domain::token_life::token_expiry;
use proto::{
    admin::{
        CheckAccessRequest, CheckAccessResponse, CreateKeyRequest, CreateKeyResponse, CreateTokenRequest,
        CreateTokenResponse, DeletePolicyRequest, DeletePolicyResponse, Key, ListKeysRequest,
        ListKeysResponse, ListPoliciesRequest, ListPoliciesResponse, ListPrincipalsRequest,
        ListPrincipalsResponse, ListTokensRequest, ListTokensResponse, PutPolicyRequest, PutPolicyResponse,
        PutPrincipalRequest, PutPrincipalResponse, RevokeKeyRequest, RevokeKeyResponse, RevokeTokenRequest,
        RevokeTokenResponse, Token, access_service_server::AccessService,
    },
    time,
};
use tonic::{Request, Response, Status};

use crate::{
    Service,
    convert::{
        access::{by_name, check, key, policy, principal, result, token},
        value::moment,
    },
    extract::extract,
    page,
    status::failed,
};

#[tonic::async_trait]
impl AccessService for Service {
    async fn list_principals(
        &self,
        request: Request<ListPrincipalsRequest>,
    ) -> Result<Response<ListPrincipalsResponse>, Status> {
        let (caller, message) = extract(request)?;
        let (size, after) = by_name(message.page_size, &message.page_token)?;
        let found = self.control.list_principals(Actor::Caller(&caller), after.as_deref(), size).await;
        let found = found.map_err(failed)?;
        let (principals, next_page_token) =
            page::of(found.into_iter().map(principal), size, |it| it.principal.clone());
        Ok(Response::new(ListPrincipalsResponse { principals, next_page_token }))
    }

    async fn put_principal(
        &self,
        request: Request<PutPrincipalRequest>,
    ) -> Result<Response<PutPrincipalResponse>, Status> {
        let (caller, message) = extract(request)?;
        let control = self.control.clone();
        let stored = finished(async move {
            control.put_principal(Actor::Caller(&caller), &message.principal, &message.policies).await
        });
        let principal = Some(principal(stored.await.map_err(failed)?));
        Ok(Response::new(PutPrincipalResponse { principal }))
    }

    async fn list_policies(
        &self,
        request: Request<ListPoliciesRequest>,
    ) -> Result<Response<ListPoliciesResponse>, Status> {
        let (caller, message) = extract(request)?;
        let (size, after) = by_name(message.page_size, &message.page_token)?;
        let found = self.control.list_policies(Actor::Caller(&caller), after.as_deref(), size).await;
        let found = found.map_err(failed)?;
        let (policies, next_page_token) = page::of(found.into_iter().map(policy), size, |it| it.name.clone());
        Ok(Response::new(ListPoliciesResponse { policies, next_page_token }))
    }

    async fn put_policy(
        &self,
        request: Request<PutPolicyRequest>,
    ) -> Result<Response<PutPolicyResponse>, Status> {
        let (caller, PutPolicyRequest { name, document }) = extract(request)?;
        let control = self.control.clone();
        let stored = finished(async move {
            let policy = control.put_policy(Actor::Caller(&caller), &name, &document).await?;
            Ok((name, policy))
        });
        let policy = Some(policy(stored.await.map_err(failed)?));
        Ok(Response::new(PutPolicyResponse { policy }))
    }

    async fn delete_policy(
        &self,
        request: Request<DeletePolicyRequest>,
    ) -> Result<Response<DeletePolicyResponse>, Status> {
        let (caller, message) = extract(request)?;
        let control = self.control.clone();
        let deleted =
            finished(async move { control.delete_policy(Actor::Caller(&caller), &message.name).await });
        deleted.await.map_err(failed)?;
        Ok(Response::new(DeletePolicyResponse {}))
    }

    async fn list_tokens(
        &self,
        request: Request<ListTokensRequest>,
    ) -> Result<Response<ListTokensResponse>, Status> {
        let (caller, message) = extract(request)?;
        let (size, after) = page::read(message.page_size, &message.page_token).map_err(failed)?;
        let found = self.control.list_tokens(Actor::Caller(&caller), after, size).await.map_err(failed)?;
        let (tokens, next_page_token) =
            page::of(found.into_iter().map(token), size, |it| it.token_id.clone());
        Ok(Response::new(ListTokensResponse { tokens, next_page_token }))
    }

    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Result<Response<CreateTokenResponse>, Status> {
        let (caller, CreateTokenRequest { principal, expire_time, never_expires }) = extract(request)?;
        let (control, created_at) = (self.control.clone(), self.control.now());
        let expires_at = moment("expire_time", expire_time).map_err(failed)?;
        let expires_at = token_expiry(expires_at, never_expires, created_at).map_err(failed)?;
        let made = finished(async move {
            let made = control.create_token(Actor::Caller(&caller), &principal, expires_at).await?;
            Ok((made, principal))
        });
        let (made, principal) = made.await.map_err(failed)?;
        let token = Token {
            token_id: made.token_id.simple().to_string(),
            principal,
            create_time: time(Some(created_at)),
            expire_time: time(expires_at),
            revoke_time: None,
        };
        Ok(Response::new(CreateTokenResponse { token: Some(token), secret: made.token }))
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        let (caller, message) = extract(request)?;
        let control = self.control.clone();
        let revoked =
            finished(async move { control.revoke_token(Actor::Caller(&caller), &message.token_id).await });
        revoked.await.map_err(failed)?;
        Ok(Response::new(RevokeTokenResponse {}))
    }

    async fn list_keys(
        &self,
        request: Request<ListKeysRequest>,
    ) -> Result<Response<ListKeysResponse>, Status> {
        let (caller, message) = extract(request)?;
        let (size, after) = by_name(message.page_size, &message.page_token)?;
        let found = self.control.list_keys(Actor::Caller(&caller), after.as_deref(), size).await;
        let found = found.map_err(failed)?;
        let (keys, next_page_token) = page::of(found.into_iter().map(key), size, |it| it.access_key.clone());
        Ok(Response::new(ListKeysResponse { keys, next_page_token }))
    }

    async fn create_key(
        &self,
        request: Request<CreateKeyRequest>,
    ) -> Result<Response<CreateKeyResponse>, Status> {
        let (caller, CreateKeyRequest { principal, expire_time }) = extract(request)?;
        let expires_at = moment("expire_time", expire_time).map_err(failed)?;
        let (control, created_at) = (self.control.clone(), self.control.now());
        let made = finished(async move {
            let made = control.create_key(Actor::Caller(&caller), &principal, expires_at).await?;
            Ok((made, principal))
        });
        let (made, principal) = made.await.map_err(failed)?;
        let key = Key {
            access_key: made.access_key,
            principal,
            create_time: time(Some(created_at)),
            expire_time: time(expires_at),
            revoke_time: None,
        };
        Ok(Response::new(CreateKeyResponse { key: Some(key), secret_key: made.secret_key }))
    }

    async fn revoke_key(
        &self,
        request: Request<RevokeKeyRequest>,
    ) -> Result<Response<RevokeKeyResponse>, Status> {
        let (caller, message) = extract(request)?;
        let control = self.control.clone();
        let revoked =
            finished(async move { control.revoke_key(Actor::Caller(&caller), &message.access_key).await });
        revoked.await.map_err(failed)?;
        Ok(Response::new(RevokeKeyResponse {}))
    }

    async fn check_access(
        &self,
        request: Request<CheckAccessRequest>,
    ) -> Result<Response<CheckAccessResponse>, Status> {
        let (caller, message) = extract(request)?;
        let checks = message.checks.into_iter().enumerate().map(|(place, given)| check(place, given));
        let checks = checks.collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let other = Some(message.principal.as_str()).filter(|name| !name.is_empty());
        let found = self.control.check_access(&caller, other, &checks).await.map_err(failed)?;
        Ok(Response::new(CheckAccessResponse {
            principal: found.principal,
            policies: found.policies,
            results: found.answers.into_iter().map(result).collect(),
        }))
    }
}
