//! The CA commands and their output.

use std::{
    fmt::Write as _,
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use mtls::{Facts, Identity, Role, read_facts};

use super::{
    authority::Authority,
    directory::{self, Directory},
    issue::{self, Wanted},
};
use cli::{number, plain_table};

/// Make and rotate the CA, issue certificates.
#[derive(Debug, Subcommand)]
pub(crate) enum Ca {
    /// Create a CA: ca.crt, for every role and desktop, and ca.key, which stays private
    #[command(after_help = "\
Example:
  graywave ca init --dir ca
ca.key can impersonate any role and any desktop. Keep it off the machines that serve.")]
    Init {
        #[command(flatten)]
        ca: CaDir,
        /// Lifetime in days
        #[arg(long, value_name = "N", default_value_t = 3650, value_parser = days())]
        days: u16,
    },
    /// Issue a certificate: writes tls.crt, tls.key and ca.crt, replacing existing files
    #[command(after_help = "\
Examples:
  graywave ca issue --dir ca --role scheduler --name s1 --out s1 \\
    --dns scheduler.example
  graywave ca issue --dir ca --role worker --name w1 --ip 10.0.0.7 --out w1
  graywave ca issue --dir ca --role signer --name s1 --out signer
  graywave ca issue --dir ca --role admin --name ann --out ann
  graywave ca issue --dir ca --server --dns graywave.example.com --out admin
  graywave ca issue --dir ca --project my-project --desktop desktop-1 \\
    --out desktop-1")]
    Issue(Issue),
    /// Create the issuer (issuer.crt, issuer.key) that schedulers sign desktop certificates with
    #[command(after_help = "\
Example:
  graywave ca issuer --dir ca --out issuer
Name both files in [enrolment] of every scheduler. A new issuer replaces the old one \
without a restart. issuer.key can impersonate any desktop, but no role: role certificates come from the CA only.")]
    Issuer {
        #[command(flatten)]
        ca: CaDir,
        /// Output directory; created if missing
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Lifetime in days, limited by the CA's
        #[arg(long, value_name = "N", default_value_t = 1095, value_parser = days())]
        days: u16,
    },
    /// Add a new CA; peers with the new ca.crt accept certificates of both CAs
    #[command(after_help = "\
To rotate without downtime:
  graywave ca rotate --dir ca       then copy ca.crt to all roles and desktops
  graywave ca issue ...             for every certificate, and `ca issuer`
  (wait enrolment.certificate_days, until all desktops have renewed)
  graywave ca drop-old --dir ca     then copy ca.crt to all of them again
No restart is needed: files are reloaded every few seconds.")]
    Rotate {
        #[command(flatten)]
        ca: CaDir,
        /// Lifetime in days
        #[arg(long, value_name = "N", default_value_t = 3650, value_parser = days())]
        days: u16,
    },
    /// Remove all CAs but the newest from ca.crt; certificates of the others are refused
    DropOld {
        #[command(flatten)]
        ca: CaDir,
    },
    /// Show the CAs of a directory, the issuing CA first
    Show {
        #[command(flatten)]
        ca: CaDir,
    },
}

/// Directory flag of the CA commands.
#[derive(Debug, Args)]
pub(crate) struct CaDir {
    /// CA directory
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

impl CaDir {
    fn directory(&self) -> Directory {
        Directory::new(&self.dir)
    }
}

/// Issue a certificate.
#[derive(Debug, Args)]
pub(crate) struct Issue {
    #[command(flatten)]
    ca: CaDir,
    /// Role: scheduler, worker, api, admin, or signer (signs the orders of a scheduler)
    #[arg(long, requires = "name", group = "dialled", conflicts_with_all = ["project", "desktop", "principal"],
          required_unless_present_any = ["project", "principal", "desktop", "server"])]
    role: Option<Role>,
    /// Server certificate without an identity, for admin.cert_file or api.tls_cert_file
    #[arg(long, group = "dialled", conflicts_with_all = ["role", "project", "desktop", "principal"])]
    server: bool,
    /// Name of the instance; part of a worker's id
    #[arg(long, requires = "role")]
    name: Option<String>,
    /// Project of the principal or the desktop
    #[arg(long, value_name = "ID", requires = "of")]
    project: Option<String>,
    /// Principal, which can call the admin service without a token
    #[arg(long, value_name = "NAME", requires = "project", group = "of")]
    principal: Option<String>,
    /// Desktop id
    #[arg(long, value_name = "ID", requires = "project", group = "of")]
    desktop: Option<String>,
    /// DNS name that clients connect to; repeat for several
    #[arg(long, value_name = "NAME", requires = "dialled")]
    dns: Vec<String>,
    /// IP address that clients connect to; repeat for several
    #[arg(long, value_name = "ADDR", requires = "dialled")]
    ip: Vec<IpAddr>,
    /// Output directory; created if missing
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Lifetime in days, limited by the CA's [default: 365; 30 for a signer]
    #[arg(long, value_name = "N", value_parser = days())]
    days: Option<u16>,
    /// Allow a signer that is valid for more than 30 days
    #[arg(long, requires = "role")]
    long_lived_signer: bool,
}

/// Default lifetime of a certificate, in days.
const DEFAULT_DAYS: u16 = 365;
/// Default and maximum lifetime of a signer's certificate, in days. A stolen signer's key starts
/// scripts until it is denied or expires.
const SIGNER_DAYS: u16 = 30;

