//! Creation and rotation of the CA with the CLI.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use crate::harness::{directory, graywave};

/// Runs `graywave ca` in a directory. Returns its output, or its error.
fn ca(at: &Path, arguments: &str) -> Result<String, String> {
    let output = graywave().arg("ca").args(arguments.split_whitespace()).current_dir(at).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[test]
fn certificates_are_issued_and_the_ca_is_rotated() {
    let directory = directory();
    let at = directory.path();
    ca(at, "init --dir ca").unwrap();
    let said =
        ca(at, "issue --dir ca --role scheduler --name s1 --dns s1.example --ip 10.0.0.1 --out s1").unwrap();
    assert!(said.starts_with("issued graywave://role/scheduler/s1 in s1, valid until 20"), "{said}");
    ca(at, "issue --dir ca --project p --desktop d/1 --out d1 --days 7").unwrap();
    for file in ["s1/tls.crt", "s1/ca.crt", "d1/tls.crt"] {
        assert!(fs::read_to_string(at.join(file)).unwrap().contains("BEGIN CERTIFICATE"), "{file}");
    }
    for key in ["ca/ca.key", "s1/tls.key"] {
        assert_eq!(fs::metadata(at.join(key)).unwrap().permissions().mode() & 0o777, 0o600, "{key}");
    }
    assert_eq!(ca(at, "show --dir ca").unwrap().matches("issues").count(), 1);
    ca(at, "rotate --dir ca").unwrap();
    let shown = ca(at, "show --dir ca").unwrap();
    assert_eq!((shown.matches("issues").count(), shown.matches("accepted").count()), (1, 1), "{shown}");
    assert!(ca(at, "drop-old --dir ca").unwrap().starts_with("dropped 1 old"));
    assert_eq!(ca(at, "show --dir ca").unwrap().lines().count(), 2);
}

#[test]
fn what_is_wrong_is_said() {
    let directory = directory();
    let at = directory.path();
    let wrong = |arguments: &str| ca(at, arguments).unwrap_err();
    assert!(wrong("show --dir ca").contains("run `graywave ca init` first"));
    ca(at, "init --dir ca").unwrap();
    let key = fs::read(at.join("ca/ca.key")).unwrap();
    assert!(wrong("init --dir ca").contains("already exists"));
    assert_eq!(fs::read(at.join("ca/ca.key")).unwrap(), key);
    assert!(wrong("issue --dir ca --role worker --name w --out w").contains("--dns or --ip"));
    assert!(
        wrong("issue --dir ca --role king --name w --out w")
            .contains("scheduler, worker, api, admin or signer")
    );
    assert!(wrong("issue --dir ca --role admin --name a/b --out w").contains("a name has 1 to 64"));
    assert!(
        wrong("issue --dir ca --role admin --name a --project p --desktop d --out w")
            .contains("cannot be used")
    );
    assert!(wrong("issue --dir ca --project p --out w").contains("--desktop"));
    let without_project = wrong("issue --dir ca --principal ann --out w");
    assert!(without_project.contains("--project <ID>") && !without_project.contains("--role"));
    assert!(wrong("init --dir other --days 0").contains("from 1 to 36500, like 365"));
    assert!(wrong("issue --dir ca --out w").contains("--role"));
    fs::write(at.join("ca/ca.crt"), "").unwrap();
    assert!(wrong("show --dir ca").contains("no certificate"));
}
