//! Content of the packages: one list for .deb, .rpm and tarball.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::root;

/// Format of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Debian and Ubuntu.
    Deb,
    /// Fedora, RHEL and SUSE.
    Rpm,
}

impl Format {
    /// Directory of the maintainer scripts, below that of the package.
    pub(super) const fn scripts(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Rpm => "rpm",
        }
    }

    /// Directory in which zsh looks for completions of packages.
    const fn zsh(self) -> &'static str {
        match self {
            Self::Deb => "vendor-completions",
            Self::Rpm => "site-functions",
        }
    }
}

/// Kind of a packaged file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Replaced by each version.
    File,
    /// Settings, which an upgrade keeps if an administrator changed them.
    Config,
}

/// A packaged file.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// File on this machine.
    pub(crate) source: PathBuf,
    /// Absolute path on the installed machine.
    pub(crate) target: String,
    /// Permissions, in the low 12 bits.
    pub(crate) mode: u32,
    /// Group; the owner is root.
    pub(crate) group: &'static str,
    /// Kind of the file.
    pub(crate) kind: Kind,
}

/// A package.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    /// Name, which is also the directory of its files below deploy/packages.
    pub(crate) name: &'static str,
    /// One line.
    pub(crate) summary: &'static str,
    /// Sentences below the summary.
    pub(crate) description: &'static str,
    /// Programs in /usr/bin.
    pub(crate) programs: &'static [&'static str],
    /// Files, sorted by their paths.
    pub(crate) entries: Vec<Entry>,
    /// Directory of the maintainer scripts.
    pub(crate) scripts: PathBuf,
}

/// Returns both packages, from the directory of the built programs.
pub(crate) fn packages(programs: &Path, format: Format) -> anyhow::Result<[Package; 2]> {
    let agent = Package {
        name: "graywave-agent",
        summary: "Runs the scripts that Graywave rolls out to this desktop",
        description: "The agent dials a worker of Graywave, executes each ordered script at most once and reports its \
                      result. Scripts go on while the agent is stopped or upgraded.",
        programs: &["graywave-agent", "graywave-runner"],
        entries: Vec::new(),
        scripts: root().join("deploy/packages/graywave-agent").join(format.scripts()),
    };
    let control_plane = Package {
        name: "graywave",
        summary: "Runs scripts on a fleet of desktops in gray waves",
        description: "Control plane and command line of Graywave. A small gray wave runs a script first, and the next \
                      wave opens only while failures stay below the threshold.",
        programs: &["graywave"],
        entries: Vec::new(),
        scripts: root().join("deploy/packages/graywave").join(format.scripts()),
    };
    Ok([
        filled(agent, programs, format, |add| {
            add.settings("agent.env", "/etc/graywave/agent.env", 0o600, "root");
            add.unit("graywave-agent");
            add.own("tmpfiles.conf", "/usr/lib/tmpfiles.d/graywave-agent.conf");
            if format == Format::Deb {
                let needrestart = "/etc/needrestart/conf.d/graywave-agent.conf";
                add.settings("needrestart.conf", needrestart, 0o644, "root");
            }
        })?,
        filled(control_plane, programs, format, |add| {
            // dpkg knows no group that the package itself creates; its postinst sets the group.
            let group = if format == Format::Rpm { "graywave" } else { "root" };
            add.settings("graywave.toml", "/etc/graywave/graywave.toml", 0o640, group);
            for role in ["graywave-api", "graywave-scheduler", "graywave-worker"] {
                add.unit(role);
            }
            add.own("sysusers.conf", "/usr/lib/sysusers.d/graywave.conf");
            add.own("tmpfiles.conf", "/usr/lib/tmpfiles.d/graywave.conf");
        })?,
    ])
}

/// Adds the files that every package has, and those of `more`.
fn filled(
    package: Package,
    programs: &Path,
    format: Format,
    more: impl FnOnce(&mut Adder),
) -> anyhow::Result<Package> {
    let own = root().join("deploy/packages").join(package.name);
    let mut add = Adder { own, entries: Vec::new() };
    for program in package.programs {
        add.entry(programs.join(program), format!("/usr/bin/{program}"), 0o755);
    }
    let name = package.name;
    let man = programs.join("man").join(name);
    let pages = fs::read_dir(&man).with_context(|| format!("no manual pages in {}", man.display()))?;
    for page in pages {
        let page = page?;
        let target = format!("/usr/share/man/man1/{}", page.file_name().to_string_lossy());
        add.entry(page.path(), target, 0o644);
    }
    let completions = programs.join("completions").join(name);
    for (shell, target) in [
        ("bash", format!("/usr/share/bash-completion/completions/{name}")),
        ("zsh", format!("/usr/share/zsh/{}/_{name}", format.zsh())),
        ("fish", format!("/usr/share/fish/vendor_completions.d/{name}.fish")),
    ] {
        add.entry(completions.join(shell), target, 0o644);
    }
    let documents = format!("/usr/share/doc/{name}");
    add.entry(root().join("LICENSE"), format!("{documents}/copyright"), 0o644);
    add.entry(programs.join(format!("{name}.cdx.json")), format!("{documents}/{name}.cdx.json"), 0o644);
    more(&mut add);
    let mut entries = add.entries;
    entries.sort_by(|left, right| left.target.cmp(&right.target));
    Ok(Package { entries, ..package })
}

/// Collects the files of a package.
struct Adder {
    /// Directory of the package's own files.
    own: PathBuf,
    entries: Vec<Entry>,
}

impl Adder {
    fn entry(&mut self, source: PathBuf, target: String, mode: u32) {
        self.entries.push(Entry { source, target, mode, group: "root", kind: Kind::File });
    }

    fn own(&mut self, name: &str, target: &str) {
        self.entry(self.own.join(name), target.to_owned(), 0o644);
    }

    fn unit(&mut self, name: &str) {
        let source = root().join("deploy/systemd").join(format!("{name}.service"));
        self.entry(source, format!("/usr/lib/systemd/system/{name}.service"), 0o644);
    }

    fn settings(&mut self, name: &str, target: &str, mode: u32, group: &'static str) {
        let source = self.own.join(name);
        self.entries.push(Entry { source, target: target.to_owned(), mode, group, kind: Kind::Config });
    }
}
