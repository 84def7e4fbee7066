//! Scripts and their revisions.

use proto::admin::{
    CreateScriptRequest, DeleteScriptRequest, GetScriptRequest, ListRevisionsRequest, ListScriptsRequest,
    Parameter, ParameterType, Script, ScriptRevision, ScriptType, SubmitTaskRequest, TaskSpec,
    UpdateScriptRequest, script_service_client::ScriptServiceClient,
};
use tonic::Code;

use crate::harness::{Harness, command_on, refused};

fn script(name: &str, content: &str) -> Script {
    Script {
        name: name.into(),
        content: content.into(),
        description: "what it does".into(),
        script_type: ScriptType::Shell.into(),
        ..Script::default()
    }
}

#[tokio::test]
async fn a_script_has_revisions_and_a_mask_changes_some_of_it() {
    let harness = Harness::new().await;
    let mut scripts = harness.scripts();
    let made = CreateScriptRequest { script: Some(script("patch", "one")), idempotency_key: "k".into() };
    let first = scripts.create_script(made.clone()).await.unwrap().into_inner().script.unwrap();
    let again = scripts.create_script(made).await.unwrap().into_inner().script.unwrap();
    assert_eq!((first.revision, &again), (1, &first));
    let change = UpdateScriptRequest {
        script: Some(Script {
            script_id: first.script_id.clone(),
            content: "two".into(),
            ..Script::default()
        }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["content".into()] }),
        idempotency_key: "update".into(),
    };
    let changed = scripts.update_script(change.clone()).await.unwrap().into_inner().script.unwrap();
    assert_eq!((changed.revision, changed.content.as_str()), (2, "two"));
    assert_eq!(
        (changed.name.as_str(), changed.description.as_str()),
        ("patch", "what it does"),
        "unset fields stay"
    );
    let again = scripts.update_script(change.clone()).await.unwrap().into_inner().script.unwrap();
    assert_eq!(again, changed, "a key saves one revision");
    let other = Script { content: "three".into(), ..change.script.clone().unwrap() };
    let other = UpdateScriptRequest { script: Some(other), ..change.clone() };
    assert_eq!(refused(scripts.update_script(other).await).code, Code::AlreadyExists);

    // Without a mask, the fields that are set are changed. The mask `*` changes all fields.
    let given = UpdateScriptRequest { update_mask: None, idempotency_key: String::new(), ..change };
    let changed = scripts.update_script(given.clone()).await.unwrap().into_inner().script.unwrap();
    assert_eq!((changed.revision, changed.name.as_str()), (3, "patch"));
    let nothing = Script { script_id: first.script_id.clone(), ..Script::default() };
    let nothing = UpdateScriptRequest { script: Some(nothing), ..given.clone() };
    assert_eq!(refused(scripts.update_script(nothing).await).fields, ["update_mask"]);
    let whole = Some(prost_types::FieldMask { paths: vec!["*".into()] });
    let whole = UpdateScriptRequest { update_mask: whole, ..given };
    assert_eq!(refused(scripts.update_script(whole).await).fields, ["script.name"]);

    let get = |revision| GetScriptRequest { script_id: first.script_id.clone(), revision };
    let old = scripts.get_script(get(1)).await.unwrap().into_inner().script.unwrap();
    assert_eq!(old.content, "one");
    assert_eq!(scripts.get_script(get(0)).await.unwrap().into_inner().script.unwrap().content, "two");
    assert_eq!(refused(scripts.get_script(get(-1)).await).fields, ["revision"]);
    assert_eq!(refused(scripts.get_script(get(9)).await).code, Code::NotFound);
    let request =
        ListRevisionsRequest { script_id: first.script_id.clone(), page_size: 1, ..Default::default() };
    let newest = scripts.list_revisions(request).await.unwrap().into_inner();
    assert_eq!((newest.revisions[0].revision, newest.next_page_token.is_empty()), (3, false));

    scripts.delete_script(DeleteScriptRequest { script_id: first.script_id.clone() }).await.unwrap();
    assert_eq!(refused(scripts.get_script(get(0)).await).code, Code::NotFound);
}

#[tokio::test]
async fn scripts_are_listed_and_what_is_wrong_is_named() {
    let harness = Harness::new().await;
    let mut scripts = harness.scripts();
    for name in ["a", "b", "b"] {
        let made = CreateScriptRequest { script: Some(script(name, "true")), ..Default::default() };
        scripts.create_script(made).await.unwrap();
    }
    let named =
        ListScriptsRequest { name: "b".into(), script_type: ScriptType::Shell.into(), ..Default::default() };
    let found = scripts.list_scripts(named).await.unwrap().into_inner().scripts;
    assert_eq!((found.len(), found[0].content.as_str()), (2, ""));
    let all = ListScriptsRequest { page_size: 2, ..Default::default() };
    assert_ne!(scripts.list_scripts(all).await.unwrap().into_inner().next_page_token, "");

    let mut wrong = async |script: Option<Script>| {
        let request = CreateScriptRequest { script, idempotency_key: String::new() };
        refused(scripts.create_script(request).await).fields
    };
    assert_eq!(wrong(None).await, ["script"]);
    assert_eq!(wrong(Some(script("a", ""))).await, ["script.content"]);
    assert_eq!(wrong(Some(script("", "true"))).await, ["script.name"]);
    let untyped = Script { script_type: 0, ..script("a", "true") };
    assert_eq!(wrong(Some(untyped)).await, ["script.script_type"]);
    let key = CreateScriptRequest { script: Some(script("a", "true")), idempotency_key: "a b".into() };
    assert_eq!(refused(harness.scripts().create_script(key).await).fields, ["idempotency_key"]);
}

