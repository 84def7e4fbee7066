//! Wake-ups inside one scheduler, driven by database notifications.

use tokio::sync::watch;

/// Wake-up channels. A waiter that misses a wake-up sees it at its next wait.
#[derive(Debug, Clone)]
pub struct Wakes {
    pub(crate) admit: watch::Sender<()>,
    pub(crate) ready: watch::Sender<()>,
    pub(crate) presence: watch::Sender<()>,
    pub(crate) stop: watch::Sender<()>,
    pub(crate) deny_list: watch::Sender<()>,
}

impl Default for Wakes {
    fn default() -> Self {
        Self {
            admit: watch::Sender::new(()),
            ready: watch::Sender::new(()),
            presence: watch::Sender::new(()),
            stop: watch::Sender::new(()),
            deny_list: watch::Sender::new(()),
        }
    }
}

impl Wakes {
    pub(crate) fn ring(&self, wake: store::notify::Wake) {
        use store::notify::Wake;
        match wake {
            Wake::Admit => self.admit.send_replace(()),
            Wake::Ready => self.ready.send_replace(()),
            Wake::Presence => self.presence.send_replace(()),
            Wake::Stop => self.stop.send_replace(()),
            Wake::DenyList => self.deny_list.send_replace(()),
            Wake::Everything => {
                self.admit.send_replace(());
                self.ready.send_replace(());
                self.presence.send_replace(());
                self.stop.send_replace(());
                self.deny_list.send_replace(());
            }
        }
    }
}
