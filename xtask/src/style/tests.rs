use super::*;

fn messages(path: &str, text: &str) -> Vec<(usize, String)> {
    let faults = faults_of(Path::new(path), text);
    faults.into_iter().map(|fault| (fault.line.unwrap_or_default(), fault.message)).collect()
}

fn lines(path: &str, text: &str) -> Vec<usize> {
    messages(path, text).into_iter().map(|(line, _)| line).collect()
}

#[test]
fn banned_phrase_in_prose_is_a_fault() {
    assert_eq!(
        lines("crates/x/src/a.rs", "// Whoever asks.\nlet whoever = 1;\nlet a = \"so many\";\n"),
        [1, 3]
    );
    assert_eq!(lines("migrations/a.sql", "-- It is told.\nSELECT 1;\n"), [1]);
    assert_eq!(lines("docs/a.md", "```\nwhoever\n```\nwhoever\n"), [4]);
}

#[test]
fn banned_phrase_names_its_replacement() {
    let [(_, message)] = messages("a.md", "the desktop is away").try_into().unwrap();
    assert_eq!(message, "\"is away\" is banned; write is offline");
}

#[test]
fn part_of_a_word_is_no_phrase() {
    assert!(lines("a.md", "renewal and anewer, is_away").is_empty());
}

#[test]
fn raw_strings_and_quotes_do_not_confuse_lines() {
    let text = "let a = r#\"\n// \" \"#;\n// whoever\n";
    assert_eq!(lines("crates/x/src/a.rs", text), [3]);
}

#[test]
fn long_comment_is_a_fault_and_long_code_is_not() {
    let long = "x".repeat(100);
    assert_eq!(lines("crates/x/src/a.rs", &format!("// {long}\nlet {long} = 1;\n")), [1]);
    assert_eq!(lines("docs/a.md", &format!("| {long} {long} |\n{long} {long}\n")), [2]);
}

#[test]
fn doc_comment_of_one_word_is_a_fault() {
    assert_eq!(
        lines("crates/x/src/a.rs", "/// Whose.\na: u32,\n/// First line,\n/// second.\nb: u32,\n"),
        [1]
    );
}

#[test]
fn decision_by_a_message_is_a_fault_outside_of_tests() {
    let decision = "if error.message().contains(\"x\") {}\n";
    assert_eq!(lines("crates/x/src/a.rs", decision), [1]);
    assert!(lines("crates/x/tests/it/a.rs", decision).is_empty());
    assert!(lines("crates/x/src/a.rs", &format!("#[cfg(test)]\nmod tests {{\n{decision}}}\n")).is_empty());
}

#[test]
fn long_test_name_is_a_fault_and_other_long_names_are_not() {
    let long = "x".repeat(61);
    let test = |attribute: &str, name: &str| format!("{attribute}\n#[ignore]\nasync fn {name}() {{}}\n");
    assert_eq!(lines("crates/x/src/a.rs", &test("#[test]", &long)), [3]);
    assert_eq!(lines("crates/x/src/a.rs", &test("    #[tokio::test(start_paused = true)]", &long)), [3]);
    assert!(lines("crates/x/src/a.rs", &test("#[test]", &"x".repeat(60))).is_empty());
    assert!(lines("crates/x/src/a.rs", &format!("#[test]\nfn short() {{}}\nfn {long}() {{}}\n")).is_empty());
}

#[test]
fn long_commit_subject_is_a_fault() {
    assert_eq!(commits::too_long("abc fix: a short subject"), None);
    let fault = commits::too_long(&format!("abc {}", "x".repeat(73))).unwrap();
    assert!(fault.message.starts_with("commit abc: a subject of 73 characters, at most 72"));
}

#[test]
fn tests_that_the_threat_model_names_exist() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let page = read("docs/threat-model.md");
    let code = sources::files(|path| path.ends_with(".rs")).unwrap();
    let code: String = code.iter().map(|path| read(path)).collect();
    let names: Vec<&str> =
        page.split('`').skip(1).step_by(2).filter(|word| word.contains('_') && !word.contains('.')).collect();
    assert!(names.len() > 40, "{names:?}");
    for name in names {
        assert!(code.contains(&format!("fn {name}(")), "no test is named {name}");
    }
}
