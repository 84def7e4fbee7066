//! Job objects.

use std::{
    io,
    mem::{offset_of, size_of},
    os::windows::io::{AsRawHandle as _, BorrowedHandle, FromRawHandle as _, OwnedHandle},
    ptr::{from_mut, from_ref, null},
};

use windows_sys::Win32::{
    Foundation::ERROR_MORE_DATA,
    System::JobObjects::{
        AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
        JOBOBJECT_BASIC_ACCOUNTING_INFORMATION, JOBOBJECT_BASIC_PROCESS_ID_LIST,
        JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectBasicAccountingInformation,
        JobObjectBasicProcessIdList, JobObjectExtendedLimitInformation, QueryInformationJobObject,
        SetInformationJobObject, TerminateJobObject,
    },
};

use crate::{check, length};

/// Maximum number of process ids that are read.
const MAX_IDS: usize = 1_024;

/// Job without a name and without breakaway: a process in it, and every descendant, stays in it.
#[derive(Debug)]
pub struct Job {
    handle: OwnedHandle,
}

impl Job {
    /// Creates a job that kills its processes when its last handle is closed, as at the death of
    /// this process.
    ///
    /// # Errors
    ///
    /// If the system refuses the job.
    pub fn new() -> io::Result<Self> {
        // SAFETY: both pointers may be null: default security, no name.
        let raw = unsafe { CreateJobObjectW(null(), null()) };
        if raw.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle is open and belongs to no one else.
        let handle = unsafe { OwnedHandle::from_raw_handle(raw) };
        let job = Self { handle };
        job.set_limits(JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE)?;
        Ok(job)
    }

    /// Lets the processes live on after the last handle is closed.
    ///
    /// # Errors
    ///
    /// If the system refuses the change.
    pub fn keep_processes(&self) -> io::Result<()> {
        self.set_limits(0)
    }

    fn set_limits(&self, flags: u32) -> io::Result<()> {
        let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
        limits.BasicLimitInformation.LimitFlags = flags;
        // SAFETY: the handle is open; the class and the length are those of the structure.
        check(unsafe {
            SetInformationJobObject(
                self.handle.as_raw_handle(),
                JobObjectExtendedLimitInformation,
                from_ref(&limits).cast(),
                length(size_of_val(&limits)),
            )
        })
    }

    /// Puts a process into the job.
    ///
    /// # Errors
    ///
    /// If the process has ended, or another job refuses it.
    pub fn assign(&self, process: BorrowedHandle<'_>) -> io::Result<()> {
        // SAFETY: both handles are open.
        check(unsafe { AssignProcessToJobObject(self.handle.as_raw_handle(), process.as_raw_handle()) })
    }

    /// Kills all processes of the job, with this exit code.
    ///
    /// # Errors
    ///
    /// If the system refuses the kill.
    pub fn terminate(&self, exit_code: u32) -> io::Result<()> {
        // SAFETY: the handle is open.
        check(unsafe { TerminateJobObject(self.handle.as_raw_handle(), exit_code) })
    }

    /// Number of processes that run in the job.
    ///
    /// # Errors
    ///
    /// If the job cannot be read.
    pub fn process_count(&self) -> io::Result<u32> {
        let mut accounting = JOBOBJECT_BASIC_ACCOUNTING_INFORMATION::default();
        // SAFETY: the handle is open; the class and the length are those of the structure.
        check(unsafe {
            QueryInformationJobObject(
                self.handle.as_raw_handle(),
                JobObjectBasicAccountingInformation,
                from_mut(&mut accounting).cast(),
                length(size_of_val(&accounting)),
                std::ptr::null_mut(),
            )
        })?;
        Ok(accounting.ActiveProcesses)
    }

    /// Ids of the first processes that run in the job.
    ///
    /// # Errors
    ///
    /// If the job cannot be read.
    pub fn process_ids(&self) -> io::Result<Vec<u32>> {
        // Words have the alignment of the structure, whose array of ids continues behind its end.
        let mut buffer =
            vec![0_usize; size_of::<JOBOBJECT_BASIC_PROCESS_ID_LIST>() / size_of::<usize>() + MAX_IDS];
        // SAFETY: the handle is open, and the buffer has the given length.
        let result = check(unsafe {
            QueryInformationJobObject(
                self.handle.as_raw_handle(),
                JobObjectBasicProcessIdList,
                buffer.as_mut_ptr().cast(),
                length(size_of_val(buffer.as_slice())),
                std::ptr::null_mut(),
            )
        });
        match result {
            Err(error) if error.raw_os_error() != Some(ERROR_MORE_DATA.cast_signed()) => return Err(error),
            _ => {}
        }
        // SAFETY: the buffer is aligned and longer than the structure, which has no invalid values.
        let list = unsafe { &*buffer.as_ptr().cast::<JOBOBJECT_BASIC_PROCESS_ID_LIST>() };
        let count = usize::try_from(list.NumberOfProcessIdsInList).unwrap_or_default();
        let first = offset_of!(JOBOBJECT_BASIC_PROCESS_ID_LIST, ProcessIdList) / size_of::<usize>();
        let ids = buffer.get(first..).unwrap_or_default().iter().take(count);
        Ok(ids.filter_map(|id| u32::try_from(*id).ok()).collect())
    }
}
