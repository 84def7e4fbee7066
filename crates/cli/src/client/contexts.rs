//! Contexts: saved control planes with their credentials, in a file that only this user can read.

use std::{
    collections::BTreeMap,
    fs,
    io::{ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use clap_complete::CompletionCandidate;
use etcetera::BaseStrategy as _;
use mtls::FilesGiven;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::Error;

/// Environment variable with the path of the contexts file.
const ELSEWHERE: &str = "GRAYWAVE_CONTEXTS";

/// Address of a control plane, and the credentials for it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// Address of the gRPC admin service.
    pub(crate) grpc: String,
    /// Project of the credential; shown to the user and never sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) project_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cert_file: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key_file: Option<PathBuf>,
    /// Number of desktops in one wave above which `graywave run` asks; `None` for the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) confirm_above: Option<u32>,
}

/// Field of a [`Context`] with a number; the others are strings.
const CONFIRM_ABOVE: &str = "confirm_above";
/// Fields of a [`Context`] in the file.
const FIELDS: [&str; 7] = ["grpc", "project_id", "token", "ca_file", "cert_file", "key_file", CONFIRM_ABOVE];

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Context of {}", self.grpc)
    }
}

impl Context {
    /// Returns the CA, certificate and key files of the context.
    pub(crate) fn files(&self) -> FilesGiven {
        FilesGiven {
            ca_file: self.ca_file.clone(),
            cert_file: self.cert_file.clone(),
            key_file: self.key_file.clone(),
        }
    }
}

/// All contexts, and the name of the current one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    #[serde(default)]
    contexts: BTreeMap<String, Context>,
}

impl Contexts {
    /// Returns the path of the contexts file: `GRAYWAVE_CONTEXTS`, else `graywave/contexts.toml` in
    /// the user's configuration directory (`$XDG_CONFIG_HOME`, `~/.config`).
    pub(crate) fn path() -> Result<PathBuf, Error> {
        if let Some(path) = std::env::var_os(ELSEWHERE).filter(|path| !path.is_empty()) {
            return Ok(path.into());
        }
        let base = etcetera::choose_base_strategy().map_err(|error| {
            Error::local("cannot find a directory for contexts", error)
                .try_next(format!("{ELSEWHERE}=FILE: names the file"))
        })?;
        Ok(base.config_dir().join("graywave").join("contexts.toml"))
    }

    /// Reads the contexts file; a missing file means no contexts.
    pub(crate) fn load() -> Result<Self, Error> {
        Self::load_from(&Self::path()?)
    }

