//! A database that becomes unreachable without an error.

use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};
use store::{Error, PoolOptions, Store};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Upper bound for the detection, which takes up to two plus five seconds. The rest allows for a
/// slow machine.
const FOUND_WITHIN: Duration = Duration::from_secs(20);

/// Creates a proxy to a port. After the last signal it drops data of the connections that are open
/// then.
async fn link(port: String, lost: watch::Receiver<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut inbound, _)) = listener.accept().await {
            let (port, mut lost) = (port.clone(), lost.clone());
            lost.mark_unchanged();
            tokio::spawn(async move {
                let mut outbound = TcpStream::connect(port).await.unwrap();
                tokio::select! {
                    _ = copy_bidirectional(&mut inbound, &mut outbound) => {}
                    _ = lost.changed() => std::future::pending().await,
                }
            });
        }
    });
    address.to_string()
}

/// Waits until a store has this number of idle connections: the listener's, the pool's, and the
/// watchdog's.
async fn until_connected(url: &str, number: i64) {
    let mut aside = PgConnection::connect(url).await.unwrap();
    let idle = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'graywave' AND state = 'idle'";
    let connected = async {
        while sqlx::query_scalar::<_, i64>(idle).fetch_one(&mut aside).await.unwrap() < number {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(FOUND_WITHIN, connected).await.unwrap();
}

async fn answer(store: &Store) -> Result<(), Error> {
    store.unless_silent(store.ping()).await
}

#[tokio::test]
async fn lost_database_fails_waiters_and_closes_connections() {
    let directory = crate::standby::directory();
    let cluster = crate::standby::cluster(&directory);
    let url = cluster.url("postgres");
    let server = url.trim_start_matches("postgres://graywave@").trim_end_matches("/postgres").to_owned();
    let (lose, lost) = watch::channel(());
    let by_link = link(server.clone(), lost).await;
    let options = PoolOptions { max_connections: 2, ..PoolOptions::new(url.replace(&server, &by_link)) };
    let store = Store::connect(&options).unwrap();
    let watching = tokio::spawn({
        let store = store.clone();
        async move { store.watch().await }
    });
    let listener = store::notify::Listener::connect(&store).await.unwrap();
    answer(&store).await.unwrap();
    until_connected(&url, 3).await;

    lose.send(()).unwrap();
    let begun = Instant::now();
    let hears = async {
        let mut listener = listener;
        listener.next().await
    };
    let (answered, heard) = tokio::join!(answer(&store), hears);
    assert!(answered.unwrap_err().is_unavailable());
    assert!(heard.unwrap_err().is_unavailable());
    assert!(begun.elapsed() < FOUND_WITHIN, "{:?}", begun.elapsed());
    // The listener's connection cannot close cleanly, and the pool has room for one more: this one
    // is new.
    answer(&store).await.unwrap();
    watching.abort();
}
