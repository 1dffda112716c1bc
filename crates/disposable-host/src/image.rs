//! The root file system that disposable hosts start from: built once per recipe, then only read.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use sha2::{Digest, Sha256};

use crate::command::{command, plain, tail};
use crate::error::{Error, Result};
use crate::requirements::KEYRING;

/// What is on a host before anyone has done anything: enough for a login, as on a provider's smallest machine. What a factory
/// installs must not be here, so that provisioning really installs it; nor Python, which nothing here may need.
const PACKAGES: [&str; 8] =
    ["ca-certificates", "dbus", "iproute2", "libpam-systemd", "openssh-server", "sudo", "systemd", "systemd-sysv"];

/// Part of the name of every image; raise it when what [`dress`] does changes.
const REVISION: u32 = 1;

/// Building takes 20 to 90 s; a second process waits this long for the first.
const LOCK_LIMIT: Duration = Duration::from_mins(15);

/// What to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// Debian's code name: `bookworm` (12) or `trixie` (13).
    pub suite: String,
    /// Where packages come from, without a slash at the end.
    pub mirror: String,
    /// Where security updates come from, without a slash at the end.
    pub security_mirror: String,
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            suite: "bookworm".into(),
            mirror: "http://deb.debian.org/debian".into(),
            security_mirror: "http://deb.debian.org/debian-security".into(),
        }
    }
}

impl Recipe {
    /// The host's `sources.list`, in the one-line format of sources.list(5).
    fn sources(&self) -> String {
        let Self { suite, mirror, security_mirror } = self;
        format!(
            "deb {mirror} {suite} main\ndeb {mirror} {suite}-updates main\ndeb {security_mirror} {suite}-security main\n"
        )
    }

    /// The folder's name: the suite, and a digest of all that decides what is in it.
    fn name(&self) -> String {
        let text = format!("{REVISION}\n{}\n{}", self.sources(), PACKAGES.join("\n"));
        let digest = Sha256::digest(text.as_bytes());
        let short = digest.iter().take(6).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        format!("{}-{short:012x}", self.suite)
    }
}

/// A root file system in the cache. Hosts lay an overlay over it and never write to it.
#[derive(Clone, Debug)]
pub struct Image {
    path: PathBuf,
}

impl Image {
    /// The image for a recipe in `$XDG_CACHE_HOME/factoryup/images/`, built now if it is not there. About 240 MB, and 20 to 90 s
    /// the first time. `progress` is told what goes on, one line a step.
    ///
    /// # Errors
    /// [`Error::Tool`] if it cannot be built, with the builder's last lines; [`Error::Recipe`] if the recipe is not valid.
    pub fn ensure(recipe: &Recipe, progress: &mut dyn FnMut(&str)) -> Result<Self> {
        Self::ensure_in(&Self::folder().ok_or(Error::NoCache)?, recipe, progress)
    }

    /// Where [`ensure`](Self::ensure) has its images; `None` if neither `XDG_CACHE_HOME` nor `HOME` is set.
    #[must_use]
    pub fn folder() -> Option<PathBuf> {
        let cache = std::env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))?;
        Some(cache.join("factoryup/images"))
    }

    /// As [`ensure`](Self::ensure), with a folder of images of the caller's choice.
    ///
    /// # Errors
    /// As [`ensure`](Self::ensure).
    pub fn ensure_in(images: &Path, recipe: &Recipe, progress: &mut dyn FnMut(&str)) -> Result<Self> {
        let valid =
            |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-.:/_~".contains(c));
        if ![&recipe.suite, &recipe.mirror, &recipe.security_mirror].into_iter().all(|text| valid(text))
            || recipe.suite.contains(['/', '.'])
        {
            return Err(Error::Recipe(recipe.clone()));
        }
        build_once(images, recipe, progress)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn build_once(images: &Path, recipe: &Recipe, progress: &mut dyn FnMut(&str)) -> Result<Image> {
    let path = images.join(recipe.name());
    if path.is_dir() {
        return Ok(Image { path });
    }
    fs::create_dir_all(images).map_err(Error::io("make", images))?;
    let _lock = lock(images, progress)?;
    if path.is_dir() {
        return Ok(Image { path });
    }
    progress(&format!("building a Debian image ({}), once", recipe.suite));
    let aside = images.join(format!("{}.building", recipe.name()));
    if aside.exists() {
        fs::remove_dir_all(&aside).map_err(Error::io("clear", &aside))?;
    }
    build(&aside, recipe, progress)?;
    dress(&aside)?;
    fs::rename(&aside, &path).map_err(Error::io("move into place", &path))?;
    Ok(Image { path })
}

/// One builder at a time for a folder of images.
fn lock(images: &Path, progress: &mut dyn FnMut(&str)) -> Result<File> {
    let path = images.join("lock");
    let file = File::options().create(true).append(true).open(&path).map_err(Error::io("open", &path))?;
    let begun = Instant::now();
    let mut told = false;
    while rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        if begun.elapsed() > LOCK_LIMIT {
            return Err(Error::ImageLocked { waited_s: begun.elapsed().as_secs(), images: images.to_owned() });
        }
        if !std::mem::replace(&mut told, true) {
            progress("waiting for another process that is building an image");
        }
        std::thread::sleep(Duration::from_millis(300));
    }
    Ok(file)
}

