//! `disposable-host`: starts a host, says how to log in, and removes it on Ctrl-C.

use std::fmt::Display;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use disposable_host::{DisposableHost, Image, Options, Recipe, Requirements};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Start a disposable Debian host with sshd, and remove it on Ctrl-C
///
/// The host is a systemd-nspawn container in its own network namespace, with systemd, sshd and sudo, like a fresh machine from a
/// provider. Only this machine reaches it; it reaches the internet. It needs root. The first start builds an image of 240 MB,
/// which takes a minute; later starts take a second.
///
/// Exit codes: 0 after Ctrl-C; 1 if the host could not be started or removed; 2 for wrong flags.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Debian release to run, by its code name
    #[arg(long, value_name = "NAME", default_value = "bookworm")]
    suite: String,

    /// Public key that root may log in with [default: a new key, removed with the host]
    #[arg(long, value_name = "FILE")]
    authorized_key: Option<PathBuf>,

    /// Round-trip time to sshd in milliseconds, to see how a client copes with distance
    #[arg(long, value_name = "MS")]
    delay: Option<u64>,

    /// Forward this port on the host's loopback to the same port on this machine's; may be repeated
    #[arg(long, value_name = "PORT")]
    remote_forward: Vec<u16>,
}

/// What went wrong, and what to do about it.
struct Failure {
    message: String,
    remedy: Option<String>,
}

impl From<disposable_host::Error> for Failure {
    fn from(error: disposable_host::Error) -> Self {
        Self { message: error.to_string(), remedy: error.remedy() }
    }
}

fn cannot<E: Display>(what: impl Display) -> impl FnOnce(E) -> Failure {
    move |error| Failure { message: format!("cannot {what}: {error}"), remedy: None }
}

fn main() -> ExitCode {
    let Err(failure) = run(&Arguments::parse()) else { return ExitCode::SUCCESS };
    let mut stderr = io::stderr();
    let _ = writeln!(stderr, "error: {}", failure.message);
    if let Some(remedy) = failure.remedy {
        let _ = writeln!(stderr, "next: {remedy}");
    }
    ExitCode::FAILURE
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    ready()?;
    let authorized_key = match &arguments.authorized_key {
        Some(file) => fs::read_to_string(file).map_err(cannot(format!("read {}", file.display())))?,
        None => String::new(),
    };
    let recipe = Recipe { suite: arguments.suite.clone(), ..Recipe::default() };
    let image = Image::ensure(&recipe, &mut |line| {
        let _ = writeln!(io::stderr(), "{line}");
    })?;
    let options = Options { authorized_key, delay: arguments.delay.map(Duration::from_millis), ..Options::default() };
    // Until it runs, a signal ends this process at once, and the host's keeper cleans up.
    let mut host = DisposableHost::start(&image, &options)?;
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(cannot("watch for Ctrl-C"))?;
    for port in &arguments.remote_forward {
        host.lead_back(*port)?;
    }
    let identity = if arguments.authorized_key.is_none() { Some(login_key(&host)?) } else { None };
    let text = format!(
        "address:   {}\nport:      {}\nhost key:  {}\nlog in:    {}\n\nCtrl-C removes the host.\n",
        host.address(),
        host.port(),
        host.host_key_fingerprint(),
        ssh(&host, identity.as_deref())?,
    );
    io::stdout().write_all(text.as_bytes()).map_err(cannot("write to standard output"))?;
    signals.forever().next();
    Ok(host.stop()?)
}

fn ready() -> Result<(), Failure> {
    let missing = Requirements::check();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|one| format!("{} ({})", one.what, one.why)).collect();
    let packages = Requirements::packages(&missing).join(" ");
    let remedy = if packages.is_empty() {
        "run it as root on Linux, outside of containers that hide control groups".into()
    } else {
        format!("on Debian or Ubuntu: `apt-get install {packages}`")
    };
    Err(Failure { message: format!("a disposable host needs {}", names.join(", ")), remedy: Some(remedy) })
}

/// Creates a key that root may log in with. Its private half is in the host's directory, which is removed with the host.
fn login_key(host: &DisposableHost) -> Result<PathBuf, Failure> {
    let make = "cd /root/.ssh && ssh-keygen -q -t ed25519 -N '' -C disposable-host -f key && cat key.pub >authorized_keys && cat key \
                && rm key key.pub";
    let output = host.run_inside(&["sh", "-c", make])?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).escape_debug().to_string();
        return Err(Failure { message: format!("cannot create a key to log in with: {why}"), remedy: None });
    }
    let path = host.directory().join("login-key");
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    file.and_then(|mut file| file.write_all(&output.stdout)).map_err(cannot(format!("write {}", path.display())))?;
    Ok(path)
}

/// The command that logs in, with the host's key on record.
fn ssh(host: &DisposableHost, identity: Option<&Path>) -> Result<String, Failure> {
    let (address, port) = (host.address(), host.port());
    let name = if port == 22 { address.to_string() } else { format!("[{address}]:{port}") };
    let known = host.directory().join("known_hosts");
    fs::write(&known, format!("{name} {}\n", host.host_key())).map_err(cannot(format!("write {}", known.display())))?;
    let identity = identity.map(|path| format!("-i {} -o IdentitiesOnly=yes ", path.display())).unwrap_or_default();
    Ok(format!("ssh {identity}-o UserKnownHostsFile={} -p {port} root@{address}", known.display()))
}
