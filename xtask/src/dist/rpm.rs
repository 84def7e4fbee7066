//! Packages for Fedora, RHEL and SUSE.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use ::rpm::{BuildConfig, CompressionWithLevel, Dependency, FileOptions, PackageBuilder, Scriptlet};
use anyhow::Context as _;

use super::{
    Release,
    content::{Kind, Package},
    libraries,
};

/// Release of the package; a package of the same version that differs gets the next number.
const RELEASE: &str = "1";

/// Builds a package and returns its path.
pub(super) fn build(release: &Release, package: &Package, output: &Path) -> anyhow::Result<PathBuf> {
    let version = release.package_version();
    let architecture = std::env::consts::ARCH;
    let mut builder =
        PackageBuilder::new(package.name, &version, "Apache-2.0", architecture, package.summary);
    // gzip, which every version of rpm reads.
    let compression =
        if release.is_quick() { CompressionWithLevel::None } else { CompressionWithLevel::Gzip(9) };
    let epoch_s = u32::try_from(release.epoch_s).context("the time of the release is out of range")?;
    builder
        .using_config(BuildConfig::v4().compression(compression).source_date(epoch_s))
        .release(RELEASE)
        .build_host("reproducible")
        .description(package.description)
        .vendor("Graywave")
        .url("https://github.com/graywave/graywave")
        .vcs(format!("git:{}", release.commit));
    let mut needed = BTreeSet::new();
    for entry in &package.entries {
        let options = FileOptions::new(&entry.target).permissions(u16::try_from(entry.mode)?);
        let options = options.user("root").group(entry.group);
        let options = match entry.kind {
            Kind::File => options,
            Kind::Config => options.config().noreplace(),
        };
        builder.with_file(&entry.source, options)?;
        if entry.target.starts_with("/usr/bin/") {
            needed.extend(libraries::requirements(&entry.source)?);
        }
    }
    builder.with_dir_entry(FileOptions::dir("/etc/graywave").permissions(0o755))?;
    builder
        .with_dir_entry(FileOptions::dir(format!("/usr/share/doc/{}", package.name)).permissions(0o755))?;
    for (library, symbols) in needed {
        builder.requires(Dependency::any(format!("{library}({symbols})(64bit)")));
    }
    add_scripts(&mut builder, package)?;
    let path = output.join(format!("{}-{version}-{RELEASE}.{architecture}.rpm", package.name));
    builder.build()?.write_file(&path)?;
    Ok(path)
}

/// Adds the scriptlets that the package has.
fn add_scripts(builder: &mut PackageBuilder, package: &Package) -> anyhow::Result<()> {
    let script = |name: &str| -> anyhow::Result<Option<Scriptlet>> {
        let path = package.scripts.join(name);
        let has = path.is_file();
        let text = has.then(|| fs::read_to_string(&path)).transpose()?;
        Ok(text.map(|text| Scriptlet::new(text).prog(vec!["/bin/sh"])))
    };
    if let Some(script) = script("pre")? {
        builder.pre_install_script(script);
    }
    if let Some(script) = script("post")? {
        builder.post_install_script(script);
    }
    if let Some(script) = script("preun")? {
        builder.pre_uninstall_script(script);
    }
    if let Some(script) = script("postun")? {
        builder.post_uninstall_script(script);
    }
    if let Some(script) = script("posttrans")? {
        builder.post_trans_script(script);
    }
    Ok(())
}
