//! Connection flags: the address of the control plane and the credential for it.

use std::path::PathBuf;

use clap::Args;
use clap_complete::ArgValueCandidates;
use domain::limits::CONFIRM_ABOVE;
use mtls::FilesGiven;

use super::{Address, ConnectOptions, Context, Contexts, Session, offered};
use crate::Error;

/// Default address: a control plane on this machine.
pub(crate) const DEFAULT_GRPC: &str = "127.0.0.1:9090";

/// Address of the control plane, and the credential for it. The precedence is: flags, a context
/// that a flag names, the environment, a context that the environment names, the current context.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(crate) struct ConnectionArgs {
    /// Context to use (GRAYWAVE_CONTEXT) [default: the current one]; `graywave login` saves
    /// contexts
    #[arg(long, value_name = "NAME", help_heading = HEADING, hide_short_help = true,
          add = ArgValueCandidates::new(offered))]
    pub(crate) context: Option<String>,
    /// Address of the admin gRPC service: https://HOST or HOST:PORT (GRAYWAVE_GRPC) [default:
    /// 127.0.0.1:9090]
    #[arg(long, value_name = "ADDRESS", help_heading = HEADING, hide_short_help = true)]
    pub(crate) grpc: Option<String>,
    /// Bearer token of the project (GRAYWAVE_TOKEN)
    #[arg(long, value_name = "TOKEN", help_heading = HEADING, hide_short_help = true)]
    pub(crate) token: Option<String>,
    /// CA certificates that sign the server's certificate (GRAYWAVE_CA_FILE) [default: this
    /// machine's]
    #[arg(long, value_name = "FILE", help_heading = HEADING, hide_short_help = true)]
    pub(crate) ca_file: Option<PathBuf>,
    /// Client certificate: role admin, or a principal, which needs no token (GRAYWAVE_CERT_FILE)
    #[arg(long, value_name = "FILE", help_heading = HEADING, hide_short_help = true)]
    pub(crate) cert_file: Option<PathBuf>,
    /// Private key of the client certificate (GRAYWAVE_KEY_FILE)
    #[arg(long, value_name = "FILE", help_heading = HEADING, hide_short_help = true)]
    pub(crate) key_file: Option<PathBuf>,
}

const HEADING: &str = "Connection";

impl ConnectionArgs {
    /// Reads the connection flags of an incomplete command line, for shell completion.
    pub(crate) fn of_words(words: &[String]) -> Self {
        let file = |flag: &str| value_of(words, flag).map(PathBuf::from);
        Self {
            context: value_of(words, "--context"),
            grpc: value_of(words, "--grpc"),
            token: value_of(words, "--token"),
            ca_file: file("--ca-file"),
            cert_file: file("--cert-file"),
            key_file: file("--key-file"),
        }
    }

