//! A network for one host: a namespace, a pair of virtual interfaces, an address of its own, and a way out for `apt-get`.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::Path;

use rustix::fs::FlockOperation;

use crate::command::{command, run};
use crate::error::{Error, Result};

/// What of every host is on record while it lives: one folder per host, gone after a restart of the machine.
pub(crate) const RUN: &str = "/run/factoryup";

/// How many hosts can run side by side: one /30 each out of [`RANGE`].
const SLOTS: u8 = 64;

/// The range's first three bytes: 10.213.77.0/24, a corner of RFC 1918's 10.0.0.0/8 that is seldom used. A slot whose address is
/// routed elsewhere on this machine is passed over.
const RANGE: [u8; 3] = [10, 213, 77];

/// A place in the range, held for as long as the value lives and by no other process.
#[derive(Debug)]
pub(crate) struct Slot {
    number: u8,
    _lock: File,
}

impl Slot {
    /// The slot that an id begins with.
    pub(crate) fn of_id(id: &str) -> Option<u8> {
        id.get(..2)?.parse().ok().filter(|number| *number < SLOTS)
    }

    /// Takes this slot, unless someone has it.
    pub(crate) fn take(number: u8) -> Option<Self> {
        let path = Path::new(RUN).join("slots").join(format!("{number:02}"));
        let file = File::options().create(true).append(true).open(path).ok()?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
        Some(Self { number, _lock: file })
    }

    /// Takes the first slot that is free and whose address is not in use on this machine's networks.
    pub(crate) fn take_any() -> Result<Self> {
        for folder in ["slots", "hosts"] {
            let path = Path::new(RUN).join(folder);
            fs::create_dir_all(&path).map_err(Error::io("make", &path))?;
        }
        for number in 0..SLOTS {
            let Some(slot) = Self::take(number) else { continue };
            let routes =
                run(command("ip").args(["-4", "route", "show", "to", "match"]).arg(slot.address().to_string()), &[])?;
            let text = String::from_utf8_lossy(&routes.stdout);
            if text.lines().all(|line| line.starts_with("default") || line.trim().is_empty()) {
                return Ok(slot);
            }
        }
        Err(Error::NoFreeAddress(SLOTS))
    }

    pub(crate) fn number(&self) -> u8 {
        self.number
    }

    /// This machine's end.
    fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::new(RANGE[0], RANGE[1], RANGE[2], self.number * 4 + 1)
    }

    /// The host's end.
    pub(crate) fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(RANGE[0], RANGE[1], RANGE[2], self.number * 4 + 2)
    }
}

/// Where the namespace `factoryup-ID` can be entered.
pub(crate) fn namespace(id: &str) -> String {
    format!("/run/netns/factoryup-{id}")
}

/// Makes the network of the host `id`. What it makes is named after the id, and `cleanup.sh` takes it away.
pub(crate) fn make(id: &str, slot: &Slot) -> Result<()> {
    let (gateway, address) = (slot.gateway(), slot.address());
    let (name, outside) = (format!("factoryup-{id}"), format!("fu{id}"));
    let outer = format!(
        "netns add {name}\n\
         link add {outside} type veth peer name eth0 netns {name}\n\
         address add {gateway}/30 dev {outside}\n\
         link set {outside} up\n"
    );
    let inner = format!(
        "link set lo up\n\
         address add {address}/30 dev eth0\n\
         link set eth0 up\n\
         route add default via {gateway}\n"
    );
    // Out: masqueraded. In: only what this machine itself sends, so that nobody who routes through it reaches a host whose
    // password logins are on.
    let table = format!(
        "table ip factoryup_{id} {{\n\
           chain out {{\n\
             type nat hook postrouting priority srcnat; policy accept;\n\
             ip saddr {address} oifname != \"{outside}\" masquerade\n\
           }}\n\
           chain through {{\n\
             type filter hook forward priority filter; policy accept;\n\
             oifname \"{outside}\" ct state new drop\n\
           }}\n\
         }}\n"
    );
    run(command("ip").args(["-batch", "-"]), outer.as_bytes())?;
    run(command("ip").args(["-netns", &name, "-batch", "-"]), inner.as_bytes())?;
    run(command("nft").args(["-f", "-"]), table.as_bytes())?;
    Ok(())
}

/// Puts the host on record and turns on forwarding, in one step as far as other processes can see: `cleanup.sh` turns forwarding
/// off again when it was off before and no host is on record any more.
pub(crate) fn register(state: &Path) -> Result<()> {
    let path = Path::new(RUN).join("lock");
    let lock = File::options().create(true).append(true).open(&path).map_err(Error::io("open", &path))?;
    rustix::fs::flock(&lock, FlockOperation::LockExclusive).map_err(|e| Error::io("lock", &path)(e.into()))?;
    fs::create_dir(state).map_err(Error::io("make", state))?;
    let forwarding = "/proc/sys/net/ipv4/ip_forward";
    let before = fs::read_to_string(forwarding).map_err(Error::io("read", forwarding))?;
    if before.trim() == "0" {
        let marker = Path::new(RUN).join("forwarding-was-off");
        fs::write(&marker, "").map_err(Error::io("write", &marker))?;
        fs::write(forwarding, "1").map_err(Error::io("write", forwarding))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Slot;

    #[test]
    fn an_id_begins_with_its_slot() {
        assert_eq!(Slot::of_id("07ab12cd34"), Some(7));
        assert_eq!(Slot::of_id("99ab12cd34"), None);
        assert_eq!(Slot::of_id("x"), None);
    }
}
