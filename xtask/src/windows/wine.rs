//! Wine, with a prefix of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context as _;

use crate::process;

/// The program itself: Debian's script of the same name looks for a 32-bit part.
pub(super) const PROGRAM: &str = "/usr/lib/wine/wine64";
const SERVER: &str = "/usr/lib/wine/wineserver64";
const COMPILER: &str = "x86_64-w64-mingw32-gcc";

/// Library that Wine 8 lacks. Rust's standard library gets its random numbers from it.
const RANDOM_LIBRARY: &str = "bcryptprimitives.dll";
const RANDOM_SOURCE: &str = "#include <windows.h>
BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);
BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size) { return SystemFunction036(data, (ULONG)size); }
";

/// Wine with a new prefix: nothing of an earlier run is in its registry.
pub(super) struct Wine {
    /// Files of Wine itself, and the library that it lacks.
    directory: PathBuf,
}

impl Wine {
    /// Creates the prefix below a directory.
    pub(super) fn new(parent: &Path) -> anyhow::Result<Self> {
        let wine = Self { directory: parent.join("wine") };
        if wine.directory.exists() {
            wine.stop();
            fs::remove_dir_all(&wine.directory)?;
        }
        fs::create_dir_all(&wine.directory)?;
        let source = wine.directory.join("random.c");
        fs::write(&source, RANDOM_SOURCE)?;
        let mut compiler = Command::new(COMPILER);
        compiler.arg("-shared").arg("-o").arg(wine.directory.join(RANDOM_LIBRARY)).arg(&source);
        process::run(compiler.arg("-ladvapi32"))?;
        // Creates the prefix, before several programs would at the same time.
        process::output(wine.command(PROGRAM).args(["cmd", "/c", "exit"]))?;
        // Every program finds it there, also one with an environment of its own.
        fs::copy(wine.directory.join(RANDOM_LIBRARY), wine.system_directory().join(RANDOM_LIBRARY))?;
        Ok(wine)
    }

    /// Drive C of the prefix.
    pub(super) fn drive(&self) -> PathBuf {
        self.directory.join("prefix/drive_c")
    }

    fn system_directory(&self) -> PathBuf {
        self.drive().join("windows/system32")
    }

    /// Command of a program of Windows.
    pub(super) fn program(&self, program: &Path) -> Command {
        let mut command = self.command(PROGRAM);
        command.arg(program);
        command
    }

    /// Makes cargo run test binaries with this prefix.
    pub(super) fn runs_tests(&self, mut cargo: Command) -> Command {
        cargo.env("CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER", PROGRAM);
        self.set_variables(&mut cargo);
        cargo
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        self.set_variables(&mut command);
        command
    }

    fn set_variables(&self, command: &mut Command) {
        // Messages about features that Wine lacks are no failures.
        command.env("WINEPREFIX", self.directory.join("prefix")).env("WINEDEBUG", "-all");
    }

    /// Ends all programs of the prefix.
    fn stop(&self) {
        let stopped = self.command(SERVER).args(["--kill", "--wait"]).status();
        drop(stopped.context("cannot start the server of Wine"));
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        self.stop();
    }
}
