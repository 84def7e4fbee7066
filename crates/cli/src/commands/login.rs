//! `graywave login`.

use std::io::{IsTerminal as _, Read as _};

use clap::Args;

use super::{CommonArgs, project};
use crate::{
    Error,
    client::{ConnectionArgs, Context, Contexts, DEFAULT_GRPC},
    sanitize::sanitize_line,
};

/// Maximum number of bytes read as a token; real tokens are far shorter.
const MAX_TOKEN_BYTES: u64 = 4_096;
/// Default name of a context.
const NAME: &str = "default";

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
        context.token = Some(token(&context.grpc)?);
    }
    let project_id = tried(&context).await?;
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
async fn tried(context: &Context) -> Result<String, Error> {
    let connection = ConnectionArgs {
        context: None,
        grpc: Some(context.grpc.clone()),
        token: context.token.clone(),
        ca_file: context.ca_file.clone(),
        cert_file: context.cert_file.clone(),
        key_file: context.key_file.clone(),
    };
    let way = connection.resolve(&Contexts::default())?;
    let session = crate::client::Session::open(way).await?;
    Ok(project::get(&session).await?.project_id)
}

fn token(grpc: &str) -> Result<String, Error> {
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
        "" => Err(Error::misused("the token is empty")
            .try_next("graywave tokens create --project ID --principal NAME: creates a token")),
        token => Ok(token.to_owned()),
    }
}
