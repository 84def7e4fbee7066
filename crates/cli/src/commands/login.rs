//! `graywave login`.

use std::io::{IsTerminal as _, Read as _};

use clap::Args;
use domain::{Reason, limits::CONFIRM_ABOVE};
use mtls::Identity;
use proto::admin::GetProjectRequest;

use super::{CommonArgs, browser::browser_sign_in};
use crate::{
    Error,
    client::{Address, ConnectOptions, Context, Contexts, DEFAULT_GRPC, Session, own_identity},
    sanitize::sanitize_line,
    wrong_server::WrongServer,
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
  graywave login https://graywave.example.com
  graywave login https://graywave.example.com --ca-file ca.crt < token
  graywave login 127.0.0.1:9090 < token
  graywave login gw.example.com --browser https://gw.example.com
  graywave login --context prod scheduler.example.com:9090 --ca-file ca.crt \\
    --cert-file tls.crt --key-file tls.key

An https URL without a port means 443, a host without a port 9090. The server's certificate \
is verified with the CAs of this machine (or SSL_CERT_FILE), or with --ca-file. Only this \
machine is called without TLS. HTTPS_PROXY and NO_PROXY are honoured.")]
pub struct LoginArgs {
    /// Control plane: https://HOST[:PORT] or HOST[:PORT] [default: that of the context, else
    /// 127.0.0.1:9090]
    #[arg(value_name = "ADDRESS", conflicts_with = "grpc")]
    address: Option<String>,
    /// Sign in at this console in a browser, instead of giving a token; docs/console.md
    #[arg(long, value_name = "URL", conflicts_with = "token")]
    browser: Option<String>,
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
    let address = match (arguments.address.as_ref().or(connection.grpc.as_ref()), known.grpc.as_str()) {
        (Some(given), _) => Address::parse(given)?,
        (None, "") => Address::parse(DEFAULT_GRPC)?,
        (None, known) => Address::parse(known)?,
    };
    // Files of another address would be refused there, or be shown to another server.
    let is_known = Address::parse(&known.grpc).is_ok_and(|known| known == address);
    let known = if is_known { known } else { Context::default() };
    let absolute =
        |given: Option<std::path::PathBuf>, known: Option<std::path::PathBuf>| match given.or(known) {
            None => Ok(None),
            Some(path) => std::path::absolute(&path)
                .map(Some)
                .map_err(|error| Error::local(format!("cannot resolve {}", path.display()), error)),
        };
    let mut context = Context {
        grpc: address.to_string(),
        token: connection.token,
        project_id: None,
        ca_file: absolute(connection.ca_file, known.ca_file)?,
        cert_file: absolute(connection.cert_file, known.cert_file)?,
        key_file: absolute(connection.key_file, known.key_file)?,
        confirm_above: known.confirm_above,
    };
    let is_principal = own_identity(&context.files())?.as_ref().is_some_and(Identity::is_principal);
    if context.token.is_none() && !is_principal {
        check_server(&context).await?;
        context.token = Some(match &arguments.browser {
            Some(url) => browser_sign_in(url, context.ca_file.as_deref(), &console).await?,
            None => read_token(&context.grpc)?,
        });
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

async fn open(context: &Context) -> Result<Session, Error> {
    let (grpc, token, files) = (context.grpc.clone(), context.token.clone(), context.files());
    let confirm_above = context.confirm_above.unwrap_or(CONFIRM_ABOVE);
    Session::open(ConnectOptions { grpc, token, files, context: None, confirm_above }).await
}

/// Checks the server before a secret is asked for: a refusal without a credential is the expected
/// answer.
async fn check_server(context: &Context) -> Result<(), Error> {
    let answer = open(context).await?.projects().get_project(GetProjectRequest {}).await;
    match answer {
        Err(status) if WrongServer::find(&status).is_some() => Err(refused(context, &status)),
        _ => Ok(()),
    }
}

/// Verifies the credential with a call, and returns the id of its project.
async fn verify(context: &Context) -> Result<String, Error> {
    let project = open(context).await?.projects().get_project(GetProjectRequest {}).await;
    Ok(project.map_err(|status| refused(context, &status))?.into_inner().project_id)
}

/// Builds the error of a refused credential. The usual hint is `graywave login` itself.
fn refused(context: &Context, status: &tonic::Status) -> Error {
    let failure = Error::of(&format!("cannot log in to {}", context.grpc), status);
    if failure.reason() != Some(Reason::CredentialUnknown) {
        return failure;
    }
    let hint = if context.token.is_some() { CREATE_TOKEN } else { CREATE_PRINCIPAL };
    failure
        .without_hints()
        .try_next(hint)
        .try_next("another ADDRESS: the token may be of another control plane")
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
