# Upgrades the Graywave agent of this machine with an MSI package.
#
# Parameters: version, msi, msi_sha256, allow_downgrade, lock_seconds.
#
# The installer is a task of the Task Scheduler. It is outside of the job object of this script, so
# the stop of the agent, and the end of this script, leave it alone. A second run while an installer
# works waits for that one. docs/upgrade.md lists the exit codes.
$ErrorActionPreference = 'Stop'

$version = $env:GRAYWAVE_PARAM_VERSION
$msi = $env:GRAYWAVE_PARAM_MSI
$sha256 = $env:GRAYWAVE_PARAM_MSI_SHA256
$allowDowngrade = $env:GRAYWAVE_PARAM_ALLOW_DOWNGRADE -eq 'true'
$lockSeconds = if ($env:GRAYWAVE_PARAM_LOCK_SECONDS) { [int]$env:GRAYWAVE_PARAM_LOCK_SECONDS } else { 900 }
$service = 'graywave-agent'
$taskName = 'GraywaveAgentUpgrade'
$state = Join-Path $env:ProgramData 'Graywave-upgrade'
$result = Join-Path $state 'result'
$log = Join-Path $state 'log'

function Stop-With([int]$code, [string]$text) {
    Write-Output "error: $text"
    exit $code
}

# Returns the version of the installed program; $null without one.
function Get-InstalledVersion {
    $key = 'HKLM:\SYSTEM\CurrentControlSet\Services\' + $service
    $image = (Get-ItemProperty -Path $key -Name ImagePath -ErrorAction SilentlyContinue).ImagePath
    if ($image -notmatch '^"([^"]+)"|^(\S+)') { return $null }
    $program = if ($Matches[1]) { $Matches[1] } else { $Matches[2] }
    $words = & $program --version 2>$null
    if ("$words" -match '\s(\d\S*)\s*$') { return $Matches[1] }
    return $null
}

# Returns a version without its pre-release, which [version] cannot read.
function Get-Release([string]$text) { [version]($text -replace '[-+].*$', '') }

if ($version -notmatch '^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$') { Stop-With 64 "version $version is not MAJOR.MINOR.PATCH" }
if ($sha256 -notmatch '^[0-9a-fA-F]{64}$') { Stop-With 64 'msi_sha256 is no SHA-256 in hex' }
if ($msi -notmatch '^(https://|\\\\)[^"]+$') { Stop-With 64 "msi $msi is no https URL and no network path" }
$identity = [Security.Principal.WindowsPrincipal][Security.Principal.WindowsIdentity]::GetCurrent()
if (-not $identity.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
    Stop-With 77 'only an administrator installs packages: the agent runs as another user'
}

