# Checks on a real desktop what Wine cannot show. Prints PASS or FAIL for each part; the exit code is
# the number of failures. Run it as an administrator, beside graywave-agent.exe and
# graywave-runner.exe.
param(
    [Parameter(Mandatory)] [string] $Worker,
    [Parameter(Mandatory)] [string] $Project,
    [Parameter(Mandatory)] [string] $Api,
    [Parameter(Mandatory)] [string] $Token,
    [string[]] $AgentOptions = @()
)
$ErrorActionPreference = 'Stop'
$desktop = "check-$env:COMPUTERNAME".ToLower()
$agent = Join-Path $PSScriptRoot 'graywave-agent.exe'
$data = Join-Path $env:ProgramData 'Graywave-check'
$service = 'graywave-agent'
$failures = 0

function Check([string] $name, [scriptblock] $body) {
    try {
        $fault = & $body
        if ($fault) { throw "$fault" }
        Write-Host "PASS $name"
    } catch {
        $script:failures++
        Write-Host "FAIL $name`: $_"
    }
}

function Invoke-Api([string] $method, [string] $path, $body) {
    $request = @{
        Method = $method; Uri = "$Api/v2/$Project$path"; UseBasicParsing = $true
        Headers = @{ 'X-Auth-Token' = $Token }; ContentType = 'application/json; charset=utf-8'
    }
    if ($body) { $request.Body = [Text.Encoding]::UTF8.GetBytes(($body | ConvertTo-Json -Depth 9)) }
    $answer = Invoke-WebRequest @request
    [Text.Encoding]::UTF8.GetString($answer.RawContentStream.ToArray()) | ConvertFrom-Json
}

function Invoke-Native([string] $path) {
    $uri = "$Api/v1/projects/$Project$path"
    $answer = Invoke-WebRequest -UseBasicParsing -Headers @{ 'X-Auth-Token' = $Token } -Uri $uri
    [Text.Encoding]::UTF8.GetString($answer.RawContentStream.ToArray()) | ConvertFrom-Json
}

# Runs one script on this desktop, and returns its record.
function Invoke-Script([string] $type, [string] $content, [string] $user) {
    $script = Invoke-Api POST '/scripts' @{ name = "check-$(Get-Random)"; type = $type; content = $content }
    $body = @{
        resource_type = 'DESKTOP'; resource_ids = @($desktop); script_ids = @($script.script_id)
        execution_timeout = 2
    }
    if ($user) { $body.rollout = @{ run_as_user = $user } }
    $task = (Invoke-Api POST '/script-executions' $body).task_id
    foreach ($attempt in 1..600) {
        Start-Sleep -Milliseconds 200
        $ended = (Invoke-Api GET "/script-execution-tasks?task_id=$task").script_tasks[0].end_time
        if ($ended) { break }
    }
    $record = (Invoke-Native "/tasks/$task/records?page_size=1").records[0]
    Invoke-Native "/records/$($record.record_id)"
}

function Wait-Until([string] $what, [scriptblock] $condition) {
    foreach ($attempt in 1..300) {
        if (& $condition) { return }
        Start-Sleep -Milliseconds 200
    }
    throw "timed out waiting for $what"
}

# Exit code of the agent with these options.
function Get-ExitCode([string[]] $options) {
    # PowerShell 5.1 ends a script at redirected standard error otherwise.
    $ErrorActionPreference = 'Continue'
    & $agent @options 2> $null | Out-Null
    $LASTEXITCODE
}

function Is-Attached {
    (Get-ExitCode '--data-dir', $data, 'healthcheck') -eq 0
}

