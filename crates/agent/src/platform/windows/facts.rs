//! Facts about this machine, from the registry.

use std::path::Path;

use windows_registry::LOCAL_MACHINE;

const VERSION: &str = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion";
const NETWORK: &str = r"SYSTEM\CurrentControlSet\Services\Tcpip\Parameters";

/// First build of Windows 11, whose registry still names its predecessor.
const WINDOWS_11_BUILD: u32 = 22_000;

/// Name of this machine, with its domain if it has one.
pub(crate) fn host_name() -> String {
    let read = |name: &str| LOCAL_MACHINE.open(NETWORK).and_then(|key| key.get_string(name));
    let host = read("NV Hostname").or_else(|_| read("Hostname")).ok().filter(|host| !host.is_empty());
    let host = host.or_else(|| std::env::var("COMPUTERNAME").ok()).unwrap_or_default();
    match read("NV Domain").or_else(|_| read("Domain")) {
        Ok(domain) if !domain.is_empty() => format!("{host}.{domain}"),
        _ => host,
    }
}

/// Files of a directory can be executed.
pub(crate) fn is_noexec(_dir: &Path) -> bool {
    false
}

/// Name, release and build of Windows.
pub(crate) fn os_version() -> String {
    let Ok(key) = LOCAL_MACHINE.open(VERSION) else { return "Windows".to_owned() };
    let text = |name: &str| key.get_string(name).unwrap_or_default();
    let release = [text("DisplayVersion"), text("ReleaseId")].into_iter().find(|text| !text.is_empty());
    let build = text("CurrentBuild").parse().unwrap_or_default();
    describe(&text("ProductName"), &release.unwrap_or_default(), build, key.get_u32("UBR").ok())
}

fn describe(product: &str, release: &str, build: u32, revision: Option<u32>) -> String {
    let product = if product.is_empty() { "Windows" } else { product };
    let is_server = product.contains("Server");
    let product = match product.strip_prefix("Windows 10") {
        Some(edition) if build >= WINDOWS_11_BUILD && !is_server => format!("Windows 11{edition}"),
        _ => product.to_owned(),
    };
    let release = if release.is_empty() { String::new() } else { format!(" {release}") };
    let revision = revision.map(|revision| format!(".{revision}")).unwrap_or_default();
    format!("{product}{release}, build {build}{revision}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_names_product_release_and_build() {
        let eleven = describe("Windows 10 Pro", "23H2", 22_631, Some(3_007));
        assert_eq!(eleven, "Windows 11 Pro 23H2, build 22631.3007");
        assert_eq!(describe("Windows 10 Pro", "", 19_045, None), "Windows 10 Pro, build 19045");
        let server = describe("Windows Server 2022 Standard", "21H2", 20_348, Some(1));
        assert_eq!(server, "Windows Server 2022 Standard 21H2, build 20348.1");
        assert_eq!(describe("", "", 0, None), "Windows, build 0");
    }

    #[test]
    fn this_machine_has_a_name_and_a_version() {
        assert!(!host_name().is_empty());
        assert!(os_version().contains("build "), "{}", os_version());
    }
}
