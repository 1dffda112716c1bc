//! A disposable host: a real Debian with systemd and sshd in its own network namespace, which leaves no trace.
//!
//! It stands for the fresh machine that a provider hands out: root logs in with a key, password logins are on, `apt-get` works,
//! and nothing else is installed. What lives here:
//!
//! - [`Requirements`]: what this machine needs to run one;
//! - [`Image`]: the root file system, built once with `mmdebstrap` and cached;
//! - [`DisposableHost`]: one running host, on an overlay over that image;
//! - [`delay_proxy`]: a round-trip time to any TCP service.
//!
//! ```no_run
//! use disposable_host::{DisposableHost, Image, Options, Recipe};
//! let image = Image::ensure(&Recipe::default(), &mut |line| eprintln!("{line}"))?;
//! let options = Options { authorized_key: "ssh-ed25519 AAAA... me".into(), ..Options::default() };
//! let host = DisposableHost::start(&image, &options)?;
//! println!("ssh -p {} root@{} # {}", host.port(), host.address(), host.host_key_fingerprint());
//! let output = host.run_inside(&["systemctl", "is-system-running"])?;
//! host.stop()?;
//! # Ok::<(), disposable_host::Error>(())
//! ```
//!
//! The host is a `systemd-nspawn` container, not a virtual machine. It shares the kernel, so settings under `/proc/sys/kernel`
//! are read-only in it, and it has no boot loader, no kernel package and no cloud-init. It reaches the internet through
//! masquerading, for `apt-get`. Only this machine reaches it.
//!
//! One program, `cleanup.sh`, removes a host. [`DisposableHost::stop`] and drop run it. If this process ends in any other way,
//! even by `kill -9`, a small keeper process runs it. [`sweep`] runs it for what a keeper could not finish.

pub mod delay_proxy;

mod cleanup;
mod command;
mod container;
mod error;
mod image;
mod network;
mod requirements;
mod way_back;

pub use cleanup::sweep;
pub use container::{DisposableHost, ExtraUser, Options};
pub use error::{Error, Result};
pub use image::{Image, Recipe};
pub use requirements::{Missing, Requirements};
