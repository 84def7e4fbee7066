//! Processes: their start, their end, and their description.

use std::{
    collections::BTreeMap,
    ffi::c_void,
    fs::File,
    io,
    os::windows::io::{AsRawHandle as _, BorrowedHandle, FromRawHandle as _, OwnedHandle},
    path::Path,
    ptr::{null, null_mut},
};

use windows_sys::Win32::{
    Foundation::{HANDLE, HANDLE_FLAG_INHERIT, SetHandleInformation, WAIT_OBJECT_0, WAIT_TIMEOUT},
    System::Threading::{
        CREATE_NO_WINDOW, CREATE_SUSPENDED, CREATE_UNICODE_ENVIRONMENT, CreateProcessAsUserW, CreateProcessW,
        DeleteProcThreadAttributeList, EXTENDED_STARTUPINFO_PRESENT, GetExitCodeProcess, INFINITE,
        InitializeProcThreadAttributeList, LPPROC_THREAD_ATTRIBUTE_LIST, OpenProcess,
        PROC_THREAD_ATTRIBUTE_HANDLE_LIST, PROCESS_INFORMATION, PROCESS_NAME_WIN32,
        PROCESS_QUERY_LIMITED_INFORMATION, QueryFullProcessImageNameW, ResumeThread, STARTF_USESTDHANDLES,
        STARTUPINFOEXW, TerminateProcess, UpdateProcThreadAttribute, WaitForSingleObject,
    },
};

use crate::{account::Token, check, length, wide};

/// Maximum length of the path of a program.
const MAX_PATH_UNITS: usize = 1_024;

/// Desktop that a logged-on user sees. A process of a service has another one.
const USER_DESKTOP: &str = r"winsta0\default";

/// Process to start.
#[derive(Debug)]
pub struct Start<'a> {
    /// Absolute path of the program.
    pub program: &'a Path,
    /// Arguments as the program reads them, without the program; see [`quote`].
    pub arguments: &'a str,
    /// The whole environment.
    pub environment: &'a [(String, String)],
    /// Working directory.
    pub directory: &'a Path,
    /// Standard output and standard error. Standard input is empty.
    pub output: BorrowedHandle<'a>,
    /// User of the process; `None` for the user of this process.
    pub user: Option<&'a Token>,
}

/// Process that has not run an instruction yet. Dropping this kills it.
#[derive(Debug)]
pub struct Suspended {
    process: Option<OwnedHandle>,
    thread: OwnedHandle,
}

impl Start<'_> {
    /// Creates the process without a window, suspended. It inherits its standard handles alone.
    ///
    /// # Errors
    ///
    /// If the program or its directory does not exist, or the user may not run it.
    pub fn suspended(&self) -> io::Result<Suspended> {
        let input = File::open("NUL")?;
        let input = inheritable(OwnedHandle::from(input))?;
        let output = inheritable(self.output.try_clone_to_owned()?)?;
        let inherited = [input.as_raw_handle(), output.as_raw_handle()];
        let attributes = Attributes::with_handles(&inherited)?;
        let mut startup = STARTUPINFOEXW::default();
        startup.StartupInfo.cb = length(size_of::<STARTUPINFOEXW>());
        startup.StartupInfo.dwFlags = STARTF_USESTDHANDLES;
        startup.StartupInfo.hStdInput = input.as_raw_handle();
        startup.StartupInfo.hStdOutput = output.as_raw_handle();
        startup.StartupInfo.hStdError = output.as_raw_handle();
        startup.lpAttributeList = attributes.list;
        let mut visible_desktop = wide(USER_DESKTOP);
        if self.user.is_some() {
            startup.StartupInfo.lpDesktop = visible_desktop.as_mut_ptr();
        }
        let program = self.program.to_string_lossy();
        let (application, directory) = (wide(self.program), wide(self.directory));
        let mut line = wide(format!("{} {}", quote(&program), self.arguments));
        let block = environment_block(self.environment);
        let flags =
            CREATE_SUSPENDED | CREATE_NO_WINDOW | CREATE_UNICODE_ENVIRONMENT | EXTENDED_STARTUPINFO_PRESENT;
        let mut created = PROCESS_INFORMATION::default();
        check(match self.user {
            // SAFETY: all texts end with a zero, the block with two, and all of them, the handles
            // and the attributes live until the call returns. It may change the command line.
            None => unsafe {
                CreateProcessW(
                    application.as_ptr(),
                    line.as_mut_ptr(),
                    null(),
                    null(),
                    1,
                    flags,
                    block.as_ptr().cast(),
                    directory.as_ptr(),
                    (&raw const startup).cast(),
                    &raw mut created,
                )
            },
            // SAFETY: as above, and the token is open.
            Some(user) => unsafe {
                CreateProcessAsUserW(
                    user.handle().as_raw_handle(),
                    application.as_ptr(),
                    line.as_mut_ptr(),
                    null(),
                    null(),
                    1,
                    flags,
                    block.as_ptr().cast(),
                    directory.as_ptr(),
                    (&raw const startup).cast(),
                    &raw mut created,
                )
            },
        })?;
        // SAFETY: the handle is open and belongs to no one else.
        let process = unsafe { OwnedHandle::from_raw_handle(created.hProcess) };
        // SAFETY: the handle is open and belongs to no one else.
        let thread = unsafe { OwnedHandle::from_raw_handle(created.hThread) };
        Ok(Suspended { process: Some(process), thread })
    }
}

