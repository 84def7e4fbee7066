//! The script service: scripts and their revisions.

use control::{RevisionSelector, ScriptFilter, ScriptPatch, finished};
use domain::{Error, ids::ScriptId};
use proto::admin::{
    CreateScriptRequest, CreateScriptResponse, DeleteScriptRequest, DeleteScriptResponse, GetScriptRequest,
    GetScriptResponse, ListRevisionsRequest, ListRevisionsResponse, ListScriptsRequest, ListScriptsResponse,
    Script, ScriptType, UpdateScriptRequest, UpdateScriptResponse, script_service_server::ScriptService,
};
use tonic::{Request, Response, Status};

use crate::{
    Service,
    convert::{
        script::{declarations, new_script, required_script, revision, script, within_script},
        value::{filter, id_prefix, masked, word},
    },
    extract::{extract, extract_idempotent},
    page,
    status::failed,
};

#[tonic::async_trait]
impl ScriptService for Service {
    async fn create_script(
        &self,
        request: Request<CreateScriptRequest>,
    ) -> Result<Response<CreateScriptResponse>, Status> {
        let (caller, message) = extract_idempotent(request, |message| &message.idempotency_key)?;
        let (script_type, body) = new_script(required_script(message.script)?).map_err(within_script)?;
        let control = self.control.clone();
        let saved = finished(async move {
            let script_id = control.create_script(&caller, script_type, &body).await?;
            // Revision 1, not the newest: a repeated request returns the same script even if it was
            // updated since.
            control.script_after(&caller, script_id, RevisionSelector::Revision(1)).await
        });
        let script = Some(script(saved.await.map_err(within_script)?));
        Ok(Response::new(CreateScriptResponse { script }))
    }

    async fn list_scripts(
        &self,
        request: Request<ListScriptsRequest>,
    ) -> Result<Response<ListScriptsResponse>, Status> {
        let (caller, message) = extract(request)?;
        let (size, before) = page::read(message.page_size, &message.page_token).map_err(failed)?;
        let script_type = word::<ScriptType>("script_type", message.script_type).map_err(failed)?;
        let filter = ScriptFilter {
            script_id: None,
            id_prefix: id_prefix("script_id_prefix", &message.script_id_prefix).map_err(failed)?,
            created_by: message.mine.then(|| caller.identity.principal.clone()),
            name: filter("name", message.name).map_err(failed)?,
            script_type: script_type.map(str::parse).transpose().map_err(failed)?,
        };
        let found = self.control.page_scripts(&caller, &filter, before, size).await.map_err(failed)?;
        let scripts = found.into_iter().map(|row| Script { content: String::new(), ..script(row) });
        let (scripts, next_page_token) = page::of(scripts, size, |it| it.script_id.clone());
        Ok(Response::new(ListScriptsResponse { scripts, next_page_token }))
    }

    async fn get_script(
        &self,
        request: Request<GetScriptRequest>,
    ) -> Result<Response<GetScriptResponse>, Status> {
        let (caller, message) = extract(request)?;
        let script_id = ScriptId::find(&message.script_id).map_err(failed)?;
        let at = match message.revision {
            0 => RevisionSelector::Current,
            revision if revision > 0 => RevisionSelector::Revision(revision),
            revision => {
                let message = format!("{revision} is out of range; revisions begin with 1");
                return Err(failed(Error::out_of_range("revision", message)));
            }
        };
        let row = self.control.show_script(&caller, script_id, at).await.map_err(failed)?;
        Ok(Response::new(GetScriptResponse { script: Some(script(row)) }))
    }

    async fn update_script(
        &self,
        request: Request<UpdateScriptRequest>,
    ) -> Result<Response<UpdateScriptResponse>, Status> {
        let (caller, message) = extract_idempotent(request, |message| &message.idempotency_key)?;
        let wanted = required_script(message.script)?;
        let script_id = ScriptId::find(&wanted.script_id).map_err(within_script)?;
        let fields = [
            ("name", !wanted.name.is_empty()),
            ("description", !wanted.description.is_empty()),
            ("version", !wanted.version.is_empty()),
            ("content", !wanted.content.is_empty()),
            ("parameters", !wanted.parameters.is_empty()),
        ];
        let taken = masked(message.update_mask.as_ref(), &fields).map_err(failed)?;
        let patch = ScriptPatch {
            name: taken("name").then_some(wanted.name),
            description: taken("description").then_some(wanted.description),
            version: taken("version").then_some(wanted.version),
            content: taken("content").then_some(wanted.content),
            parameters: match taken("parameters") {
                true => Some(declarations(wanted.parameters).map_err(within_script)?),
                false => None,
            },
        };
        let control = self.control.clone();
        let saved = finished(async move {
            let revision = control.patch_script(&caller, script_id, patch).await?;
            control.script_after(&caller, script_id, RevisionSelector::Revision(revision)).await
        });
        let script = Some(script(saved.await.map_err(within_script)?));
        Ok(Response::new(UpdateScriptResponse { script }))
    }

    async fn delete_script(
        &self,
        request: Request<DeleteScriptRequest>,
    ) -> Result<Response<DeleteScriptResponse>, Status> {
        let (caller, message) = extract(request)?;
        let script_id = ScriptId::find(&message.script_id).map_err(failed)?;
        let control = self.control.clone();
        let deleted = finished(async move { control.delete_script(&caller, script_id).await });
        deleted.await.map_err(failed)?;
        Ok(Response::new(DeleteScriptResponse {}))
    }

    async fn list_revisions(
        &self,
        request: Request<ListRevisionsRequest>,
    ) -> Result<Response<ListRevisionsResponse>, Status> {
        let (caller, message) = extract(request)?;
        let (size, before) = page::read(message.page_size, &message.page_token).map_err(failed)?;
        let script_id = ScriptId::find(&message.script_id).map_err(failed)?;
        let found = self.control.page_revisions(&caller, script_id, before, size).await.map_err(failed)?;
        let (revisions, next_page_token) =
            page::of(found.into_iter().map(revision), size, |it| it.revision.to_string());
        Ok(Response::new(ListRevisionsResponse { revisions, next_page_token }))
    }
}