    fn load_from(path: &Path) -> Result<Self, Error> {
        let cannot =
            |error: &dyn std::fmt::Display| Error::local(format!("cannot read {}", path.display()), error);
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(cannot(&error)),
        };
        let mode = fs::metadata(path).map_err(|error| cannot(&error))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(Error::misused(format!(
                "{} holds tokens and is readable by other users (mode {:o})",
                path.display(),
                mode & 0o777
            ))
            .try_next(format!("chmod 600 {}", path.display())));
        }
        toml::from_str(&text).map_err(|error| {
            let start = error.span().and_then(|span| text.get(..span.start));
            let line = start.map_or(1, |before| before.matches('\n').count() + 1);
            cannot(&format!("line {line}: {}", fault(&text)))
                .try_next("fix the line, or delete the file and run graywave login")
        })
    }

    /// Writes the contexts file, readable only by this user. The replacement is atomic, so a reader
    /// sees the old or the new contexts.
    pub(crate) fn save(&self) -> Result<(), Error> {
        self.save_to(&Self::path()?)
    }

    fn save_to(&self, path: &Path) -> Result<(), Error> {
        let cannot = |error: &dyn std::fmt::Display| {
            Error::local(format!("cannot write {}", path.display()), error)
                .try_next(format!("{ELSEWHERE}=FILE: another file"))
        };
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| cannot(&error))?;
        let text = toml::to_string(self).map_err(|error| cannot(&error))?;
        // `tempfile` creates the file with mode 600.
        let mut file = tempfile::NamedTempFile::new_in(directory).map_err(|error| cannot(&error))?;
        file.write_all(text.as_bytes()).map_err(|error| cannot(&error))?;
        file.persist(path).map_err(|error| cannot(&error.error))?;
        Ok(())
    }

    /// Returns the current context; `None` if no context is selected.
    pub(crate) fn current(&self) -> Option<(&String, &Context)> {
        self.contexts.get_key_value(self.current.as_ref()?)
    }

    /// Returns the names of all contexts, sorted.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.contexts.keys().map(String::as_str).collect()
    }

    /// Finds a context by name. The error of an unknown name lists the known names.
    pub(crate) fn find(&self, name: &str) -> Result<(&String, &Context), Error> {
        self.contexts.get_key_value(name).ok_or_else(|| self.unknown(name))
    }

    fn unknown(&self, name: &str) -> Error {
        let there = match self.contexts.len() {
            0 => "no contexts are saved".to_owned(),
            _ => format!("contexts: {}", self.contexts.keys().cloned().collect::<Vec<_>>().join(", ")),
        };
        let next = if self.contexts.is_empty() { "graywave login" } else { "graywave config" };
        Error::misused(format!("no context \"{name}\"; {there}")).try_next(next)
    }

    /// Iterates over the contexts, sorted by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Context)> {
        self.contexts.iter()
    }

    /// Saves a context, in place of one with the same name, and makes it the current one.
    pub(crate) fn put(&mut self, name: &str, context: Context) {
        self.contexts.insert(name.to_owned(), context);
        self.current = Some(name.to_owned());
    }

    /// Sets the number of desktops above which `graywave run` asks, for the current context or a
    /// named one. Returns the name of the context.
    pub(crate) fn set_confirm_above(
        &mut self,
        name: Option<&str>,
        most: Option<u32>,
    ) -> Result<String, Error> {
        let name = match (name, &self.current) {
            (Some(name), _) => name.to_owned(),
            (None, Some(current)) => current.clone(),
            (None, None) => {
                return Err(Error::misused("no context is selected").try_next("graywave config use NAME"));
            }
        };
        self.find(&name)?;
        if let Some(context) = self.contexts.get_mut(&name) {
            context.confirm_above = most;
        }
        Ok(name)
    }

    /// Makes a saved context the current one.
    pub(crate) fn choose(&mut self, name: &str) -> Result<(), Error> {
        self.find(name)?;
        self.current = Some(name.to_owned());
        Ok(())
    }

    /// Removes a context. After the removal of the current context, no context is selected.
    pub(crate) fn remove(&mut self, name: &str) -> Result<(), Error> {
        self.contexts.remove(name).ok_or_else(|| self.unknown(name))?;
        self.current.take_if(|current| current == name);
        Ok(())
    }
}

/// Describes the fault of an unreadable contexts file by its keys alone, because a value may be a
/// token.
fn fault(text: &str) -> String {
    let Ok(file) = text.parse::<Table>() else { return "the file is not TOML".to_owned() };
    let fault = file.iter().find_map(|(key, value)| match (key.as_str(), value) {
        ("current", Value::String(_)) => None,
        ("current", _) => Some("`current` is not a string".to_owned()),
        ("contexts", Value::Table(contexts)) => {
            contexts.iter().find_map(|(name, it)| context_fault(name, it))
        }
        ("contexts", _) => Some("`contexts` is not a table".to_owned()),
        _ => Some(format!("unknown field `{key}`: expected current or contexts")),
    });
    fault.unwrap_or_else(|| "a field is wrong".to_owned())
}

fn context_fault(name: &str, context: &Value) -> Option<String> {
    let Value::Table(fields) = context else { return Some(format!("context `{name}` is not a table")) };
    let fault = fields.iter().find_map(|(key, value)| match value {
        _ if !FIELDS.contains(&key.as_str()) => {
            Some(format!("unknown field `{key}` in context `{name}`: expected {}", FIELDS.join(", ")))
        }
        Value::Integer(0..=4_294_967_295) if key == CONFIRM_ABOVE => None,
        _ if key == CONFIRM_ABOVE => {
            Some(format!("`{key}` of context `{name}` is not a number from 0 to 4294967295"))
        }
        Value::String(_) => None,
        _ => Some(format!("`{key}` of context `{name}` is not a string")),
    });
    fault.or_else(|| (!fields.contains_key("grpc")).then(|| format!("context `{name}` has no `grpc`")))
}