fn build(aside: &Path, recipe: &Recipe, progress: &mut dyn FnMut(&str)) -> Result<()> {
    let mut builder = command("mmdebstrap");
    builder
        .args(["--mode=root", "--variant=minbase", "--format=directory"])
        .arg(format!("--include={}", PACKAGES.join(",")))
        .arg(format!("--keyring={KEYRING}"))
        .arg("--aptopt=Acquire::Retries \"3\"")
        .args(outer_proxy().map(|(scheme, proxy)| format!("--aptopt=Acquire::{scheme}::Proxy \"{proxy}\"")))
        .args([recipe.suite.as_str()])
        .arg(aside)
        .arg("-")
        .env("LC_ALL", "C.UTF-8")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = builder.spawn().map_err(Error::spawn("mmdebstrap"))?;
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(recipe.sources().as_bytes());
    }
    let mut said = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).split(b'\n').map_while(std::io::Result::ok) {
            let text = plain(&String::from_utf8_lossy(&line));
            if let Some(step) = text.strip_prefix("I: ") {
                progress(step.trim());
            }
            said.extend_from_slice(&line);
            said.push(b'\n');
        }
    }
    let status = child.wait().map_err(Error::spawn("mmdebstrap"))?;
    if status.success() {
        return Ok(());
    }
    // What is left of it would be taken for rubbish by the next run anyway.
    let _ = fs::remove_dir_all(aside);
    Err(Error::Tool {
        command: format!("mmdebstrap {} {}", recipe.suite, aside.display()),
        status: status.to_string(),
        stderr: tail(&said, 12),
    })
}

/// This machine's proxies for apt, by scheme, if a host in another network namespace can use them too.
pub(crate) fn outer_proxy() -> Option<(String, String)> {
    let output = command("apt-config").arg("dump").stdin(Stdio::null()).output().ok()?;
    String::from_utf8_lossy(&output.stdout).lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        let scheme = key.strip_prefix("Acquire::")?.strip_suffix("::Proxy")?;
        let proxy = value.trim_end_matches(';').trim_matches('"');
        let local = ["localhost", "127.", "[::1]"].iter().any(|own| proxy.contains(own));
        (!proxy.is_empty() && !local && !proxy.contains('"')).then(|| (scheme.to_owned(), proxy.to_owned()))
    })
}

/// Makes the bare system look like a machine on its first day.
fn dress(root: &Path) -> Result<()> {
    // Identity is for each host to make: a machine id and host keys that all share would hide faults.
    for name in
        ["rsa", "ecdsa", "ed25519"].iter().flat_map(|t| [format!("ssh_host_{t}_key"), format!("ssh_host_{t}_key.pub")])
    {
        let _ = fs::remove_file(root.join("etc/ssh").join(name));
    }
    write(root, "etc/machine-id", "", 0o444)?;
    write(root, "etc/hostname", "factoryup-rehearsal\n", 0o644)?;
    write(
        root,
        "etc/hosts",
        "127.0.0.1 localhost\n127.0.1.1 factoryup-rehearsal\n::1 localhost ip6-localhost\n",
        0o644,
    )?;
    // As cloud-init leaves it on many providers' machines. It sorts before most names, and sshd takes the first value it reads.
    write(root, "etc/ssh/sshd_config.d/50-cloud-init.conf", "PasswordAuthentication yes\n", 0o600)?;
    fs::create_dir_all(root.join("root/.ssh")).map_err(Error::io("make", root.join("root/.ssh")))?;
    mode(&root.join("root/.ssh"), 0o700)
}

/// Writes a file of the host, below its root.
pub(crate) fn write(root: &Path, name: &str, text: &str, mode_bits: u32) -> Result<()> {
    let path = root.join(name);
    fs::write(&path, text).map_err(Error::io("write", &path))?;
    mode(&path, mode_bits)
}

fn mode(path: &Path, bits: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(bits)).map_err(Error::io("set the mode of", path))
}

#[cfg(test)]
mod tests {
    use super::{Image, Recipe};

    #[test]
    fn the_name_tells_recipes_apart() {
        let trixie = Recipe { suite: "trixie".into(), ..Recipe::default() };
        let mirrored = Recipe { mirror: "http://mirror.example/debian".into(), ..Recipe::default() };
        assert!(Recipe::default().name().starts_with("bookworm-"));
        assert_ne!(Recipe::default().name(), mirrored.name());
        assert!(trixie.name().starts_with("trixie-"));
        assert_eq!(Recipe::default().name(), Recipe::default().name());
    }

    #[test]
    fn a_suite_is_a_word() {
        let recipe = Recipe { suite: "../etc".into(), ..Recipe::default() };
        let dir = std::env::temp_dir();
        assert!(Image::ensure_in(&dir, &recipe, &mut |_| ()).is_err());
    }
}