/// Lifetime of a certificate in days.
fn lifetime(identity: Option<&Identity>, asked: Option<u16>, allows_long: bool) -> anyhow::Result<u16> {
    if !identity.is_some_and(|identity| identity.has_role(Role::Signer)) {
        return Ok(asked.unwrap_or(DEFAULT_DAYS));
    }
    let days = asked.unwrap_or(SIGNER_DAYS);
    if days > SIGNER_DAYS && !allows_long {
        anyhow::bail!(
            "--days {days}: a signer is valid for at most {SIGNER_DAYS} days, because its stolen key starts scripts \
             everywhere; renew it more often (docs/tls.md), or give --long-lived-signer"
        );
    }
    Ok(days)
}

fn days() -> impl Fn(&str) -> Result<u16, String> + Clone + Send + Sync {
    number(1, 36_500, 365)
}

/// Runs the command and returns its output.
pub(crate) fn run(command: Ca) -> anyhow::Result<String> {
    match command {
        Ca::Init { ca, days } => {
            let directory = ca.directory();
            let authority = Authority::make(days, Utc::now())?;
            directory.init(&authority)?;
            Ok(format!("created a CA in {}; keep {} secret\n", ca.dir.display(), directory.key().display()))
        }
        Ca::Issue(issue) => issued(issue),
        Ca::Issuer { ca, out, days } => {
            let (authority, _) = ca.directory().load()?;
            let (certificate, key, until) = authority.issuer(days, Utc::now())?;
            directory::put_issuer(&out, &certificate, &key)?;
            Ok(format!("created an issuer in {}, valid until {}\n", out.display(), day(until)))
        }
        Ca::Rotate { ca, days } => {
            ca.directory().rotate(&Authority::make(days, Utc::now())?)?;
            Ok("created a new issuing CA; copy ca.crt to every role and desktop before you issue certificates\n"
                .to_owned())
        }
        Ca::DropOld { ca } => {
            let dropped = ca.directory().drop_old()?;
            Ok(format!("dropped {dropped} old CAs; copy ca.crt to every role and desktop\n"))
        }
        Ca::Show { ca } => show(&ca.dir),
    }
}

fn issued(issue: Issue) -> anyhow::Result<String> {
    let Issue { ca, role, name, server, project, principal, desktop, dns, ip, out, days, long_lived_signer } =
        issue;
    let identity = match (role.zip(name), project, principal, desktop) {
        _ if server => None,
        (Some((role, name)), ..) => Some(Identity::role(role, &name)?),
        (_, Some(project), Some(principal), _) => Some(Identity::principal(&project, &principal)?),
        (_, Some(project), _, Some(desktop)) => Some(Identity::desktop(&project, &desktop)?),
        _ => anyhow::bail!(
            "no subject: give --role and --name, --project with --principal or --desktop, or --server"
        ),
    };
    let days = lifetime(identity.as_ref(), days, long_lived_signer)?;
    let directory = ca.directory();
    let (authority, trusted) = directory.load()?;
    let wanted = Wanted { identity, dns, ip, days };
    let pair = issue::issue(&authority, &wanted, Utc::now())?;
    directory::put_pair(&out, &pair, &trusted)?;
    let subject = wanted.identity.map_or_else(|| "a server certificate".to_owned(), |it| it.to_string());
    let mut said = format!("issued {subject} in {}", out.display());
    write!(said, ", valid until {}", day(pair.not_after_unix))?;
    if pair.is_cut {
        said.push_str(", when its CA expires");
    }
    Ok(said + "\n")
}

fn show(dir: &Path) -> anyhow::Result<String> {
    let (authority, trusted) = Directory::new(dir).load()?;
    let mut found = mtls::read_certificates(trusted.as_bytes()).map_err(anyhow::Error::msg)?;
    found.sort_by_key(|certificate| certificate != authority.certificate());
    let rows = found.iter().enumerate().map(|(place, certificate)| {
        let facts = read_facts(certificate).map_err(anyhow::Error::msg).context("ca.crt")?;
        let state = if place == 0 { "issues" } else { "accepted" };
        Ok(row(&facts, state))
    });
    let rows = rows.collect::<anyhow::Result<Vec<_>>>()?;
    Ok(plain_table(&["subject", "serial", "from", "until", "state"], rows.into_iter()))
}

fn row(facts: &Facts, state: &str) -> Vec<String> {
    let is_over = facts.not_after_unix < Utc::now().timestamp();
    let state = if is_over { "expired" } else { state };
    let (from, until) = (day(facts.not_before_unix), day(facts.not_after_unix));
    vec![facts.subject.clone(), facts.serial.clone(), from, until, state.to_owned()]
}

fn day(unix: i64) -> String {
    DateTime::<Utc>::from_timestamp(unix, 0).unwrap_or_default().format("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signer_lives_a_month_unless_the_flag_allows_more() {
        let [signer, worker] = [Role::Signer, Role::Worker].map(|role| Identity::role(role, "x").unwrap());
        let lifetime = |identity, asked, allows_long| lifetime(Some(identity), asked, allows_long);
        assert_eq!(lifetime(&worker, None, false).unwrap(), 365);
        assert_eq!(lifetime(&worker, Some(1_000), false).unwrap(), 1_000);
        assert_eq!(lifetime(&signer, None, false).unwrap(), 30);
        assert_eq!(lifetime(&signer, Some(7), false).unwrap(), 7);
        let refused = lifetime(&signer, Some(31), false).unwrap_err().to_string();
        assert!(refused.contains("at most 30 days") && refused.contains("--long-lived-signer"), "{refused}");
        assert_eq!(lifetime(&signer, Some(31), true).unwrap(), 31);
    }
}
