//! Report of a ready cluster: for people on a terminal, as JSON for programs.

use std::{borrow::Cow, io::IsTerminal as _, path::Path};

use clap::ValueEnum;
use serde::Serialize;

use super::credentials::Credentials;

/// Format of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ReadyFormat {
    /// Addresses and the next commands, without secrets
    Text,
    /// One line of JSON with addresses and credentials
    Json,
}

impl ReadyFormat {
    /// Returns the format for standard output: text on a terminal, otherwise JSON.
    pub(super) fn of_stdout() -> Self {
        if std::io::stdout().is_terminal() { Self::Text } else { Self::Json }
    }
}

/// Addresses and credentials of a cluster. As JSON this is the ready line.
#[derive(Debug, Serialize)]
pub(super) struct Ready<'a> {
    pub(super) event: &'static str,
    pub(super) http: String,
    pub(super) grpc: String,
    pub(super) agents: String,
    /// URL that signs a browser in once; `None` without the console.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) console: Option<String>,
    #[serde(flatten)]
    pub(super) credentials: &'a Credentials,
}

impl Ready<'_> {
    /// Formats the report of a cluster with `desktops` local desktops.
    pub(super) fn report(
        &self,
        format: ReadyFormat,
        data_dir: &Path,
        desktops: u16,
    ) -> serde_json::Result<String> {
        match format {
            ReadyFormat::Json => serde_json::to_string(self).map(|line| line + "\n"),
            ReadyFormat::Text => Ok(self.text(data_dir, desktops)),
        }
    }

    fn text(&self, data_dir: &Path, desktops: u16) -> String {
        let environment = data_dir.join("env").to_string_lossy().into_owned();
        let environment = shlex::try_quote(&environment).unwrap_or(Cow::Borrowed(&environment));
        let Self { http, grpc, agents, credentials, .. } = self;
        // On a line of its own: people and terminals select the whole URL.
        let console = self.console.as_ref().map_or_else(String::new, |url| {
            format!("Console, signed in once within 10 minutes:\n\n  {url}\n\n")
        });
        format!(
            "Graywave is ready: {}\n\n  \
             REST    {http}/v2/{}\n  \
             gRPC    {grpc}\n  \
             agents  {agents}\n  \
             keys    {}\n\n\
             {console}\
             Next, in another shell:\n\n  \
             . {environment}\n  \
             graywave desktops\n  \
             graywave run --canary 5 --fail-threshold 2 --tag group=dev -- 'echo patched on $GRAYWAVE_DESKTOP_ID'\n\n\
             Ctrl-C stops the cluster and keeps its data.\n",
            desktop_range(desktops),
            credentials.project_id,
            data_dir.join("credentials.json").display(),
        )
    }
}

/// Describes all local desktops in one line.
fn desktop_range(desktops: u16) -> String {
    match desktops {
        0 => "no local desktops".to_owned(),
        1 => "1 desktop, desktop-0001".to_owned(),
        number => format!("{number} desktops, desktop-0001 to desktop-{number:04}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        Credentials {
            project_id: "p1".into(),
            access_key: "the access key".into(),
            secret_key: "the secret key".into(),
            token: "the token".into(),
        }
    }

    fn ready(credentials: &Credentials) -> Ready<'_> {
        let (http, grpc, agents) =
            ("http://127.0.0.1:8080".into(), "127.0.0.1:9090".into(), "127.0.0.1:9443".into());
        let console = Some("http://127.0.0.1:8080/console/#/sign-in?code=the-code".into());
        Ready { event: "ready", http, grpc, agents, console, credentials }
    }

    #[test]
    fn text_names_addresses_and_next_commands_without_secrets() {
        let credentials = credentials();
        let text = ready(&credentials).report(ReadyFormat::Text, Path::new("/a b/data"), 20).unwrap();
        insta::assert_snapshot!(text);
        for secret in [&credentials.access_key, &credentials.secret_key, &credentials.token] {
            assert!(!text.contains(secret.as_str()), "{text}");
        }
    }

    #[test]
    fn json_is_one_line_with_credentials() {
        let line = ready(&credentials()).report(ReadyFormat::Json, Path::new("/data"), 20).unwrap();
        assert_eq!(
            line,
            "{\"event\":\"ready\",\"http\":\"http://127.0.0.1:8080\",\"grpc\":\"127.0.0.1:9090\",\
             \"agents\":\"127.0.0.1:9443\",\
             \"console\":\"http://127.0.0.1:8080/console/#/sign-in?code=the-code\",\"project_id\":\"p1\",\"access_key\":\"the access key\",\
             \"secret_key\":\"the secret key\",\"token\":\"the token\"}\n"
        );
    }

    #[test]
    fn all_desktops_are_one_line() {
        assert_eq!(desktop_range(0), "no local desktops");
        assert_eq!(desktop_range(1), "1 desktop, desktop-0001");
    }
}
