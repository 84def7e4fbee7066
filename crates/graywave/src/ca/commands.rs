//! The commands, and what they print.

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
use crate::table::table;

/// Make and rotate the CA, issue certificates.
#[derive(Debug, Subcommand)]
pub(crate) enum Ca {
    /// Make a CA: ca.crt, which every part gets, and ca.key, which stays here
    #[command(after_help = "\
Example:
  graywave ca init --dir ca
Whoever has ca.key can pass for any part and any desktop. Keep it off the machines that serve.")]
    Init {
        #[command(flatten)]
        place: Place,
        /// Good for so many days
        #[arg(long, value_name = "N", default_value_t = 3650, value_parser = days())]
        days: u16,
    },
    /// Issue a certificate: tls.crt, tls.key and ca.crt in a directory, replacing what is there
    #[command(after_help = "\
Examples:
  graywave ca issue --dir ca --role scheduler --name s1 --dns scheduler.example --out s1
  graywave ca issue --dir ca --role worker --name w1 --ip 10.0.0.7 --out w1
  graywave ca issue --dir ca --role signer --name s1 --out signer
  graywave ca issue --dir ca --role admin --name ann --out ann
  graywave ca issue --dir ca --project my-project --desktop desktop-1 --out desktop-1")]
    Issue(Issue),
    /// Make an issuer, with which schedulers sign certificates of desktops that enrol: issuer.crt and issuer.key
    #[command(after_help = "\
Example:
  graywave ca issuer --dir ca --out issuer
Name both files in [enrolment] of every scheduler; a new issuer takes the place of the old one without a restart.
Whoever has issuer.key can pass for any desktop, and for no other part: their certificates come from the CA alone.")]
    Issuer {
        #[command(flatten)]
        place: Place,
        /// Directory for the files; it is made where there is none
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Good for so many days, and no longer than its CA; no certificate outlives it
        #[arg(long, value_name = "N", default_value_t = 1095, value_parser = days())]
        days: u16,
    },
    /// Make a new CA beside the old one: certificates of both are accepted by whoever has the new ca.crt
    #[command(after_help = "\
To rotate without an interruption:
  graywave ca rotate --dir ca            then bring ca.crt to every part and every desktop,
  graywave ca issue ...                  then issue every certificate anew,
  graywave ca drop-old --dir ca          then bring ca.crt to all of them again.
Nothing is restarted: files are looked at every few seconds.")]
    Rotate {
        #[command(flatten)]
        place: Place,
        /// Good for so many days
        #[arg(long, value_name = "N", default_value_t = 3650, value_parser = days())]
        days: u16,
    },
    /// Take all CAs but the newest out of ca.crt: certificates of the others are refused by whoever has it
    DropOld {
        #[command(flatten)]
        place: Place,
    },
    /// Show the CAs of a directory, the one that issues first
    Show {
        #[command(flatten)]
        place: Place,
    },
}

/// Where the CA is.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Directory of the CA
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
}

impl Place {
    fn directory(&self) -> Directory {
        Directory::new(&self.dir)
    }
}

/// Issue a certificate.
#[derive(Debug, Args)]
pub(crate) struct Issue {
    #[command(flatten)]
    place: Place,
    /// Of a part of the control plane: scheduler, worker, api, admin, or the signer of what schedulers order
    #[arg(long, requires = "name", conflicts_with_all = ["project", "desktop", "principal"],
          required_unless_present = "project")]
    role: Option<Role>,
    /// Name of the part; a worker's id will carry it
    #[arg(long, requires = "role")]
    name: Option<String>,
    /// Of a principal or an agent: its project
    #[arg(long, value_name = "ID", requires = "of")]
    project: Option<String>,
    /// Name of the principal, who may then call the admin service without a token
    #[arg(long, value_name = "NAME", requires = "project", group = "of")]
    principal: Option<String>,
    /// The desktop's id
    #[arg(long, value_name = "ID", requires = "project", group = "of")]
    desktop: Option<String>,
    /// Name under which it is dialled; repeat for several
    #[arg(long, value_name = "NAME", requires = "role")]
    dns: Vec<String>,
    /// Address under which it is dialled; repeat for several
    #[arg(long, value_name = "ADDR", requires = "role")]
    ip: Vec<IpAddr>,
    /// Directory for the files; it is made where there is none
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Good for so many days, and no longer than its CA
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = days())]
    days: u16,
}

fn days() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..=36_500)
}

/// Does it and returns what is to be printed.
pub(crate) fn run(command: Ca) -> anyhow::Result<String> {
    match command {
        Ca::Init { place, days } => {
            let directory = place.directory();
            let authority = Authority::make(days, Utc::now())?;
            directory.init(&authority)?;
            Ok(format!(
                "a CA is made in {}: keep {} secret\n",
                place.dir.display(),
                directory.key().display()
            ))
        }
        Ca::Issue(issue) => issued(issue),
        Ca::Issuer { place, out, days } => {
            let (authority, _) = place.directory().load()?;
            let (certificate, key, until) = authority.issuer(days, Utc::now())?;
            directory::put_issuer(&out, &certificate, &key)?;
            Ok(format!(
                "an issuer of desktops' certificates is in {}, good until {}\n",
                out.display(),
                day(until)
            ))
        }
        Ca::Rotate { place, days } => {
            place.directory().rotate(&Authority::make(days, Utc::now())?)?;
            Ok("a new CA issues from now on; bring ca.crt to every part before you issue with it\n"
                .to_owned())
        }
        Ca::DropOld { place } => {
            let dropped = place.directory().drop_old()?;
            Ok(format!("{dropped} old CAs are dropped; bring ca.crt to every part\n"))
        }
        Ca::Show { place } => show(&place.dir),
    }
}

fn issued(issue: Issue) -> anyhow::Result<String> {
    let Issue { place, role, name, project, principal, desktop, dns, ip, out, days } = issue;
    let identity = match (role.zip(name), project, principal, desktop) {
        (Some((role, name)), ..) => Identity::role(role, &name)?,
        (_, Some(project), Some(principal), _) => Identity::principal(&project, &principal)?,
        (_, Some(project), _, Some(desktop)) => Identity::desktop(&project, &desktop)?,
        _ => anyhow::bail!("say of whom: --role and --name, or --project with --principal or --desktop"),
    };
    let directory = place.directory();
    let (authority, trusted) = directory.load()?;
    let wanted = Wanted { identity, dns, ip, days };
    let pair = issue::issue(&authority, &wanted, Utc::now())?;
    directory::put_pair(&out, &pair, &trusted)?;
    let mut said = format!("{} is in {}", wanted.identity, out.display());
    write!(said, ", good until {}", day(pair.not_after_unix))?;
    if pair.is_cut {
        said.push_str(", which is the end of its CA");
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
    Ok(table(&["subject", "serial", "from", "until", "state"], rows.into_iter()))
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
