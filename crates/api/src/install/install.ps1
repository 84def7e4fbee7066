# Installs, upgrades and removes the Graywave agent on a Windows machine.
#   powershell -ExecutionPolicy Bypass -File install.ps1 -TokenFile C:\token.txt
# Everything is in functions, and the last line calls them. A download that stops half-way runs
# nothing.

[CmdletBinding()]
param(
    # File with the enrolment token, which only administrators can read. Without it the script asks.
    [string] $TokenFile = '',
    # Desktop id to propose. The host name by default.
    [string] $DesktopId = '',
    # SHA-256 of the control plane's CA, from a source that you trust.
    [string[]] $CaFingerprint = @(),
    # Version to install. The newest by default.
    [string] $Version = '',
    # Removes the agent. Its data directory stays.
    [switch] $Uninstall
)

$ApiUrl = @API_URL@
$ArtefactsUrl = @ARTEFACTS_URL@
$AgentsUrls = @AGENTS_URLS@
# SHA-256 of each accepted CA certificate (DER), and of the file SHA256SUMS.
$CaSha256 = @CA_SHA256@
$SumsSha256 = @SUMS_SHA256@

function Get-Hash([byte[]] $Bytes) {
    $sha256 = [System.Security.Cryptography.SHA256]::Create()
    try { ([System.BitConverter]::ToString($sha256.ComputeHash($Bytes)) -replace '-', '').ToLowerInvariant() }
    finally { $sha256.Dispose() }
}

function Get-Download([string] $Url, [string] $File) {
    for ($attempt = 1; ; $attempt++) {
        try {
            # The progress display of PowerShell 5 slows downloads down.
            $ProgressPreference = 'SilentlyContinue'
            Invoke-WebRequest -UseBasicParsing -Uri $Url -OutFile $File -TimeoutSec 900
            return
        }
        catch {
            if ($attempt -ge 3) {
                throw "downloading $Url failed $attempt times: $($_.Exception.Message); check the address, the proxy and the firewall"
            }
            Start-Sleep -Seconds 1
        }
    }
}

function Test-Ca([string] $File) {
    $accepted = $CaSha256 -split ' '
    if ($CaFingerprint.Count -gt 0) {
        # powershell -File gives a list as one text.
        $accepted = $CaFingerprint -split '[, ]+' | ForEach-Object { ($_ -replace ':', '').ToLowerInvariant() }
    }
    $pattern = '(?s)-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----'
    $found = [regex]::Matches([System.IO.File]::ReadAllText($File), $pattern)
    if ($found.Count -eq 0) { throw "$ApiUrl/ca.crt has no certificate" }
    foreach ($match in $found) {
        $fingerprint = Get-Hash ([System.Convert]::FromBase64String($match.Groups[1].Value))
        if ($accepted -notcontains $fingerprint) {
            throw "the CA of $ApiUrl has the SHA-256 fingerprint $fingerprint, and $($accepted -join ' ') is expected; download the script again"
        }
    }
}

function Get-Artefact([string] $Directory) {
    $sums = Join-Path $Directory 'SHA256SUMS'
    Get-Download "$ArtefactsUrl/SHA256SUMS" $sums
    $actual = Get-Hash ([System.IO.File]::ReadAllBytes($sums))
    if ($actual -ne $SumsSha256) {
        throw "SHA256SUMS of $ArtefactsUrl has the SHA-256 $actual, and $SumsSha256 is expected; download the script again"
    }
    $listed = foreach ($line in [System.IO.File]::ReadAllLines($sums)) {
        if ($line -match '^([0-9a-f]{64}) [ *](graywave-agent[-_]([0-9][0-9A-Za-z.+~-]*?)([-_](x86_64|amd64|x64|windows).*)?\.msi)$') {
            $numbers = [regex]::Match($Matches[3], '^[0-9]+(\.[0-9]+){1,3}').Value
            [pscustomobject] @{ Hash = $Matches[1]; Name = $Matches[2]; Version = $Matches[3]; Numbers = [version] $numbers }
        }
    }
    if ($Version) { $listed = $listed | Where-Object Version -EQ $Version }
    # A pre-release is older than its release.
    $chosen = $listed | Sort-Object -Property 'Numbers', { $_.Version -notmatch '[-~]' }, 'Version' | Select-Object -Last 1
    if (-not $chosen) { throw "$ArtefactsUrl lists no agent $Version for Windows" }
    Write-Host "graywave: downloading $($chosen.Name)"
    $file = Join-Path $Directory $chosen.Name
    Get-Download "$ArtefactsUrl/$($chosen.Name)" $file
    $actual = (Get-FileHash -Algorithm SHA256 -LiteralPath $file).Hash.ToLowerInvariant()
    if ($actual -ne $chosen.Hash) {
        throw "$($chosen.Name) has the SHA-256 $actual, and $($chosen.Hash) is expected; nothing was installed"
    }
    $file
}

