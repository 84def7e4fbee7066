//! Contexts and the environment.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command};

use insta::assert_snapshot;

use super::operator::{Operator, settings};

#[test]
fn contexts_are_readable_by_the_user_alone() {
    let operator = Operator::new();
    let _guard = settings().bind_to_scope();
    let (grpc, token) = (operator.text("grpc").to_owned(), operator.text("token").to_owned());
    let login = |context: &str, token: &str| {
        let mut command = operator.bare(&["login", "--context", context, "--grpc", &grpc]);
        let file = operator.path("token");
        fs::write(&file, format!("{token}\n")).unwrap();
        command.stdin(fs::File::open(file).unwrap()).output().unwrap()
    };
    let refused = login("prod", "wrong");
    assert_eq!(refused.status.code(), Some(5));
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(
        message.contains("try: graywave admin tokens create") && !message.contains("try: graywave login")
    );
    let file = operator.path("contexts.toml");
    assert!(!file.exists(), "an invalid token is not saved");
    assert!(login("prod", &token).status.success() && login("other", &token).status.success());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let good = |arguments: &[&str]| {
        let output = operator.bare(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(good(&["desktops", "-o", "name"]).lines().count(), 6);
    assert_snapshot!("contexts", good(&["config"]));
    let shown = good(&["config", "show", "prod"]);
    assert!(!shown.contains(&token), "{shown}");
    assert_snapshot!("context", shown);
    good(&["config", "use", "prod"]);
    assert!(good(&["config"]).contains("*        prod"));
    good(&["config", "rm", "prod"]);
    assert!(good(&["config", "path"]).trim() == file.to_str().unwrap());
    let none = operator.bare(&["ls"]).output().unwrap();
    assert_eq!(none.status.code(), Some(2), "there is no current context");
    // A file that others can read is refused.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let open = operator.bare(&["ls", "--context", "other"]).output().unwrap();
    assert!(open.status.code() == Some(2) && String::from_utf8_lossy(&open.stderr).contains("chmod 600"));
}

#[test]
fn env_file_of_dev_cluster_is_enough() {
    let operator = Operator::new();
    let environment = operator.path("data/env");
    let line = format!(". {} && {} desktops -o name", environment.display(), env!("CARGO_BIN_EXE_graywave"));
    let output = Command::new("sh")
        .args(["-c", &line])
        .env("GRAYWAVE_CONTEXTS", operator.path("none"))
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).lines().count(),
        6,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
