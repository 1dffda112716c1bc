//! The disposable host: a real Debian with systemd and sshd, in a network namespace of its own, gone without a trace afterwards.
//!
//! It stands for the fresh machine that a provider hands out: root logs in with a key, password logins are on, nothing of a
//! factory is there yet, `apt-get` works. What lives here: [`Requirements`], what this machine must have for it; [`Image`], the
//! root file system, built once with `mmdebstrap` and cached; [`DisposableHost`], one running host on an overlay over that image;
//! [`delay_proxy`], a distance in round-trip time to any TCP service. What doesn't: what is done to the host, which is the
//! business of [`crate::host`], and the journey as a whole, which is that of [`crate::rehearsal`].
//!
//! ```no_run
//! use factoryup::rehearsal::host::{DisposableHost, Image, Options, Recipe};
//! let image = Image::ensure(&Recipe::default(), &mut |line| eprintln!("{line}"))?;
//! let options = Options { authorized_key: "ssh-ed25519 AAAA... me".into(), ..Options::default() };
//! let host = DisposableHost::start(&image, &options)?;
//! println!("ssh -p {} root@{} # {}", host.port(), host.address(), host.host_key_fingerprint());
//! let output = host.run_inside(&["systemctl", "is-system-running"])?;
//! host.stop()?;
//! # Ok::<(), factoryup::Error>(())
//! ```
//!
//! The host is a `systemd-nspawn` container, not a virtual machine: it shares the kernel, so settings under `/proc/sys/kernel`
//! are read-only in it, and there is no boot loader, no kernel package and no cloud-init. It may reach the internet, through
//! masquerading, for `apt-get`; nothing but this machine reaches it.
//!
//! Cleaning up is the work of one program, `cleanup.sh`. It is run by [`DisposableHost::stop`] and on drop; by a small keeper
//! process when this one ends in any other way, be it `kill -9`; and by [`sweep`] for what a keeper could not finish.

pub mod delay_proxy;

mod cleanup;
mod container;
mod error;
mod image;
mod network;
mod requirements;
mod way_back;

pub use cleanup::sweep;
pub use container::{DisposableHost, ExtraUser, Options};
pub use error::HostError;
pub use image::{Image, Recipe};
pub use requirements::{Missing, Requirements};