# Creates a directory that only the system and administrators can read.
function New-PrivateDirectory {
    $directory = Join-Path ([System.IO.Path]::GetTempPath()) ([System.IO.Path]::GetRandomFileName())
    $null = New-Item -ItemType Directory -Path $directory
    & icacls.exe $directory /inheritance:r /grant:r '*S-1-5-18:(OI)(CI)F' '*S-1-5-32-544:(OI)(CI)F' /q | Out-Null
    if ($LASTEXITCODE -ne 0) { throw "protecting $directory failed: icacls ended with $LASTEXITCODE" }
    $directory
}

# Writes the token into a file of the private directory. Its text never is an argument.
function Save-Token([string] $Directory) {
    $data = Join-Path $env:ProgramData 'Graywave'
    if (Test-Path -LiteralPath (Join-Path $data 'identity\certificate.pem')) {
        if (-not $TokenFile) { return '' }
    }
    if ($TokenFile) {
        $text = [System.IO.File]::ReadAllText((Resolve-Path -LiteralPath $TokenFile).ProviderPath)
    }
    else {
        $secure = Read-Host -AsSecureString 'Enrolment token'
        $text = [System.Net.NetworkCredential]::new('', $secure).Password
    }
    $text = $text.Trim()
    if ($text -notmatch '^[A-Za-z0-9]{1,512}$') {
        throw 'the enrolment token is empty, or has characters other than letters and digits: copy the whole token'
    }
    $file = Join-Path $Directory 'token'
    [System.IO.File]::WriteAllText($file, $text)
    $file
}

function Invoke-Installer([string[]] $Arguments) {
    $process = Start-Process -FilePath 'msiexec.exe' -ArgumentList $Arguments -Wait -PassThru
    switch ($process.ExitCode) {
        0 { }
        3010 { Write-Host 'graywave: Windows asks for a restart' }
        1618 { throw 'another installation is in progress: try again when it has ended' }
        default { throw "msiexec ended with $($process.ExitCode)" }
    }
}

function Install-Agent {
    if ($DesktopId -match '[^A-Za-z0-9._-]') { throw '-DesktopId has characters other than A-Z a-z 0-9 . _ -' }
    $directory = New-PrivateDirectory
    try {
        $ca = Join-Path $directory 'ca.pem'
        Get-Download "$ApiUrl/ca.crt" $ca
        Test-Ca $ca
        $file = Get-Artefact $directory
        $token = Save-Token $directory
        $log = Join-Path $directory 'install.log'
        $arguments = @('/i', "`"$file`"", '/qn', '/norestart', '/l', "`"$log`"", "SERVER=$AgentsUrls", "CAFILE=`"$ca`"")
        if ($token) { $arguments += "TOKENFILE=`"$token`"" }
        if ($DesktopId) { $arguments += "DESKTOPID=$DesktopId" }
        try { Invoke-Installer $arguments }
        catch {
            if (Test-Path -LiteralPath $log) { Get-Content -LiteralPath $log -Tail 20 | Write-Host }
            throw
        }
        Write-Host 'graywave: the agent is installed'
    }
    finally {
        Remove-Item -Recurse -Force -LiteralPath $directory
    }
}

function Uninstall-Agent {
    $keys = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall\*'
    $products = Get-ItemProperty $keys | Where-Object { $_.PSObject.Properties['DisplayName'] -and $_.DisplayName -eq 'Graywave agent' }
    if (-not $products) { throw 'the agent is not installed' }
    foreach ($product in $products) { Invoke-Installer @('/x', $product.PSChildName, '/qn', '/norestart') }
    Write-Host "graywave: the agent is removed; $env:ProgramData\Graywave stays"
}

function Invoke-Main {
    $ErrorActionPreference = 'Stop'
    Set-StrictMode -Version 2
    # PowerShell 5 offers TLS 1.0 by default on old systems.
    [System.Net.ServicePointManager]::SecurityProtocol = [System.Net.ServicePointManager]::SecurityProtocol -bor 3072
    $user = [System.Security.Principal.WindowsPrincipal][System.Security.Principal.WindowsIdentity]::GetCurrent()
    if (-not $user.IsInRole([System.Security.Principal.WindowsBuiltInRole]::Administrator)) {
        throw 'only an administrator can install the agent: start PowerShell as an administrator'
    }
    if (-not [System.Environment]::Is64BitOperatingSystem) { throw 'the agent needs 64-bit Windows' }
    if ($Uninstall) { Uninstall-Agent } else { Install-Agent }
}

& { try { Invoke-Main } catch { [Console]::Error.WriteLine("graywave: error: $_"); exit 1 } }