impl Suspended {
    /// Handle of the process; `None` after its start.
    pub fn process(&self) -> Option<BorrowedHandle<'_>> {
        self.process.as_ref().map(std::os::windows::io::AsHandle::as_handle)
    }

    /// Lets the process run, and returns its handle.
    ///
    /// # Errors
    ///
    /// If the system refuses it; the process is killed then.
    pub fn resume(mut self) -> io::Result<OwnedHandle> {
        // SAFETY: the handle is open.
        let former_count = unsafe { ResumeThread(self.thread.as_raw_handle()) };
        if former_count == u32::MAX {
            return Err(io::Error::last_os_error());
        }
        self.process.take().ok_or_else(|| io::Error::other("the process is gone"))
    }
}

impl Drop for Suspended {
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            // SAFETY: the handle is open. Fails only if the process is gone.
            let _was_killed = unsafe { TerminateProcess(process.as_raw_handle(), 1) };
        }
    }
}

/// Waits for the end of a process; returns its exit code.
///
/// # Errors
///
/// If the handle does not permit it.
pub fn wait(process: BorrowedHandle<'_>) -> io::Result<u32> {
    exit_code_within(process, INFINITE)?.ok_or_else(|| io::ErrorKind::TimedOut.into())
}

/// Exit code of a process; `None` while it runs.
///
/// # Errors
///
/// If the handle does not permit it.
pub fn exit_code(process: BorrowedHandle<'_>) -> io::Result<Option<u32>> {
    exit_code_within(process, 0)
}

fn exit_code_within(process: BorrowedHandle<'_>, timeout_ms: u32) -> io::Result<Option<u32>> {
    // SAFETY: the handle is open.
    match unsafe { WaitForSingleObject(process.as_raw_handle(), timeout_ms) } {
        WAIT_OBJECT_0 => {}
        WAIT_TIMEOUT => return Ok(None),
        _ => return Err(io::Error::last_os_error()),
    }
    let mut code = 0;
    // SAFETY: the handle is open, and the pointer is written on success.
    check(unsafe { GetExitCodeProcess(process.as_raw_handle(), &raw mut code) })?;
    Ok(Some(code))
}

/// Program and user of a process, as far as they are visible; `None` if the process is gone or
/// hidden.
pub fn describe(id: u32) -> Option<(String, String)> {
    // SAFETY: no precondition.
    let raw = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, id) };
    if raw.is_null() {
        return None;
    }
    // SAFETY: the handle is open and belongs to no one else.
    let process = unsafe { OwnedHandle::from_raw_handle(raw) };
    let mut path = [0; MAX_PATH_UNITS];
    let mut count = length(path.len());
    // SAFETY: the handle is open, and the buffer has the given length.
    let read = check(unsafe {
        QueryFullProcessImageNameW(raw, PROCESS_NAME_WIN32, path.as_mut_ptr(), &raw mut count)
    });
    let count = usize::try_from(count).unwrap_or_default();
    let program = match read {
        Ok(()) => String::from_utf16_lossy(path.get(..count).unwrap_or_default()),
        Err(_) => String::new(),
    };
    let token = Token::of_process(std::os::windows::io::AsHandle::as_handle(&process));
    let user = token.and_then(|token| token.user_name()).unwrap_or_default();
    Some((program, user))
}