/// Offers the names of contexts to a shell.
pub(crate) fn offered() -> Vec<CompletionCandidate> {
    let contexts = Contexts::load().unwrap_or_default();
    let offered = contexts
        .iter()
        .map(|(name, context)| CompletionCandidate::new(name).help(Some(context.grpc.clone().into())));
    offered.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn one() -> Contexts {
        let mut contexts = Contexts::default();
        let context =
            Context { grpc: "near:9090".into(), token: Some("secret".into()), ..Context::default() };
        contexts.put("near", context);
        contexts
    }

    #[test]
    fn what_is_kept_is_read_again_and_by_nobody_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("graywave").join("contexts.toml");
        assert_eq!(Contexts::load_from(&path).unwrap(), Contexts::default());
        one().save_to(&path).unwrap();
        assert_eq!(Contexts::load_from(&path).unwrap(), one());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = Contexts::load_from(&path).unwrap_err().to_string();
        assert!(refused.contains("readable by other users (mode 640)\n  try: chmod 600"), "{refused}");
    }

    #[test]
    fn a_file_that_is_damaged_is_named_and_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("contexts.toml");
        one().save_to(&path).unwrap();
        for (text, expected) in [
            (
                "[contexts.near]\ngrcp = 1\n",
                "line 2: unknown field `grcp` in context `near`: expected grpc, ",
            ),
            ("[contexts.near]\ngrpc = 'a:1'\ntoken = \"s3cret\n", "line 3: the file is not TOML"),
            ("[contexts]\nnear = \"s3cret\"\n", "line 2: context `near` is not a table"),
            (
                "[contexts.near]\ngrpc = 'a:1'\ntoken = ['s3cret']\n",
                "line 3: `token` of context `near` is not",
            ),
            (
                "[contexts.near]\ngrpc = 'a:1'\nconfirm_above = 's3cret'\n",
                "line 3: `confirm_above` of context `near` is not a number",
            ),
            ("[contexts.near]\ntoken = 's3cret'\n", "context `near` has no `grpc`"),
            ("current = ['s3cret']\n", "line 1: `current` is not a string"),
            ("contexts = 's3cret'\n", "line 1: `contexts` is not a table"),
            ("tokens = 's3cret'\n", "line 1: unknown field `tokens`"),
        ] {
            fs::write(&path, text).unwrap();
            let refused = Contexts::load_from(&path).unwrap_err().to_string();
            assert!(refused.contains(expected) && refused.contains("contexts.toml"), "{text}: {refused}");
            assert!(!refused.contains("s3cret") && path.exists(), "{text}: {refused}");
        }
    }

    #[test]
    fn file_of_an_earlier_version_is_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("contexts.toml");
        let text = "current = \"prod\"\n\n[contexts.prod]\ngrpc = \"graywave.example.com:9090\"\n\
                    ca_file = \"/c/ca.crt\"\ncert_file = \"/c/tls.crt\"\nkey_file = \"/c/tls.key\"\n\n\
                    [contexts.near]\ngrpc = \"127.0.0.1:9090\"\nproject_id = \"p\"\ntoken = \"t\"\n";
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let contexts = Contexts::load_from(&path).unwrap();
        let (_, prod) = contexts.current().unwrap();
        assert_eq!(
            (prod.grpc.as_str(), prod.files().all_or_none().is_ok()),
            ("graywave.example.com:9090", true)
        );
        assert_eq!(contexts.find("near").unwrap().1.token.as_deref(), Some("t"));
    }

    #[test]
    fn fields_are_those_of_a_context() {
        let file = || Some(PathBuf::from("f"));
        let context = Context {
            grpc: "near:9090".into(),
            project_id: Some("p".into()),
            token: Some("t".into()),
            ca_file: file(),
            cert_file: file(),
            key_file: file(),
            confirm_above: Some(50),
        };
        let table = Table::try_from(context).unwrap();
        let keys: BTreeSet<&str> = table.keys().map(String::as_str).collect();
        assert_eq!(keys, BTreeSet::from(FIELDS));
    }

    #[test]
    fn number_to_confirm_is_set_for_one_context() {
        let mut contexts = one();
        assert_eq!(contexts.set_confirm_above(None, Some(50)).unwrap(), "near");
        assert_eq!(contexts.find("near").unwrap().1.confirm_above, Some(50));
        assert!(contexts.set_confirm_above(Some("far"), Some(50)).is_err());
        assert!(Contexts::default().set_confirm_above(None, None).is_err());
    }

    #[test]
    fn the_one_that_is_removed_does_not_count_any_more() {
        let mut contexts = one();
        contexts.remove("near").unwrap();
        assert_eq!(contexts, Contexts::default());
        assert!(contexts.remove("near").is_err() && contexts.choose("near").is_err());
    }
}
