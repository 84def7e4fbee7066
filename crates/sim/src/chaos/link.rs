//! A link between two processes that can be cut or stalled: a proxy on loopback.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Context as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// What the link does with what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It carries it.
    Open,
    /// It keeps data until it is open again, and neither end notices.
    Stalled,
    /// Connections break, and new ones are refused.
    Cut,
}

/// A link to one address.
pub(crate) struct Link {
    pub(crate) name: String,
    /// Where to connect instead.
    pub(crate) address: SocketAddr,
    route: Arc<Mutex<Route>>,
}

/// What becomes of connections.
struct Route {
    /// Where new ones lead.
    target: String,
    state: watch::Sender<State>,
    /// Of those that are never answered again.
    lost: Vec<watch::Sender<State>>,
}

impl Link {
    /// Listens and forwards each connection to the target.
    pub(crate) async fn start(name: String, target: String) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let route = Route { target, state: watch::Sender::new(State::Open), lost: Vec::new() };
        let link = Self { name, address, route: Arc::new(Mutex::new(route)) };
        let route = Arc::clone(&link.route);
        tokio::spawn(async move {
            while let Ok((inbound, _)) = listener.accept().await {
                let (target, state) = {
                    let route = lock(&route);
                    (route.target.clone(), route.state.subscribe())
                };
                tokio::spawn(carry(inbound, target, state));
            }
        });
        Ok(link)
    }

    pub(crate) fn set(&self, state: State) {
        lock(&self.route).state.send_replace(state);
    }

    /// Leads new connections to another address. Those that are open stay where they are.
    pub(crate) fn lead_to(&self, target: String) {
        lock(&self.route).target = target;
    }

    /// Open connections get no answer any more, as after the death of the machine behind the link.
    pub(crate) fn lose(&self) {
        let mut route = lock(&self.route);
        let lost = std::mem::replace(&mut route.state, watch::Sender::new(State::Open));
        lost.send_replace(State::Stalled);
        route.lost.push(lost);
    }
}

fn lock(route: &Mutex<Route>) -> MutexGuard<'_, Route> {
    route.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn carry(inbound: TcpStream, target: String, state: watch::Receiver<State>) -> anyhow::Result<()> {
    if *state.borrow() == State::Cut {
        return Ok(());
    }
    let outbound = TcpStream::connect(&target).await.with_context(|| target.clone())?;
    inbound.set_nodelay(true)?;
    outbound.set_nodelay(true)?;
    let (from_client, to_client) = inbound.into_split();
    let (from_server, to_server) = outbound.into_split();
    // When one direction ends the other one is of no use.
    tokio::select! {
        () = pump(from_client, to_server, state.clone()) => {}
        () = pump(from_server, to_client, state) => {}
    }
    Ok(())
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut state: watch::Receiver<State>) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        if !is_open(&mut state).await {
            return;
        }
        tokio::select! {
            read = from.read(&mut buffer) => {
                let Ok(number @ 1..) = read else { return };
                // It may have been stalled while this was read.
                if !is_open(&mut state).await || to.write_all(&buffer[..number]).await.is_err() {
                    return;
                }
            }
            changed = state.changed() => if changed.is_err() { return },
        }
    }
}

/// Waits while the link is stalled; false once it is cut.
async fn is_open(state: &mut watch::Receiver<State>) -> bool {
    loop {
        match *state.borrow_and_update() {
            State::Open => return true,
            State::Cut => return false,
            State::Stalled => {}
        }
        if state.changed().await.is_err() {
            return false;
        }
    }
}
