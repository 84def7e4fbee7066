//! The command `check-config`: parses what a role parses at its start, and connects to nothing.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::net::lookup_host;

use super::{certificates, database};
use crate::config::Settings;

/// Checks certificates, database URL and listen addresses. Returns the output of the command.
pub(crate) async fn check(settings: &Settings) -> anyhow::Result<String> {
    certificates::check(&settings.tls, &settings.orders)?;
    if settings.database.source().is_some() {
        settings.store()?;
    }
    settings.partition_store()?;
    settings.api_options()?;
    let api = listen("api.listen", settings.api.address()).await?;
    certificates::https(&settings.api, api).context("api.listen")?;
    if let Some(address) = &settings.admin.listen {
        let resolved = listen("admin.listen", address).await?;
        certificates::admin(&settings.admin, resolved).context("admin.listen")?;
    }
    listen("telemetry.listen", settings.telemetry.address()).await?;
    if let Some(address) = &settings.telemetry.health_listen {
        listen("telemetry.health_listen", address).await?;
    }
    let has_tls = settings.tls.all_or_none().map_err(anyhow::Error::msg)?.is_some();
    let defaults = Settings::default();
    let mut output = String::from("the configuration is valid\n");
    for (key, address, default) in [
        ("scheduler.listen", &settings.scheduler.listen, &defaults.scheduler.listen),
        ("worker.listen", &settings.worker.listen, &defaults.worker.listen),
    ] {
        let resolved = listen(key, address).await?;
        match certificates::only_this_machine(resolved) {
            // A machine without this role keeps the default, so the default is not an error.
            Err(_) if !has_tls && address == default => {
                output
                    .push_str(&format!("note: {key} is {address}, where the role starts only with [tls]\n"));
            }
            Err(error) if !has_tls => return Err(error.context(key)),
            _ => {}
        }
    }
    for warning in database::unverified(settings) {
        output.push_str(&format!("note: {warning}\n"));
    }
    Ok(output)
}

/// Parses a listen address, and resolves its host name.
async fn listen(key: &'static str, address: &str) -> anyhow::Result<SocketAddr> {
    let cannot = || format!("{key}: cannot listen on {address:?}; use HOST:PORT, like 127.0.0.1:9090");
    lookup_host(address).await.with_context(cannot)?.next().with_context(cannot)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn checked(change: impl FnOnce(&mut Settings)) -> Result<String, String> {
        let mut settings = Settings::default();
        change(&mut settings);
        check(&settings).await.map_err(|error| format!("{error:#}"))
    }

    #[tokio::test]
    async fn defaults_are_valid_with_notes_about_tls() {
        let output = checked(|_| ()).await.unwrap();
        assert_eq!(output.lines().next(), Some("the configuration is valid"));
        assert_eq!(output.matches("note: ").count(), 2, "{output}");
        let output = checked(|settings| {
            settings.scheduler.listen = "127.0.0.1:9090".into();
            settings.worker.listen = "[::1]:9443".into();
        });
        assert_eq!(output.await.unwrap(), "the configuration is valid\n");
    }

    #[tokio::test]
    async fn listen_address_that_cannot_be_bound_is_refused() {
        let refused = checked(|settings| settings.api.listen = Some("8080".into())).await.unwrap_err();
        assert!(refused.starts_with("api.listen: cannot listen on \"8080\"; use HOST:PORT"), "{refused}");
        let refused =
            checked(|settings| settings.api.listen = Some("10.0.0.1:8080".into())).await.unwrap_err();
        assert!(refused.starts_with("api.listen: cannot listen on 10.0.0.1:8080 without HTTPS"), "{refused}");
        let accepted = checked(|settings| {
            settings.api.listen = Some("10.0.0.1:8080".into());
            settings.api.insecure = true;
        });
        accepted.await.unwrap();
        let refused = checked(|settings| settings.admin.listen = Some("10.0.0.1:9091".into()));
        let refused = refused.await.unwrap_err();
        assert!(refused.starts_with("admin.listen: cannot listen on 10.0.0.1:9091 without TLS"), "{refused}");
        let refused = checked(|settings| settings.telemetry.listen = Some("127.0.0.1:99999".into()));
        assert!(refused.await.unwrap_err().starts_with("telemetry.listen: "));
        let refused = checked(|settings| settings.scheduler.listen = "10.0.0.1:9090".into());
        let refused = refused.await.unwrap_err();
        assert!(refused.starts_with("scheduler.listen: cannot listen on 10.0.0.1:9090 without TLS"));
    }

    #[tokio::test]
    async fn database_url_that_no_role_accepts_is_refused() {
        for (url, expected) in [
            ("postgres://u@host:port/db", "database.url is not valid: "),
            ("mysql://u@host/db", "database.url is not valid: the scheme is mysql"),
            ("host/db", "database.url is not valid: "),
        ] {
            let refused = checked(|settings| settings.database.url = url.into()).await.unwrap_err();
            assert!(refused.starts_with(expected), "{url}: {refused}");
        }
        let url = |url: &'static str| checked(move |settings| settings.database.url = url.into());
        let output = url("postgresql://u@host/db").await.unwrap();
        assert!(output.contains("note: the connection to the database at host is not"), "{output}");
        for quiet in [
            "postgres://u@127.0.0.1/db",
            "postgres://u@localhost/db",
            "postgres:///db?host=/run/pg",
            "postgres://u@host/db?sslmode=verify-full",
        ] {
            assert!(!url(quiet).await.unwrap().contains("database"), "{quiet}");
        }
    }
}