/// Quotes an argument as the C library of Windows reads it.
pub fn quote(argument: &str) -> String {
    let mut quoted = String::from('"');
    let mut backslashes = 0;
    for char in argument.chars() {
        match char {
            '\\' => backslashes += 1,
            '"' => {
                // Backslashes before a quote count, and so does one for the quote itself.
                quoted.extend(std::iter::repeat_n('\\', backslashes + 1));
                backslashes = 0;
            }
            _ => backslashes = 0,
        }
        quoted.push(char);
    }
    quoted.extend(std::iter::repeat_n('\\', backslashes));
    quoted.push('"');
    quoted
}

/// Variables as the API takes them: sorted, each with a final zero, and one more at the end. Names
/// differ by more than their case; the last one of a name counts.
fn environment_block(variables: &[(String, String)]) -> Vec<u16> {
    let sorted: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| (name.to_uppercase(), format!("{name}={value}"))).collect();
    let mut block: Vec<u16> = sorted.values().flat_map(wide).collect();
    // An empty block has two.
    block.extend(if block.is_empty() { &[0, 0][..] } else { &[0] });
    block
}

fn inheritable(handle: OwnedHandle) -> io::Result<OwnedHandle> {
    // SAFETY: the handle is open.
    check(unsafe { SetHandleInformation(handle.as_raw_handle(), HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT) })?;
    Ok(handle)
}

/// Attributes of a new process that limit its inheritance to a list of handles.
struct Attributes<'a> {
    list: LPPROC_THREAD_ATTRIBUTE_LIST,
    _memory: Vec<usize>,
    _handles: &'a [HANDLE],
}

impl<'a> Attributes<'a> {
    fn with_handles(handles: &'a [HANDLE]) -> io::Result<Self> {
        let mut bytes = 0;
        // SAFETY: without memory, the call only tells its size, and fails.
        let _fails = unsafe { InitializeProcThreadAttributeList(null_mut(), 1, 0, &raw mut bytes) };
        let mut memory = vec![0_usize; bytes.div_ceil(size_of::<usize>())];
        let list: LPPROC_THREAD_ATTRIBUTE_LIST = memory.as_mut_ptr().cast::<c_void>();
        // SAFETY: the memory has the size that the first call told.
        check(unsafe { InitializeProcThreadAttributeList(list, 1, 0, &raw mut bytes) })?;
        let attributes = Self { list, _memory: memory, _handles: handles };
        let kind = usize::try_from(PROC_THREAD_ATTRIBUTE_HANDLE_LIST).unwrap_or_default();
        // SAFETY: the list is initialised, and the handles live longer than it.
        check(unsafe {
            UpdateProcThreadAttribute(
                list,
                0,
                kind,
                handles.as_ptr().cast(),
                size_of_val(handles),
                null_mut(),
                null(),
            )
        })?;
        Ok(attributes)
    }
}

impl Drop for Attributes<'_> {
    fn drop(&mut self) {
        // SAFETY: the list is initialised, and no process uses it any more.
        unsafe { DeleteProcThreadAttributeList(self.list) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_as_the_c_library_reads_them() {
        for (argument, quoted) in [
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("a\\b", "\"a\\b\""),
            ("a\\", "\"a\\\\\""),
            ("a\"b", "\"a\\\"b\""),
            ("a\\\"b", "\"a\\\\\\\"b\""),
        ] {
            assert_eq!(quote(argument), quoted, "{argument}");
        }
    }

    #[test]
    fn last_variable_of_a_name_counts() {
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let block = environment_block(&[variable("b", "1"), variable("Path", "x"), variable("PATH", "y")]);
        assert_eq!(String::from_utf16(&block).unwrap(), "b=1\0PATH=y\0\0");
        assert_eq!(environment_block(&[]), [0, 0]);
    }
}