    /// Reads the `GRAYWAVE_*` variables. An empty variable counts as unset.
    fn of_environment() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        Self {
            context: text("GRAYWAVE_CONTEXT"),
            grpc: text("GRAYWAVE_GRPC"),
            token: text("GRAYWAVE_TOKEN"),
            ca_file: text("GRAYWAVE_CA_FILE").map(PathBuf::from),
            cert_file: text("GRAYWAVE_CERT_FILE").map(PathBuf::from),
            key_file: text("GRAYWAVE_KEY_FILE").map(PathBuf::from),
        }
    }

    /// Opens a session with the control plane that the flags, the environment or a context select.
    pub(crate) async fn open(&self) -> Result<Session, Error> {
        let options = self.resolve_within(&Self::of_environment(), &Contexts::load()?)?;
        Session::open(options).await
    }

    /// Merges these values with the environment and the selected context.
    fn resolve_within(&self, environment: &Self, contexts: &Contexts) -> Result<ConnectOptions, Error> {
        let merged = self.within(environment);
        let unused = match (&environment.grpc, &merged.grpc) {
            (Some(of), Some(to)) if !is_same(of, to) && environment.token.is_some() => {
                Some(UnusedToken { of, to })
            }
            _ => None,
        };
        merged.options(contexts)?.ok_or_else(|| no_credential(contexts, unused))
    }

    /// Adds the environment to the flags. A context that a flag names takes nothing from the
    /// environment. The environment's token is sent only to the environment's address.
    fn within(&self, environment: &Self) -> Self {
        if self.context.is_some() {
            return self.clone();
        }
        let is_for_another = matches!(
            (&self.grpc, &environment.grpc), (Some(given), Some(other)) if !is_same(given, other)
        );
        let added = if is_for_another { &Self::default() } else { environment };
        let files = or_files(self.files(), added.files());
        Self {
            context: environment.context.clone(),
            grpc: self.grpc.clone().or_else(|| added.grpc.clone()),
            token: self.token.clone().or_else(|| added.token.clone()),
            ca_file: files.ca_file,
            cert_file: files.cert_file,
            key_file: files.key_file,
        }
    }

    fn files(&self) -> FilesGiven {
        FilesGiven {
            ca_file: self.ca_file.clone(),
            cert_file: self.cert_file.clone(),
            key_file: self.key_file.clone(),
        }
    }

    /// Merges these values with the selected context. Fails without a token and without a
    /// certificate.
    #[cfg(test)]
    fn resolve(&self, contexts: &Contexts) -> Result<ConnectOptions, Error> {
        self.options(contexts)?.ok_or_else(|| no_credential(contexts, None))
    }

    /// Merges these values with the selected context; `None` without a token and without a
    /// certificate.
    fn options(&self, contexts: &Contexts) -> Result<Option<ConnectOptions>, Error> {
        let context = self.chosen(contexts)?;
        let grpc = match (&self.grpc, context) {
            (Some(grpc), _) => grpc.clone(),
            (None, Some((_, context))) => context.grpc.clone(),
            (None, None) => DEFAULT_GRPC.to_owned(),
        };
        let (name, context) = context.unzip();
        let token = self.token.clone().or_else(|| context.and_then(|context| context.token.clone()));
        let files = or_files(self.files(), context.map(Context::files).unwrap_or_default());
        // A client certificate alone can identify the caller.
        if token.is_none() && files.cert_file.is_none() && files.key_file.is_none() {
            return Ok(None);
        }
        let confirm_above = context.and_then(|context| context.confirm_above).unwrap_or(CONFIRM_ABOVE);
        Ok(Some(ConnectOptions { grpc, token, files, context: name.cloned(), confirm_above }))
    }

    /// Selects the context. A token is sent only to the address that it was saved for, so another
    /// `--grpc` address does not receive it.
    fn chosen<'a>(&self, contexts: &'a Contexts) -> Result<Option<(&'a String, &'a Context)>, Error> {
        let chosen = match &self.context {
            Some(name) => Some(contexts.find(name)?),
            None => contexts.current(),
        };
        let Some((name, context)) = chosen else { return Ok(None) };
        match &self.grpc {
            Some(grpc) if !is_same(grpc, &context.grpc) => match (&self.context, &self.token) {
                (Some(_), None) => Err(Error::misused(format!(
                    "the token of context \"{name}\" is for {}, not for {grpc}",
                    context.grpc
                ))
                .try_next("--token TOKEN for that address, or no --grpc")),
                _ => Ok(None),
            },
            _ => Ok(Some((name, context))),
        }
    }
}

/// Fills the files that are not given. Certificate and key come from the same place.
fn or_files(given: FilesGiven, other: FilesGiven) -> FilesGiven {
    let ca_file = given.ca_file.or(other.ca_file);
    let has_own = given.cert_file.is_some() || given.key_file.is_some();
    let (cert_file, key_file) =
        if has_own { (given.cert_file, given.key_file) } else { (other.cert_file, other.key_file) };
    FilesGiven { ca_file, cert_file, key_file }
}

/// Whether two texts are the same address in different spellings.
fn is_same(one: &str, other: &str) -> bool {
    one == other
        || matches!((Address::parse(one), Address::parse(other)), (Ok(one), Ok(other)) if one == other)
}