#[tokio::test]
async fn content_is_kept_as_it_was_sent() {
    let harness = Harness::new().await;
    let mut scripts = harness.scripts();
    for content in ["\u{feff}set -e\r\nfalse\r\n", "a\r\nb\n", ":\r", " : "] {
        let request = CreateScriptRequest { script: Some(script("s", content)), ..Default::default() };
        let made = scripts.create_script(request).await.unwrap().into_inner().script.unwrap();
        let get = GetScriptRequest { script_id: made.script_id.clone(), revision: 0 };
        let shown = scripts.get_script(get).await.unwrap().into_inner().script.unwrap();
        assert_eq!((made.content.as_str(), shown.content.as_str()), (content, content));
    }
    let utf_16 = CreateScriptRequest { script: Some(script("s", "e\0c\0")), ..Default::default() };
    assert_eq!(refused(scripts.create_script(utf_16).await).fields, ["script.content"]);
}

#[tokio::test]
async fn scripts_are_found_by_author_and_first_digits() {
    let harness = Harness::new().await;
    harness.project().await;
    let token = harness.token("ann", &["admin"]).await;
    let mut of_ann = ScriptServiceClient::new(harness.channel(Some(&token)));
    let mut scripts = harness.scripts();
    let create = |name| CreateScriptRequest { script: Some(script(name, "true")), ..Default::default() };
    let own = scripts.create_script(create("patch")).await.unwrap().into_inner().script.unwrap();
    let hers = of_ann.create_script(create("patch")).await.unwrap().into_inner().script.unwrap();
    assert_eq!((own.created_by.as_str(), hers.created_by.as_str()), ("configuration", "ann"));
    // A revision by another principal does not change the author.
    let change = Script { script_id: hers.script_id.clone(), content: "false".into(), ..Script::default() };
    let change = UpdateScriptRequest { script: Some(change), ..Default::default() };
    let changed = scripts.update_script(change).await.unwrap().into_inner().script.unwrap();
    assert_eq!((changed.revision, changed.created_by.as_str()), (2, "ann"));

    let mine = ListScriptsRequest { mine: true, name: "patch".into(), ..Default::default() };
    let ids = |scripts: Vec<Script>| scripts.into_iter().map(|it| it.script_id).collect::<Vec<_>>();
    let listed = scripts.list_scripts(mine.clone()).await.unwrap().into_inner().scripts;
    assert_eq!(ids(listed), [own.script_id.as_str()]);
    let listed = of_ann.list_scripts(mine).await.unwrap().into_inner().scripts;
    assert_eq!(ids(listed), [hers.script_id.as_str()]);
    let mut with_prefix = async |digits: &str| {
        let request = ListScriptsRequest { script_id_prefix: digits.into(), ..Default::default() };
        scripts.list_scripts(request).await
    };
    let both = with_prefix(own.script_id.get(..8).unwrap()).await.unwrap().into_inner().scripts;
    assert_eq!(ids(both), [hers.script_id.clone(), own.script_id.clone()]);
    let one = with_prefix(&own.script_id.to_uppercase()).await.unwrap().into_inner().scripts;
    assert_eq!(ids(one), [own.script_id]);
    assert_eq!(refused(with_prefix("patch").await).fields, ["script_id_prefix"]);
}

#[tokio::test]
async fn parameters_are_kept_unless_the_mask_names_them() {
    let harness = Harness::new().await;
    let mut scripts = harness.scripts();
    let ring = Parameter { name: "ring".into(), is_required: true, ..Parameter::default() };
    let made = Script { parameters: vec![ring.clone()], ..script("patch", "one") };
    let made = CreateScriptRequest { script: Some(made), idempotency_key: String::new() };
    let made = scripts.create_script(made).await.unwrap().into_inner().script.unwrap();
    let text = Parameter { parameter_type: ParameterType::String.into(), ..ring };
    assert_eq!(made.parameters, [text], "a type that is not set is a text");
    let change = |content: &str, path: &str| UpdateScriptRequest {
        script: Some(Script {
            script_id: made.script_id.clone(),
            content: content.into(),
            ..Script::default()
        }),
        update_mask: Some(prost_types::FieldMask { paths: vec![path.into()] }),
        idempotency_key: String::new(),
    };
    let kept = scripts.update_script(change("two", "content")).await.unwrap().into_inner().script.unwrap();
    assert_eq!((kept.revision, &kept.parameters), (2, &made.parameters));
    let task = TaskSpec {
        scripts: vec![ScriptRevision { script_id: made.script_id.clone(), ..ScriptRevision::default() }],
        command: None,
        parameters: [("other".to_owned(), "x".to_owned())].into(),
        ..command_on(1)
    };
    harness.desktops(1).await;
    let request = SubmitTaskRequest { task: Some(task.clone()), idempotency_key: String::new() };
    let refusal = refused(harness.tasks().submit_task(request).await);
    assert_eq!(
        (refusal.code, refusal.fields),
        (Code::InvalidArgument, vec!["task.parameters.other".to_owned()])
    );
    let parameters = [("ring".to_owned(), "a".to_owned())].into();
    let submitted = harness.submit(TaskSpec { parameters, ..task }).await;
    assert_eq!(submitted.scripts[0].parameters["ring"], "a");
    let none = scripts.update_script(change("", "parameters")).await.unwrap().into_inner().script.unwrap();
    assert_eq!((none.revision, none.parameters.len()), (3, 0));
}
