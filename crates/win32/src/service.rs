//! Services: registration, and the life of one under the service control manager.

use std::{
    ffi::OsString,
    io,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use windows_service::{
    define_windows_service,
    service::{
        ServiceAccess, ServiceAction, ServiceActionType, ServiceControl, ServiceControlAccept,
        ServiceErrorControl, ServiceExitCode, ServiceFailureActions, ServiceFailureResetPeriod, ServiceInfo,
        ServiceStartType, ServiceState, ServiceStatus, ServiceType,
    },
    service_control_handler::{self, ServiceControlHandlerResult, ServiceStatusHandle},
    service_dispatcher,
    service_manager::{ServiceManager, ServiceManagerAccess},
};
use windows_sys::Win32::Foundation::ERROR_INVALID_LEVEL;

/// Time that the manager waits for a start, and for a stop, without a sign of life.
const WAIT_HINT: Duration = Duration::from_secs(25);
/// Pause before the first two restarts of a service that has died or stopped with an error.
const RESTART_PAUSE: Duration = Duration::from_secs(5);
/// Pause before every later restart.
const LATE_RESTART_PAUSE: Duration = Duration::from_secs(60);
/// Time without a failure after which the count of failures begins again.
const RESET_PERIOD: Duration = Duration::from_secs(600);

/// Work of the service, from [`run`] to the manager's call.
static MAIN: Mutex<Option<Main>> = Mutex::new(None);

type Main = (&'static str, Box<dyn FnOnce(&Service) -> bool + Send>);

/// Service to register.
#[derive(Debug)]
pub struct Registration {
    /// Name for programs.
    pub name: &'static str,
    /// Name for people.
    pub display_name: &'static str,
    /// Purpose, for people.
    pub description: &'static str,
    /// Absolute path of the program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

impl Registration {
    /// Registers the service under the system's account, or changes it. It starts with the machine,
    /// and again after it has died or stopped with an error.
    ///
    /// # Errors
    ///
    /// If the user may not, or the service is marked for deletion.
    pub fn install(&self) -> io::Result<()> {
        let info = ServiceInfo {
            name: self.name.into(),
            display_name: self.display_name.into(),
            service_type: ServiceType::OWN_PROCESS,
            start_type: ServiceStartType::AutoStart,
            error_control: ServiceErrorControl::Normal,
            executable_path: self.program.clone(),
            launch_arguments: self.arguments.clone(),
            dependencies: Vec::new(),
            account_name: None,
            account_password: None,
        };
        let access = ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE;
        let manager = ServiceManager::local_computer(None::<&str>, access).map_err(cause)?;
        // The manager grants a restart as an action only to a handle that may start the service.
        let access = ServiceAccess::CHANGE_CONFIG | ServiceAccess::START;
        let service = match manager.open_service(self.name, access) {
            Ok(service) => {
                service.change_config(&info).map_err(cause)?;
                service
            }
            Err(_) => manager.create_service(&info, access).map_err(cause)?,
        };
        service.set_description(self.description).map_err(cause)?;
        let restart = |delay| ServiceAction { action_type: ServiceActionType::Restart, delay };
        let actions = ServiceFailureActions {
            reset_period: ServiceFailureResetPeriod::After(RESET_PERIOD),
            reboot_msg: None,
            command: None,
            actions: Some(vec![restart(RESTART_PAUSE), restart(RESTART_PAUSE), restart(LATE_RESTART_PAUSE)]),
        };
        service.update_failure_actions(actions).map_err(cause)?;
        // Without it only a crash counts as a failure, not a stop with an error.
        match service.set_failure_actions_on_non_crash_failures(true).map_err(cause) {
            // Wine lacks this setting; every supported Windows has it.
            Err(error) if error.raw_os_error() == Some(ERROR_INVALID_LEVEL.cast_signed()) => Ok(()),
            set => set,
        }
    }
}

/// Removes a service. One that runs is removed at its end.
///
/// # Errors
///
/// If there is no such service, or the user may not remove it.
pub fn uninstall(name: &str) -> io::Result<()> {
    let manager =
        ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT).map_err(cause)?;
    manager.open_service(name, ServiceAccess::DELETE).map_err(cause)?.delete().map_err(cause)
}

/// Running service, as its main function sees it.
#[derive(Debug)]
pub struct Service {
    status: ServiceStatusHandle,
}

impl Service {
    /// Tells the manager that the service runs, and takes a stop from then on.
    ///
    /// # Errors
    ///
    /// If the manager is gone.
    pub fn set_running(&self) -> io::Result<()> {
        self.set(ServiceState::Running, ServiceExitCode::Win32(0))
    }

    fn set(&self, state: ServiceState, exit_code: ServiceExitCode) -> io::Result<()> {
        self.status.set_service_status(status(state, exit_code)).map_err(cause)
    }
}

fn status(state: ServiceState, exit_code: ServiceExitCode) -> ServiceStatus {
    let is_pending = matches!(state, ServiceState::StartPending | ServiceState::StopPending);
    ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state: state,
        controls_accepted: match state {
            ServiceState::Running => ServiceControlAccept::STOP | ServiceControlAccept::SHUTDOWN,
            _ => ServiceControlAccept::empty(),
        },
        exit_code,
        checkpoint: u32::from(is_pending),
        wait_hint: if is_pending { WAIT_HINT } else { Duration::ZERO },
        process_id: None,
    }
}

/// Runs as a service until it has stopped. `main` begins when the manager knows that the service
/// starts; its result says whether the service ended as intended. `on_stop` is called when the
/// manager wants the end.
///
/// # Errors
///
/// If the manager did not start this process.
pub fn run(
    name: &'static str,
    on_stop: impl Fn() + Send + 'static,
    main: impl FnOnce(&Service) -> bool + Send + 'static,
) -> io::Result<()> {
    let main = move |service: &Service| main(service);
    let begin: Box<dyn FnOnce(&Service) -> bool + Send> = Box::new(main);
    *ON_STOP.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(on_stop));
    *MAIN.lock().unwrap_or_else(PoisonError::into_inner) = Some((name, begin));
    service_dispatcher::start(name, service_main).map_err(cause)
}

