//! Error messages for invalid usage.

use std::{fs, net::TcpListener};

use crate::harness::{Dev, directory, graywave};

fn refused(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = graywave()
        .args(arguments)
        .env_remove("DATABASE_URL")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    assert!(!output.status.success(), "{arguments:?}");
    assert!(output.stdout.is_empty(), "errors go to standard error");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn roles_without_a_database_say_how_to_name_one() {
    for role in ["api", "scheduler", "migrate"] {
        let text = refused(
            &[role],
            &[("GRAYWAVE__API__LISTEN", "127.0.0.1:0"), ("GRAYWAVE__SCHEDULER__LISTEN", "127.0.0.1:0")],
        );
        assert!(text.contains("set DATABASE_URL"), "{role}: {text}");
    }
}

#[test]
fn unreachable_database_is_named_once() {
    let url = ("DATABASE_URL", "postgres://u@127.0.0.1:1/db");
    for arguments in [&["admin", "projects", "ls"][..], &["audit", "verify"], &["migrate"]] {
        let text =
            String::from_utf8(graywave().args(arguments).envs([url]).output().unwrap().stderr).unwrap();
        let expected = "error: cannot reach Postgres at 127.0.0.1:1: connection refused\n";
        assert_eq!(text, expected, "{arguments:?}");
    }
}

#[test]
fn a_port_in_use_is_named() {
    let directory = directory();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = directory.path().join("data");
    let text = refused(&["dev", "--http", &address, "--data-dir", data.to_str().unwrap()], &[]);
    assert!(text.contains(&format!("cannot listen on {address}")), "{text}");
}

#[test]
fn second_cluster_on_one_directory_is_refused_harmlessly() {
    let directory = directory();
    let data = directory.path().join("data");
    let dev = Dev::start(&data, 1, &[]);
    let free = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--agents", "127.0.0.1:0"];
    let arguments = [&["dev", "--data-dir", data.to_str().unwrap()][..], &free].concat();
    assert!(refused(&arguments, &[]).contains("another graywave dev uses"));
    assert_eq!(dev.api.connected(1).len(), 1);
}

#[test]
fn check_config_names_what_is_wrong_and_says_when_it_is_good() {
    let directory = directory();
    let path = directory.path().join("graywave.toml");
    fs::write(&path, "[worker]\ncapacty = 5\n").unwrap();
    let text = refused(&["--config", path.to_str().unwrap(), "check-config"], &[]);
    assert!(text.contains("capacty"), "{text}");
    fs::write(&path, "[worker]\ncapacity = 5\n").unwrap();
    let output = graywave().args(["check-config", "--config", path.to_str().unwrap()]).output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("the configuration is valid\n"));
    let wrong_url = [("DATABASE_URL", "postgres://u@host:port/db")];
    assert!(refused(&["check-config"], &wrong_url).contains("database.url is not valid"));
    let wrong_address = [("GRAYWAVE__API__LISTEN", "127.0.0.1")];
    assert!(refused(&["check-config"], &wrong_address).contains("api.listen: cannot listen on"));
    assert!(refused(&["--config", "nowhere.toml", "check-config"], &[]).contains("nowhere.toml"));
}
