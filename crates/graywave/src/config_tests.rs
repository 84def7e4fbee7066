use super::*;

fn load(toml: &str, variables: &[(&str, &str)], database_url: Option<&str>) -> anyhow::Result<Settings> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("graywave.toml");
    std::fs::write(&path, toml)?;
    let variables = variables.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let environment = Environment::with_prefix("GRAYWAVE").source(Some(variables));
    Settings::from_source(Some(&path), environment, database_url.map(str::to_owned))
}

#[test]
fn the_environment_wins_over_the_file_and_lists_are_split() {
    let settings = load(
        "[api]\nlisten = \"127.0.0.1:1\"\n[scheduler]\nlease_ms = 5000\n",
        &[
            ("GRAYWAVE__API__LISTEN", "127.0.0.1:2"),
            ("GRAYWAVE__RETENTION__TASKS_DAYS", "0"),
            ("GRAYWAVE__API__TOKENS", "p1:0123456789abcdef,p2:fedcba9876543210"),
            ("GRAYWAVE__WORKER__SCHEDULER_URLS", "http://a:1,http://b:2"),
        ],
        None,
    )
    .unwrap();
    assert_eq!(settings.api.address(), "127.0.0.1:2");
    assert_eq!(settings.api.tokens.len(), 2);
    assert_eq!(settings.worker.scheduler_urls, ["http://a:1", "http://b:2"]);
    assert_eq!(settings.scheduler.lease_ms, 5_000);
    assert_eq!((settings.retention.tasks_days, settings.retention.audit_days), (0, 400));
}

#[test]
fn database_url_is_honoured_unless_the_configuration_names_one() {
    assert_eq!(load("", &[], Some("postgres://x/y")).unwrap().database.url, "postgres://x/y");
    let settings = load("[database]\nurl = \"postgres://a/b\"", &[], Some("postgres://x/y")).unwrap();
    assert_eq!(settings.database.url, "postgres://a/b");
    assert!(load("", &[], None).unwrap().store().unwrap_err().to_string().contains("DATABASE_URL"));
}

#[test]
fn database_url_file_replaces_the_url() {
    let variables = [
        ("GRAYWAVE__DATABASE__URL_FILE", "/nowhere/url"),
        ("GRAYWAVE__DATABASE__CA_FILE", "/nowhere/ca"),
        ("GRAYWAVE__DATABASE__PARTITION_URL_FILE", "/nowhere/partition-url"),
    ];
    let settings = load("", &variables, Some("postgres://x/y")).unwrap();
    let refused = |error: anyhow::Error| format!("{error:#}");
    let expected = "database.url_file: cannot read /nowhere/url";
    assert!(refused(settings.store().unwrap_err()).starts_with(expected));
    let expected = "database.partition_url_file: cannot read /nowhere/partition-url";
    assert!(refused(settings.partition_store().unwrap_err()).starts_with(expected));
    let settings = load("[database]\nurl = \"postgres://a/b\"", &variables[1..2], None).unwrap();
    assert!(refused(settings.store().unwrap_err()).starts_with("database.ca_file: cannot read /nowhere/ca"));
    for key in ["url", "partition_url"] {
        let both = format!("[database]\n{key} = \"postgres://a/b\"\n{key}_file = \"f\"");
        let error = refused(load(&both, &[], None).unwrap_err());
        assert!(
            error.contains(&format!("database.{key} and database.{key}_file exclude each other")),
            "{error}"
        );
    }
}

#[test]
fn cell_comes_from_the_environment_and_is_checked() {
    let cell = |value: &str| load("", &[("GRAYWAVE__TELEMETRY__CELL", value)], None);
    assert_eq!(cell("7").unwrap().telemetry.cell(), Some("7"), "a number is a name too");
    assert_eq!(cell("").unwrap().telemetry.cell(), None);
    let error = format!("{:#}", cell("a b").unwrap_err());
    assert!(error.contains("telemetry.cell \"a b\" is not valid"), "{error}");
}

#[test]
fn api_listens_on_loopback_unless_encrypted_or_insecure() {
    let address = |toml: &str| load(toml, &[], None).unwrap().api.address().to_owned();
    assert_eq!(address(""), "127.0.0.1:8080");
    assert_eq!(address("[api]\ninsecure = true"), "0.0.0.0:8080");
    assert_eq!(address("[api]\ntls_cert_file = \"c\"\ntls_key_file = \"k\""), "0.0.0.0:8080");
}

#[test]
fn what_is_wrong_is_named() {
    let wrong = |toml: &str| format!("{:#}", load(toml, &[], None).unwrap_err());
    assert!(wrong("[api]\nlisten_on = \"x\"").contains("listen_on"));
    assert!(wrong("[api]\ntokens = [\"p:short\"]").contains("16 characters"));
    assert!(wrong("[api]\nkeys = [\"p:ak\"]").contains("project_id:access_key:secret_key"));
    assert!(wrong("[api]\nrate_per_second = 0").contains("rate_per_second"));
    assert!(wrong("[access]\nmaster_keys = [\"abc\"]").contains("64 hex digits"));
    assert!(wrong("[access]\ncluster_admins = [\"p\"]").contains("project_id:principal"));
    assert!(wrong("[access]\nmaster_key_file = \"/nowhere\"").contains("/nowhere"));
    assert!(wrong("[api]\ntls_key_file = \"k\"").contains("api.tls_cert_file"));
    assert!(wrong("[admin]\nlisten = \"127.0.0.1:1\"\nkey_file = \"k\"").contains("admin.cert_file"));
    assert!(wrong("[admin]\ncert_file = \"c\"\nkey_file = \"k\"").contains("requires admin.listen"));
    assert!(wrong("[admin]\nmax_connections = 0").contains("admin.max_connections"));
    assert!(wrong("[database]\nlist_timeout_ms = 0").contains("list_timeout_ms"));
    assert!(wrong("[scheduler]\nworker_timeout_ms = 1").contains("worker_timeout_ms"));
    assert!(wrong("[retention]\naudit_days = 36501").contains("retention.audit_days"));
    assert!(wrong("[retention]\ntasks_days = -1").contains("tasks_days"));
    assert!(wrong("[worker]\ncapacity = 0").contains("worker.capacity"));
    assert!(wrong("[telemetry]\nsample_ratio = 2").contains("telemetry.sample_ratio"));
    assert!(wrong("[tls]\nca_file = \"ca.crt\"").contains("all three"));
    assert!(wrong("[orders]\nkey_file = \"k\"").contains("name both"));
    assert!(wrong("[orders]\nkey_file = \"k\"\ncert_file = \"c\"").contains("orders requires TLS"));
    assert!(wrong("[enrolment]\nissuer_key_file = \"x\"").contains("set both"));
    assert!(wrong("[enrolment]\nissuer_key_file = \"x\"\nissuer_cert_file = \"y\"").contains("tls.ca_file"));
    assert!(wrong("[enrolment]\ncertificate_days = 0").contains("certificate_days"));
    assert!(wrong("[enrolment]\ncertificate_days = nan").contains("certificate_days"));
    assert!(wrong("[tasks]\nexecution_timeout_ms = 0").contains("tasks"));
}
