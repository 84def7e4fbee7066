//! Accounts of this machine: the agent's own, and the one that scripts run as.

use std::{
    env,
    ffi::CString,
    sync::{Arc, Condvar, LazyLock, Mutex, Once, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use nix::unistd::{Gid, User, geteuid, getgrouplist};

/// Maximum wait for a passwd entry; for the agent's own, once for all scripts. NSS may query a
/// server, and has no time limit.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

static OWN: LazyLock<Lookup<User>> = LazyLock::new(|| {
    Lookup::start(|| {
        User::from_uid(geteuid()).unwrap_or_else(|error| {
            tracing::warn!(%error, "reading the passwd entry of the agent's user failed");
            None
        })
    })
});

/// Account that a script runs as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) home: String,
    pub(crate) shell: String,
    /// User to switch to; `None` for the agent's own.
    pub(crate) user: Option<runner::User>,
}

/// Starts the lookup of the agent's user early, so that the first script need not wait.
pub(crate) fn look_up() {
    LazyLock::force(&OWN);
}

/// Account of the agent's user, or of the named one. Blocks for at most `LOOKUP_TIMEOUT`.
///
/// Without a passwd entry, as under an arbitrary uid in a container, the agent's own account has
/// the uid as its name, and HOME of the agent. The same holds while NSS has not answered.
///
/// # Errors
///
/// The reason why scripts cannot run as the named user.
pub(crate) fn account(name: Option<&str>) -> Result<Account, String> {
    let own = OWN.entry(LOOKUP_TIMEOUT);
    let Some(name) = name else { return Ok(of_agent(own, env::var("HOME").ok())) };
    if own.as_ref().is_some_and(|own| own.name == name) {
        return Ok(of_agent(own, None));
    }
    if !geteuid().is_root() {
        let own = own.map_or_else(|| geteuid().to_string(), |own| own.name);
        return Err(format!(
            "cannot run as user {name:?}: the agent runs as {own}, and only an agent of root changes the user"
        ));
    }
    named(name)
}

fn named(name: &str) -> Result<Account, String> {
    let wanted = name.to_owned();
    let lookup = Lookup::start(move || {
        let user = User::from_name(&wanted).ok()??;
        let groups = getgrouplist(&CString::new(wanted).ok()?, user.gid).ok()?;
        Some((user, groups))
    });
    let (user, groups) =
        lookup.entry(LOOKUP_TIMEOUT).ok_or_else(|| format!("cannot run as user {name:?}: no such user"))?;
    let ids = runner::UnixUser {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        groups: groups.into_iter().map(Gid::as_raw).collect(),
    };
    Ok(Account { user: Some(runner::User::Unix(ids)), ..of_agent(Some(user), None) })
}

fn of_agent(entry: Option<User>, inherited_home: Option<String>) -> Account {
    let or = |value: String, default: &str| if value.is_empty() { default.to_owned() } else { value };
    match entry {
        Some(user) => Account {
            name: user.name,
            home: or(user.dir.to_string_lossy().into_owned(), "/"),
            // An empty field means this shell: passwd(5).
            shell: or(user.shell.to_string_lossy().into_owned(), "/bin/sh"),
            user: None,
        },
        None => Account {
            name: geteuid().to_string(),
            home: or(inherited_home.unwrap_or_default(), "/"),
            shell: "/bin/sh".to_owned(),
            user: None,
        },
    }
}

/// One lookup on a detached thread.
#[derive(Debug)]
struct Lookup<T> {
    answer: Arc<Answer<T>>,
    /// End of the wait, which begins with the first script.
    deadline: OnceLock<Instant>,
    warned: Once,
}

#[derive(Debug)]
struct Answer<T> {
    /// `None` while the lookup runs; `Some(None)` if there is no entry.
    entry: Mutex<Option<Option<T>>>,
    changed: Condvar,
}

impl<T> Answer<T> {
    fn set(&self, entry: Option<T>) {
        *self.entry.lock().unwrap_or_else(PoisonError::into_inner) = Some(entry);
        self.changed.notify_all();
    }
}

impl<T: Clone + Send + 'static> Lookup<T> {
    fn start(find: impl FnOnce() -> Option<T> + Send + 'static) -> Self {
        let answer = Arc::new(Answer { entry: Mutex::new(None), changed: Condvar::new() });
        let of_thread = Arc::clone(&answer);
        let started = thread::Builder::new().name("passwd".to_owned()).spawn(move || of_thread.set(find()));
        if let Err(error) = started {
            tracing::warn!(%error, "starting the thread for the user lookup failed");
            answer.set(None);
        }
        Self { answer, deadline: OnceLock::new(), warned: Once::new() }
    }

    /// Returns the entry. `None` without an entry, or without an answer within `timeout` after the
    /// first call.
    fn entry(&self, timeout: Duration) -> Option<T> {
        let deadline = *self.deadline.get_or_init(|| Instant::now() + timeout);
        let left = deadline.saturating_duration_since(Instant::now());
        let entry = self.answer.entry.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.answer.changed.wait_timeout_while(entry, left, |entry| entry.is_none());
        let (entry, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if entry.is_none() {
            self.warned.call_once(|| tracing::warn!("no answer for a passwd entry yet"));
        }
        entry.clone().flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn user(home: &str, shell: &str) -> User {
        User {
            name: "ada".into(),
            passwd: c"x".into(),
            uid: 7.into(),
            gid: 7.into(),
            gecos: c"".into(),
            dir: home.into(),
            shell: shell.into(),
        }
    }

    #[test]
    fn account_without_an_entry_has_a_name_and_a_home() {
        let account = of_agent(None, None);
        assert_eq!((account.home.as_str(), account.name), ("/", geteuid().to_string()));
        assert_eq!(of_agent(None, Some("/data".into())).home, "/data");
    }

    #[test]
    fn entry_gives_home_name_and_shell() {
        let account = of_agent(Some(user("/home/ada", "/bin/bash")), Some("/inherited".into()));
        assert_eq!(
            (account.home.as_str(), account.name.as_str(), account.shell.as_str()),
            ("/home/ada", "ada", "/bin/bash")
        );
        let account = of_agent(Some(user("", "")), None);
        assert_eq!((account.home.as_str(), account.shell.as_str()), ("/", "/bin/sh"));
    }

    #[test]
    fn unknown_user_is_a_reason() {
        let reason = named("no-such-user").unwrap_err();
        assert_eq!(reason, "cannot run as user \"no-such-user\": no such user");
    }

    #[test]
    fn lookup_that_hangs_is_waited_for_once() {
        let (sender, receiver) = mpsc::channel();
        let lookup = Lookup::start(move || receiver.recv().ok());
        let started = Instant::now();
        assert_eq!(lookup.entry(Duration::from_millis(20)), None);
        assert!(started.elapsed() >= Duration::from_millis(20));
        // The first call has set the deadline.
        assert_eq!(lookup.entry(Duration::from_secs(600)), None);
        assert!(started.elapsed() < Duration::from_secs(300));
        sender.send(user("/home/ada", "")).unwrap();
        while lookup.entry(Duration::ZERO).is_none() {
            assert!(started.elapsed() < Duration::from_secs(300));
            thread::yield_now();
        }
    }

    #[test]
    fn first_script_waits_for_the_answer() {
        let (sender, receiver) = mpsc::channel();
        let lookup = Lookup::start(move || receiver.recv().ok());
        thread::scope(|scope| {
            let entry = scope.spawn(|| lookup.entry(Duration::from_secs(600)));
            sender.send(user("/home/ada", "")).unwrap();
            assert_eq!(entry.join().unwrap().unwrap().name, "ada");
        });
    }
}
