//! Secrets never appear in logs at the most verbose level, in spans or in metrics.

use std::{fmt::Write as _, fs, path::Path};

use serde_json::{Value, json};

use crate::{
    cluster::{Cluster, PROJECT, TOKEN},
    collector::Collector,
    harness::{Api, wait_for},
    health,
};

const PASSWORD: &str = "planted-database-password";
const PLANTED_TOKEN: &str = "planted-token-0123456789";
const WRONG_TOKEN: &str = "planted-wrong-token-0123456789";
const SECRET_KEY: &str = "planted-secret-key-0123456789";
const MASTER_KEY: &str = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2";
const COMMAND: &str = "planted-in-a-command";
const SCRIPT: &str = "planted-in-a-script";
const BAD_BODY: &str = "planted-in-a-bad-body";
const QUERY: &str = "planted-in-a-query";
const SIGNATURE: &str = "planted-in-a-signature";

/// Sends accepted and refused calls. Returns the secrets that were created.
fn call(api: &Api, desktops: &[String]) -> Vec<String> {
    let command = format!("echo {COMMAND}; echo {COMMAND} >&2; exit 3");
    api.ended(&api.run(&command, desktops, json!({})));
    let script = json!({"name": "s", "content": format!("echo {SCRIPT}"), "type": "SHELL"});
    let script_id = api.post("/scripts", &script)["script_id"].clone();
    let body = json!({"resource_ids": desktops, "script_ids": [script_id]});
    api.ended(api.post("/script-executions", &body)["task_id"].as_str().unwrap());
    let native = api.native();
    native.put("/access/principals/p", &json!({"policies": ["reader"]}));
    let token = native.post("/access/tokens", &json!({"principal": "p"}));
    let key = native.post("/access/keys", &json!({"principal": "p"}));
    let secret = |answer: &Value, name: &str| answer[name].as_str().unwrap().to_owned();
    let made = vec![secret(&token, "token"), secret(&key, "secret_key")];

    // Refused: an unknown token, a malformed body, an invalid field, a query and a signature.
    assert_eq!(api.with_token(WRONG_TOKEN).try_get("/scripts").unwrap().0, 401);
    assert_eq!(api.with_token(PLANTED_TOKEN).try_get("/scripts").unwrap().0, 200);
    assert_eq!(api.post_with("/script-executions", &[], &json!(BAD_BODY)).0, 400);
    assert_eq!(
        api.post_with("/script-executions", &[], &json!({"command": BAD_BODY, "gray_count": BAD_BODY})).0,
        400
    );
    api.try_get(&format!("/scripts?limit={QUERY}")).unwrap();
    let signed = format!("SDK-HMAC-SHA256 Access=AK, SignedHeaders=host, Signature={SIGNATURE}");
    let unsigned = api.with_token("");
    let (status, _) = unsigned.post_with("/script-executions", &[("Authorization", &signed)], &json!({}));
    assert!((400..500).contains(&status));
    made
}

/// Forms in which a secret may appear: plain, in hex, and as a list of bytes.
fn forms(secret: &str) -> [String; 3] {
    let mut list = String::new();
    for byte in secret.bytes() {
        write!(list, "{byte}, ").unwrap();
    }
    [secret.to_owned(), hex::encode(secret), list.trim_end_matches(", ").to_owned()]
}

/// Collects lines from the middle of every private key under a directory.
fn private_keys(dir: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            private_keys(&path, found);
        } else if path.extension().is_some_and(|end| end == "key") {
            found.extend(fs::read_to_string(&path).unwrap().lines().nth(1).map(str::to_owned));
        }
    }
}

#[test]
fn no_secret_is_told_to_who_watches() {
    let collector = Collector::start();
    let tokens = format!("{PROJECT}:{TOKEN},{PROJECT}:{PLANTED_TOKEN}");
    let mut cluster = Cluster::start_with_passwords(
        PASSWORD,
        &[
            ("RUST_LOG", "trace"),
            ("GRAYWAVE__TELEMETRY__OTLP_ENDPOINT", &collector.url),
            ("GRAYWAVE__TELEMETRY__SAMPLE_RATIO", "1"),
            ("GRAYWAVE_AGENT_OTLP_ENDPOINT", &collector.url),
            ("OTEL_BSP_SCHEDULE_DELAY", "100"),
            ("GRAYWAVE__API__TOKENS", &tokens),
            ("GRAYWAVE__API__KEYS", &format!("{PROJECT}:AKPLANTED:{SECRET_KEY}")),
            ("GRAYWAVE__ACCESS__MASTER_KEYS", MASTER_KEY),
        ],
    );
    let desktops = cluster.add_agents(2);
    cluster.create_project();
    let mut secrets = call(&cluster.api, &desktops);
    wait_for("spans of scripts", || {
        collector.spans().iter().any(|exported| exported.span.name == "script").then_some(())
    });
    let keys = secrets.len();
    private_keys(&cluster.directory.path().join("pki"), &mut secrets);
    assert!(secrets.len() > keys + 4, "the CA, two schedulers, two workers, two agents");
    secrets.extend(
        [
            PASSWORD,
            PLANTED_TOKEN,
            WRONG_TOKEN,
            SECRET_KEY,
            MASTER_KEY,
            COMMAND,
            SCRIPT,
            BAD_BODY,
            QUERY,
            SIGNATURE,
            TOKEN,
        ]
        .map(str::to_owned),
    );

    let mut outputs = vec![("spans".to_owned(), format!("{:#?}", collector.spans()))];
    for name in ["api", "scheduler", "worker", "agents"] {
        let log = fs::read_to_string(cluster.log(name)).unwrap();
        assert!(log.contains("TRACE"), "{name} does not log at level TRACE");
        let served = log.lines().filter(|line| line.contains("metrics and health are served"));
        for line in served {
            let (_, address) = line.rsplit_once("address=").unwrap();
            let address = address.split_whitespace().next().unwrap();
            outputs.push((format!("metrics of {name}"), health::get(address, "/metrics").1));
        }
        outputs.push((format!("log of {name}"), log));
    }
    assert!(outputs.len() >= 5 + 5, "spans, four logs, and the metrics of five roles");
    let mut found = Vec::new();
    for (place, text) in &outputs {
        for secret in &secrets {
            for form in forms(secret) {
                let line = text.lines().find(|line| line.contains(&form));
                found.extend(line.map(|line| {
                    let line: String = line.chars().take(600).collect();
                    format!("{place}: {secret}: {line}")
                }));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