$options = @('--worker', $Worker, '--project', $Project, '--desktop-id', $desktop, '--data-dir', $data) + $AgentOptions
& $agent @options service install
if ($LASTEXITCODE -ne 0) { Write-Host 'FAIL service: install'; exit 1 }
try {
    Check 'service: starts and attaches' {
        Start-Service $service
        Wait-Until 'the connection' { Is-Attached }
    }
    Check 'service: restarts after a crash' {
        Stop-Process -Force -Id (Get-CimInstance Win32_Service -Filter "Name='$service'").ProcessId
        Wait-Until 'the restart' { (Get-Service $service).Status -eq 'Running' }
        Wait-Until 'the connection' { Is-Attached }
    }
    Check 'service: restarts after a stop with an error' {
        # The agent cannot start while another program has its lock file.
        $flag = & sc.exe qfailureflag $service
        if ("$flag" -notmatch 'FAILURE_ACTIONS_ON_NONCRASH_FAILURES\s*:\s*TRUE') { return "$flag" }
        Stop-Service $service
        $lock = [IO.File]::Open((Join-Path $data 'lock'), 'OpenOrCreate', 'ReadWrite', 'None')
        Start-Service $service -ErrorAction SilentlyContinue
        Wait-Until 'the failure' { (Get-Service $service).Status -eq 'Stopped' }
        $lock.Close()
        Wait-Until 'the restart' { Is-Attached }
    }
    Check 'access: only the system and administrators' {
        $allowed = 'S-1-5-18', 'S-1-5-32-544'
        $paths = @($data) + @(Get-ChildItem $data -Recurse -Force | ForEach-Object FullName)
        foreach ($path in $paths) {
            foreach ($rule in (Get-Acl $path).Access) {
                $sid = $rule.IdentityReference.Translate([Security.Principal.SecurityIdentifier]).Value
                if ($allowed -notcontains $sid) { return "$path is open to $sid" }
            }
        }
    }
    Check 'access: a junction in the place of the data directory is refused' {
        $target = New-Item -ItemType Directory (Join-Path $env:TEMP "graywave-$(Get-Random)")
        $link = Join-Path $env:ProgramData "Graywave-link-$(Get-Random)"
        New-Item -ItemType Junction $link -Target $target.FullName | Out-Null
        try {
            $before = (Get-Acl $target.FullName).Sddl
            foreach ($path in $link, (Join-Path $link 'below')) {
                $options = '--worker', $Worker, '--project', $Project, '--desktop-id', $desktop, '--data-dir', $path
                if ((Get-ExitCode ($options + 'service', 'install')) -eq 0) { return "$path was accepted" }
            }
            if ((Get-Acl $target.FullName).Sddl -ne $before) { return 'the rights behind the junction have changed' }
            if (Get-ChildItem $target.FullName) { return 'there are files behind the junction' }
        } finally {
            [IO.Directory]::Delete($link)
            Remove-Item -Recurse $target.FullName
        }
    }
    Check 'access: a junction in a working directory is not followed' {
        $target = New-Item -ItemType Directory (Join-Path $env:TEMP "graywave-$(Get-Random)")
        Set-Content (Join-Path $target.FullName 'kept') 'kept'
        try {
            $record = Invoke-Script BAT "@mklink /J link `"$($target.FullName)`""
            if ($record.outcome -ne 'SUCCESS') { return $record | ConvertTo-Json }
            Wait-Until 'the removal' { -not (Get-ChildItem (Join-Path $data 'scripts') -Force) }
            if (-not (Test-Path (Join-Path $target.FullName 'kept'))) { return 'a file behind the junction is gone' }
        } finally {
            Remove-Item -Recurse $target.FullName
        }
    }
    Check 'facts: version, build and time zone' {
        $facts = Invoke-Native "/desktops/$desktop"
        $build = (Get-CimInstance Win32_OperatingSystem).BuildNumber
        if ($facts.os_version -notmatch "build $build") { return "os_version is $($facts.os_version)" }
        if ($facts.time_zone -notmatch '^(UTC|[A-Za-z_]+/[A-Za-z_/+-]+)$') { return "time_zone is $($facts.time_zone)" }
    }
    Check 'batch: UTF-8 and exit code' {
        $record = Invoke-Script BAT "@echo gr$([char]0xfc)n`n@exit /b 3010"
        if ($record.output -notmatch "gr$([char]0xfc)n" -or $record.exit_code -ne 3010) { return $record | ConvertTo-Json }
    }
    Check 'powershell: UTF-8' {
        $record = Invoke-Script POWERSHELL "Write-Output 'gr$([char]0xfc)n'"
        if ($record.output.Trim() -ne "gr$([char]0xfc)n" -or $record.outcome -ne 'SUCCESS') { return $record | ConvertTo-Json }
    }
    Check 'powershell: 64 bits' {
        $record = Invoke-Script POWERSHELL '[Environment]::Is64BitProcess'
        if ($record.output.Trim() -ne 'True') { return $record | ConvertTo-Json }
    }
    Check 'powershell: exit' {
        $record = Invoke-Script POWERSHELL 'exit 3010'
        if ($record.exit_code -ne 3010) { return $record | ConvertTo-Json }
    }
    Check 'powershell: exit code of the last program' {
        $record = Invoke-Script POWERSHELL 'cmd /c exit 7'
        if ($record.exit_code -ne 7) { return $record | ConvertTo-Json }
    }
    Check 'powershell: uncaught error' {
        $record = Invoke-Script POWERSHELL "throw 'broken'"
        if ($record.exit_code -ne 1 -or $record.output -notmatch 'broken') { return $record | ConvertTo-Json }
    }
    Check 'powershell: param and using' {
        $record = Invoke-Script POWERSHELL "using namespace System.Text`nparam([int] `$a = 5)`n[StringBuilder]::new(`"`$a`").ToString()"
        if ($record.output.Trim() -ne '5') { return $record | ConvertTo-Json }
    }
    Check 'timeout: the whole tree is killed' {
        $record = Invoke-Script BAT "@start /b ping -n 3600 127.0.0.99`n@ping -n 3600 127.0.0.99"
        if ($record.outcome -ne 'TIMEOUT') { return $record | ConvertTo-Json }
        $left = Get-CimInstance Win32_Process -Filter "Name='PING.EXE'" | Where-Object CommandLine -match '127.0.0.99'
        if ($left) { return "ping still runs: $($left.ProcessId)" }
    }
    Check 'session: the logged-on user' {
        $record = Invoke-Script BAT '@whoami' 'session'
        $user = (Get-CimInstance Win32_ComputerSystem).UserName
        if ($user) {
            if ($record.output.Trim() -ne $user) { return $record | ConvertTo-Json }
        } elseif ($record.outcome -ne 'REJECTED') { return $record | ConvertTo-Json }
    }
    Check 'log: event log and log file' {
        $events = Get-WinEvent -FilterHashtable @{ LogName = 'Application'; ProviderName = $service } -MaxEvents 5
        if (($events | ForEach-Object Message) -notcontains 'The agent has started.') { return 'no event of the start' }
        if (-not (Get-ChildItem (Join-Path $data 'log') -Filter '*.log')) { return 'no log file' }
    }
    Check 'service: stops in time' {
        $time = Measure-Command { Stop-Service $service }
        if ($time.TotalSeconds -gt 25) { return "$($time.TotalSeconds) s" }
    }
} finally {
    Stop-Service $service -ErrorAction SilentlyContinue
    & $agent --data-dir $data service uninstall
    Remove-Item -Recurse -Force $data -ErrorAction SilentlyContinue
}
exit $failures
