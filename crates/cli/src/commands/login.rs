//! `graywave login`.

use std::io::{IsTerminal as _, Read as _};

use clap::Args;
use domain::Reason;
use proto::admin::GetProjectRequest;

use super::CommonArgs;
use crate::{
    Error,
    client::{ConnectionArgs, Context, Contexts, DEFAULT_GRPC},
    sanitize::sanitize_line,
};

/// Maximum number of bytes read as a token; real tokens are far shorter.
const MAX_TOKEN_BYTES: u64 = 4_096;
/// Default name of a context.
const NAME: &str = "default";

/// Hints for a missing or refused credential.
const CREATE_TOKEN: &str =
    "graywave admin tokens create --project ID --principal NAME: an administrator creates a token";
const CREATE_PRINCIPAL: &str =
    "graywave admin principals put NAME --project ID --policy POLICY: creates the certificate's principal";
const USE_ENVIRONMENT: &str = "--token \"$GRAYWAVE_TOKEN\": login ignores the environment";

/// Arguments of `graywave login`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Prompts for the token, or reads it from standard input. A principal's certificate \
(graywave ca issue --principal) needs no token. The credential is verified and then \
saved, readable by you alone, in ~/.config/graywave/contexts.toml or the file GRAYWAVE_CONTEXTS.

Examples:
  graywave login --grpc 127.0.0.1:9090 < token
  graywave login --context prod --grpc graywave.example.com:9090 \\
    --ca-file ca.crt --cert-file tls.crt --key-file tls.key

Another machine needs TLS: name all three files.")]
pub struct LoginArgs {
    #[command(flatten)]
    common: CommonArgs,
}

pub(super) async fn login(arguments: LoginArgs) -> Result<(), Error> {
    let console = arguments.common.output.console();
    let connection = arguments.common.connection;
    let mut contexts = Contexts::load()?;
    let name = connection.context.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| NAME.to_owned());
    let known = contexts.find(&name).ok().map(|(_, context)| context.clone()).unwrap_or_default();
    // Ignore the environment, which may belong to another cluster. Only the flags and the saved
    // context of this name are used.
    let grpc = match (&connection.grpc, known.grpc.as_str()) {
        (Some(grpc), _) => grpc.clone(),
        (None, "") => DEFAULT_GRPC.to_owned(),
        (None, known) => known.to_owned(),
    };
    let absolute =
        |given: Option<std::path::PathBuf>, known: Option<std::path::PathBuf>| match given.or(known) {
            None => Ok(None),
            Some(path) => std::path::absolute(&path)
                .map(Some)
                .map_err(|error| Error::local(format!("cannot resolve {}", path.display()), error)),
        };
    let mut context = Context {
        grpc,
        token: connection.token,
        project_id: None,
        ca_file: absolute(connection.ca_file, known.ca_file)?,
        cert_file: absolute(connection.cert_file, known.cert_file)?,
        key_file: absolute(connection.key_file, known.key_file)?,
    };
    if context.token.is_none() && !is_of_principal(&context)? {
        context.token = Some(read_token(&context.grpc)?);
    }
    let project_id = verify(&context).await?;
    let shown = sanitize_line(&project_id);
    let said = format!("Logged in to project {shown} at {}; saved as context \"{name}\"", context.grpc);
    context.project_id = Some(project_id);
    contexts.put(&name, context);
    contexts.save()?;
    console.say(&said);
    Ok(())
}

/// Reports whether the context's certificate identifies a principal, so that no token is needed.
fn is_of_principal(context: &Context) -> Result<bool, Error> {
    let tls = crate::client::tls(&context.files())?;
    Ok(tls.is_some_and(|tls| tls.identity().is_principal()))
}

/// Verifies the credential with a call, and returns the id of its project.
async fn verify(context: &Context) -> Result<String, Error> {
    let connection = ConnectionArgs {
        context: None,
        grpc: Some(context.grpc.clone()),
        token: context.token.clone(),
        ca_file: context.ca_file.clone(),
        cert_file: context.cert_file.clone(),
        key_file: context.key_file.clone(),
    };
    let options = connection.resolve(&Contexts::default())?;
    let session = crate::client::Session::open(options).await?;
    let project = session.projects().get_project(GetProjectRequest {}).await;
    Ok(project.map_err(|status| refused(context, &status))?.into_inner().project_id)
}

/// Builds the error of a refused credential. The usual hint is `graywave login` itself.
fn refused(context: &Context, status: &tonic::Status) -> Error {
    let failure = Error::of(&format!("cannot log in to {}", context.grpc), status);
    if failure.reason() != Some(Reason::CredentialUnknown) {
        return failure;
    }
    let hint = if context.token.is_some() { CREATE_TOKEN } else { CREATE_PRINCIPAL };
    failure.without_hints().try_next(hint).try_next("--grpc HOST:PORT: another control plane")
}

fn read_token(grpc: &str) -> Result<String, Error> {
    let token = if std::io::stdin().is_terminal() {
        rpassword::prompt_password(format!("token for {grpc}: "))
            .map_err(|error| Error::local("cannot read the token", error))?
    } else {
        let mut text = String::new();
        let read = std::io::stdin().lock().take(MAX_TOKEN_BYTES).read_to_string(&mut text);
        read.map_err(|error| Error::local("cannot read the token", error))?;
        text
    };
    match token.trim() {
        "" => {
            let failure = Error::misused("the token is empty");
            let is_set = std::env::var_os("GRAYWAVE_TOKEN").is_some_and(|token| !token.is_empty());
            let failure = if is_set { failure.try_next(USE_ENVIRONMENT) } else { failure };
            Err(failure.try_next(CREATE_TOKEN))
        }
        token => Ok(token.to_owned()),
    }
}
