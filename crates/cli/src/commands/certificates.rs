//! `graywave certificates`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use mtls::{Facts, read_certificates, read_facts};
use proto::admin::{
    AllowCertificateRequest, DeniedCertificate, DenyCertificateRequest, ListDeniedCertificatesRequest,
};

use super::{CommonArgs, ListArgs};
use crate::{
    Error,
    format::time,
    output::{Cell, Column, List, ListItem, cell, pages},
};

/// Arguments of `graywave certificates`; without a subcommand, the denied certificates are listed.
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct CertificatesArgs {
    #[command(flatten)]
    list: ListArgs,
    #[command(subcommand)]
    command: Option<CertificatesCommand>,
}

/// Subcommands of `graywave certificates`.
#[derive(Debug, Clone, Subcommand)]
enum CertificatesCommand {
    /// List denied certificates
    #[command(visible_alias = "list")]
    Ls(ListArgs),
    /// Deny a certificate: all its connections close, and its signatures count no more
    #[command(after_help = "\
Examples:
  graywave certificates deny --file stolen/tls.crt --reason \"host lost\"
  graywave certificates deny 5f:0c:1a:77 --reason \"key leaked\"

Needs a certificate with the role admin. Certificates of enrolled desktops: graywave desktops revoke")]
    Deny(DenyArgs),
    /// Remove a certificate from the deny-list
    Allow(AllowArgs),
}

#[derive(Debug, Clone, Args)]
struct DenyArgs {
    /// Serial number in hex, as logs and `openssl x509 -serial` show it
    #[arg(value_name = "SERIAL", required_unless_present = "file", conflicts_with = "file")]
    serial: Option<String>,
    /// Certificate (PEM), instead of its serial number
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Reason, for the list
    #[arg(long, value_name = "TEXT", default_value_t, hide_default_value = true)]
    reason: String,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Clone, Args)]
struct AllowArgs {
    /// Serial number in hex
    #[arg(value_name = "SERIAL")]
    serial: String,
    #[command(flatten)]
    common: CommonArgs,
}

pub(super) async fn certificates(arguments: CertificatesArgs) -> Result<(), Error> {
    match arguments.command.unwrap_or(CertificatesCommand::Ls(arguments.list)) {
        CertificatesCommand::Ls(it) => ls(it).await,
        CertificatesCommand::Deny(it) => deny(it).await,
        CertificatesCommand::Allow(it) => allow(it).await,
    }
}

async fn ls(arguments: ListArgs) -> Result<(), Error> {
    let (session, mut console) = arguments.common.open().await?;
    pages(&mut console, &arguments.paging, "no certificate is denied", async |page_size, page_token| {
        let request = ListDeniedCertificatesRequest { page_size, page_token };
        let page = session.certificates().list_denied_certificates(request).await;
        let page = page.map_err(|status| Error::of("cannot list denied certificates", &status))?.into_inner();
        Ok((page.certificates, page.next_page_token))
    })
    .await
}

async fn deny(arguments: DenyArgs) -> Result<(), Error> {
    let request = match &arguments.file {
        Some(file) => of_file(file)?,
        None => DenyCertificateRequest {
            serial: arguments.serial.unwrap_or_default(),
            ..DenyCertificateRequest::default()
        },
    };
    let (session, mut console) = arguments.common.open().await?;
    let request = DenyCertificateRequest { reason: arguments.reason, ..request };
    let denied = session.certificates().deny_certificate(request).await;
    let denied = denied.map_err(|status| Error::of("cannot deny the certificate", &status))?.into_inner();
    console.say("workers learn of it with their next heartbeat, and connected desktops at once from them");
    let mut list = List::new(&mut console);
    list.add(denied.certificate.as_slice())?;
    list.end("")
}

/// Request that names the first certificate of a PEM file.
fn of_file(file: &std::path::Path) -> Result<DenyCertificateRequest, Error> {
    let failed = |reason: String| Error::misused(format!("{} {reason}", file.display()));
    let pem = std::fs::read(file).map_err(|error| failed(format!("cannot be read: {error}")))?;
    let certificate = read_certificates(&pem).map_err(failed)?.swap_remove(0);
    let Facts { serial, identity, not_after_unix, .. } = read_facts(&certificate).map_err(failed)?;
    Ok(DenyCertificateRequest {
        serial,
        identity: identity.map(|identity| identity.to_string()).unwrap_or_default(),
        expire_time: Some(prost_types::Timestamp { seconds: not_after_unix, nanos: 0 }),
        reason: String::new(),
    })
}

async fn allow(arguments: AllowArgs) -> Result<(), Error> {
    let (session, console) = arguments.common.open().await?;
    let request = AllowCertificateRequest { serial: arguments.serial };
    let allowed = session.certificates().allow_certificate(request).await;
    allowed.map_err(|status| Error::of("cannot allow the certificate", &status))?;
    console.say("the certificate is no longer denied");
    Ok(())
}

impl ListItem for DeniedCertificate {
    const COLUMNS: &'static [Column] = &[
        Column::text("serial"),
        Column::text("identity"),
        Column::text("reason"),
        Column::text("denied by"),
        Column::text("denied").wide(),
        Column::text("expires").wide(),
    ];

    fn cells(&self) -> Vec<Cell> {
        vec![
            cell(&self.serial),
            cell(&self.identity),
            cell(&self.reason),
            cell(&self.denied_by),
            cell(time(self.deny_time.as_ref())),
            cell(time(self.expire_time.as_ref())),
        ]
    }

    fn id(&self) -> &str {
        &self.serial
    }
}
