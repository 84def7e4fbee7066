/* Stands for the agent in the test of the .msi under Wine: writes its arguments to C:\ran.txt, and
   registers, runs and removes a service of the agent's name. */
#include <stdio.h>
#include <string.h>
#include <windows.h>

#define NAME "graywave-agent"

static SERVICE_STATUS_HANDLE handle;
static HANDLE stopped;

static void report(DWORD state)
{
    SERVICE_STATUS status = {SERVICE_WIN32_OWN_PROCESS, state, SERVICE_ACCEPT_STOP, 0, 0, 0, 0};
    SetServiceStatus(handle, &status);
}

static DWORD WINAPI control(DWORD code, DWORD type, LPVOID data, LPVOID context)
{
    if (code == SERVICE_CONTROL_STOP)
        SetEvent(stopped);
    return NO_ERROR;
}

static void WINAPI run(DWORD count, LPSTR *arguments)
{
    stopped = CreateEventA(NULL, TRUE, FALSE, NULL);
    handle = RegisterServiceCtrlHandlerExA(NAME, control, NULL);
    report(SERVICE_RUNNING);
    WaitForSingleObject(stopped, INFINITE);
    report(SERVICE_STOPPED);
}

static int install(SC_HANDLE manager)
{
    char program[MAX_PATH], command[MAX_PATH + 32];
    GetModuleFileNameA(NULL, program, sizeof program);
    snprintf(command, sizeof command, "\"%s\" service run", program);
    SC_HANDLE service = OpenServiceA(manager, NAME, SERVICE_ALL_ACCESS);
    if (service)
        return !ChangeServiceConfigA(service, SERVICE_NO_CHANGE, SERVICE_NO_CHANGE, SERVICE_NO_CHANGE, command, NULL,
                                     NULL, NULL, NULL, NULL, NULL);
    return !CreateServiceA(manager, NAME, NAME, SERVICE_ALL_ACCESS, SERVICE_WIN32_OWN_PROCESS, SERVICE_AUTO_START,
                           SERVICE_ERROR_NORMAL, command, NULL, NULL, NULL, NULL, NULL);
}

int main(int count, char **arguments)
{
    FILE *log = fopen("C:\\ran.txt", "a");
    for (int place = 0; place < count; place++)
        fprintf(log, "[%s]", arguments[place]);
    fprintf(log, "\n");
    fclose(log);
    SC_HANDLE manager = OpenSCManagerA(NULL, NULL, SC_MANAGER_ALL_ACCESS);
    SERVICE_TABLE_ENTRYA table[] = {{NAME, run}, {NULL, NULL}};
    for (int place = 1; place < count; place++) {
        if (!strcmp(arguments[place], "install"))
            return install(manager);
        if (!strcmp(arguments[place], "uninstall"))
            return !DeleteService(OpenServiceA(manager, NAME, SERVICE_ALL_ACCESS));
        if (!strcmp(arguments[place], "run"))
            return !StartServiceCtrlDispatcherA(table);
    }
    return 0;
}
