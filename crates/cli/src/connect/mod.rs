//! The way to the control plane: which one, with which credential.

mod contexts;
mod session;

use std::path::PathBuf;

use clap::Args;
use clap_complete::ArgValueCandidates;
pub(crate) use contexts::{Context, Contexts};
use identity::FilesGiven;
pub(crate) use session::{Session, repeated, tls};

use crate::{Failure, complete};

/// Where a control plane of this machine listens.
pub(crate) const DEFAULT_GRPC: &str = "127.0.0.1:9090";

/// Where the control plane is, and the credential for it: the flags, else the environment, else the context.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Connection {
    /// Context to use instead of the current one; `graywave login` makes contexts
    #[arg(long, env = "GRAYWAVE_CONTEXT", value_name = "NAME", help_heading = HEADING, hide_short_help = true,
          add = ArgValueCandidates::new(complete::contexts))]
    pub(crate) context: Option<String>,
    /// Address of the gRPC admin service; 127.0.0.1:9090 when neither this nor a context says it
    #[arg(long, env = "GRAYWAVE_GRPC", value_name = "HOST:PORT", help_heading = HEADING, hide_short_help = true)]
    pub(crate) grpc: Option<String>,
    /// Token of the project
    #[arg(long, env = "GRAYWAVE_TOKEN", hide_env_values = true, value_name = "TOKEN", help_heading = HEADING,
          hide_short_help = true)]
    pub(crate) token: Option<String>,
    /// Certificates of the CAs whose schedulers are trusted, where the admin service speaks TLS
    #[arg(long, value_name = "FILE", env = "GRAYWAVE_CA_FILE", help_heading = HEADING, hide_short_help = true)]
    pub(crate) ca_file: Option<PathBuf>,
    /// Certificate of the role admin; or of a principal, who needs no token then
    #[arg(long, value_name = "FILE", env = "GRAYWAVE_CERT_FILE", help_heading = HEADING, hide_short_help = true)]
    pub(crate) cert_file: Option<PathBuf>,
    /// Key of the certificate
    #[arg(long, value_name = "FILE", env = "GRAYWAVE_KEY_FILE", help_heading = HEADING, hide_short_help = true)]
    pub(crate) key_file: Option<PathBuf>,
}

const HEADING: &str = "Connection";

impl Connection {
    /// What is known of a command line that is not whole: when a shell asks what it may offer.
    pub(crate) fn of_words(words: &[String]) -> Self {
        let text = |flag: &str, name: &str| value_of(words, flag).or_else(|| std::env::var(name).ok());
        Self {
            context: text("--context", "GRAYWAVE_CONTEXT"),
            grpc: text("--grpc", "GRAYWAVE_GRPC"),
            token: text("--token", "GRAYWAVE_TOKEN"),
            ca_file: text("--ca-file", "GRAYWAVE_CA_FILE").map(Into::into),
            cert_file: text("--cert-file", "GRAYWAVE_CERT_FILE").map(Into::into),
            key_file: text("--key-file", "GRAYWAVE_KEY_FILE").map(Into::into),
        }
    }

    /// A session with the control plane that the flags, the environment or a context name.
    pub(crate) async fn open(&self) -> Result<Session, Failure> {
        let way = self.resolve(&Contexts::load()?)?;
        Session::open(way).await
    }

    /// What the flags and the contexts come to. What the environment sets to nothing is not set.
    pub(crate) fn resolve(&self, contexts: &Contexts) -> Result<Way, Failure> {
        let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let Self { ca_file, cert_file, key_file, .. } = self.clone();
        let (context, grpc, token) = (set(&self.context), set(&self.grpc), set(&self.token));
        Self { context, grpc, token, ca_file, cert_file, key_file }.resolved(contexts)
    }

    fn resolved(&self, contexts: &Contexts) -> Result<Way, Failure> {
        let context = self.chosen(contexts)?;
        let grpc = match (&self.grpc, context) {
            (Some(grpc), _) => grpc.clone(),
            (None, Some((_, context))) => context.grpc.clone(),
            (None, None) => DEFAULT_GRPC.to_owned(),
        };
        let (name, context) = context.unzip();
        let token = self.token.clone().or_else(|| context.and_then(|context| context.token.clone()));
        let given = FilesGiven {
            ca_file: self.ca_file.clone(),
            cert_file: self.cert_file.clone(),
            key_file: self.key_file.clone(),
        };
        let files = match context {
            Some(context) if given == FilesGiven::default() => context.files(),
            _ => given,
        };
        // A certificate may be all that is needed.
        if token.is_none() && files == FilesGiven::default() {
            let failure = Failure::misused("there is no token for the control plane");
            let failure = match contexts.names().as_slice() {
                [] => failure,
                names => {
                    failure.try_next(format!("graywave config use NAME: there are {}", names.join(", ")))
                }
            };
            return Err(failure
                .try_next("graywave login, which keeps one")
                .try_next("GRAYWAVE_TOKEN in the environment; for `graywave dev`: . graywave-data/env"));
        }
        Ok(Way { grpc, token, files, context: name.cloned() })
    }

