//! Named pipes. Reads and writes run at the same time, and a write never waits for its reader.

use std::{
    fs::File,
    io,
    os::windows::{
        fs::OpenOptionsExt as _,
        io::{AsHandle, AsRawHandle as _, BorrowedHandle, FromRawHandle as _, OwnedHandle},
    },
    ptr::{from_mut, null, null_mut},
};

use windows_sys::Win32::{
    Foundation::{
        ERROR_BROKEN_PIPE, ERROR_IO_PENDING, ERROR_NO_DATA, ERROR_PIPE_CONNECTED, HANDLE,
        INVALID_HANDLE_VALUE, WAIT_OBJECT_0,
    },
    Storage::FileSystem::{
        FILE_FLAG_FIRST_PIPE_INSTANCE, FILE_FLAG_OVERLAPPED, FILE_TYPE_PIPE, GetFileType, PIPE_ACCESS_DUPLEX,
        ReadFile, SECURITY_IDENTIFICATION, WriteFile,
    },
    System::{
        IO::{CancelIoEx, GetOverlappedResult, OVERLAPPED},
        Pipes::{
            ConnectNamedPipe, CreateNamedPipeW, PIPE_READMODE_BYTE, PIPE_REJECT_REMOTE_CLIENTS,
            PIPE_TYPE_BYTE, PIPE_UNLIMITED_INSTANCES, PIPE_WAIT,
        },
        Threading::{CreateEventW, INFINITE, WaitForSingleObject},
    },
};

use crate::{access::Descriptor, check, length, wide};

/// Size of the buffers of a pipe. A write of at most this length to a reader that keeps up does not
/// wait.
pub const BUFFER_BYTES: u32 = 256 << 10;
/// Time that a write may take: none for its reader, some for the system.
const WRITE_TIMEOUT_MS: u32 = 200;

/// Whether a handle is a pipe.
pub fn is_pipe(handle: BorrowedHandle<'_>) -> bool {
    // SAFETY: the handle is open.
    unsafe { GetFileType(handle.as_raw_handle()) == FILE_TYPE_PIPE }
}

/// One end of a duplex pipe, opened for overlapped operations.
#[derive(Debug)]
pub struct Pipe {
    handle: OwnedHandle,
}

impl From<OwnedHandle> for Pipe {
    /// Takes a handle that was opened for overlapped operations.
    fn from(handle: OwnedHandle) -> Self {
        Self { handle }
    }
}

impl From<Pipe> for OwnedHandle {
    fn from(pipe: Pipe) -> Self {
        pipe.handle
    }
}

impl AsHandle for Pipe {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.handle.as_handle()
    }
}

impl Pipe {
    /// Connects to a named pipe. Its server learns who this process is and cannot act in its name.
    ///
    /// # Errors
    ///
    /// If there is no such pipe, or all its instances are in use.
    pub fn connect(name: &str) -> io::Result<Self> {
        let mut options = File::options();
        options.read(true).write(true).custom_flags(FILE_FLAG_OVERLAPPED);
        options.security_qos_flags(SECURITY_IDENTIFICATION);
        Ok(Self { handle: options.open(name)?.into() })
    }

    /// Duplicates the handle.
    ///
    /// # Errors
    ///
    /// If the process has no free handles.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { handle: self.handle.try_clone()? })
    }

    /// Reads what there is, and waits while there is nothing; 0 bytes at the end.
    ///
    /// # Errors
    ///
    /// If the pipe fails.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut operation = Operation::new()?;
        let (raw, count) = (self.handle.as_raw_handle(), length(buffer.len()));
        // SAFETY: handle, buffer and operation are valid until `finish` returns, when the system no
        // longer uses them.
        let begun = check(unsafe {
            ReadFile(raw, buffer.as_mut_ptr(), count, null_mut(), from_mut(&mut operation.overlapped))
        });
        match operation.finish(raw, begun, INFINITE) {
            Err(error) if is_end(&error) => Ok(0),
            read => read,
        }
    }

    /// Writes all bytes.
    ///
    /// # Errors
    ///
    /// If the reader is gone, or does not read in time. Then a part of the bytes may be written.
    pub fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut operation = Operation::new()?;
            let (raw, count) = (self.handle.as_raw_handle(), length(bytes.len()));
            // SAFETY: as for `read`.
            let begun = check(unsafe {
                WriteFile(raw, bytes.as_ptr(), count, null_mut(), from_mut(&mut operation.overlapped))
            });
            let written = operation.finish(raw, begun, WRITE_TIMEOUT_MS)?;
            bytes = bytes.get(written..).unwrap_or_default();
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}

