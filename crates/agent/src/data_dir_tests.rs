use super::*;

#[test]
fn second_agent_is_not_admitted_while_the_first_runs() {
    let dir = tempfile::tempdir().unwrap();
    let lock = DirLock::acquire(dir.path()).unwrap();
    assert!(matches!(DirLock::acquire(dir.path()), Err(Error::Locked(_))));
    drop(lock);
    DirLock::acquire(dir.path()).unwrap();
}

#[test]
fn path_longer_than_260_characters_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let long = dir.path().join("d".repeat(120)).join("e".repeat(120));
    let lock = DirLock::acquire(&long).unwrap();
    replace(&long.join("file"), b"1").unwrap();
    replace(&long.join("file"), b"2").unwrap();
    assert_eq!(fs::read_to_string(long.join("file")).unwrap(), "2");
    drop(lock);
}

#[test]
fn replacement_passes_by_what_is_in_its_way() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    fs::create_dir_all(dir.path().join("a.new/kept")).unwrap();
    fs::create_dir_all(path.join("kept")).unwrap();
    replace(&path, b"1").unwrap().write_all(b"2").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "12");
    let mut names: Vec<_> = dir
        .path()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["a.log", "a.log.unusable-0", "a.new"]);
}

#[test]
fn many_entries_set_aside_do_not_prevent_another() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    for _ in 0..20 {
        fs::create_dir(&path).unwrap();
        restore_file(&path).unwrap();
    }
    assert_eq!(dir.path().read_dir().unwrap().count(), 20);
}

#[test]
fn many_directories_in_the_way_do_not_prevent_a_replacement() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    fs::create_dir_all(dir.path().join("a.new/kept")).unwrap();
    for number in 1..20 {
        fs::create_dir_all(dir.path().join(format!("a.new-{number}/kept"))).unwrap();
    }
    replace(&path, b"1").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "1");
}
