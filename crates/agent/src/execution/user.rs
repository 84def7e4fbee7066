//! Environment variables that describe the agent's user to a script. A service inherits none of
//! them.

use std::{
    env,
    ffi::OsString,
    sync::{Arc, Condvar, LazyLock, Mutex, Once, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use nix::unistd::{User, geteuid};

/// Maximum wait for the passwd entry, once for all scripts. NSS may query a server, and has no time
/// limit.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(3);

static LOOKUP: LazyLock<Lookup> = LazyLock::new(|| {
    Lookup::start(|| {
        User::from_uid(geteuid()).unwrap_or_else(|error| {
            tracing::warn!(%error, "reading the passwd entry of the agent's user failed");
            None
        })
    })
});

/// Starts the lookup of the agent's user early, so that the first script need not wait.
pub(crate) fn look_up() {
    LazyLock::force(&LOOKUP);
}

/// HOME, USER, LOGNAME and SHELL of the effective user, from its passwd entry.
///
/// Without an entry, as under an arbitrary uid in a container, a script inherits the agent's
/// variables, and HOME is `/` if the agent has none. The same holds while NSS has not answered.
/// Blocks for at most `LOOKUP_TIMEOUT`.
pub(crate) fn variables() -> Vec<(&'static str, OsString)> {
    from_entry(LOOKUP.entry(LOOKUP_TIMEOUT), env::var_os("HOME"))
}

/// One lookup on a detached thread.
#[derive(Debug)]
struct Lookup {
    answer: Arc<Answer>,
    /// End of the wait, which begins with the first script.
    deadline: OnceLock<Instant>,
    warned: Once,
}

#[derive(Debug, Default)]
struct Answer {
    /// `None` while the lookup runs; `Some(None)` if the user has no entry.
    entry: Mutex<Option<Option<User>>>,
    changed: Condvar,
}

impl Answer {
    fn set(&self, entry: Option<User>) {
        *self.entry.lock().unwrap_or_else(PoisonError::into_inner) = Some(entry);
        self.changed.notify_all();
    }
}

impl Lookup {
    fn start(find: impl FnOnce() -> Option<User> + Send + 'static) -> Self {
        let answer = Arc::new(Answer::default());
        let of_thread = Arc::clone(&answer);
        let started = thread::Builder::new().name("passwd".to_owned()).spawn(move || of_thread.set(find()));
        if let Err(error) = started {
            tracing::warn!(%error, "starting the thread for the user lookup failed");
            answer.set(None);
        }
        Self { answer, deadline: OnceLock::new(), warned: Once::new() }
    }

    /// Returns the passwd entry. `None` without an entry, or without an answer within `timeout`
    /// after the first call.
    fn entry(&self, timeout: Duration) -> Option<User> {
        let deadline = *self.deadline.get_or_init(|| Instant::now() + timeout);
        let left = deadline.saturating_duration_since(Instant::now());
        let entry = self.answer.entry.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.answer.changed.wait_timeout_while(entry, left, |entry| entry.is_none());
        let (entry, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if entry.is_none() {
            self.warned.call_once(|| {
                tracing::warn!(
                    "no passwd entry of the agent's user yet; scripts inherit the agent's variables"
                );
            });
        }
        entry.clone().flatten()
    }
}

fn from_entry(entry: Option<User>, inherited_home: Option<OsString>) -> Vec<(&'static str, OsString)> {
    let Some(user) = entry else {
        return if inherited_home.is_none() { vec![("HOME", "/".into())] } else { Vec::new() };
    };
    let or = |value: OsString, default: &str| if value.is_empty() { default.into() } else { value };
    vec![
        ("HOME", or(user.dir.into(), "/")),
        ("USER", user.name.clone().into()),
        ("LOGNAME", user.name.into()),
        // An empty field means this shell: passwd(5).
        ("SHELL", or(user.shell.into(), "/bin/sh")),
    ]
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn user_without_an_entry_keeps_its_variables_or_gets_a_home() {
        assert_eq!(from_entry(None, None), [("HOME", OsString::from("/"))]);
        assert_eq!(from_entry(None, Some("/data".into())), []);
    }

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
    fn lookup_that_hangs_is_waited_for_once_and_used_when_it_ends() {
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

    #[test]
    fn entry_gives_all_variables() {
        let text = |user| {
            let variables = from_entry(Some(user), Some("/inherited".into()));
            let line = |(name, value): (&str, OsString)| format!("{name}={}", value.to_str().unwrap());
            variables.into_iter().map(line).collect::<Vec<_>>()
        };
        assert_eq!(
            text(user("/home/ada", "/bin/bash")),
            ["HOME=/home/ada", "USER=ada", "LOGNAME=ada", "SHELL=/bin/bash"]
        );
        assert_eq!(text(user("", "")), ["HOME=/", "USER=ada", "LOGNAME=ada", "SHELL=/bin/sh"]);
    }
}
