//! The process of a script.

use crate::{fake_worker::FakeWorker, order, start};

#[tokio::test]
async fn script_that_executes_its_own_file_runs_again() {
    let (dir, mut worker) = (tempfile::tempdir().unwrap(), FakeWorker::start().await);
    let agent = start(&worker, dir.path());
    let mut session = worker.session().await;
    let again = "#!/bin/sh\n[ -n \"$AGAIN\" ] || AGAIN=1 exec \"$0\"\necho again";
    let flock = "#!/bin/sh\n[ \"$FLOCKER\" != \"$0\" ] && exec env FLOCKER=\"$0\" flock -en \"$0\" \"$0\" \"$@\" || :\n\
                 echo again";
    for (name, content) in [("exec-again", again), ("exec-flock", flock)] {
        session.order(order(name, &[content])).await;
        let script = session.result().await.scripts.into_iter().next().unwrap();
        assert_eq!((script.outcome.as_str(), script.output.as_str()), ("SUCCESS", "again\n"), "{name}");
    }
    agent.stop().await;
}