/// Token of the environment that is not sent, because the flags name another address.
#[derive(Debug, Clone, Copy)]
struct UnusedToken<'a> {
    /// Address of `GRAYWAVE_GRPC`, which the token is for.
    of: &'a str,
    /// Address of the flags.
    to: &'a str,
}

fn no_credential(contexts: &Contexts, unused: Option<UnusedToken<'_>>) -> Error {
    if let Some(UnusedToken { of, to }) = unused {
        return Error::misused(format!(
            "no credential for {to}: GRAYWAVE_TOKEN is for the address of GRAYWAVE_GRPC, {of}"
        ))
        .try_next(format!("--token TOKEN: a token for {to}"))
        .try_next(format!("no --grpc: the command then calls {of}"));
    }
    let failure = Error::misused("no credential for the control plane: no token and no certificate");
    let failure = match contexts.names().as_slice() {
        [] => failure,
        names => failure.try_next(format!("graywave config use NAME, with one of {}", names.join(", "))),
    };
    failure
        .try_next("graywave login: saves a token")
        .try_next("GRAYWAVE_TOKEN=TOKEN; for `graywave dev`: . graywave-data/env")
}

/// Finds the value of a flag, written as `--flag VALUE` or `--flag=VALUE`.
fn value_of(words: &[String], flag: &str) -> Option<String> {
    let index = words.iter().position(|word| {
        word.strip_prefix(flag).is_some_and(|behind| behind.is_empty() || behind.starts_with('='))
    })?;
    match words.get(index)?.split_once('=') {
        Some((_, value)) => Some(value.to_owned()),
        None => words.get(index + 1).cloned(),
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

    fn way(connection: &ConnectionArgs) -> Result<(String, String), String> {
        let way = connection.resolve(&contexts());
        way.map(|way| (way.grpc, way.token.unwrap_or_default())).map_err(|failure| failure.to_string())
    }

    fn flags(context: Option<&str>, grpc: Option<&str>, token: Option<&str>) -> ConnectionArgs {
        let own = |text: Option<&str>| text.map(str::to_owned);
        ConnectionArgs {
            context: own(context),
            grpc: own(grpc),
            token: own(token),
            ..ConnectionArgs::default()
        }
    }

    #[test]
    fn flags_precede_named_context_which_precedes_current_one() {
        let pair = |grpc: &str, token: &str| Ok((grpc.to_owned(), token.to_owned()));
        assert_eq!(way(&flags(None, None, None)), pair("far:9090", "far's"), "the context saved last");
        assert_eq!(way(&flags(Some("near"), None, None)), pair("near:9090", "near's"));
        assert_eq!(way(&flags(None, None, Some("mine"))), pair("far:9090", "mine"));
        assert_eq!(way(&flags(Some("near"), Some("other:1"), Some("mine"))), pair("other:1", "mine"));
        let none = flags(None, None, Some("mine")).resolve(&Contexts::default()).unwrap();
        assert_eq!(none.grpc, DEFAULT_GRPC);
    }

    #[test]
    fn a_token_never_goes_to_an_address_that_it_is_not_for() {
        let other = way(&flags(None, Some("other:1"), None)).unwrap_err();
        assert!(other.starts_with("no credential"), "{other}");
        let other = way(&flags(Some("near"), Some("other:1"), None)).unwrap_err();
        assert!(
            other.starts_with("the token of context \"near\" is for near:9090, not for other:1"),
            "{other}"
        );
    }

    #[test]
    fn a_certificate_may_be_all_that_is_needed() {
        let file = |name: &str| Some(PathBuf::from(name));
        let (ca_file, cert_file, key_file) = (file("ca.crt"), file("tls.crt"), file("tls.key"));
        let with = ConnectionArgs { ca_file, cert_file, key_file, ..flags(None, Some("other:1"), None) };
        assert_eq!(way(&with), Ok(("other:1".to_owned(), String::new())));
    }

    #[test]
    fn ca_and_client_certificate_are_filled_independently() {
        let file = |name: &str| Some(PathBuf::from(name));
        let saved = FilesGiven { ca_file: file("ca"), cert_file: file("cert"), key_file: file("key") };
        let none = FilesGiven::default();
        assert_eq!(or_files(none.clone(), saved.clone()), saved);
        let only_ca = FilesGiven { ca_file: file("other"), ..none.clone() };
        assert_eq!(or_files(only_ca, saved.clone()), FilesGiven { ca_file: file("other"), ..saved.clone() });
        let own = FilesGiven { cert_file: file("mine"), ..none };
        let filled = or_files(own, saved.clone());
        assert_eq!(filled, FilesGiven { cert_file: file("mine"), key_file: None, ..saved });
    }

    #[test]
    fn spelling_of_the_address_keeps_the_token() {
        let mut contexts = Contexts::default();
        let context = Context {
            grpc: "https://graywave.example.com".into(),
            token: Some("t".into()),
            ..Context::default()
        };
        contexts.put("prod", context);
        let token =
            |grpc: &str| flags(None, Some(grpc), None).resolve(&contexts).ok().and_then(|way| way.token);
        assert_eq!(token("https://Graywave.example.com/").as_deref(), Some("t"));
        for other in
            ["http://graywave.example.com", "graywave.example.com", "https://graywave.example.com:9090"]
        {
            assert_eq!(token(other), None, "{other}");
        }
    }

    #[test]
    fn a_shell_that_asks_has_the_flags_of_the_line_so_far() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let of = |line: &str| ConnectionArgs::of_words(&words(line));
        assert_eq!(of("show --context near x").context.as_deref(), Some("near"));
        assert_eq!(of("show --grpc=other:1 x").grpc.as_deref(), Some("other:1"));
        assert_eq!(value_of(&words("show --contexts near"), "--context"), None);
    }

    #[test]
    fn a_context_that_is_named_is_not_mixed_with_the_environment() {
        let environment = flags(None, Some("dev:1"), Some("dev's"));
        let within = |given: &ConnectionArgs| way(&given.within(&environment));
        let pair = |grpc: &str, token: &str| Ok((grpc.to_owned(), token.to_owned()));
        assert_eq!(within(&flags(Some("near"), None, None)), pair("near:9090", "near's"));
        assert_eq!(within(&flags(None, None, None)), pair("dev:1", "dev's"), "over the current context");
        assert_eq!(within(&flags(None, None, Some("mine"))), pair("dev:1", "mine"));
        // The environment's token is only for the environment's address.
        assert_eq!(within(&flags(None, Some("far:9090"), None)), pair("far:9090", "far's"));
        assert!(within(&flags(None, Some("other:1"), None)).unwrap_err().starts_with("no credential"));
        let only_token = flags(None, None, Some("ours"));
        let with = flags(None, Some("other:1"), None).within(&only_token);
        assert_eq!(
            way(&with),
            pair("other:1", "ours"),
            "a token without an address is for the given address"
        );
        let named = flags(Some("near"), None, None);
        assert_eq!(way(&flags(None, None, None).within(&named)), pair("near:9090", "near's"));
    }

    #[test]
    fn token_of_another_address_is_named_as_unused() {
        let environment = flags(None, Some("dev:1"), Some("dev's"));
        let refused = |given: &ConnectionArgs, contexts: &Contexts| {
            given.resolve_within(&environment, contexts).unwrap_err().to_string()
        };
        let other = flags(None, Some("other:1"), None);
        for contexts in [Contexts::default(), contexts()] {
            let expected = "no credential for other:1: GRAYWAVE_TOKEN is for the address of GRAYWAVE_GRPC, dev:1\n  \
                            try: --token TOKEN: a token for other:1\n  try: no --grpc: the command then calls dev:1";
            assert_eq!(refused(&other, &contexts), expected);
        }
        let unset = other.resolve_within(&ConnectionArgs::default(), &Contexts::default()).unwrap_err();
        assert!(unset.to_string().contains("try: graywave login"), "{unset}");
    }

    #[test]
    fn an_unknown_context_is_told_with_those_there_are() {
        let unknown = way(&flags(Some("nowhere"), None, None)).unwrap_err();
        assert_eq!(unknown, "no context \"nowhere\"; contexts: far, near\n  try: graywave config");
    }
}
