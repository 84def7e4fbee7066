//! Writes the table of embedded files.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dist = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("dist");
    println!("cargo::rerun-if-changed={}", dist.display());
    let mut paths = Vec::new();
    if dist.is_dir() {
        list(&dist, &mut paths)?;
    }
    paths.sort();
    let has_index = paths.iter().any(|path| path == &dist.join("index.html"));
    if !has_index && env::var("PROFILE")? == "release" {
        return Err("crates/console/dist/index.html is missing: run cargo xtask console".into());
    }
    let mut table = String::from("&[\n");
    for path in &paths {
        println!("cargo::rerun-if-changed={}", path.display());
        let name = path.strip_prefix(&dist)?.to_str().ok_or("a file name is not UTF-8")?.replace('\\', "/");
        let path = path.to_str().ok_or("a path is not UTF-8")?;
        table.push_str(&format!("    ({name:?}, include_bytes!({path:?})),\n"));
    }
    table.push_str("]\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("files.rs"), table)?;
    Ok(())
}

/// Lists the files of a directory and its subdirectories.
fn list(directory: &Path, paths: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() { list(&path, paths)? } else { paths.push(path) }
    }
    Ok(())
}