$running = Get-ScheduledTask -TaskName $taskName -ErrorAction SilentlyContinue
if (-not ($running -and $running.State -eq 'Running')) {
    $installed = Get-InstalledVersion
    if ($installed -eq $version -and (Get-Service $service).Status -eq 'Running') {
        Write-Output "graywave-agent $installed is installed already"
        exit 0
    }
    if ($installed -and -not $allowDowngrade -and (Get-Release $installed) -gt (Get-Release $version)) {
        Stop-With 65 "$installed is newer than ${version}: pass --allow-downgrade"
    }

    # Only the system and administrators may write the package that the system installs. A directory
    # that another user made before is replaced.
    if (Test-Path $state) { Remove-Item -Recurse -Force $state }
    New-Item -ItemType Directory -Path $state | Out-Null
    & icacls.exe $state /inheritance:r /grant '*S-1-5-18:(OI)(CI)F' '*S-1-5-32-544:(OI)(CI)F' | Out-Null
    if ($LASTEXITCODE -ne 0) { Stop-With 70 "protecting $state failed: icacls ended with $LASTEXITCODE" }
    # A file that another user made before the protection stays under the control of that user.
    if (Get-ChildItem -LiteralPath $state -Force) { Stop-With 70 "another user wrote into ${state}: try again" }
    $package = Join-Path $state 'graywave-agent.msi'
    try {
        if ($msi.StartsWith('https://')) {
            [Net.ServicePointManager]::SecurityProtocol = [Net.SecurityProtocolType]::Tls12
            Invoke-WebRequest -UseBasicParsing -Uri $msi -OutFile $package
        } else {
            Copy-Item -LiteralPath $msi -Destination $package
        }
    } catch {
        Stop-With 66 "cannot read ${msi}: $($_.Exception.Message)"
    }
    $actual = (Get-FileHash -Algorithm SHA256 -LiteralPath $package).Hash
    if ($actual -ne $sha256) { Stop-With 66 "$msi has the SHA-256 $actual, not $sha256" }
    Set-Content -LiteralPath (Join-Path $state 'version') -Value $version

    $installer = @"
`$deadline = (Get-Date).AddSeconds($lockSeconds)
do {
    `$p = Start-Process msiexec.exe -Wait -PassThru -ArgumentList '/i "$package" /qn /norestart /l*v "$state\msi.log"'
    `$code = `$p.ExitCode
    # 1618: another installation is running. 1601: the installer service is not reachable.
    `$again = (`$code -eq 1618 -or `$code -eq 1601) -and (Get-Date) -lt `$deadline
    if (`$again) { Start-Sleep -Seconds 10 }
} while (`$again)
"msiexec ended with `$code" | Set-Content -LiteralPath '$log'
switch (`$code) {
    { `$_ -in 0, 3010, 1641 } { `$exit = 0 }
    1618 { `$exit = 75 }
    1638 { `$exit = 65 }
    default {
        `$exit = 70
        Get-Content -LiteralPath '$state\msi.log' -Tail 60 | Add-Content -LiteralPath '$log'
    }
}
# An installation that failed or that a policy cut short may leave the service stopped.
try {
    Start-Service $service
    (Get-Service $service).WaitForStatus('Running', [TimeSpan]::FromSeconds(60))
} catch {
    "the service does not start: `$(`$_.Exception.Message)" | Add-Content -LiteralPath '$log'
    if (`$exit -eq 0) { `$exit = 71 }
}
Set-Content -LiteralPath '$result.new' -Value `$exit
Move-Item -LiteralPath '$result.new' -Destination '$result'
"@
    $file = Join-Path $state 'install.ps1'
    Set-Content -LiteralPath $file -Value $installer -Encoding UTF8
    $action = New-ScheduledTaskAction -Execute 'powershell.exe' `
        -Argument "-NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -File `"$file`""
    $system = New-ScheduledTaskPrincipal -UserId 'S-1-5-18' -LogonType ServiceAccount -RunLevel Highest
    # A laptop on its battery upgrades, too.
    $settings = New-ScheduledTaskSettingsSet -AllowStartIfOnBatteries -DontStopIfGoingOnBatteries `
        -ExecutionTimeLimit (New-TimeSpan -Hours 2)
    Register-ScheduledTask -TaskName $taskName -Action $action -Principal $system -Settings $settings -Force | Out-Null
    Start-ScheduledTask -TaskName $taskName
} elseif ((Get-Content -LiteralPath (Join-Path $state 'version') -ErrorAction SilentlyContinue) -ne $version) {
    Stop-With 75 'an upgrade to another version is running: try again when it has ended'
} else {
    Write-Output "an upgrade to $version is running; waiting for it"
}

# A task that was just started is not running yet.
$idle = 0
while (-not (Test-Path $result)) {
    $task = Get-ScheduledTask -TaskName $taskName -ErrorAction SilentlyContinue
    $idle = if ($task -and $task.State -in 'Running', 'Queued') { 0 } else { $idle + 1 }
    if ($idle -gt 30 -and -not (Test-Path $result)) { Stop-With 70 'the installer ended without a result' }
    Start-Sleep -Seconds 1
}
Get-Content -LiteralPath $log -ErrorAction SilentlyContinue
Unregister-ScheduledTask -TaskName $taskName -Confirm:$false -ErrorAction SilentlyContinue
exit [int](Get-Content -LiteralPath $result)