fn is_end(error: &io::Error) -> bool {
    error.raw_os_error() == Some(ERROR_BROKEN_PIPE.cast_signed()) || error.kind() == io::ErrorKind::BrokenPipe
}

/// Server of a named pipe that only this user, administrators and the system can open.
#[derive(Debug)]
pub struct PipeListener {
    name: Vec<u16>,
    descriptor: Descriptor,
    next: OwnedHandle,
}

impl PipeListener {
    /// Creates the pipe.
    ///
    /// # Errors
    ///
    /// If a pipe of this name exists.
    pub fn bind(name: &str) -> io::Result<Self> {
        let name = wide(name);
        let descriptor = Descriptor::private()?;
        let next = create(&name, &descriptor, FILE_FLAG_FIRST_PIPE_INSTANCE, PIPE_UNLIMITED_INSTANCES)?;
        Ok(Self { name, descriptor, next })
    }

    /// Waits for a client. One that leaves at once is passed over.
    ///
    /// # Errors
    ///
    /// If the next instance cannot be created.
    pub fn accept(&mut self) -> io::Result<Pipe> {
        loop {
            let connected = self.connect();
            let next = create(&self.name, &self.descriptor, 0, PIPE_UNLIMITED_INSTANCES)?;
            let handle = std::mem::replace(&mut self.next, next);
            match connected {
                Ok(()) => return Ok(Pipe { handle }),
                Err(error) if error.raw_os_error() == Some(ERROR_NO_DATA.cast_signed()) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn connect(&self) -> io::Result<()> {
        let mut operation = Operation::new()?;
        let raw = self.next.as_raw_handle();
        // SAFETY: handle and operation are valid until `finish` returns.
        let begun = check(unsafe { ConnectNamedPipe(raw, from_mut(&mut operation.overlapped)) });
        match begun {
            // The client came before the call: no operation has begun.
            Err(error) if error.raw_os_error() == Some(ERROR_PIPE_CONNECTED.cast_signed()) => Ok(()),
            begun => operation.finish(raw, begun, INFINITE).map(drop),
        }
    }
}

/// Instances of a pipe for an asynchronous program.
#[cfg(feature = "tokio")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instance {
    /// The first and only one.
    Only,
    /// The first one.
    First,
    /// Another one, for the next client.
    Next,
}

/// Creates an instance of a named pipe that only this user, administrators and the system can open.
/// Call it in a runtime.
///
/// # Errors
///
/// If this is not the first instance and should be, or the other way round.
#[cfg(feature = "tokio")]
pub fn create_private(
    name: &str,
    instance: Instance,
) -> io::Result<tokio::net::windows::named_pipe::NamedPipeServer> {
    use std::os::windows::io::IntoRawHandle as _;

    let (flags, max_instances) = match instance {
        Instance::Only => (FILE_FLAG_FIRST_PIPE_INSTANCE, 1),
        Instance::First => (FILE_FLAG_FIRST_PIPE_INSTANCE, PIPE_UNLIMITED_INSTANCES),
        Instance::Next => (0, PIPE_UNLIMITED_INSTANCES),
    };
    let handle = create(&wide(name), &Descriptor::private()?, flags, max_instances)?.into_raw_handle();
    // SAFETY: the handle is an open pipe for overlapped operations, and belongs to no one else.
    unsafe { tokio::net::windows::named_pipe::NamedPipeServer::from_raw_handle(handle) }
}

fn create(name: &[u16], descriptor: &Descriptor, flags: u32, max_instances: u32) -> io::Result<OwnedHandle> {
    let attributes = descriptor.attributes();
    // SAFETY: the name ends with a zero, and the attributes live until the call returns.
    let raw = unsafe {
        CreateNamedPipeW(
            name.as_ptr(),
            PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | flags,
            PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS,
            max_instances,
            BUFFER_BYTES,
            BUFFER_BYTES,
            0,
            &raw const attributes,
        )
    };
    if raw == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the handle is open and belongs to no one else.
    Ok(unsafe { OwnedHandle::from_raw_handle(raw) })
}

/// One operation with its event. It is over when `finish` returns.
struct Operation {
    overlapped: OVERLAPPED,
    _event: OwnedHandle,
}

impl Operation {
    fn new() -> io::Result<Self> {
        // SAFETY: both pointers may be null: default security, no name.
        let event = unsafe { CreateEventW(null(), 1, 0, null()) };
        if event.is_null() {
            return Err(io::Error::last_os_error());
        }
        let overlapped = OVERLAPPED { hEvent: event, ..OVERLAPPED::default() };
        // SAFETY: the handle is open and belongs to no one else.
        Ok(Self { overlapped, _event: unsafe { OwnedHandle::from_raw_handle(event) } })
    }

    /// Waits for the end of a begun operation, and cancels it at the time limit. Returns the number
    /// of bytes.
    fn finish(&mut self, handle: HANDLE, begun: io::Result<()>, timeout_ms: u32) -> io::Result<usize> {
        if let Err(error) = begun
            && error.raw_os_error() != Some(ERROR_IO_PENDING.cast_signed())
        {
            return Err(error);
        }
        // SAFETY: the event is open.
        let waited = unsafe { WaitForSingleObject(self.overlapped.hEvent, timeout_ms) };
        if waited != WAIT_OBJECT_0 {
            // SAFETY: handle and operation are valid. A cancelled operation still ends, below; one
            // that has just ended cannot be cancelled.
            let _was_cancelled = unsafe { CancelIoEx(handle, from_mut(&mut self.overlapped)) };
        }
        let mut count = 0;
        // SAFETY: handle and operation are valid; the call waits until the system no longer uses
        // the operation and its buffer.
        check(unsafe { GetOverlappedResult(handle, &raw const self.overlapped, &raw mut count, 1) })?;
        Ok(usize::try_from(count).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn name(test: &str) -> String {
        format!(r"\\.\pipe\graywave-win32-{test}-{}", std::process::id())
    }

    /// Connects, and waits while all instances are in use.
    fn connect(name: &str) -> Pipe {
        loop {
            if let Ok(pipe) = Pipe::connect(name) {
                return pipe;
            }
            thread::yield_now();
        }
    }

    #[test]
    fn client_that_leaves_at_once_does_not_end_the_listener() {
        let name = name("leaves");
        let mut listener = PipeListener::bind(&name).unwrap();
        drop(connect(&name));
        let second = thread::spawn(move || {
            let pipe = connect(&name);
            pipe.write_all(b"second").unwrap();
            pipe
        });
        let pipe = listener.accept().unwrap();
        let mut bytes = [0; 16];
        // Where the first client is accepted, it has left: its end is read.
        let pipe = if pipe.read(&mut bytes).unwrap() == 0 { listener.accept().unwrap() } else { pipe };
        drop(second.join().unwrap());
        assert!(bytes.starts_with(b"second") || pipe.read(&mut bytes).unwrap() == 6);
        assert!(bytes.starts_with(b"second"));
    }

    #[test]
    fn listener_is_open_to_three_users_alone() {
        let listener = PipeListener::bind(&name("listener")).unwrap();
        assert_is_private(listener.next.as_handle());
    }

    #[cfg(feature = "tokio")]
    #[test]
    fn instances_are_open_to_three_users_alone() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let _entered = runtime.enter();
        let name = name("instances");
        for instance in [Instance::First, Instance::Next] {
            let server = create_private(&name, instance).unwrap();
            // SAFETY: the server keeps the handle open.
            assert_is_private(unsafe { BorrowedHandle::borrow_raw(server.as_raw_handle()) });
        }
        let name = format!("{name}-only");
        let only = create_private(&name, Instance::Only).unwrap();
        create_private(&name, Instance::Next).unwrap_err();
        // SAFETY: as above.
        assert_is_private(unsafe { BorrowedHandle::borrow_raw(only.as_raw_handle()) });
    }

    fn assert_is_private(pipe: BorrowedHandle<'_>) {
        let list = crate::access::tests::list_text(pipe);
        assert_eq!(list.matches("(A;").count(), 3, "{list}");
        assert!(list.contains(";;;SY)") && list.contains(";;;BA)"), "{list}");
    }

    #[test]
    fn reader_that_does_not_read_does_not_block_the_writer() {
        let name = name("deaf");
        let mut listener = PipeListener::bind(&name).unwrap();
        let _deaf = connect(&name);
        let pipe = listener.accept().unwrap();
        let bytes = vec![0; 4 * BUFFER_BYTES as usize];
        pipe.write_all(&bytes).unwrap_err();
    }
}
