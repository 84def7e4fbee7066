//! Help and manual pages.

use std::{fs, path::Path};

use insta::assert_snapshot;

use super::operator::settings;
use crate::harness::{directory, graywave};

#[test]
fn help_and_man_pages_list_every_command() {
    let help = |arguments: &[&str]| {
        let output = graywave().args(arguments).env("COLUMNS", "100").output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| line.trim_end().to_owned() + "\n")
            .collect::<String>()
    };
    let _guard = settings().bind_to_scope();
    assert_snapshot!("help", help(&["--help"]));
    assert_snapshot!("help_run", help(&["run", "-h"]));
    assert_snapshot!("help_stop", help(&["stop", "--help"]));
    let directory = directory();
    let pages = |path: &Path| {
        fs::read_dir(path)
            .unwrap()
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect::<Vec<_>>()
    };
    let path = directory.path().join("man");
    help(&["man", "--dir", path.to_str().unwrap()]);
    let pages = pages(&path);
    for page in ["graywave.1", "graywave-run.1", "graywave-desktops-tag.1"] {
        assert!(pages.contains(&page.to_owned()), "{page} of {pages:?}");
    }
    assert!(fs::read_to_string(path.join("graywave-run.1")).unwrap().contains("fail\\-threshold"));
}
