use proptest::prelude::*;

use super::*;

fn parameter(name: &str, parameter_type: ParameterType) -> Parameter {
    Parameter { name: name.into(), parameter_type, ..Parameter::default() }
}

fn choice(name: &str, allowed: &[&str]) -> Parameter {
    let allowed_values = allowed.iter().copied().map(str::to_owned).collect();
    Parameter { allowed_values, ..parameter(name, ParameterType::Choice) }
}

fn values(given: &[(&str, &str)]) -> ParameterValues {
    given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn of_shell(parameters: &[Parameter]) -> Declaring {
    Declaring {
        script_name: "patch.sh".into(),
        script_type: ScriptType::Shell,
        parameters: parameters.to_vec(),
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> (Reason, String, String) {
    let error = result.unwrap_err();
    (error.reason, error.field.map(|field| field.to_string()).unwrap_or_default(), error.message)
}

#[track_caller]
fn refused_declaration(parameter: Parameter) -> String {
    refused(check_declarations(None, &[parameter])).1
}

#[test]
fn values_and_defaults_go_to_the_scripts_that_declare_them() {
    let level = Parameter { default_value: Some("1".into()), ..parameter("level", ParameterType::Integer) };
    let one = [level.clone(), parameter("Target", ParameterType::String)];
    let two = [Parameter { default_value: Some("2".into()), ..level }];
    let assign = |given: &[(&str, &str)]| assign(&values(given), &[of_shell(&one), of_shell(&two)]).unwrap();
    assert_eq!(assign(&[]), [values(&[("level", "1")]), values(&[("level", "2")])]);
    let given = assign(&[("level", "-7"), ("Target", "$(reboot) `x` ; é\n")]);
    assert_eq!(given[0], values(&[("Target", "$(reboot) `x` ; é\n"), ("level", "-7")]));
    assert_eq!(given[1], values(&[("level", "-7")]));
}

#[test]
fn value_outside_its_declaration_is_refused() {
    let declared = [
        parameter("number", ParameterType::Integer),
        parameter("flag", ParameterType::Boolean),
        choice("ring", &["a", "b"]),
    ];
    let assign = |name, value| refused(assign(&values(&[(name, value)]), &[of_shell(&declared)]));
    for value in ["", "x", "1.0", "+1", "01", " 1", "9223372036854775808", "-0"] {
        assert_eq!(assign("number", value).1, "parameters.number", "{value:?}");
    }
    for value in ["", "True", "1", "yes"] {
        assert_eq!(assign("flag", value).1, "parameters.flag", "{value:?}");
    }
    assert_eq!(assign("ring", "A").2, "\"A\" is not one of a, b");
    assert_eq!(assign("ring", "a\0").1, "parameters.ring");
    let long = "x".repeat(MAX_PARAMETER_VALUE_BYTES + 1);
    assert_eq!(assign("ring", &long).0, Reason::FieldOutOfRange);
    let (reason, field, message) = assign("Ring", "a");
    assert_eq!((reason, field.as_str()), (Reason::FieldInvalid, "parameters.Ring"), "case counts");
    assert_eq!(message, "no script declares this parameter; declared are flag, number, ring");
}

#[test]
fn missing_required_value_is_refused() {
    let declared = [Parameter { is_required: true, ..parameter("ring", ParameterType::String) }];
    let (reason, field, message) = refused(assign(&values(&[]), &[of_shell(&declared)]));
    assert_eq!((reason, field.as_str()), (Reason::FieldRequired, "parameters.ring"));
    assert_eq!(message, "script \"patch.sh\" needs a value");
    assert!(assign(&values(&[("ring", "")]), &[of_shell(&declared)]).is_ok(), "an empty text is a value");
    let of_command = refused(assign(&values(&[("x", "1")]), &[of_shell(&[])])).2;
    assert_eq!(of_command, "no script of the execution declares parameters; a command has none");
}

#[test]
fn value_cannot_become_a_part_of_a_bat_script() {
    let declared = [parameter("x", ParameterType::String)];
    for value in ["a&calc", "%PATH%", "a\"b", "a\r\nb", "!x!", "a|b", "a>b", "^", "(a)"] {
        let bat = Declaring { script_type: ScriptType::Bat, ..of_shell(&declared) };
        assert_eq!(refused(assign(&values(&[("x", value)]), &[bat])).1, "parameters.x", "{value:?}");
        assert!(assign(&values(&[("x", value)]), &[of_shell(&declared)]).is_ok());
    }
    let default = Parameter { default_value: Some("a&b".into()), ..parameter("x", ParameterType::String) };
    assert!(check_declarations(Some(ScriptType::Bat), std::slice::from_ref(&default)).is_err());
    assert!(check_declarations(Some(ScriptType::Powershell), &[default]).is_ok());
}

#[test]
fn declaration_outside_the_rules_is_refused() {
    for name in ["", "1a", "_a", "a-b", "a b", "é", &"x".repeat(MAX_PARAMETER_NAME_CHARS + 1)] {
        assert_eq!(
            refused_declaration(parameter(name, ParameterType::String)),
            "parameters[0].name",
            "{name:?}"
        );
    }
    let ring = || choice("ring", &["a"]);
    let default_value = |value: &str, of| Parameter { default_value: Some(value.into()), ..of };
    assert_eq!(refused_declaration(default_value("b", ring())), "parameters[0].default_value");
    let both = Parameter { is_required: true, ..default_value("a", ring()) };
    assert_eq!(refused_declaration(both), "parameters[0].default_value");
    assert_eq!(refused_declaration(choice("ring", &[])), "parameters[0].allowed_values");
    let boolean = Parameter { parameter_type: ParameterType::Boolean, ..ring() };
    assert_eq!(refused_declaration(boolean), "parameters[0].allowed_values");
    let integer = Parameter { parameter_type: ParameterType::Integer, ..ring() };
    assert_eq!(refused_declaration(integer), "parameters[0].allowed_values");
    let twice = [parameter("ring", ParameterType::String), parameter("RING", ParameterType::String)];
    assert_eq!(refused(check_declarations(None, &twice)).1, "parameters[1].name");
    let many = vec![ring(); MAX_PARAMETERS + 1];
    assert_eq!(refused(check_declarations(None, &many)).1, "parameters");
}

#[test]
fn sum_of_all_values_is_limited() {
    let declared: Vec<Parameter> =
        (0..MAX_PARAMETERS).map(|number| parameter(&format!("p{number}"), ParameterType::String)).collect();
    let value = "x".repeat(MAX_PARAMETER_VALUE_BYTES);
    let given: ParameterValues = declared.iter().map(|it| (it.name.clone(), value.clone())).collect();
    assert_eq!(refused(assign(&given, &[of_shell(&declared)])).1, "parameters");
}

#[test]
fn defaults_count_for_the_limits_of_script_and_task() {
    let with_default = |number: usize| Parameter {
        default_value: Some("x".repeat(MAX_PARAMETER_VALUE_BYTES)),
        ..parameter(&format!("p{number}"), ParameterType::String)
    };
    let four: Vec<Parameter> = (0..4).map(with_default).collect();
    assert_eq!(refused(check_declarations(None, &four)).1, "parameters");
    assert_eq!(refused(assign(&values(&[]), &[of_shell(&four)])).1, "parameters");
    let three = of_shell(&four[..3]);
    assert!(check_declarations(None, &four[..3]).is_ok());
    assert!(assign(&values(&[]), &vec![three.clone(); 5]).is_ok());
    assert_eq!(refused(assign(&values(&[]), &vec![three; 6])).1, "parameters");
}

#[test]
fn default_is_checked_for_the_type_of_its_script() {
    let declared = [Parameter { default_value: Some("a&b".into()), ..parameter("x", ParameterType::String) }];
    let bat = Declaring { script_type: ScriptType::Bat, ..of_shell(&declared) };
    assert_eq!(refused(assign(&values(&[]), &[bat])).1, "parameters.x");
}

#[test]
fn values_change_the_hash_of_a_task() {
    let (none, one) = (values(&[]), values(&[("a", "1")]));
    let hash = |values: &[&ParameterValues]| hash_with(vec![7; 32], values);
    assert_eq!(hash(&[&none, &none]), vec![7; 32]);
    let all = [hash(&[&one]), hash(&[&one, &none]), hash(&[&none, &one]), hash(&[&values(&[("a1", "")])])];
    let distinct: BTreeSet<&Vec<u8>> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn variable_is_no_other_one() {
    assert_eq!(
        (variable("path"), variable("Ld_Preload")),
        ("GRAYWAVE_PARAM_PATH".into(), "GRAYWAVE_PARAM_LD_PRELOAD".into())
    );
}

proptest! {
    #[test]
    fn valid_names_are_valid_variables(name in "\\PC{0,70}") {
        if check_name(&name).is_ok() {
            let variable = variable(&name);
            prop_assert!(variable.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_'));
            prop_assert!(variable.starts_with(VARIABLE_PREFIX));
        }
    }
}