static ON_STOP: Mutex<Option<Box<dyn Fn() + Send>>> = Mutex::new(None);
static STATUS: Mutex<Option<ServiceStatusHandle>> = Mutex::new(None);

define_windows_service!(service_main, main_of_service);

fn main_of_service(_arguments: Vec<OsString>) {
    let Some((name, main)) = MAIN.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    let Ok(handle) = service_control_handler::register(name, control) else { return };
    *STATUS.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
    let service = Service { status: handle };
    // Before anything that takes time: the manager gives a new process 30 seconds.
    drop(service.set(ServiceState::StartPending, ServiceExitCode::Win32(0)));
    let exit_code =
        if main(&service) { ServiceExitCode::Win32(0) } else { ServiceExitCode::ServiceSpecific(1) };
    drop(service.set(ServiceState::Stopped, exit_code));
}

fn control(event: ServiceControl) -> ServiceControlHandlerResult {
    match event {
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        ServiceControl::Stop | ServiceControl::Shutdown => {
            if let Some(handle) = *STATUS.lock().unwrap_or_else(PoisonError::into_inner) {
                let stopping = status(ServiceState::StopPending, ServiceExitCode::Win32(0));
                drop(handle.set_service_status(stopping));
            }
            if let Some(on_stop) = &*ON_STOP.lock().unwrap_or_else(PoisonError::into_inner) {
                on_stop();
            }
            ServiceControlHandlerResult::NoError
        }
        _ => ServiceControlHandlerResult::NotImplemented,
    }
}

/// Error of the system behind an error of the library.
fn cause(error: windows_service::Error) -> io::Error {
    match error {
        windows_service::Error::Winapi(error) => error,
        other => io::Error::other(other),
    }
}
