use std::{
    io::{self, PipeWriter, Write as _},
    os::fd::OwnedFd,
    time::Instant,
};

use super::*;

fn pipe() -> (Receiver, PipeWriter) {
    let (reader, writer) = io::pipe().unwrap();
    (Receiver::from_owned_fd(OwnedFd::from(reader)).unwrap(), writer)
}

/// Whether a reader is still attached.
fn is_read(writer: &mut PipeWriter) -> bool {
    match writer.write(b"x") {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::BrokenPipe => false,
        Err(error) => panic!("{error}"),
    }
}

async fn closed(writer: &mut PipeWriter) {
    let started = Instant::now();
    while is_read(writer) {
        assert!(started.elapsed() < Duration::from_secs(30), "the pipe stays open");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn more_than_a_pipe_holds_is_read() {
    let drains = Drains::default();
    let (reader, mut writer) = pipe();
    drains.add(reader);
    tokio::task::spawn_blocking(move || writer.write_all(&vec![0; 4 * READ_BYTES])).await.unwrap().unwrap();
}

#[tokio::test]
async fn drain_beyond_the_limit_closes_the_oldest() {
    let drains = Drains::default();
    let mut writers: Vec<_> = (0..MAX_DRAINS)
        .map(|_| {
            let (reader, writer) = pipe();
            drains.add(reader);
            writer
        })
        .collect();
    // The end of a writer makes room.
    drop(writers.pop());
    while drains.open.lock().unwrap().iter().all(|drain| !drain.is_finished()) {
        tokio::task::yield_now().await;
    }
    let (reader, writer) = pipe();
    drains.add(reader);
    writers.push(writer);
    assert!(writers.iter_mut().all(is_read));
    let (reader, writer) = pipe();
    drains.add(reader);
    closed(&mut writers[0]).await;
    writers.push(writer);
    assert!(writers.iter_mut().skip(1).all(is_read));
    assert_eq!(drains.open.lock().unwrap().len(), MAX_DRAINS);
}

#[tokio::test]
async fn drains_end_with_their_agent() {
    let drains = Drains::default();
    let (reader, mut writer) = pipe();
    drains.add(reader);
    assert!(is_read(&mut writer));
    drop(drains);
    closed(&mut writer).await;
}
