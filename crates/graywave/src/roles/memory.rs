//! Memory limit of this process: of its cgroup, or of the machine.

use std::{
    fs,
    path::{Path, PathBuf},
};

use domain::worker_memory::MemoryLimit;

/// Mount point of control groups, as systemd and container engines have it.
const CGROUPS: &str = "sys/fs/cgroup";

/// Reads the memory limit; `None` where none can be read, as on other systems than Linux.
pub(crate) fn limit() -> Option<MemoryLimit> {
    limit_below(Path::new("/"))
}

/// Returns the smallest limit of the cgroup, its ancestors and the machine, in the file system
/// below `root`.
fn limit_below(root: &Path) -> Option<MemoryLimit> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().filter_map(parse_group).flat_map(|group| limits_of(root, &group));
    limits.chain(machine(root)).min_by_key(|limit| limit.bytes)
}

/// A cgroup that limits memory.
struct Group<'a> {
    /// Mount point of its hierarchy, below [`CGROUPS`].
    hierarchy: &'static str,
    /// Path in the hierarchy.
    path: &'a str,
    file: &'static str,
}

/// Parses a line of `/proc/self/cgroup`: `0::/path` of version 2, or `4:memory:/path` of version 1.
fn parse_group(line: &str) -> Option<Group<'_>> {
    let (id, rest) = line.split_once(':')?;
    let (controllers, path) = rest.split_once(':')?;
    let path = path.trim_start_matches('/');
    if id == "0" && controllers.is_empty() {
        return Some(Group { hierarchy: "", path, file: "memory.max" });
    }
    let has_memory = controllers.split(',').any(|controller| controller == "memory");
    has_memory.then_some(Group { hierarchy: "memory", path, file: "memory.limit_in_bytes" })
}

/// Reads the limits of a group and its ancestors. A container sees its own group as the root, or
/// under a path that it cannot open: groups without the file are passed over.
fn limits_of(root: &Path, group: &Group<'_>) -> Vec<MemoryLimit> {
    let hierarchy = root.join(CGROUPS).join(group.hierarchy);
    let read = |directory: &Path| {
        let file = hierarchy.join(directory).join(group.file);
        // "max" is no limit.
        let bytes = fs::read_to_string(&file).ok()?.trim().parse().ok()?;
        let shown = PathBuf::from("/").join(file.strip_prefix(root).unwrap_or(&file));
        Some(MemoryLimit { bytes, source: format!("the memory limit {}", shown.display()) })
    };
    Path::new(group.path).ancestors().filter_map(read).collect()
}

/// Reads the memory of the machine.
fn machine(root: &Path) -> Option<MemoryLimit> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = kib.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(MemoryLimit { bytes: kib.saturating_mul(1_024), source: "the machine's memory".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the limit of a machine with 8 GiB and these files.
    fn read(files: &[(&str, &str)]) -> (u64, String) {
        let root = tempfile::tempdir().unwrap();
        let machine = ("proc/meminfo", "MemTotal:        8388608 kB\nMemFree: 1 kB\n");
        for (path, text) in files.iter().chain([&machine]) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let limit = limit_below(root.path()).unwrap();
        (limit.bytes >> 20, limit.source)
    }

    #[test]
    fn smallest_limit_of_all_ancestors_counts() {
        let limit = read(&[
            ("proc/self/cgroup", "0::/kubepods/pod1/worker\n"),
            ("sys/fs/cgroup/kubepods/memory.max", "3221225472\n"),
            ("sys/fs/cgroup/kubepods/pod1/memory.max", "1073741824\n"),
            ("sys/fs/cgroup/kubepods/pod1/worker/memory.max", "2147483648\n"),
        ]);
        assert_eq!(limit, (1_024, "the memory limit /sys/fs/cgroup/kubepods/pod1/memory.max".into()));
    }

    #[test]
    fn container_sees_its_own_group_as_the_root() {
        let limit = read(&[("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "536870912\n")]);
        assert_eq!(limit, (512, "the memory limit /sys/fs/cgroup/memory.max".into()));
    }

    #[test]
    fn version_1_has_its_limit_in_another_file() {
        let group = ("proc/self/cgroup", "5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n");
        let limit = read(&[group, ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n")]);
        assert_eq!(limit.0, 1_024, "the path of the host does not exist in the container");
        let unlimited = ("sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(read(&[group, unlimited]), (8_192, "the machine's memory".into()));
    }

    #[test]
    fn without_a_limit_the_machine_counts() {
        let unlimited =
            [("proc/self/cgroup", "0::/user.slice\n"), ("sys/fs/cgroup/user.slice/memory.max", "max\n")];
        assert_eq!(read(&unlimited), (8_192, "the machine's memory".into()));
        assert_eq!(read(&[]), (8_192, "the machine's memory".into()));
        assert_eq!(limit_below(tempfile::tempdir().unwrap().path()), None);
    }
}
