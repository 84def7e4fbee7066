//! Retirement of a desktop: its agent is refused, its targets do not run, and unretiring restores
//! it.

use std::fs;

use proto::admin::{
    Desktop, RetireDesktopRequest, TagDesktopRequest, UnretireDesktopRequest,
    desktop_service_client::DesktopServiceClient,
};
use serde_json::json;

use crate::{
    harness::{Api, Dev, directory, wait_for},
    operator::Operator,
};

fn retire(dev: &Dev, desktop_id: &str) {
    let operator = Operator::new(dev);
    let call = operator.request(RetireDesktopRequest { desktop_id: desktop_id.to_owned() });
    operator.answer(DesktopServiceClient::new(operator.channel.clone()).retire_desktop(call));
}

fn unretire(dev: &Dev, desktop_id: &str) {
    let operator = Operator::new(dev);
    let call = operator.request(UnretireDesktopRequest { desktop_id: desktop_id.to_owned() });
    operator.answer(DesktopServiceClient::new(operator.channel.clone()).unretire_desktop(call));
}

fn tag(dev: &Dev, desktop_id: &str, name: &str, value: &str) -> Desktop {
    let operator = Operator::new(dev);
    let set = [(name.to_owned(), value.to_owned())].into();
    let change = TagDesktopRequest { desktop_id: desktop_id.to_owned(), set, remove: Vec::new() };
    let call = operator.request(change);
    let answer = operator.answer(DesktopServiceClient::new(operator.channel.clone()).tag_desktop(call));
    answer.desktop.unwrap()
}

fn runs_on(api: &Api, desktops: &[String]) {
    let task = api.run("true", desktops, json!({}));
    assert_eq!(api.ended(&task)["status"], "SUCCESS");
}

#[test]
fn retired_desktop_is_refused_and_its_tags_outlast_the_agent() {
    let directory = directory();
    let data = directory.path().join("data");
    let mut dev = Dev::start(&data, 2, &[]);
    let desktops = dev.api.connected(2);
    let [retired, stays] = &desktops[..] else { panic!("{desktops:?}") };
    let gate = directory.path().join("go");
    let waits = format!("while [ ! -e {} ]; do sleep 0.05; done", gate.display());
    let running = dev.api.run(&waits, std::slice::from_ref(retired), json!({}));
    let is_running = || dev.api.records(&running).first().is_some_and(|record| record["status"] == "RUNNING");
    wait_for("the script on its desktop", || is_running().then_some(()));

    retire(&dev, retired);
    assert_eq!(dev.api.connected(1), std::slice::from_ref(stays));
    let log = data.with_extension("log");
    let refused = || fs::read_to_string(&log).unwrap().contains("this desktop is retired");
    wait_for("the refused agent", || refused().then_some(()));
    let body = json!({"resource_ids": desktops, "command": "true", "command_type": "SHELL"});
    let (status, answer) = dev.api.post_with("/script-executions", &[], &body);
    assert_eq!(status, 409, "{answer}");
    assert!(answer.to_string().contains(&format!("are retired: {retired}")), "{answer}");
    // Its running script continues. The agent reports the result after it reconnects.
    fs::write(&gate, "").unwrap();
    assert!(dev.api.task(&running)["end_time"].is_null());
    unretire(&dev, retired);
    assert_eq!(dev.api.ended(&running)["status"], "SUCCESS");
    runs_on(&dev.api, &dev.api.connected(2));

    // Retirement and tags survive a restart of the whole cluster.
    retire(&dev, retired);
    assert_eq!(tag(&dev, stays, "owner", "ann").tags["owner"], "ann");
    assert!(dev.process.stop().success());
    let again = Dev::start(&data, 2, &[]);
    assert_eq!(again.api.connected(1), std::slice::from_ref(stays));
    let shown = again.api.native().get(&format!("/desktops/{stays}"));
    assert_eq!(shown["tags"]["owner"], "ann", "{shown}");
}