    /// The context that counts. A token goes to the control plane that it is for and to no other, so that an address from
    /// elsewhere does not get the current context's.
    fn chosen<'a>(&self, contexts: &'a Contexts) -> Result<Option<(&'a String, &'a Context)>, Failure> {
        let chosen = match &self.context {
            Some(name) => Some(contexts.find(name)?),
            None => contexts.current(),
        };
        let Some((name, context)) = chosen else { return Ok(None) };
        match &self.grpc {
            Some(grpc) if *grpc != context.grpc => match (&self.context, &self.token) {
                (Some(_), None) => Err(Failure::misused(format!(
                    "the token of context {name} is for {}, not for {grpc}",
                    context.grpc
                ))
                .try_next("leave out --grpc, or give a --token for it")),
                _ => Ok(None),
            },
            _ => Ok(Some((name, context))),
        }
    }
}

/// What stands behind a flag, or behind its sign of equality.
fn value_of(words: &[String], flag: &str) -> Option<String> {
    let place = words.iter().position(|word| {
        word.strip_prefix(flag).is_some_and(|behind| behind.is_empty() || behind.starts_with('='))
    })?;
    match words.get(place)?.split_once('=') {
        Some((_, value)) => Some(value.to_owned()),
        None => words.get(place + 1).cloned(),
    }
}

/// Where a call goes, with what.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) grpc: String,
    /// None where a certificate says who calls.
    pub(crate) token: Option<String>,
    pub(crate) files: FilesGiven,
    /// The context that it is from.
    pub(crate) context: Option<String>,
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Way to {} by context {:?}", self.grpc, self.context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contexts() -> Contexts {
        let mut contexts = Contexts::default();
        let context = |grpc: &str, token: &str| Context {
            grpc: grpc.into(),
            token: Some(token.into()),
            ..Context::default()
        };
        contexts.put("near", context("near:9090", "near's"));
        contexts.put("far", context("far:9090", "far's"));
        contexts
    }

    fn way(connection: &Connection) -> Result<(String, String), String> {
        let way = connection.resolve(&contexts());
        way.map(|way| (way.grpc, way.token.unwrap_or_default())).map_err(|failure| failure.to_string())
    }

    fn flags(context: Option<&str>, grpc: Option<&str>, token: Option<&str>) -> Connection {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Connection { context: own(context), grpc: own(grpc), token: own(token), ..Connection::default() }
    }

    #[test]
    fn flags_win_over_the_context_and_a_named_context_over_the_current_one() {
        let pair = |grpc: &str, token: &str| Ok((grpc.to_owned(), token.to_owned()));
        assert_eq!(way(&flags(None, None, None)), pair("far:9090", "far's"), "the one that was made last");
        assert_eq!(way(&flags(Some("near"), None, None)), pair("near:9090", "near's"));
        assert_eq!(way(&flags(None, None, Some("mine"))), pair("far:9090", "mine"));
        assert_eq!(way(&flags(Some("near"), Some("other:1"), Some("mine"))), pair("other:1", "mine"));
        let none = flags(None, None, Some("mine")).resolve(&Contexts::default()).unwrap();
        assert_eq!(none.grpc, DEFAULT_GRPC);
    }

    #[test]
    fn a_token_never_goes_to_an_address_that_it_is_not_for() {
        let other = way(&flags(None, Some("other:1"), None)).unwrap_err();
        assert!(other.starts_with("there is no token"), "{other}");
        let other = way(&flags(Some("near"), Some("other:1"), None)).unwrap_err();
        assert!(other.starts_with("the token of context near is for near:9090, not for other:1"), "{other}");
    }

    #[test]
    fn a_certificate_may_be_all_that_is_needed() {
        let file = |name: &str| Some(PathBuf::from(name));
        let (ca_file, cert_file, key_file) = (file("ca.crt"), file("tls.crt"), file("tls.key"));
        let with = Connection { ca_file, cert_file, key_file, ..flags(None, Some("other:1"), None) };
        assert_eq!(way(&with), Ok(("other:1".to_owned(), String::new())));
    }

    #[test]
    fn a_shell_that_asks_has_the_flags_of_the_line_so_far() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let of = |line: &str| Connection::of_words(&words(line));
        assert_eq!(of("show --context near x").context.as_deref(), Some("near"));
        assert_eq!(of("show --grpc=other:1 x").grpc.as_deref(), Some("other:1"));
        assert_eq!(value_of(&words("show --contexts near"), "--context"), None);
    }

    #[test]
    fn what_is_set_to_nothing_is_not_set() {
        let with = flags(Some(""), Some(""), Some(""));
        assert_eq!(way(&with), way(&flags(None, None, None)));
    }

    #[test]
    fn an_unknown_context_is_told_with_those_there_are() {
        let unknown = way(&flags(Some("nowhere"), None, None)).unwrap_err();
        assert_eq!(unknown, "there is no context nowhere: there are far, near\n  try: graywave config");
    }
}
