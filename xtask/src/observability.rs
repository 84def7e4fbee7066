//! `cargo xtask observability`: checks deploy/observability with promtool and against the metrics
//! that exist.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::{install, process, root, say};

/// Suffixes of the series of a histogram.
const PARTS_OF_HISTOGRAMS: [&str; 3] = ["_bucket", "_count", "_sum"];
/// Variables of Grafana in expressions, each with a possible value.
const VARIABLES: [(&str, &str); 1] = [("$__rate_interval", "1m")];
/// Head of the rules as an object of the Prometheus operator.
const RULE_OBJECT: &str = "\
# Generated from deploy/observability/prometheus/rules.yml by `cargo xtask observability --write`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: graywave
spec:
";

/// Runs all checks; with `write`, first regenerates the copy of the rules for Kubernetes.
pub(crate) fn run(write: bool) -> anyhow::Result<()> {
    install::promtool()?;
    let directory = root().join("deploy/observability");
    let prometheus = directory.join("prometheus");
    say("-- configuration and rules");
    promtool(&prometheus, &["check", "config", "prometheus.yml"])?;
    promtool(&prometheus, &["test", "rules", "rules_test.yml"])?;
    let rules = read(&prometheus.join("rules.yml"))?;
    every_alert_is_tested(&rules, &read(&prometheus.join("rules_test.yml"))?)?;
    copy_for_kubernetes(&rules, write)?;
    say("-- dashboard");
    let dashboard: Value = serde_json::from_str(&read(&directory.join("grafana/dashboards/graywave.json"))?)
        .context("the dashboard is not valid JSON")?;
    let sources = read(&directory.join("grafana/provisioning/datasources/graywave.yml"))?;
    let expressions = check_panels(&dashboard, &sources)?;
    parse(&expressions)?;
    say("-- names of metrics");
    let metrics = metrics(&read(&root().join("docs/metrics.md"))?);
    if metrics.is_empty() {
        bail!("docs/metrics.md lists no metric");
    }
    let recorded = values_of(&rules, "- record:");
    let texts = expressions.iter().map(String::as_str).chain([rules.as_str()]);
    let unknown: BTreeSet<String> =
        texts.flat_map(names).filter(|name| !is_known(name, &metrics, &recorded)).collect();
    if !unknown.is_empty() {
        bail!("no role exports these metrics: {unknown:?}");
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn promtool(directory: &Path, arguments: &[&str]) -> anyhow::Result<()> {
    process::run(Command::new("promtool").args(arguments).current_dir(directory).stdout(Stdio::null()))
}

/// Returns the values of a key in YAML with one key per line.
fn values_of(yaml: &str, key: &str) -> BTreeSet<String> {
    yaml.lines()
        .filter_map(|line| line.trim().strip_prefix(key))
        .map(|value| value.trim().to_owned())
        .collect()
}

fn every_alert_is_tested(rules: &str, tests: &str) -> anyhow::Result<()> {
    // Only an alert that fires in a test has its own line in the tests.
    let fired = values_of(tests, "alertname:");
    let silent: Vec<String> =
        values_of(rules, "- alert:").into_iter().filter(|alert| !fired.contains(alert)).collect();
    if silent.is_empty() { Ok(()) } else { bail!("these alerts fire in no test: {silent:?}") }
}

fn copy_for_kubernetes(rules: &str, write: bool) -> anyhow::Result<()> {
    let path: PathBuf = root().join("deploy/kubernetes/components/monitoring/rules.yaml");
    let body = rules.lines().skip_while(|line| *line != "groups:");
    let mut wanted = RULE_OBJECT.to_owned();
    for line in body {
        wanted.push_str(if line.is_empty() { "" } else { "  " });
        wanted.push_str(line);
        wanted.push('\n');
    }
    if write {
        fs::write(&path, &wanted)?;
    }
    if read(&path)? != wanted {
        bail!("{} differs from the rules: run `cargo xtask observability --write`", path.display());
    }
    Ok(())
}

/// Checks that each panel has a title, a unit, an expression and a provisioned data source. Returns
/// all expressions.
fn check_panels(dashboard: &Value, sources: &str) -> anyhow::Result<Vec<String>> {
    let known = values_of(sources, "uid:");
    let panels = dashboard["panels"].as_array().context("the dashboard has no panels")?;
    let mut ids = BTreeSet::new();
    let mut expressions = Vec::new();
    for panel in panels {
        let title =
            panel["title"].as_str().filter(|title| !title.is_empty()).context("a panel has no title")?;
        if !ids.insert(panel["id"].as_u64()) {
            bail!("panel {title:?} has the id of another panel");
        }
        if panel["type"] == "row" {
            continue;
        }
        if panel["fieldConfig"]["defaults"]["unit"].as_str().is_none_or(str::is_empty) {
            bail!("panel {title:?} has no unit");
        }
        let targets = panel["targets"].as_array().filter(|targets| !targets.is_empty());
        for target in targets.with_context(|| format!("panel {title:?} has no query"))? {
            check_source(target, &known).with_context(|| format!("panel {title:?}"))?;
            expressions.push(expression(target).with_context(|| format!("panel {title:?}"))?);
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().into_iter().flatten() {
        check_source(annotation, &known).context("an annotation")?;
        expressions.push(expression(annotation).context("an annotation")?);
    }
    Ok(expressions)
}

fn check_source(asks: &Value, known: &BTreeSet<String>) -> anyhow::Result<()> {
    let uid = asks["datasource"]["uid"].as_str().unwrap_or_default();
    if known.contains(uid) {
        Ok(())
    } else {
        bail!("data source {uid:?} is not provisioned; provisioned: {known:?}")
    }
}

fn expression(asks: &Value) -> anyhow::Result<String> {
    Ok(asks["expr"].as_str().filter(|text| !text.is_empty()).context("no expression")?.to_owned())
}

/// Checks that Prometheus parses all expressions, by writing them as recording rules. JSON is valid
/// YAML.
fn parse(expressions: &[String]) -> anyhow::Result<()> {
    let rules: Vec<Value> = expressions
        .iter()
        .enumerate()
        .map(|(number, expression)| {
            let plain = VARIABLES
                .iter()
                .fold(expression.clone(), |text, (variable, value)| text.replace(variable, value));
            json!({"record": format!("panel:{number}"), "expr": plain})
        })
        .collect();
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("panels.yml");
    fs::write(&file, json!({"groups": [{"name": "panels", "rules": rules}]}).to_string())?;
    process::run(
        Command::new("promtool").args(["check", "rules", "--lint=none"]).arg(file).stdout(Stdio::null()),
    )
}

/// Returns the metrics listed in docs/metrics.md, which a test compares with the code.
fn metrics(page: &str) -> BTreeSet<String> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `graywave_"));
    rows.filter_map(|row| Some(format!("graywave_{}", row.split_once('`')?.0))).collect()
}

/// Returns all words that look like a metric of Graywave.
fn names(text: &str) -> Vec<String> {
    let words =
        text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_' || letter == ':'));
    let ours = words.filter(|word| word.starts_with("graywave_") || word.starts_with("graywave:"));
    ours.map(str::to_owned).collect()
}

fn is_known(name: &str, metrics: &BTreeSet<String>, recorded: &BTreeSet<String>) -> bool {
    let part = |suffix: &&str| name.strip_suffix(suffix).is_some_and(|whole| metrics.contains(whole));
    recorded.contains(name) || metrics.contains(name) || PARTS_OF_HISTOGRAMS.iter().any(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCES: &str = "datasources:\n  - name: P\n    uid: p\n";

    fn dashboard(unit: &str, uid: &str) -> Value {
        let target = json!({"datasource": {"uid": uid}, "expr": "up"});
        let panel = json!({"id": 1, "type": "stat", "title": "t", "targets": [target],
                           "fieldConfig": {"defaults": {"unit": unit}}});
        json!({"panels": [panel]})
    }

    #[test]
    fn a_panel_needs_a_unit_and_a_source_that_is_there() {
        assert_eq!(check_panels(&dashboard("s", "p"), SOURCES).unwrap(), ["up"]);
        assert!(check_panels(&dashboard("", "p"), SOURCES).unwrap_err().to_string().contains("no unit"));
        let error = format!("{:#}", check_panels(&dashboard("s", "q"), SOURCES).unwrap_err());
        assert!(error.contains("not provisioned"), "{error}");
    }

    #[test]
    fn documented_histogram_part_or_recorded_metric_is_known() {
        let metrics = metrics("| `graywave_a_seconds` | x |\n| `graywave_b_total` | x |\n");
        let recorded = values_of("  - record: graywave:a:p99\n", "- record:");
        let text =
            "sum(rate(graywave_a_seconds_bucket[1m])) / graywave_b_total + graywave:a:p99 + graywave_c_sum";
        let unknown: Vec<String> =
            names(text).into_iter().filter(|name| !is_known(name, &metrics, &recorded)).collect();
        assert_eq!(unknown, ["graywave_c_sum"]);
    }

    #[test]
    fn an_alert_that_no_test_lets_fire_is_found() {
        let rules = "- alert: A\n- alert: B\n";
        let error = every_alert_is_tested(rules, "- {alertname: B}\n  alertname: A\n").unwrap_err();
        assert!(error.to_string().contains("[\"B\"]"), "{error}");
    }
}
