//! Small source trees with and without circles.

use std::fs;

use super::{circles::Circle, in_crate, known};

fn circles(files: &[(&str, &str)]) -> Vec<Circle> {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let file = directory.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    let mut circles = in_crate(&directory.path().join("lib.rs")).unwrap();
    circles.iter_mut().for_each(|circle| circle.make_relative_to(directory.path()));
    circles
}

fn shown(files: &[(&str, &str)]) -> Vec<String> {
    circles(files).iter().map(ToString::to_string).collect()
}

#[test]
fn use_of_each_other_is_a_circle_with_places() {
    let found = shown(&[
        ("lib.rs", "mod a;\nmod b;\n"),
        ("a.rs", "use crate::b::B;\npub struct A(B);\n"),
        ("b.rs", "pub struct B;\n\nfn f(_: super::a::A) {}\n"),
    ]);
    assert_eq!(found, ["a -> b -> a\n    a -> b at a.rs:1\n    b -> a at b.rs:3"]);
}

#[test]
fn dependencies_in_one_direction_are_no_circle() {
    let found = shown(&[
        ("lib.rs", "mod a;\nmod b;\nmod c;\nuse a::A;\n"),
        ("a.rs", "use crate::{b::B, c};\npub struct A(B);\n"),
        ("b.rs", "use crate::c::C;\npub struct B(C);\n"),
        ("c.rs", "pub struct C;\n"),
    ]);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn circle_of_three_names_the_whole_way() {
    let found = shown(&[
        ("lib.rs", "mod a;\nmod b;\nmod c;\n"),
        ("a.rs", "fn f() { crate::b::f(); }\n"),
        ("b.rs", "use super::c;\npub fn f() { c::f() }\n"),
        ("c.rs", "pub fn f() { println!(\"{}\", crate::a::NUMBER); }\n"),
    ]);
    let places = "\n    a -> b at a.rs:1\n    b -> c at b.rs:1\n    c -> a at c.rs:1";
    assert_eq!(found, [format!("a -> b -> c -> a{places}")]);
}

#[test]
fn circle_below_a_module_is_found() {
    let found = shown(&[
        ("lib.rs", "mod top;\n"),
        ("top/mod.rs", "mod a;\nmod b { use super::a::A; pub struct B; }\n"),
        ("top/a.rs", "use super::b::B;\npub struct A;\n"),
    ]);
    let places = "\n    top::a -> top::b at top/a.rs:1\n    top::b -> top::a at top/mod.rs:2";
    assert_eq!(found, [format!("top::a -> top::b -> top::a{places}")]);
}

#[test]
fn nested_modules_make_a_circle_of_their_parents() {
    let found = shown(&[
        ("lib.rs", "mod a;\nmod b;\n"),
        ("a.rs", "mod inner;\n"),
        ("a/inner.rs", "use crate::b::other::B;\n"),
        ("b/mod.rs", "pub mod other;\nuse crate::a;\n"),
        ("b/other.rs", "pub struct B;\n"),
    ]);
    assert_eq!(found, ["a -> b -> a\n    a -> b at a/inner.rs:1\n    b -> a at b/mod.rs:2"]);
}

#[test]
fn re_export_of_the_root_leads_to_its_module() {
    let found = shown(&[
        ("lib.rs", "mod a;\nmod b;\npub use a::A;\npub use self::b::{B as Renamed};\n"),
        ("a.rs", "use crate::Renamed;\npub struct A;\n"),
        ("b.rs", "use crate::A;\npub struct B;\n"),
    ]);
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn code_for_tests_makes_no_circle() {
    let found = shown(&[
        ("lib.rs", "mod a;\nmod b;\n#[cfg(test)]\nmod missing;\n"),
        ("a.rs", "use crate::b::B;\npub struct A;\n"),
        (
            "b.rs",
            "#[cfg(test)]\nmod tests { use crate::a::A; }\n#[cfg(any(test, windows))]\nuse crate::a::A;\npub struct B;\n",
        ),
    ]);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn paths_into_other_crates_are_left_out() {
    let found = shown(&[
        ("lib.rs", "mod a;\nmod b;\n"),
        ("a.rs", "use b::B;\nuse std::fmt;\nfn f() { ::b::f(); tokio::spawn(fmt::f()); }\n"),
        ("b.rs", "use crate::a;\n"),
    ]);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn list_of_known_circles_can_only_shrink() {
    let files = [("lib.rs", "mod a;\nmod b;\n"), ("a.rs", "use crate::b;\n"), ("b.rs", "use crate::a;\n")];
    let found: Vec<_> = circles(&files).into_iter().map(|circle| ("store".to_owned(), circle)).collect();
    assert_eq!(known::faults(&found, &[("store", &["a", "b"])]), Vec::<String>::new());
    assert_eq!(known::faults(&found, &[]).len(), 1);
    let gone = known::faults(&found, &[("store", &["a", "b"]), ("sim", &["c", "d"])]);
    assert_eq!(
        gone,
        ["the circle of c, d in sim no longer exists: delete it from xtask/src/layers/modules/known.rs"]
    );
}
