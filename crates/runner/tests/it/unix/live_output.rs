//! Output of a running script.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    thread,
    time::Duration,
};

use runner::{Files, OutputReply, OutputRequest};

use super::{Execution, SOON, execution};

/// Connection of an agent beside the one that supervises the script.
fn connect(execution: &Execution) -> UnixStream {
    let socket = execution.run_dir.file(Files::SOCKET);
    loop {
        if let Ok(stream) = UnixStream::connect(&socket) {
            stream.set_read_timeout(Some(SOON)).unwrap();
            return stream;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn reply(stream: &mut UnixStream) -> OutputReply {
    let mut header = [0; OutputReply::HEADER_BYTES];
    stream.read_exact(&mut header).unwrap();
    let (reply, length) = OutputReply::decode_header(&header).unwrap();
    let mut content = vec![0; length];
    stream.read_exact(&mut content).unwrap();
    OutputReply { content, ..reply }
}

fn ask(stream: &mut UnixStream, from_offset: u64) -> OutputReply {
    stream.write_all(&OutputRequest { from_offset }.encode()).unwrap();
    reply(stream)
}

/// Asks until there is output.
fn ask_for_some(stream: &mut UnixStream, from_offset: u64) -> OutputReply {
    loop {
        let reply = ask(stream, from_offset);
        if !reply.content.is_empty() {
            return reply;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn output_is_read_while_the_script_runs() {
    let execution = execution("live", "echo one; cat go; echo two");
    assert!(std::process::Command::new("mkfifo").arg(execution.work("go")).status().unwrap().success());
    let mut running = execution.start();
    let mut live = connect(&execution);
    let first = ask_for_some(&mut live, 0);
    assert_eq!((first.offset, first.content.as_slice(), first.is_last), (0, &b"one\n"[..], false));
    let nothing = ask(&mut live, 4);
    assert_eq!((nothing.offset, nothing.content.len()), (4, 0));
    std::fs::write(execution.work("go"), "").unwrap();
    let rest = reply(&mut live);
    assert_eq!((rest.offset, rest.content.as_slice(), rest.is_last), (4, &b"two\n"[..], true));
    running.wait_for_end();
    assert_eq!(execution.run_dir.result().unwrap().output, "one\ntwo\n");
}

#[test]
fn rest_of_cut_output_follows_a_gap() {
    let script = "i=0; while [ $i -lt 500 ]; do echo 12345678; i=$((i+1)); done; cat go";
    let execution = execution("live-cut", script);
    assert!(std::process::Command::new("mkfifo").arg(execution.work("go")).status().unwrap().success());
    let mut running = execution.start();
    let mut live = connect(&execution);
    while ask(&mut live, 4_500).offset < 4_500 {}
    let head = ask(&mut live, 500);
    assert_eq!((head.offset, head.content.len()), (500, 500));
    let middle = ask(&mut live, 1_000);
    assert_eq!(middle.offset, 3_500, "the middle is not kept");
    ask(&mut live, 990);
    std::fs::write(execution.work("go"), "").unwrap();
    let rest = reply(&mut live);
    assert_eq!((rest.offset, rest.content.len(), rest.is_last), (3_500, 1_000, true));
    running.wait_for_end();
}

#[test]
fn connection_without_a_request_gets_no_output() {
    let execution = execution("live-not", "echo one");
    let ended = execution.run();
    assert_eq!(ended.output, "one\n");
}
